"""Does the picture follow its hint: metrics as pure functions of pictures, reports and ranks.
Knows nothing of how a picture was made."""
