"""What a node learns of the graph around it: whose file a wire brings, which steps are sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..hosts import host
from ..model_patch.schedule import Window

Prompt = Mapping[str, Mapping[str, Any]]
"""The graph in its API form: node id -> {"class_type", "inputs"}; a link is [node id, slot]."""

HIDDEN = {"prompt": "PROMPT", "unique_id": "UNIQUE_ID"}
"""What a node declares to be told the graph and its own id by the host."""

# The widgets of loaders, ComfyUI's and common packs', that name what comes out of them.
_FILES = {
    "control_net": ("control_net_name",),
    "model": ("ckpt_name", "unet_name", "model_name", "model_path"),
}
# Of a loader whose widget's word many nodes have.
_FILES_OF = {"ModelPatchLoader": ("name",)}


def file_behind(
    prompt: Prompt | None, node_id: str | None, wire: str, kind: str | None = None
) -> str:
    """The file that the input `wire` of a node comes from ("model", "control_net", or one of
    several: "control_net_2"), or ""; `kind` is one of these two for a wire of another name.

    Walks up to the loader through nodes that have an input of the same name: LoRAs, patches.
    """
    seen: set[str] = set()
    node = (prompt or {}).get(str(node_id), {})
    kind = kind or wire.rstrip("_0123456789")
    while True:
        link = node.get("inputs", {}).get(wire)
        if not isinstance(link, list) or not link or str(link[0]) in seen:
            return ""
        seen.add(str(link[0]))
        node, wire = (prompt or {}).get(str(link[0]), {}), kind
        for widget in _FILES_OF.get(str(node.get("class_type")), _FILES[kind]):
            name = node.get("inputs", {}).get(widget)
            if isinstance(name, str):
                return name


def window() -> Window:
    """Which of the sampler's steps are taken where the sampler's node, which runs now, leaves some
    out: the widgets of ComfyUI's KSamplerAdvanced."""
    inputs = host.current().running() if host.is_running() else {}
    before, total = inputs.get("start_at_step"), inputs.get("steps")
    if not isinstance(before, int) or not isinstance(total, int):
        return Window()
    return Window(min(before, total), total)
