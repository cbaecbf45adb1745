"""What the front end asks of `conversion`: the graph on the page, with one chain converted."""

from __future__ import annotations

from typing import Any

from ..conversion.convert import TO, Node, convert
from ..ground.errors import UserError
from ..ground.wording import listing, shown


def converted(asked: dict[str, Any]) -> dict[str, Any]:
    """`{"graph", "node", "subgraph", "to"}` -> `{"graph", "done", "left"}`.

    `graph` is the workflow as the page saves it, `node` the id of the one whose chain is meant, in
    the subgraph of that id if there is one.

    Raises:
        UserError: a request of another form, and what `convert` refuses.
    """
    graph, node, to = asked.get("graph"), asked.get("node"), asked.get("to", "stack")
    subgraph = asked.get("subgraph")
    if not isinstance(graph, dict) or not isinstance(node, str):
        raise UserError("give the graph as it is saved, and a node's id as text.")
    if to not in TO:
        raise UserError(f"to is {shown(to)}; it has to be one of: {listing(TO)}.")
    made = convert(graph, to, Node(node, subgraph if isinstance(subgraph, str) else None))
    return {"graph": made.document, "done": list(made.done), "left": list(made.left)}
