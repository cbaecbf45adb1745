"""Measures a sampling run under a stack while it runs; what came of it is a `Record`.

All that a step leaves is small tensors on the device, which are read once, as the run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..ground.errors import UserError
from .applied import BLOCK_PATCH
from .call import CONDITIONAL, Area, Call, Row
from .control import ControlStack
from .grid import grid_of
from .patch_run import Felt
from .plan import Plan
from .protocols import Sampling
from .record import SIDES, Array, Key, Record
from .residuals import Place, Residuals
from .schedule import Schedule, Window


@dataclass(eq=False)
class _Heard:
    """What one call of the model left, on its device.

    Energies are (places, rows) for each control, features (rows,) for each block; what patches
    inside the model found there is `under`, (rows,) for each control and place.
    """

    sigma: float
    sides: Array  # (rows, sides), 1 where a row is on a side
    parts: dict[int, tuple[Place, ...]] = field(default_factory=dict)
    energies: dict[int, Tensor] = field(default_factory=dict)
    dots: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    features: dict[int, Tensor] = field(default_factory=dict)
    under: dict[tuple[int, Key], Tensor] = field(default_factory=dict)
    nets: Mapping[int, Residuals] = field(default_factory=dict)
    changes: dict[tuple[Key, int, str], tuple[Sequence[int], Tensor]] = field(default_factory=dict)
    ran: set[int] = field(default_factory=set)  # controls that act inside the model

    def let_go(self, but: Key | None = None) -> None:
        """Of what is as large as the model's features, but what was changed at one place."""
        self.changes = {key: change for key, change in self.changes.items() if key[0] == but}
        if but is None:
            self.nets = {}


@dataclass(frozen=True)
class _Where:
    """Which places of which pictures a map is of."""

    control: int
    rows: tuple[Row, ...]
    frames: tuple[int, ...]
    latent: tuple[int, int]
    grid: tuple[int, int, int]


