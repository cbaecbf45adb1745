"""`convert`: a saved workflow in, the same with other nodes out, and sentences on what was done."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from ..ground.errors import UserError
from ..ground.structured import JsonObject
from ..ground.wording import listing, one_line, shown
from . import adds, api_form, drawn_form, lists, prompts
from .chain import Chain
from .known import ROWS
from .stacking import stacked
from .unstacking import to_core, to_nodes
from .view import Change, Piece, View

To = Literal["stack", "nodes", "core"]
TO: tuple[str, ...] = get_args(To)


@dataclass(frozen=True)
class Node:
    """The node that is converted alone, with its chain: in the workflow's own graph, or in the
    subgraph of that id."""

    id: str
    subgraph: str | None = None


@dataclass(frozen=True)
class Converted:
    """The workflow, what was done, and what was left and why: a sentence each. `new` are the ids of
    the nodes that were made, in the graph of the `Node` that was asked for."""

    document: JsonObject
    done: tuple[str, ...]
    left: tuple[str, ...]
    new: tuple[str, ...] = ()


def convert(document: JsonObject, to: To = "stack", only: Node | None = None) -> Converted:
    """`document` (drawn or API form; it is not changed) with each chain as a ControlNet Stack, or
    each of those as `nodes` of the pack or of the `core`.

    Raises:
        UserError: it is of neither form; `only` is not there, or no such node.
    """
    if drawn_form.is_drawn(document):
        return _drawn(copy.deepcopy(document), to, only)
    if api_form.is_api(document):
        work = _Work(api_form.view_of(document), to, only, drawn=False)
        made, ids = api_form.changed(document, work.change)
        return work.converted(made, ids)
    raise UserError(
        "this is no workflow: it has neither a list of nodes (as ComfyUI saves) nor nodes with a "
        "class_type (as ComfyUI exports for its API)"
    )


def _drawn(document: JsonObject, to: To, only: Node | None) -> Converted:
    ids, shown_fields = drawn_form.ids_of(document), drawn_form.shown_fields(document)
    done, left, new = list[str](), list[str](), list[str]()
    if only is not None and only.subgraph not in [key for _, _, key in _graphs(document)]:
        raise UserError(f"there is no node {shown(only.id)}: its subgraph is not in the workflow")
    for graph, name, key in _graphs(document):
        if only is not None and only.subgraph != key:
            continue
        work = _Work(drawn_form.view_of(graph, shown_fields), to, only, drawn=True)
        keys = drawn_form.apply_change(graph, work.change, ids)
        found = work.converted(graph, keys)
        where = f"in the subgraph {shown(name)}, " if key is not None else ""
        done += [where + one for one in found.done]
        left += [where + one for one in found.left]
        new += found.new
    made = drawn_form.counted(document, ids) if done else document
    return Converted(made, tuple(done), tuple(left), tuple(new))


def _graphs(document: JsonObject) -> Iterator[tuple[JsonObject, str, str | None]]:
    """Every graph with its name and, of a subgraph, its id."""
    yield document, "", None
    for inner in drawn_form.subgraphs_of(document):
        yield inner, str(inner.get("name")), str(inner.get("id"))


class _Work:
    """The change of one graph."""

    def __init__(self, view: View, to: To, only: Node | None, *, drawn: bool) -> None:
        self.change = Change()
        self._view, self._only, self._drawn = view, only, drawn
        self._left: list[str] = []
        self._done: list[tuple[str, str]] = []
        if only is not None and only.id not in view.pieces:
            raise UserError(f"there is no node {shown(only.id)} in this graph")
        if to == "stack":
            self._stack()
        else:
            self._unstack(to)
        if only is not None and not self._done and not self._left:
            kind = "chain of controls" if to == "stack" else "ControlNet Stack"
            raise UserError(f"{view.pieces[only.id].label} is no part of a {kind}")

    def converted(self, document: JsonObject, ids: dict[str, str]) -> Converted:
        """The result, with the new nodes' ids in its sentences."""
        done = tuple(f"{said} {ids[key]}" if key in ids else said for said, key in self._done)
        return Converted(document, done, tuple(self._left), tuple(ids.values()))

    def _stack(self) -> None:
        good = list[Chain]()
        for chain in self._chains():
            if self._only is not None and self._only.id not in chain.nodes:
                continue
            if any(port.node in chain.nodes for port in chain.wires.values()):
                chain.problems.append("their prompts come from one another, in a circle")
            if chain.problems:
                why = listing(dict.fromkeys(chain.problems), 6)
                self._left.append(f"{self._names(chain)} stay as they are: {why}")
            else:
                good.append(chain)
        self.change, keys = stacked(self._view, good)
        for chain, key in zip(good, keys, strict=True):
            count = len(chain.lines)
            rows = "1 row" if count == 1 else f"{count} rows"
            said = f"{self._names(chain)} became {rows} of ControlNet Stack, node"
            self._done.append((said, key))

    def _chains(self) -> list[Chain]:
        kinds = (prompts.chains, lists.chains, adds.chains)
        return [chain for find in kinds for chain in find(self._view)]

    def _names(self, chain: Chain) -> str:
        names = [self._view.pieces[node].label for node in chain.nodes]
        return one_line(", ".join(names[:6]) + (" ..." if len(names) > 6 else ""))

    def _unstack(self, to: To) -> None:
        make = to_nodes if to == "nodes" else to_core
        what = "Add ControlNet nodes" if to == "nodes" else "Apply ControlNet nodes"
        for number, piece in enumerate(self._stacks()):
            try:
                change, said = make(self._view, piece, f"@{number}.", self._drawn)
            except UserError as error:
                self._left.append(error.sentence)
                continue
            self.change.new += change.new
            self.change.removed |= change.removed
            self.change.moved |= change.moved
            self._done.append((f"{piece.label} became {what}", ""))
            self._done += [(f"{piece.label}: {one}", "") for one in said]

    def _stacks(self) -> list[Piece]:
        return [
            piece
            for piece in self._view.pieces.values()
            if piece.type == ROWS and (self._only is None or self._only.id == piece.id)
        ]
