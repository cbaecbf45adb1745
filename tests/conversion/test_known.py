"""What conversion knows of the pack's nodes and of the embedded host's is what they are."""

from __future__ import annotations

import pytest

from controlstack.conversion.known import FIELDS, ROW_SOCKETS, SHAPES, TITLES
from controlstack.headless.graph.registry import types_fit
from controlstack.nodes import NODE_DISPLAY_NAME_MAPPINGS, rows_node
from tests.conversion.graphs import REGISTRY


@pytest.mark.parametrize("kind", [kind for kind in FIELDS if kind in REGISTRY])
def test_fields(kind: str) -> None:
    widgets = {one.name: one.default for one in REGISTRY.spec(kind).widgets}
    assert list(FIELDS[kind]) == list(widgets)
    if kind.startswith("ControlStack") and "Loader" not in kind:
        strange = {name for name in widgets if FIELDS[kind][name] != widgets[name]}
        assert strange <= {"points", "weights"}  # those are written in full


@pytest.mark.parametrize("kind", [kind for kind in SHAPES if kind in REGISTRY])
def test_sockets_and_outputs(kind: str) -> None:
    spec, shape = REGISTRY.spec(kind), SHAPES[kind]
    sockets = {one.name: one.type for one in spec.inputs.values() if not one.is_widget}
    assert set(shape.sockets) == set(sockets)
    for name, own in shape.sockets.items():
        assert types_fit(own, sockets[name])
        assert set(own.split(",")) <= set(sockets[name].split(",")) | {"CONTROL_NET_STACK"}
    assert tuple(shape.outputs.values())[: len(spec.outputs)] == spec.outputs


def test_titles_and_rows() -> None:
    assert {kind: NODE_DISPLAY_NAME_MAPPINGS[kind] for kind in TITLES} == TITLES
    assert {name: kind for name, (kind, _) in rows_node.SOCKETS.items()} == ROW_SOCKETS
