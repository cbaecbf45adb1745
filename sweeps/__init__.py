"""Sweeps: one workflow over many settings, planned, run once each, and shown. Knows no command."""
