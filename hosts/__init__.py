"""The seam to the program that a node runs in: what may be asked of it, and ComfyUI's answers.
Knows no node; the embedded host's answers are in `headless`."""
