"""`controlstack nodes`: every node the embedded host knows by its pack, with inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from .exit_codes import DebugOption, reported
from .say import literal, show

if TYPE_CHECKING:
    from ..headless.graph.registry import InputSpec


def nodes_command(debug: DebugOption = False) -> None:
    """List the nodes that workflows may use, by the pack that they are of."""
    with reported(debug):
        from rich import box
        from rich.table import Table

        from ..headless.graph.packs import CORE, OURS, declared_pack
        from ..headless.graph.registry import default_registry

        registry, titles = default_registry(), {OURS: "ControlStack", CORE: "ComfyUI"}
        packs: dict[str, list[str]] = {}
        for node_type in sorted(registry):
            pack = declared_pack(node_type, registry.spec(node_type).cls)
            packs.setdefault(titles.get(pack, pack), []).append(node_type)
        for pack, node_types in sorted(packs.items()):
            table = Table(box=box.SIMPLE_HEAD, show_lines=True, title=pack, title_justify="left")
            for heading, style in (("Node", "bold"), ("Inputs", ""), ("Outputs", "")):
                table.add_column(heading, style=style)
            for spec in map(registry.spec, node_types):
                inputs = literal(*_described(spec.inputs.values()))
                outputs = literal(*(spec.output_names or ["a file"]))
                table.add_row(literal(spec.type), inputs, outputs)
            show(table)


def _described(inputs: Iterable[InputSpec]) -> Iterator[str]:
    """A line each; one for all that a socket may become which comes again when it is wired."""
    for (before, kind), found in groupby(inputs, lambda one: (_before_point(one.name), one.type)):
        same = list(found)
        if before and len(same) > 2 and not any(one.options for one in same):
            yield f"{same[0].name} to {same[-1].name}: {kind}, as many as are wired"
        else:
            yield from map(_describe, same)


def _before_point(name: str) -> str:
    return name.rpartition(".")[0]


def _describe(entry: InputSpec) -> str:
    """`steps: INT 1 to 10000, default 20`."""
    facts = []
    low, high = entry.options.get("min"), entry.options.get("max")
    if entry.is_choice:
        choices = ", ".join(str(choice) for choice in entry.choices)
        facts.append(f"one of {choices}" if choices else "a file (there is none here)")
    elif low is not None and high is not None:
        facts.append(f"{low} to {high}")
    if entry.options.get("default") not in (None, ""):
        facts.append(f"default {entry.options['default']}")
    if not entry.required:
        facts.append("optional")
    return f"{entry.name}: {entry.type} {', '.join(facts)}".rstrip()
