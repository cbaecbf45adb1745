"""What makes control visible: its plan before a run, as data first and then as a picture."""
