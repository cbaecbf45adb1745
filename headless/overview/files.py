"""The model files that a workflow names, by kind, with the addresses that it brings for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .. import folders
from ..graph.downloads import address_of, downloads, drawn_nodes, is_model_file
from ..graph.model import Graph
from ..graph.named_files import named_files
from ..graph.registry import Registry
from ..graph.ui_format import BYPASSED, MUTED

_WORDS: tuple[tuple[str, str], ...] = (
    (r"lora", "loras"),
    (r"upscale", "upscale_models"),
    (r"ip.?adapter", "ipadapter"),
    (r"clip.?vision", "clip_vision"),
    (r"control.?net|cnet", "controlnet"),
    (r"vae", "vae"),
    (r"ckpt|checkpoint", "checkpoints"),
    (r"unet|diffusion", "diffusion_models"),
    (r"clip|text.?encoder", "text_encoders"),
)
"""Words of an input, or else of a node's type -> the folder of the files that it names."""
_TOGETHER: tuple[tuple[str, str], ...] = (
    (r"clip.?vision.* clip_name", "clip_vision"),
    (r"preprocessor ckpt_name", ""),
)
"""The same for a type and an input together, where the input alone says another kind: an annotator
of comfyui_controlnet_aux fetches a network of its own."""


@dataclass(frozen=True)
class ModelFile:
    """A file that a workflow names.

    Args:
        kind: what it is, for a person ("checkpoint").
        folder: where ComfyUI has such files; "" where that is not known.
        nodes: the ids of the nodes that name it.
        here: whether it lies in the folders of models.
        url: where the workflow says that it was got; "" where it does not.
    """

    kind: str
    name: str
    folder: str
    nodes: tuple[str, ...]
    here: bool
    url: str

    def json(self) -> dict[str, Any]:
        """The data, for programs."""
        return {**vars(self), "nodes": list(self.nodes)}


def model_files(graph: Graph, registry: Registry) -> list[ModelFile]:
    """Every model file that a node of the graph names, sorted by kind and name."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for folder, name, node in [*_of_graph(graph, registry), *_of_canvas(graph, registry)]:
        found.setdefault((folder, name), {})[node] = None
    urls = downloads(graph.workflow)
    return [
        ModelFile(
            kind=folders.KINDS[folder][0] if folder in folders.KINDS else folder or "model",
            name=name,
            folder=folder,
            nodes=tuple(nodes),
            here=folders.here(folder, name) is not None,
            url=address_of(name, urls),
        )
        for (folder, name), nodes in sorted(found.items())
    ]


def _of_graph(graph: Graph, registry: Registry) -> Iterator[tuple[str, str, str]]:
    for one in named_files(graph, registry):
        yield one.kind, one.name, one.node.id
    for node in graph.nodes.values():
        said = registry.model_files(node.type)
        for name, value in node.inputs.items():
            for text in _texts(value) if name not in said else ():
                if is_model_file(text):
                    yield _folder_of(node.type, name), text, node.id


def _of_canvas(graph: Graph, registry: Registry) -> Iterator[tuple[str, str, str]]:
    """Of nodes that are not known, whose fields have no names in the file."""
    strange = {node.type for node in graph.nodes.values() if node.type not in registry}
    for drawn in drawn_nodes(graph.workflow or {}):
        kind = drawn.get("type")
        if isinstance(kind, str) and kind in strange and drawn.get("mode") not in (MUTED, BYPASSED):
            for text in _texts(drawn.get("widgets_values")):
                if is_model_file(text):
                    yield _folder(kind), text, str(drawn.get("id"))


def _texts(value: object) -> Iterator[str]:
    """The texts in a value, those that are off left out (as rgthree's LoRA loader has them)."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            waiting += reversed(one)
        elif isinstance(one, dict) and one.get("on") is not False:
            waiting += reversed(list(one.values()))


def _folder_of(kind: str, name: str) -> str:
    for word, folder in _TOGETHER:
        if re.search(word, f"{kind} {name}".lower()):
            return folder
    return _folder(name) or _folder(kind)


def _folder(words: str) -> str:
    lower = words.lower()
    return next((folder for word, folder in _WORDS if re.search(word, lower)), "")
