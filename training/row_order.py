"""Which rows each step sees: every row once an epoch, in a new order each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

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
    _epochs: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def pick(self, step: int, position: int) -> Pick:
        """What step `step` (0, 1, ...) sees at `position` of its global batch."""
        epoch, place = divmod(step * self.shares.pictures + position, self._length)
        row = int(self._in_epoch(epoch)[place])
        drop = share(self.seed, "prompt", step, position) < self.prompt_dropout
        return Pick(row, number(self.seed, "row", step, position), drop)

    @cached_property
    def _length(self) -> int:
        """How many places an epoch has."""
        if not self.groups:
            return self.rows
        size = self.shares.batch
        return size * sum(-(-count // size) for count in Counter(self.groups).values())

    def _in_epoch(self, epoch: int) -> Tensor:
        """The rows of an epoch in their order; those of the last two are kept."""
        if epoch not in self._epochs:
            if len(self._epochs) > 1:
                del self._epochs[next(iter(self._epochs))]
            self._epochs[epoch] = (
                _batches(self.groups, self.seed, self.shares.batch, epoch).flatten()
                if self.groups
                else torch.randperm(self.rows, generator=generator(self.seed, "epoch", epoch))
            )
        return self._epochs[epoch]

    def picks(self, steps: range) -> Iterator[list[Pick]]:
        """One list for each batch that this process computes in `steps`."""
        for step in steps:
            for part in range(self.shares.accumulate):
                yield [self.pick(step, position) for position in self.shares.positions(part)]


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
