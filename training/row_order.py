"""Which rows each step sees: every row once an epoch, in a new order each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .batch import Pick
from .chance import generator, number, share


@dataclass(frozen=True)
class Shares:
    """How a step's pictures are shared out: `batch` at once, `accumulate` times, in each process.

    A picture has a position in the step; which process computes it changes nothing about it.
    """

    batch: int
    accumulate: int = 1
    processes: int = 1
    process: int = 0

    @property
    def pictures(self) -> int:
        """How many pictures a step has, in all processes together: the global batch."""
        return self.batch * self.accumulate * self.processes

    def positions(self, part: int) -> range:
        """The positions of this process's batch number `part` (0..accumulate-1) of a step."""
        first = (self.process * self.accumulate + part) * self.batch
        return range(first, first + self.batch)


@dataclass(frozen=True)
class RowOrder:
    """The picks of a run over `rows` rows: a permutation an epoch, drawn from (seed, epoch).

    `groups` are the numbers of the rows' groups, where not all rows can share a batch: then each
    batch has rows of one group, and one whose rows do not fill its last batch begins anew in it.
    """

    rows: int
    seed: int
    prompt_dropout: float
    shares: Shares
    groups: tuple[int, ...] = ()

    def pick(self, step: int, position: int) -> Pick:
        """What step `step` (0, 1, ...) sees at `position` of its global batch."""
        place = step * self.shares.pictures + position
        if self.groups:
            row = _grouped(self.groups, self.seed, self.shares.batch, place)
        else:
            epoch, place = divmod(place, self.rows)
            row = int(_permutation(self.rows, self.seed, epoch)[place])
        drop = share(self.seed, "prompt", step, position) < self.prompt_dropout
        return Pick(row, number(self.seed, "row", step, position), drop)

    def picks(self, steps: range) -> Iterator[list[Pick]]:
        """One list for each batch that this process computes in `steps`."""
        for step in steps:
            for part in range(self.shares.accumulate):
                yield [self.pick(step, position) for position in self.shares.positions(part)]


@lru_cache(maxsize=2)
def _permutation(rows: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(rows, generator=generator(seed, "epoch", epoch))


def _grouped(groups: tuple[int, ...], seed: int, size: int, place: int) -> int:
    """The row at a `place` of a run whose batches of `size` have rows of one group each."""
    batch, within = divmod(place, size)
    epoch, number = divmod(batch, _batches_in(groups, size))
    return int(_batches(groups, seed, size, epoch)[number, within])


@lru_cache(maxsize=2)
def _batches_in(groups: tuple[int, ...], size: int) -> int:
    return sum(-(-count // size) for count in Counter(groups).values())


@lru_cache(maxsize=2)
def _batches(groups: tuple[int, ...], seed: int, size: int, epoch: int) -> Tensor:
    """The batches of an epoch (batches, `size`): the rows of each group shuffled and cut, then all
    batches shuffled."""
    numbers, parts = torch.tensor(groups), []
    for group in sorted(set(groups)):
        rows = (numbers == group).nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows), generator=generator(seed, "epoch", epoch, group))]
        count = -(-len(rows) // size)
        parts.append(rows[torch.arange(count * size) % len(rows)].view(count, size))
    every = torch.cat(parts)
    return every[torch.randperm(len(every), generator=generator(seed, "batches", epoch))]
