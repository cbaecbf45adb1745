"""Training data: rows of picture, hint and caption, checked, cut and flipped together, cached.
Knows nothing of the network that learns from them."""
