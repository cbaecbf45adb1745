"""What a workflow file is, told without a run: its family, files, controls and nodes, and what runs
here. Loads no model; knows nothing of the command line."""
