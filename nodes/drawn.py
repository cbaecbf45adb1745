"""What the drawn graph tells and the prompt does not: that a wire comes from a muted node.

The front end leaves muted nodes out of the prompt, and with them the wires that come from them. A
stack that is wired through one would lose every control before it without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ground.errors import UserError

MUTED, BYPASSED = 2, 4
"""A drawn node's `mode` (ComfyUI_frontend, `LGraphEventMode`: NEVER and BYPASS)."""

Drawn = Mapping[str, Any]
"""A node, a link or a graph as the front end saves it."""

DRAWN = {"extra_pnginfo": "EXTRA_PNGINFO"}
"""What a node declares to be told the drawn graph by the host."""


def require_whole(extra: Drawn | None, node_id: str | None, kind: str) -> None:
    """Raise UserError where the node gets no wire of type `kind` since one in the chain is muted,
    with others before it that are not.

    `extra` is the host's EXTRA_PNGINFO, `node_id` as in the prompt: "5:3" is node 3 inside the
    subgraph at node 5. A graph that is not told, or not as expected, is taken as it comes.
    """
    try:
        muted = _lost_at((extra or {}).get("workflow") or {}, str(node_id), kind)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return
    if muted is not None:
        title = muted.get("title") or muted.get("type")
        raise UserError(
            f"node {muted['id']} ({title}) is muted, so the controls before it would not act: "
            "bypass it (Ctrl+B) to leave out this one alone, or mute those before it as well."
        )


def _lost_at(workflow: Drawn, node_id: str, kind: str) -> Drawn | None:
    """The muted node nearest to the given one behind which the chain goes on, or None."""
    graph, own_id = _graph_of(workflow, node_id)
    nodes = {str(node["id"]): node for node in graph["nodes"]}
    origins = dict(_origin(link) for link in graph["links"])
    here, muted, seen = nodes[own_id], None, set[str]()
    while (link := _wire(here, kind)) is not None:
        origin = str(origins[link])
        if origin in seen or origin not in nodes:  # a circle; the edge of a subgraph
            return None
        seen.add(origin)
        here = nodes[origin]
        mode = here.get("mode", 0)
        if mode == MUTED:
            muted = muted or here
        elif mode != BYPASSED and here.get("type") != "Reroute":
            return muted
    return None


def _graph_of(workflow: Drawn, node_id: str) -> tuple[Drawn, str]:
    """The graph that the node lies in, the workflow's or a subgraph's, and its id there."""
    graph = workflow
    *outer, own_id = node_id.split(":")
    for place in outer:
        (host,) = (node for node in graph["nodes"] if str(node["id"]) == place)
        (graph,) = (
            one for one in workflow["definitions"]["subgraphs"] if one["id"] == host["type"]
        )
    return graph, own_id


def _origin(link: Any) -> tuple[Any, Any]:
    """A link's id and the node it comes from: saved as a list, inside of subgraphs as an object."""
    return (link["id"], link["origin_id"]) if isinstance(link, Mapping) else (link[0], link[1])


def _wire(node: Drawn, kind: str) -> Any:
    """The link at the node's first input of the type, of a Reroute at its only one, or None."""
    wanted = {kind, "*"} if node.get("type") == "Reroute" else {kind}
    slots = [one for one in node.get("inputs") or () if wanted & {*str(one.get("type")).split(",")}]
    links = (slot.get("link") for slot in slots)
    return next((link for link in links if link is not None), None)
