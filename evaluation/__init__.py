"""Does the picture follow its hint: metrics as pure functions of pictures.
Knows nothing of how a picture was made."""
