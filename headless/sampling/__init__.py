"""Sampling as ComfyUI defines it: noise, schedules, samplers, guidance, behind MODEL's protocol.
Knows torch and a U-Net it can call; knows nothing of files, graphs, or how a model was loaded."""
