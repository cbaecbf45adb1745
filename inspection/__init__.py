"""What draws and explains control: its plan before a run, and what it did after one."""
