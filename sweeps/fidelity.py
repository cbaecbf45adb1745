"""How well a row's pictures follow each hint, where what the hint shows is known.

A hint that a node of ours made is found again by the same preprocessor with the same settings. One
that was loaded is known by the name of its ControlNet, or else by how it looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..evaluation.fidelity import Condition, Figure, asks_nothing, compare, means
from ..evaluation.files.extraction import Extractor, finder_of
from ..ground.errors import UserError
from ..headless import folders
from ..headless.graph.execute import Results
from ..headless.graph.model import Graph, Link, Node
from ..headless.graph.named_files import net_file
from ..headless.graph.presets import ROWS
from ..headless.graph.registry import Registry
from ..inspection.hint_kinds import kind_of_hint, kind_of_net
from ..nodes.hints import NODE_CLASS_MAPPINGS as HINTS
from ..nodes.rows import rows_of
from ..preprocessors.making import Loaded
from ..preprocessors.pose.people import parse_keypoints
from ..preprocessors.ready import InFolders, is_here, load
from ..preprocessors.registry import PREPROCESSORS
from ..preprocessors.spec import Preprocessor, Shows

_PEOPLE = "pose_keypoint"


@dataclass(frozen=True)
class Followed:
    """One control of a row: by name, the figures of its pictures (the first is the headline), or
    why there is none."""

    name: str
    figures: tuple[Figure, ...] = ()
    finder: str = ""
    why: str = ""


@dataclass(frozen=True)
class Hinted:
    """A control as a graph wires it: its name, its net's file, and what its hint comes from."""

    name: str
    net: str
    hint: Link


