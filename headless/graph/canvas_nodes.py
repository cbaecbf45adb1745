"""Nodes that only the canvas knows: none of them is sent to be run.

The modes that switches set are stored in the nodes that they set, so switches have no part of
their own. Names are those that ComfyUI's front end, rgthree-comfy, KJNodes, Easy-Use, mtb and
Use Everywhere register.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from .registry import NodeSpec
from .ui_format import UiGraph, UiInput, UiNode

PRIMITIVE = "PrimitiveNode"

SETTER_OF = {"GetNode": "SetNode", "easy getNode": "easy setNode"}
"""Nodes that give what a node of another type with the same name was given."""

EVERYWHERE = frozenset(
    {
        *("Anything Everywhere", "Anything Everywhere?", "Anything Everywhere3"),
        *("Prompts Everywhere",),
    }
)
"""Nodes that send what they are given to open inputs; `everywhere.py` has made links of it."""

VALUES = frozenset({"Seed Everywhere", "Simple String", "Combo Clone"})
"""Use Everywhere's nodes that give the value of their first field."""

_RGTHREE = (
    *("Fast Muter", "Fast Bypasser", "Fast Groups Muter", "Fast Groups Bypasser"),
    *("Mute / Bypass Repeater", "Mute / Bypass Relay", "Fast Actions Button", "Random Unmuter"),
    *("Node Collector", "Node Combiner", "Bookmark", "Label", "Reroute"),
)

VIRTUAL = frozenset(
    {
        *("Note", "MarkdownNote", "Reroute", PRIMITIVE),
        *SETTER_OF,
        *SETTER_OF.values(),
        *(f"{name} (rgthree)" for name in _RGTHREE),
        *("easy bookmark", "Note Plus (mtb)"),
    }
)
"""Nodes that are not sent. What is linked to output n of one is what feeds its input n."""

UNSENT = VIRTUAL | EVERYWHERE | VALUES


def slots_of(node: UiNode, spec: NodeSpec) -> UiNode:
    """`node` with the inputs that the front end gives it: those that `spec` declares, those without
    a field first, then what else the file has.

    Names and types are the declared ones; what feeds an input stays.
    """
    given = {slot.name: slot for slot in node.inputs}
    declared = [
        one for one in spec.inputs.values() if not (one.is_widget and one.options.get("socketless"))
    ]
    inputs = []
    for one in sorted(declared, key=lambda one: one.is_widget):
        slot = given.pop(one.name, None) or UiInput(one.name, one.type, None, one.is_widget)
        inputs.append(replace(slot, type=one.type, is_widget=one.is_widget))
    return replace(node, inputs=(*inputs, *given.values()))


def is_furniture(node: UiNode, linked: Collection[str]) -> bool:
    """Whether no link touches `node`; `linked` are the nodes that feed something."""
    return node.id not in linked and all(slot.link is None for slot in node.inputs)


def feeding(graph: UiGraph) -> frozenset[str]:
    """The ids of the nodes of `graph` that a link comes from."""
    return frozenset(link.origin for link in graph.links.values())


Specs = Mapping[str, NodeSpec | None]
