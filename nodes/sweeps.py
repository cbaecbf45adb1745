"""The nodes for a small sweep in the graph.

Made when the host first asks: at ComfyUI's start they cost nothing.
"""

from __future__ import annotations

from .lazy_node import node_in

# Without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackSweep": node_in("Control Sweep", "sweep_nodes", "ControlStackSweep"),
    "ControlStackSweepSheet": node_in("Sweep Sheet", "sweep_nodes", "ControlStackSweepSheet"),
}
NODE_DISPLAY_NAME_MAPPINGS = {key: node.title for key, node in NODE_CLASS_MAPPINGS.items()}
