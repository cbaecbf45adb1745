"""How many nodes, wires and clicks a number of controls takes, beside other packs.

One graph is drawn with the core's nodes and converted by `controlstack.conversion`; the others are
counted from what their nodes declare. A click is a press, a choice or a drag: a node is 3 (double
click, its name, Enter), a wire 1, a choice in a menu 2, a row more 1. Hints, model, prompts
and sampler are there already, and the wires between these.

python -m benchmarks.graph_size
"""

from __future__ import annotations

from typing import Any

from controlstack.conversion.convert import convert
from tests.conversion.graphs import applied

COUNTS = (1, 2, 5)
NODE, WIRE, MENU, ROW = 3, 1, 2, 1
CONTROLS = {"ControlNetLoader", "ControlNetApplyAdvanced", "ControlStackLoader"}
CONTROLS |= {"ControlStackAdd", "ControlStackApply", "ControlStackRows"}

# For n controls: nodes, wires, menus, by what the nodes declare: efficiency-nodes'
# Control Net Stacker (a loader each) and Apply ControlNet Stack; Comfyroll's CR Multi-ControlNet
# Stack (three a node, a file and a switch each) and CR Apply Multi-ControlNet (with a switch).
OTHERS = {
    "Efficiency": lambda n: (2 * n + 1, 3 * n + 4, n),
    "Comfyroll": lambda n: (-(-n // 3) + 1, n + -(-n // 3) + 4, 2 * n + 1),
}


def counted(graph: dict[str, Any]) -> tuple[int, int, int, int]:
    """Nodes of controls, wires at them, choices of files, and rows that had to be added."""
    nodes = {key: node for key, node in graph.items() if node["class_type"] in CONTROLS}
    wires = sum(
        isinstance(value, list) and (key in nodes or value[0] in nodes)
        for key, node in graph.items()
        for value in node["inputs"].values()
    )
    rows = [
        row
        for node in nodes.values()
        for row in node["inputs"].get("controls", {"rows": ()})["rows"]
    ]
    loaders = sum("Loader" in node["class_type"] for node in nodes.values())
    return len(nodes), wires, loaders + len(rows), max(len(rows) - 1, 0)


def on_model(graph: dict[str, Any]) -> dict[str, Any]:
    """The stack on the model instead of the prompts."""
    (stack,) = (key for key, node in graph.items() if node["class_type"] == "ControlStackRows")
    inputs, sampler = graph[stack]["inputs"], graph["9"]["inputs"]
    sampler |= {name: inputs.pop(name) for name in ("positive", "negative")}
    inputs["model"], sampler["model"] = sampler["model"], [stack, 0]
    return graph


def main() -> None:
    """Print a table in Markdown."""
    print("| controls | | nodes | wires | clicks |\n|---|---|---|---|---|")
    for count in COUNTS:
        core = applied(count)
        rows = on_model(convert(core).document)
        found = {
            "ControlNet Stack": counted(rows),
            "Add ControlNet, Apply": counted(convert(rows, "nodes").document),
        }
        found["core"] = counted(core)
        for name, of in OTHERS.items():
            nodes, wires, menus = of(count)
            found[name] = (nodes, wires, menus, 0)
        for name, (nodes, wires, menus, added) in found.items():
            clicks = nodes * NODE + wires * WIRE + menus * MENU + added * ROW
            print(f"| {count} | {name} | {nodes} | {wires} | {clicks} |")


if __name__ == "__main__":
    main()
