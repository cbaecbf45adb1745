"""A shipped workflow with Control Sweep in it, for both hosts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controlstack.headless.graph.model import Graph, Link, Node
from tests.comfyui import shipped


def with_sweep(graph: Graph) -> Graph:
    """A shipped workflow whose strength and seed are swept; the sheet is saved in the end."""
    add, sampler, decode, save = (
        shipped.only(graph, kind)
        for kind in ("ControlStackAdd", "KSampler", "VAEDecode", "SaveImage")
    )
    values = {"name": "strength", "values": "0, 1", "second_name": "seed", "second_values": "3..5"}
    drawn = {"images": Link(decode, 0), "grid": Link("900", 4), "title": "Sweep"}

    def changed(key: str, **inputs: Any) -> Node:
        return replace(graph.nodes[key], inputs={**graph.nodes[key].inputs, **inputs})

    return replace(
        graph,
        nodes={
            **graph.nodes,
            add: changed(add, strength=Link("900", 0)),
            sampler: changed(sampler, seed=Link("900", 3)),
            "900": Node("900", "ControlStackSweep", values),
            "901": Node("901", "ControlStackSweepSheet", drawn),
            save: changed(save, images=Link("901", 0)),
        },
        workflow=None,
    )
