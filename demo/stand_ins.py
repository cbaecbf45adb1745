"""Which demo ControlNet stands in for a net of a stranger's workflow, by the kind of its hint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..headless.graph.model import Graph, Link, Node
from ..nodes.hints import NODE_CLASS_MAPPINGS as HINTS
from ..preprocessors.names import equal_of


@dataclass(frozen=True)
class StandIn:
    """The demo's net ("canny", "depth", "pose") for a ControlNet, and why, where its file's name
    does not say it."""

    kind: str
    why: str = ""


_OWN = (("canny", "canny"), ("depth", "depth"), ("openpose", "pose"), ("pose", "pose"))
_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("pose", ("keypoint", "skeleton", "mediapipe_face", "mediapipeface")),
    (
        "canny",
        (
            *("lineart", "line", "scribble", "sketch", "softedge", "soft_edge", "hed", "pidi"),
            *("mlsd", "teed", "edge", "xdog", "binary"),
        ),
    ),
    (
        "depth",
        (
            *("midas", "zoe", "leres", "marigold", "normal", "bae", "seg", "oneformer", "tile"),
            *("blur", "brightness", "illumination", "light", "qr", "recolor", "color", "gray"),
            *("luminance", "luma", "shuffle", "inpaint", "ip2p", "upscale"),
        ),
    ),
)
"""Demo net -> words in the names of nets, hint nodes and pictures of a kind like its own: lines for
lines, surfaces and areas of one brightness for depth."""

_SHOWS = {"edges": "canny", "pose": "pose"}
"""What a hint node of ours shows -> the same; all others have surfaces."""


def stand_in(graph: Graph, loader: Node, file: str) -> StandIn:
    """The demo net that stands in for `file`, which `loader` names: by its name, else by the hint
    that it is given, else the one for lines.
    """
    if found := next((kind for word, kind in _OWN if word in file.lower()), ""):
        return StandIn(found)
    if found := _kind_in(file):
        return StandIn(found, "its name tells the kind of hint")
    for node in _hints_of(graph, loader):
        entry = getattr(HINTS.get(node.type), "PREPROCESSOR", None) or equal_of(node.type)
        if entry is not None:
            return StandIn(_SHOWS.get(entry.shows, "depth"), f"its hint is made by {node.label}")
        if found := _kind_in(f"{node.type} {node.inputs.get('image', '')}"):
            return StandIn(found, f"its hint comes from {node.label}")
    return StandIn("canny", "neither its name nor its hint tells a kind")


def _kind_in(name: str) -> str:
    lower = name.lower()
    words = (*((kind, (word,)) for word, kind in _OWN), *_KINDS)
    return next((kind for kind, some in words if any(word in lower for word in some)), "")


def _hints_of(graph: Graph, loader: Node) -> Iterator[Node]:
    """The nodes from which the nets of a loader get their hints, the nearest first."""
    waiting = [node for node in graph.nodes.values() if _takes(node, loader.id)]
    seen = set[str]()
    while waiting:
        node = waiting.pop(0)
        hint = node.inputs.get("image")
        origin = graph.nodes.get(hint.node) if isinstance(hint, Link) else None
        if origin is not None and origin.id not in seen:
            seen.add(origin.id)
            yield origin
            waiting.append(origin)


def _takes(node: Node, origin: str) -> bool:
    return any(link.node == origin for link in node.links.values())
