"""Workflows edited: chains of apply nodes and of Add ControlNet become ControlNet Stacks, and back.

Knows nodes by their names and JSON alone: no host, no torch. What is read and changed is the drawn
form (what ComfyUI's canvas saves) or the API form; one analysis serves both.
"""