class Recorder:
    """Measures one sampling run.

    Args:
        sigmas: its noise levels, one more than steps.
        window: which of the sampler's steps they are.
    """

    def __init__(self, sigmas: Sequence[float], window: Window) -> None:
        self._sigmas = tuple(sigmas)
        self._window = window
        self._rows: set[Row] = set()
        self._calls: list[_Heard] = []
        self._ran: list[tuple[int, float, Array]] = []
        self._now: dict[torch.device, tuple[Call, _Heard]] = {}
        self._maps: dict[_Where, Tensor] = {}
        self._latent = (1, 1)

    def saw(self, call: Call) -> None:
        """The model is called, whether or not any control acts."""
        self._rows.update(call.rows)
        self._latent = call.latent

    def ran(self, control: int, call: Call) -> None:
        """A control's net was run, for the rows of this call."""
        self._ran.append((control, call.sigma, _sides_of(call).sum(0)))

    def added(self, call: Call, parts: Mapping[int, Residuals]) -> None:
        """Controls, by their numbers in the stack, add these residuals to a call."""
        heard = self._heard(call)
        heard.nets = parts
        for control, part in parts.items():
            heard.parts[control], heard.energies[control] = self._energies(call, control, part)
        for one, other in combinations(parts, 2):
            heard.dots[one, other] = _dot(parts[one], parts[other])

    def feeling(self, call: Call, control: int) -> Felt:
        """Measures what a control's patches change inside the model in a call."""
        heard = self._heard(call)

        def felt(
            place: Place, what: str, rows: Sequence[int], before: Tensor, after: Tensor
        ) -> None:
            if control not in heard.ran:  # once a call, at the first of its blocks
                heard.ran.add(control)
                self.ran(control, call.only(rows))
            key, change = _key(place), (after - before).float()
            energies = change.square().sum(2)
            self._lay(call.only(rows), control, change, energies[None])
            at = torch.tensor(rows, device=change.device)

            def of_all(energy: Tensor) -> Tensor:
                return energy.new_zeros(len(call.rows)).index_copy(0, at, energy)

            self._felt(heard, control, place, of_all(energies.sum(1)))
            under = of_all(before.float().square().sum((1, 2)))
            heard.under[control, key] = heard.under.get((control, key), 0.0) + under
            heard.let_go(but=key)
            self._compare(heard, control, key, what, rows, change)
            heard.changes[key, control, what] = (rows, change)

        return felt

    def _felt(self, heard: _Heard, control: int, place: Place, energy: Tensor) -> None:
        """Add energies (rows,) to those of a control at a place."""
        places = heard.parts.get(control, ())
        known = [_key(one) for one in places]
        if _key(place) in known:
            index = known.index(_key(place))
            heard.energies[control][index] += energy
            return
        before = [heard.energies[control]] if places else []
        heard.parts[control] = (*places, place)
        heard.energies[control] = torch.cat([*before, energy[None]])

    def _compare(
        self,
        heard: _Heard,
        control: int,
        key: Key,
        what: str,
        rows: Sequence[int],
        change: Tensor,
    ) -> None:
        """Add the products with what others changed there, who came before."""
        before = {
            other: change
            for (_, other, theirs), change in heard.changes.items()
            if other < control and theirs == what
        }
        for other, part in heard.nets.items():
            tensors = getattr(part, key[0], ())
            residual = tensors[key[1]] if key[1] < len(tensors) else None
            if residual is not None and residual.shape[1:] == change.shape[1:]:
                before[other] = (range(len(residual)), residual.float())
        for other, (their_rows, their_change) in before.items():
            both = [row for row in rows if row in their_rows]
            product = (
                change[[rows.index(row) for row in both]]
                * their_change[[their_rows.index(row) for row in both]]
            ).sum()
            pair = (min(control, other), max(control, other))
            heard.dots[pair] = heard.dots.get(pair, 0.0) + product

    def _heard(self, call: Call) -> _Heard:
        """What is heard of the call that goes on."""
        before = self._now.get(call.x.device)
        if before is not None and before[0] is call:
            return before[1]
        if before is not None:
            before[1].let_go()
        heard = _Heard(call.sigma, _sides_of(call))
        self._calls.append(heard)
        self._now[call.x.device] = (call, heard)
        return heard

    def listening(
        self,
        model: Callable[[Any, Mapping[str, Any]], Any],
        given: Callable[[], Residuals],
        now: Call,
    ) -> Callable[[Any, Mapping[str, Any]], Any]:
        """`model(control, options)` whose encoder's features are measured in a call, with all
        residuals that it is `given`: those of "input" are in a feature already when the host shows
        it."""

        def hear(features: Tensor, options: Mapping[str, Any]) -> Tensor:
            _, block = options["block"]
            inputs, heard = given().input, self._heard(now)
            index = len(inputs) - 1 - block
            residual = inputs[index] if index >= 0 else None
            bare = features if residual is None else features - residual.to(features)
            if len(features) == len(heard.sides):
                norm = torch.linalg.vector_norm(bare.flatten(1), dim=1, dtype=torch.float32)
                heard.features[block] = norm.square()
            return features

        def call(control: Any, options: Mapping[str, Any]) -> Any:
            patches = options.get("patches", {})
            listeners = [*patches.get(BLOCK_PATCH, ()), hear]
            return model(control, {**options, "patches": {**patches, BLOCK_PATCH: listeners}})

        return call

    def record(self, stack: ControlStack, sampling: Sampling, blocks: int | None) -> Record:
        """All of it, read from the device. `blocks`: how many the model's encoder has; None where
        only the calls themselves tell."""
        schedule = Schedule(sampling, self._sigmas, self._window)
        calls = self._read_calls()
        found = {_key(p): p for call in calls for part in call.parts.values() for p in part}
        places = sorted(found.values(), key=lambda place: (place.depth, _key(place)))
        order = {_key(place): index for index, place in enumerate(places)}
        size = (len(places), schedule.steps, len(SIDES))
        added, features, values = np.zeros((len(stack), *size)), np.zeros(size), np.zeros(size)
        dots = np.zeros((len(stack), len(stack), schedule.steps))

        def step_of(sigma: float) -> int:
            return min(int(schedule.step(sigma)) - self._window.before, schedule.steps - 1)

        ran = np.zeros((len(stack), schedule.steps, len(SIDES)))
        for control, sigma, rows in self._ran:
            ran[control, step_of(sigma)] += rows
        for call in calls:
            step = step_of(call.sigma)
            for control, part in call.parts.items():
                indices = [order[_key(place)] for place in part]
                added[control, indices, step] += _sided(call.energies[control], call.sides)
            for place in {_key(p): p for part in call.parts.values() for p in part}.values():
                at = order[_key(place)]
                values[at, step] += call.sides.sum(0) * place.shape[1:].numel()
                block = _block(place, blocks or len(call.features))
                if block in call.features:
                    features[at, step] += _sided(call.features[block], call.sides)
                under = [felt for (_, key), felt in call.under.items() if key == _key(place)]
                if under:  # each control finds what those before it left
                    features[at, step] += _sided(torch.stack(under).amax(0), call.sides)
            for (one, other), dot in call.dots.items():
                dots[one, other, step] += float(dot)
                dots[other, one, step] += float(dot)
        return Record(
            stack=stack,
            schedule=schedule,
            planned=Plan.of(stack, schedule).table(),
            places=tuple(places),
            added=added,
            features=features,
            values=values,
            dots=dots,
            maps=self._read_maps(len(stack)),
            rows=frozenset(self._rows),
            ran=ran,
        )

    def _energies(
        self, call: Call, control: int, part: Residuals
    ) -> tuple[tuple[Place, ...], Tensor]:
        """The places of a control's residuals, and the energies there: (places, rows). Those of
        one size are laid on one map."""
        alike: dict[torch.Size, list[tuple[Place, Tensor]]] = {}
        for place in part.places():
            channels = 2 if len(place.shape) == 3 else 1
            energy = _tensor(part, place).float().square().sum(channels)
            alike.setdefault(energy.shape, []).append((place, energy))
        sums = []
        for group in alike.values():
            energies = torch.stack([energy for _, energy in group])
            if energies.shape[1] != len(call.rows):  # a T2I adapter's one row for all
                energies = energies.expand(-1, len(call.rows), *energies.shape[2:])
            self._lay(call, control, _tensor(part, group[0][0]), energies)
            sums.append(energies.flatten(2).sum(2))
        places = tuple(place for group in alike.values() for place, _ in group)
        return places, torch.cat(sums)

    def _lay(self, call: Call, control: int, residual: Tensor, energies: Tensor) -> None:
        """Add energies (places, rows, ...) of residuals like this one to the control's map."""
        try:
            grid = grid_of(call, residual)
        except UserError:  # tokens that lie nowhere, as far as anybody can tell: no map
            return
        where = _Where(control, call.rows, call.frames, call.latent, grid)
        before = self._maps.get(where)
        self._maps[where] = energies.sum(0) if before is None else before + energies.sum(0)

    def _read_calls(self) -> list[_Heard]:
        """The calls, with their tensors on the CPU. Where the host shows features, a call without
        any was answered by a cache: what the nets made for it came to nothing."""
        self._now.clear()
        for call in self._calls:
            call.let_go()
        shown = any(call.features for call in self._calls)
        calls = [call for call in self._calls if call.features or not shown]
        kept: list[dict[Any, Tensor]] = [
            kind for call in calls for kind in (call.energies, call.dots, call.features, call.under)
        ]
        read = iter(_on_cpu([tensor for kind in kept for tensor in kind.values()]))
        for kind in kept:
            kind.update({key: next(read) for key in kind})
        return calls

    def _read_maps(self, controls: int) -> Array:
        """(controls, pictures, h, w) in the latent's size. A cell of a coarse map is spread over
        the places that it covers: the sum of a map is the energy that was added."""
        pictures = 1 + max((index for where in self._maps for index in _pictures(where)), default=0)
        maps = np.zeros((controls, pictures, *self._latent))
        for where, energy in zip(self._maps, _on_cpu(list(self._maps.values())), strict=True):
            frames, height, width = where.grid
            cells = energy.view(len(where.rows), frames, height, width)
            for row, of_frames in zip(where.rows, cells, strict=True):
                self._paste(maps[where.control], where, row, of_frames)
        return maps

    def _paste(self, onto: Array, where: _Where, row: Row, cells: Tensor) -> None:
        top, left, high, wide = _placed(row.area, where.latent)
        size = (min(high, onto.shape[-2] - top), min(wide, onto.shape[-1] - left))
        if min(size) < 1:
            return
        share = cells.shape[-2] * cells.shape[-1] / (size[0] * size[1])
        laid = F.interpolate(cells[:, None], size=size, mode="bilinear")[:, 0].double() * share
        frames = where.frames if len(where.frames) == len(cells) else (0,) * len(cells)
        for frame, one in zip(frames, laid.numpy(), strict=True):
            picture = frame if row.film else row.picture
            onto[picture, top : top + size[0], left : left + size[1]] += one


