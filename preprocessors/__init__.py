"""Image -> hint, one file a family, palettes and skeletons with their source beside them.
Knows pictures only: no models of a host, no control, no graph."""
