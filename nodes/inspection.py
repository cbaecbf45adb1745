"""The nodes that show control.

Made when the host first asks: at ComfyUI's start they cost nothing.
"""

from __future__ import annotations

from .lazy_node import node_in

# Without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackTimeline": node_in("Control Timeline", "timeline_node", "ControlStackTimeline"),
    "ControlStackReport": node_in("Control Report", "report_node", "ControlStackReport"),
}
NODE_DISPLAY_NAME_MAPPINGS = {key: node.title for key, node in NODE_CLASS_MAPPINGS.items()}
