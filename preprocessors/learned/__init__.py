"""Hints by networks: their loading and their numbers, one file a family. Knows no host."""
