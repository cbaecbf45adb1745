"""Every text of every node in the shape of ComfyUI's `nodeDefs.json`.

`locales/en/nodeDefs.json` is made from the nodes, so that no text is written twice. Write it again
after a change of a node's texts with: python tests/node_texts.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import controlstack

LOCALES = Path(__file__).parents[1] / "locales"

Texts = dict[str, Any]


def node_texts() -> dict[str, Texts]:
    """Node id -> what the front end shows of it."""
    names = controlstack.NODE_DISPLAY_NAME_MAPPINGS
    return {
        node_id: {"display_name": names[node_id], **_texts(node)}
        for node_id, node in controlstack.NODE_CLASS_MAPPINGS.items()
    }


def inputs(node: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Input name -> its type and options: the required ones, then the optional ones."""
    groups = node.INPUT_TYPES()
    return {**groups.get("required", {}), **groups.get("optional", {})}


def _texts(node: Any) -> Texts:
    outputs = zip(node.RETURN_NAMES, node.OUTPUT_TOOLTIPS, strict=True)
    return {
        "description": node.DESCRIPTION,
        "inputs": {
            name: {"name": name, "tooltip": spec[1]["tooltip"]}
            for name, spec in inputs(node).items()
        },
        "outputs": {str(i): {"name": n, "tooltip": t} for i, (n, t) in enumerate(outputs)},
    }


def main() -> None:
    """Write the English texts."""
    path = LOCALES / "en" / "nodeDefs.json"
    path.write_text(json.dumps(node_texts(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
