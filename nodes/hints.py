"""The hint nodes: one for each preprocessor, and one for all.

Their ids and titles stand in `node_list.json`, from where ComfyUI is told them before the
preprocessors are imported, and ComfyUI-Manager reads them. `python -m tools.node_list` writes it;
tests compare it with the entries.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from .lazy_node import lazy_node

WITH_SETTINGS = "ControlStackAnyHintSettings"
"""The node whose settings are those of what is chosen in it."""

_TITLES: dict[str, str] = json.loads(
    (Path(__file__).parents[1] / "node_list.json").read_text(encoding="utf-8")
)


def _node(node_id: str) -> type:
    if node_id == "ControlStackHint":
        from .any_hint import ControlStackHint

        return ControlStackHint
    if node_id == WITH_SETTINGS:
        from .any_hint_settings import ControlStackAnyHintSettings

        return ControlStackAnyHintSettings
    from ..preprocessors.registry import PREPROCESSORS
    from .hint_node import node_of

    return next(node_of(entry) for entry in PREPROCESSORS.values() if entry.node == node_id)


def drawn_here(nodes: Mapping[str, type]) -> dict[str, type]:
    """Of the pack's `nodes` those that the ComfyUI that runs can draw: before DynamicCombo, which
    it has loaded by then, none whose settings change."""
    is_older = "folder_paths" in sys.modules and not hasattr(
        sys.modules.get("comfy_api.latest._io"), "DynamicCombo"
    )
    return {key: node for key, node in nodes.items() if not (is_older and key == WITH_SETTINGS)}


NODE_CLASS_MAPPINGS = {
    node_id: lazy_node(title, partial(_node, node_id)) for node_id, title in _TITLES.items()
}
NODE_DISPLAY_NAME_MAPPINGS = {key: node.title for key, node in NODE_CLASS_MAPPINGS.items()}
