"""People: read from JSON, written, drawn as skeletons. Finds nobody in a picture."""
