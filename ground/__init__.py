"""What every layer stands on: errors, words, names, files and settings. Knows no layer above it."""
