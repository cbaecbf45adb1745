"""`controlstack nodes`: every node the embedded host knows, with its inputs and outputs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .outcome import DebugOption, reported

if TYPE_CHECKING:
    from ..headless.graph.registry import InputSpec

PIPED_WIDTH = 140
"""Columns where the output is no terminal."""


def nodes_command(debug: DebugOption = False) -> None:
    """List the nodes that workflows may use."""
    with reported(debug):
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        from ..headless.graph.registry import default_registry

        registry = default_registry()
        table = Table("Node", "Inputs", "Outputs", box=box.SIMPLE_HEAD, show_lines=True)
        for node_type in sorted(registry):
            spec = registry.spec(node_type)
            inputs = "\n".join(_describe(entry) for entry in spec.inputs.values())
            outputs = "\n".join(spec.output_names) or "a file"
            table.add_row(Text(spec.type, style="bold"), Text(inputs), Text(outputs))
        Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)


def _describe(entry: InputSpec) -> str:
    """`steps: INT 1 to 10000, default 20`."""
    facts = []
    low, high = entry.options.get("min"), entry.options.get("max")
    if entry.type == "COMBO":
        choices = ", ".join(str(choice) for choice in entry.choices)
        facts.append(f"one of {choices}" if choices else "a file (there is none here)")
    elif low is not None and high is not None:
        facts.append(f"{low} to {high}")
    if entry.options.get("default") not in (None, ""):
        facts.append(f"default {entry.options['default']}")
    if not entry.required:
        facts.append("optional")
    return f"{entry.name}: {entry.type} {', '.join(facts)}".rstrip()