class Judge:
    """Measures pictures against hints; networks that find a condition are loaded once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._loaded: dict[str, Loaded] = {}

    def __call__(
        self, graph: Graph, results: Results, pictures: Sequence[Path]
    ) -> tuple[Followed, ...]:
        """How `pictures`, files, follow each control of a graph that has run with `results`."""
        return tuple(
            self._followed(one, graph, results, pictures)
            for one in controls_of(graph, self._registry)
        )

    def _followed(
        self, control: Hinted, graph: Graph, results: Results, pictures: Sequence[Path]
    ) -> Followed:
        outputs = results.outputs.get(control.hint.node)
        if outputs is None or not pictures:
            return Followed(control.name, why="it was not asked for")
        hint = _pixels(outputs[control.hint.slot][0])
        try:
            entry, settings = self._finder(control, graph, hint)
            wanted = self._wanted(entry, control, graph, results, hint)
            if asks_nothing(entry.shows, wanted):
                raise UserError("its hint asks for nothing")
            extractor = Extractor(entry, settings, loaded=self._network(entry))
            size = (hint.shape[1], hint.shape[0])
            rows = [
                compare(entry.shows, extractor.from_picture(path, size, "fill").condition, wanted)
                for path in pictures
            ]
        except UserError as error:
            return Followed(control.name, why=error.sentence)
        figures = tuple(Figure(m.name, m.value, m.higher_is_better) for m in means(rows))
        return Followed(control.name, figures, entry.name)

    def _finder(
        self, control: Hinted, graph: Graph, hint: np.ndarray[Any, np.dtype[np.float32]]
    ) -> tuple[Preprocessor, Mapping[str, Any]]:
        """What finds the condition of a hint again, and its settings."""
        made = _maker(graph.nodes[control.hint.node])
        if made is not None:
            entry, settings = made
            found, _ = finder_of(entry, folders.current().models)
            same = found is entry
            return found, settings if same else found.settings({})
        kind = kind_of_net(control.net) or kind_of_hint(hint)
        if kind is None:
            raise UserError("what its hint shows is not known")
        if kind == "pose":
            raise UserError("a drawn skeleton cannot be compared; make it with a pose node")
        fitting = [one for one in PREPROCESSORS.values() if self._fits(one, kind)]
        if not fitting:
            raise UserError(f"no weights that find {kind} are here")
        by_name = [one for one in fitting if one.name in control.net.lower()]
        best = (by_name or fitting)[0]
        return best, best.settings({})

    def _fits(self, entry: Preprocessor, kind: Shows) -> bool:
        ready = entry.learning is None or is_here(entry, InFolders(folders.current().models))
        return entry.shows == kind and entry.takes == "picture" and ready

    def _network(self, entry: Preprocessor) -> Loaded | None:
        if entry.learning is None:
            return None
        if entry.name not in self._loaded:
            self._loaded[entry.name] = load(entry, "", InFolders(folders.current().models))
        return self._loaded[entry.name]

    def _wanted(
        self,
        entry: Preprocessor,
        control: Hinted,
        graph: Graph,
        results: Results,
        hint: np.ndarray[Any, np.dtype[np.float32]],
    ) -> Condition:
        if entry.shows != "pose":
            return hint
        names = self._registry.spec(graph.nodes[control.hint.node].type).output_names
        if _PEOPLE not in names:
            raise UserError("its node gives no people to compare with")
        people = results.value(control.hint.node, names.index(_PEOPLE))
        return parse_keypoints(people)[0]


def controls_of(graph: Graph, registry: Registry) -> tuple[Hinted, ...]:
    """The controls of a graph that have a hint on a wire: Add ControlNet, ControlNet Stack's rows,
    and the core's ControlNetApply. Names that stand twice get their node's id."""
    found = list(_wired(graph, registry))
    names = [one.name for _, one in found]
    return tuple(
        one if names.count(one.name) == 1 else Hinted(f"{one.name} ({node.id})", one.net, one.hint)
        for node, one in found
    )


def _wired(graph: Graph, registry: Registry) -> Iterator[tuple[Node, Hinted]]:
    for node in graph.nodes.values():
        image = node.inputs.get("image")
        net = node.inputs.get("control_net")
        if isinstance(image, Link) and isinstance(net, Link):
            yield node, Hinted(node.title or node.type, net_file(graph, registry, net), image)
        if node.type != ROWS:
            continue
        try:
            rows = rows_of(node.inputs.get("controls"))
        except UserError:
            continue
        for row in rows:
            hint = node.inputs.get(f"hint_{row.id}")
            if row.on and isinstance(hint, Link):
                name = f"row {row.id}" + (f" ({Path(row.file).stem})" if row.file else "")
                yield node, Hinted(name, row.file or "", hint)


def _maker(node: Node) -> tuple[Preprocessor, Mapping[str, Any]] | None:
    """The preprocessor of a hint node, and the settings that the node has for it."""
    if node.type not in HINTS:
        return None
    entry = getattr(HINTS[node.type], "PREPROCESSOR", None)
    before = ""
    if entry is None:
        entry, before = PREPROCESSORS.get(str(node.inputs.get("preprocessor"))), "preprocessor."
    if entry is None:
        return None
    values = {p.name: node.inputs.get(f"{before}{p.name}", p.default) for p in entry.parameters}
    known = {name: v for name, v in values.items() if isinstance(v, (bool, int, float, str))}
    return entry, entry.settings(known)


def _pixels(hint: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The first of IMAGE (B, H, W, C) as H x W x 3 in 0..1."""
    pixels: np.ndarray[Any, np.dtype[np.float32]] = hint[0, ..., :3].float().cpu().numpy()
    return pixels.clip(0, 1) if pixels.shape[-1] == 3 else np.repeat(pixels, 3, -1)


FINDER, WHY, LOWER = "found by", "why", "lower is better"
"""Keys of a control's figures that are none: what found the condition, why there are no figures,
and the names of figures of which a smaller one is better."""


def as_json(followed: Sequence[Followed]) -> dict[str, Any]:
    """By control its figures, None where one is no number; or `why` there are none."""
    found: dict[str, Any] = {}
    for one in followed:
        if one.why:
            found[one.name] = {WHY: one.why}
            continue
        lower = [figure.name for figure in one.figures if not figure.higher_is_better]
        values = {f.name: f.value if math.isfinite(f.value) else None for f in one.figures}
        found[one.name] = {FINDER: one.finder, LOWER: lower, **values}
    return found


def figures_in(found: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of a control, by name, the headline first."""
    return {n: v for n, v in found.items() if n not in (FINDER, WHY, LOWER)}
