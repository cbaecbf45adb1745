"""Writes the hint nodes' ids and titles, which ComfyUI and ComfyUI-Manager read before any
preprocessor is imported, into `node_list.json`. Write it again after a new preprocessor, before the
help pages, with: python -m tools.node_list
"""

from __future__ import annotations

import json
from pathlib import Path

import controlstack
from controlstack.nodes.hints import WITH_SETTINGS
from controlstack.preprocessors.registry import PREPROCESSORS

PATH = Path(controlstack.__file__).parent / "node_list.json"


def titles() -> dict[str, str]:
    """The title of each hint node by its id, those for all of them first."""
    own = {entry.node: entry.title for entry in PREPROCESSORS.values()}
    return {"ControlStackHint": "Any Hint", WITH_SETTINGS: "Any Hint (with settings)", **own}


if __name__ == "__main__":
    PATH.write_text(json.dumps(titles(), indent=2) + "\n", encoding="utf-8")
    print(f"{len(titles())} nodes in {PATH}")
