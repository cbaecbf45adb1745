"""What the front end asks of the pack for Convert."""

from __future__ import annotations

import pytest

from controlstack.ground.errors import UserError
from controlstack.nodes.routes import ROUTES
from tests.conversion.graphs import applied, drawn, meant, same

ASK = ROUTES["/controlstack/convert"]


def test_one_chain_of_the_page() -> None:
    graph = drawn(applied(2))
    answer = ASK({"graph": graph, "node": "21", "subgraph": None, "to": "stack"})
    assert len(answer["done"]) == 1
    assert answer["left"] == []
    stack = str(answer["graph"]["last_node_id"])
    back = ASK({"graph": answer["graph"], "node": stack, "to": "core"})
    assert same(meant(back["graph"])) == same(applied(2))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"graph": []}, "give the graph as it is saved"),
        ({"node": 3}, "give the graph as it is saved"),
        ({"to": "x"}, "to is 'x'; it has to be one of: stack, nodes, core"),
        ({"node": "9"}, "is no part of a chain of controls"),
        ({"subgraph": "gone"}, "there is no node '20'"),
        ({"graph": {}}, "this is no workflow"),
    ],
)
def test_what_cannot_be_asked(change: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        ASK({"graph": drawn(applied(1)), "node": "20", "to": "stack", **change})
