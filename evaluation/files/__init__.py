"""Evaluation of files: pictures paired with hints, conditions extracted, reports and studies.
Knows no graph and no host."""
