"""A muted line in mid-chain ends the run with a sentence, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.nodes.drawn import BYPASSED, MUTED, require_whole
from controlstack.nodes.stack import STACK, ControlStackApply

ACTIVE = 0


def node(number: int, link: int | None, mode: int = ACTIVE, **words: Any) -> dict[str, Any]:
    """A drawn node with a wire at its stack, behind another input."""
    inputs = [{"type": "IMAGE", "link": 99}, {"name": "stack", "type": STACK, "link": link}]
    return {"id": number, "type": "ControlStackAdd", "mode": mode, "inputs": inputs, **words}


def chain(*modes: int) -> dict[str, Any]:
    """Add Controls 1, 2, 3 ... of these modes in a row, the last of them before node 9."""
    adds = [node(n, n - 1 or None, mode, title=f"Line {n}") for n, mode in enumerate(modes, 1)]
    links = [[n, n, 0, n + 1, 1, STACK] for n in range(1, len(modes) + 1)]
    return {"nodes": [*adds, node(9, len(modes))], "links": [*links, [99, 50, 0, 9, 0, "IMAGE"]]}


@pytest.mark.parametrize(
    ("modes", "named"),
    [
        ((ACTIVE, MUTED), 2),
        ((ACTIVE, MUTED, MUTED), 3),
        ((ACTIVE, BYPASSED, MUTED, BYPASSED), 3),
        ((MUTED, ACTIVE), None),  # nothing before it is lost
        ((MUTED, MUTED), None),  # all are off
        ((MUTED,), None),
        ((ACTIVE, BYPASSED), None),
        ((BYPASSED, MUTED), None),
        ((ACTIVE, MUTED, ACTIVE), None),  # said of line 3 itself
        ((), None),
    ],
)
def test_what_a_muted_line_takes_along_is_said(modes: tuple[int, ...], named: int | None) -> None:
    workflow = {"workflow": chain(*modes)}
    if named is None:
        require_whole(workflow, "9", STACK)
        return
    with pytest.raises(UserError, match=rf"^node {named} \(Line {named}\) is muted, .*Ctrl\+B"):
        require_whole(workflow, "9", STACK)
    with pytest.raises(UserError):
        ControlStackApply().apply(object(), unique_id="9", extra_pnginfo=workflow)


def test_inside_of_a_subgraph_and_through_a_reroute() -> None:
    reroute = {"id": 4, "type": "Reroute", "inputs": [{"type": "*", "link": 3}]}
    inner = {
        "id": "a-uuid",
        "nodes": [node(1, None), node(2, 1, MUTED), reroute, node(5, 4)],
        "links": [
            {"id": number, "origin_id": origin, "target_id": target}
            for number, origin, target in [(1, 1, 2), (3, 2, 4), (4, 4, 5)]
        ],
    }
    outer = {"nodes": [{"id": 7, "type": "a-uuid"}], "links": []}
    workflow = {"workflow": {**outer, "definitions": {"subgraphs": [inner]}}}
    with pytest.raises(UserError, match=r"^node 2 \(ControlStackAdd\) is muted"):
        require_whole(workflow, "7:5", STACK)


@pytest.mark.parametrize(
    "extra",
    [
        None,
        {},
        {"workflow": None},
        {"workflow": {"nodes": [], "links": []}},
        {"workflow": {"nodes": [{}], "links": [[]]}},
        {"workflow": {"nodes": [node(9, 1)], "links": [[1, 9, 0, 9, 1, STACK]]}},  # a circle
        {"workflow": {"nodes": [node(9, 1)], "links": [[1, -10, 0, 9, 1, STACK]]}},
        {"workflow": {"nodes": [node(9, 1)], "links": []}},
        {"workflow": "none"},
    ],
)
def test_a_graph_that_tells_nothing(extra: Any) -> None:
    require_whole(extra, "9", STACK)
    require_whole(extra, None, STACK)
    require_whole(extra, "3:9", STACK)
