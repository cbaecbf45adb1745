"""The embedded host: graph, core nodes, samplers, and diffusers behind MODEL and CONTROL_NET.
Knows nothing of the demo model or the command line."""
