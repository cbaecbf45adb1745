"""The command line. Parses, shows progress and errors; the work is done below."""
