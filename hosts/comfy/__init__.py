"""ComfyUI's side of the seam. Imported in ComfyUI's process only."""
