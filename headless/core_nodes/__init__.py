"""Part of the embedded host."""
