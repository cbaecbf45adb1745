"""What draws and explains control: before a run and after it."""
