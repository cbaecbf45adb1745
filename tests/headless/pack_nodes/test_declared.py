"""Nodes of other packs as those packs declare them: one recorded table a pack.

The tables hold ids, inputs in their order, types, limits, defaults and menus, read from each pack's
own classes; `tests/comfyui/` reads them again where a pack is at hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.values import check_range, convert
from controlstack.headless.graph.widgets import widget_values
from controlstack.headless.pack_nodes import PACK_NODES
from controlstack.nodes import EVERY_NODE

HERE = Path(__file__).parent
TABLES = {file.stem: json.loads(file.read_text("utf-8")) for file in HERE.glob("*.json")}
KEPT = ("default", "min", "max", "step", "multiline")

ONE_ORDER = {"preprocessor"}
"""Menus in the order in which a pack's files happen to be listed."""

FILES = "files"
"""Stands in a table for a menu of the files that are there."""


def recorded(node: str) -> Mapping[str, Any]:
    """What the table of its pack has for a node."""
    table: Mapping[str, Any] = TABLES[PACK_NODES[node].PACK][node]
    return table


@pytest.mark.parametrize("node", PACK_NODES)
def test_a_node_is_declared_as_its_pack_declares_it(node: str) -> None:
    declared = PACK_NODES[node].INPUT_TYPES()
    table = recorded(node)
    for section in ("required", "optional"):
        if "grows" in table and section == "optional":
            names = declared[section]
            assert all(name.startswith(table["grows"]) for name in names)
            assert {info[0] for info in names.values()} == {"*"}
            continue
        ours = {name: _kept(info, name) for name, info in declared.get(section, {}).items()}
        theirs = {name: _kept(info, name) for name, info in table.get(section, {}).items()}
        assert list(ours.items()) == [
            (name, ours[name] if kept[0] == FILES and isinstance(ours[name][0], list) else kept)
            for name, kept in theirs.items()
        ]
    assert list(PACK_NODES[node].RETURN_TYPES) == table["outputs"]


def _kept(info: Any, name: str) -> list[Any]:
    kind = sorted(info[0]) if name in ONE_ORDER and isinstance(info[0], list) else info[0]
    options = info[1] if len(info) > 1 else {}
    return [kind, {key: options[key] for key in KEPT if key in options}]


def test_the_tables_hold_what_is_here_and_nothing_else() -> None:
    by_pack = {pack: set(table) for pack, table in TABLES.items()}
    ours: dict[str, set[str]] = {pack: set() for pack in by_pack}
    for node, cls in PACK_NODES.items():
        ours[cls.PACK].add(node)
    assert ours == by_pack
    assert not set(PACK_NODES) & {*CORE_NODES, *EVERY_NODE}


def test_the_page_lists_every_node() -> None:
    page = (HERE.parents[2] / "docs" / "other-packs.md").read_text(encoding="utf-8")
    assert [node for node in PACK_NODES if f"`{node}`" not in page] == []


def test_they_run_on_the_embedded_host_and_are_no_nodes_of_the_pack() -> None:
    assert set(PACK_NODES) <= set(default_registry())
    assert not set(PACK_NODES) & set(EVERY_NODE)


@pytest.mark.parametrize("node", PACK_NODES)
def test_values_of_a_file_are_read_by_position(node: str) -> None:
    spec = default_registry().spec(node)
    fields = spec.widgets
    for field in fields:
        if field.default is not None:
            check_range(field, convert(field, field.default))
    stored = [f"value {number}" for number in range(len(fields))]
    read = widget_values(fields, _as_stored(fields, stored), {})
    assert [read[field.name] for field in fields] == stored


def _as_stored(fields: list[Any], values: list[str]) -> list[Any]:
    """As the canvas writes them: a seed has "control after generate" behind it."""
    found: list[Any] = []
    for field, value in zip(fields, values, strict=True):
        found += [value, "randomize"] if field.has_seed_control else [value]
    return found