def _tensor(residuals: Residuals, place: Place) -> Tensor:
    tensor: Tensor = getattr(residuals, place.group)[place.block]
    return tensor


def _dot(one: Residuals, other: Residuals) -> Tensor:
    """The sum of products over all blocks that both add to: () in float32."""
    theirs = {_key(place): place for place in other.places()}
    sums = []
    for place in one.places():
        if _key(place) in theirs:
            mine, of_other = _tensor(one, place).float(), _tensor(other, place).float()
            if len(mine) != len(of_other):  # a T2I adapter's one row for all
                sums.append((mine * of_other).sum())
            else:
                sums.append(torch.dot(mine.reshape(-1), of_other.reshape(-1)))
    return torch.stack(sums).sum() if sums else torch.zeros(())


def _key(place: Place) -> Key:
    return place.group, place.block


def _sides_of(call: Call) -> Array:
    """(rows, sides), 1 where a row is on a side."""
    sides: Array = np.eye(len(SIDES))[[int(row.side != CONDITIONAL) for row in call.rows]]
    return sides


def _sided(rows: Tensor, sides: Array) -> Array:
    """Sums (..., sides) of (..., rows)."""
    summed: Array = rows.double().numpy() @ sides
    return summed


def _block(place: Place, blocks: int) -> int:
    """Which block of the encoder shows the feature that a residual is added to: the model takes
    each list from its end, but its first block first."""
    if place.group == "input":
        return place.blocks - 1 - place.block
    return blocks - 1 if place.group == "middle" else blocks - place.blocks + place.block


def _pictures(where: _Where) -> list[int]:
    """The pictures that the map tells of; a film's are its latent frames."""
    films = any(row.film for row in where.rows)
    return list(where.frames) if films else [row.picture for row in where.rows]


def _placed(area: Area | None, latent: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, left, height and width of a row's part of the latent."""
    if area is None:
        return 0, 0, *latent
    height, width, top, left = area
    return top, left, height, width


def _on_cpu(tensors: Sequence[Tensor]) -> list[Tensor]:
    """All of them, read at once."""
    if not tensors:
        return []
    first = tensors[0].device
    flat = torch.cat([tensor.to(first).reshape(-1) for tensor in tensors]).cpu()
    edges = np.cumsum([0, *(tensor.numel() for tensor in tensors)]).tolist()
    parts = [flat[start:end] for start, end in pairwise(edges)]
    return [part.view(whole.shape) for part, whole in zip(parts, tensors, strict=True)]
