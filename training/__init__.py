"""The trainable copy, zero convolutions, and the loop that trains them on a locked model.
Knows nothing of graphs, nodes or the demo's scenes."""
