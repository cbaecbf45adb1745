"""Workflow files in, validated graphs, results out: what ComfyUI's front end and executor do.
Knows nodes only as V1 classes; nothing of torch models, samplers or the command line."""
