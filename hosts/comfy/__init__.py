"""What asks and answers ComfyUI. Imported in ComfyUI's process only."""
