"""The nodes for a stack's settings, for some of its lines, and for its speed.

Made when the host first asks: at ComfyUI's start they cost nothing.
"""

from __future__ import annotations

from .lazy_node import node_in

# Without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackPreset": node_in("Control Preset", "preset_nodes", "ControlStackPreset"),
    "ControlStackSavePreset": node_in(
        "Save Control Preset", "preset_nodes", "ControlStackSavePreset"
    ),
    "ControlStackLoadPreset": node_in(
        "Load Control Preset", "preset_nodes", "ControlStackLoadPreset"
    ),
    "ControlStackCut": node_in("Cut Control Stack", "preset_nodes", "ControlStackCut"),
    "ControlStackSpeed": node_in("Control Speed", "speed_node", "ControlStackSpeed"),
}
NODE_DISPLAY_NAME_MAPPINGS = {key: node.title for key, node in NODE_CLASS_MAPPINGS.items()}
