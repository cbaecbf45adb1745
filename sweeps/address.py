"""What a row is known by: all that its pictures depend on, as one digest.

Node types, values, links, what a node's IS_CHANGED says of its files, and the models' files by size
and time of change. Where pictures go and what nodes are called makes no difference.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..ground.errors import UserError
from ..headless import folders
from ..headless.graph.call import change_mark
from ..headless.graph.model import Json, Link, Node
from ..headless.graph.registry import InputSpec, NodeSpec
from ..headless.graph.values import convert
from ..nodes.rows import files_of

SIZE = 16
"""Bytes of a digest: of 2^64 rows two would share one."""
_LONGEST = 255
"""Letters of a name that a disk can hold."""
_FREE = {("SaveImage", "filename_prefix")}
"""Inputs that change no picture."""


class Digests:
    """Digests of nodes; each file of a model is looked at once."""

    def __init__(self) -> None:
        self._states: dict[str, Json] = {}

    def of(self, node: Node, spec: NodeSpec) -> bytes:
        """The digest of a node by itself; links count as the ids that they come from."""
        declared = spec.live(node.inputs).inputs
        inputs: dict[str, Json] = {
            name: {"link": [value.node, value.slot]}
            if isinstance(value, Link)
            else _converted(declared[name], value)
            for name, value in node.inputs.items()
            if name in declared and (node.type, name) not in _FREE
        }
        files: dict[str, Json] = {
            name: state for name in _texts(node) if (state := self._state(name)) is not None
        }
        mark = change_mark(spec, node.inputs) or None
        parts: list[Json] = [node.id, node.type, inputs, mark, files]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()[:SIZE]

    def _state(self, name: str) -> Json:
        """Size and time of change of the models that a text names; None where it names none."""
        if len(name) > _LONGEST or "\n" in name:  # a prompt
            return None
        if name not in self._states:
            found = (folders.here(kind, name) for kind in folders.KINDS)
            self._states[name] = [_of_file(path) for path in found if path is not None] or None
        return self._states[name]


def _converted(declared: InputSpec, value: Json) -> Json:
    """5 and "5.0" are one FLOAT."""
    try:
        return convert(declared, value)
    except UserError:  # its check says it
        return value


def _texts(node: Node) -> list[str]:
    """What in a node may name a model's file."""
    values = node.inputs.values()
    return [
        *(value for value in values if isinstance(value, str)),
        *(file for value in values for file in files_of(value)),
    ]


def _of_file(path: Path) -> Json:
    """Of a folder, all files in it."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    states = [(file.relative_to(path).as_posix(), file.stat()) for file in files if file.is_file()]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in states]
