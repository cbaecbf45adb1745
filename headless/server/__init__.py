"""The embedded host behind ComfyUI's front end: its routes, its websocket, its queue. The only
folder that knows HTTP; the executor learns nothing of it."""
