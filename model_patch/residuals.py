"""Residuals: what control adds to the skips and the middle of the U-Net.

Values only: every operation makes new tensors or passes old ones on, none writes into one, because
the host's U-Net pops from these lists and a cached tensor may be handed out twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..ground.errors import UserError
from .protocols import ControlDict

GROUPS = ("input", "middle", "output")
NAMED = ("refiner", *GROUPS)
"""What groups of blocks are called: those of residuals, and the blocks with which Z-Image refines
its tokens before all others, where model patches alone add."""

Tensors = tuple[Tensor | None, ...]


class NotAppliedError(UserError):
    """Residuals that the model did not take."""


class ResidualMismatchError(NotAppliedError):
    """A residual that does not fit the feature map it should be added to."""

    def __init__(self, block: str, residual: Tensor, features: Tensor) -> None:
        self.block = block
        self.residual_shape = tuple(residual.shape)
        self.features_shape = tuple(features.shape)
        super().__init__(
            f"the residual for {block} has shape {self.residual_shape} and cannot be added to "
            f"{self.features_shape}; use a ControlNet made for this base model, and a latent "
            "whose sides it can divide."
        )


def check_fit(block: str, residual: Tensor, features: Tensor) -> None:
    """Raise `ResidualMismatchError` unless `residual` can be added to `features` as it is.

    Hosts call it where they add; the engine then says which control it was. A batch of 1 may be
    added to a larger one.
    """
    batch_fits = residual.shape[0] in (1, features.shape[0])
    if residual.shape[1:] != features.shape[1:] or not batch_fits:
        raise ResidualMismatchError(block, residual, features)


DEPTHS = ("input", "output", "middle")
"""The groups as a net makes them, from its first block to its deepest: a ControlNet has a residual
for each skip and then the middle; transformers have double blocks ("input"), then single ones."""


@dataclass(frozen=True)
class Place:
    """Where a residual is added: block `block` of `blocks` in its group, and its shape.

    Of all `residuals` that the net gives it is number `depth`, from the first to the deepest;
    `tallest` is the height of the largest feature map among them.
    """

    group: str
    block: int
    blocks: int
    shape: torch.Size
    depth: int
    residuals: int
    tallest: int | None

    @property
    def name(self) -> str:
        """As people write it: the group and, where it has several, the number from 0."""
        return self.group if self.blocks == 1 else f"{self.group} {self.block}"

    @property
    def height(self) -> int | None:
        """Of its feature map; None for a transformer's tokens."""
        return self.shape[-2] if len(self.shape) > 3 else None


@dataclass(frozen=True, eq=False)
class Residuals:
    """Tensors for the encoder ("input"), the middle, and the skips ("output", encoder order).

    None stands for a block without a residual.
    """

    input: Tensors = ()
    middle: Tensors = ()
    output: Tensors = ()

    @classmethod
    def of(cls, control: ControlDict | None) -> Residuals:
        """From the host's control dict; None gives no residuals."""
        return cls(**{group: tuple(control.get(group, ())) for group in GROUPS} if control else {})

    def as_dict(self) -> dict[str, list[Tensor | None]]:
        """Fresh lists, as the host's U-Net consumes them."""
        return {group: list(tensors) for group, tensors in self.groups()}

    def shapes(self) -> tuple[tuple[torch.Size | None, ...], ...]:
        """The shape of every tensor, group by group."""
        return tuple(
            tuple(None if r is None else r.shape for r in tensors) for _, tensors in self.groups()
        )

    def map(self, change: Callable[[Tensor, Place], Tensor]) -> Residuals:
        """Apply `change` to every tensor, told its place."""
        made: dict[str, list[Tensor | None]] = {
            group: [None] * len(tensors) for group, tensors in self.groups()
        }
        for place in self.places():
            residual = getattr(self, place.group)[place.block]
            made[place.group][place.block] = change(residual, place)
        return Residuals(**{group: tuple(tensors) for group, tensors in made.items()})

    def places(self) -> list[Place]:
        """Where its tensors lie, from the first to the deepest."""
        there = [
            (group, block, residual)
            for group in DEPTHS
            for block, residual in _from_the_first(group, getattr(self, group))
            if residual is not None
        ]
        tallest = max((r.shape[-2] for _, _, r in there if r.ndim > 3), default=None)
        return [
            Place(group, i, len(getattr(self, group)), r.shape, depth, len(there), tallest)
            for depth, (group, i, r) in enumerate(there)
        ]

    def placed(self, rows: Tensor, batch: int) -> Residuals:
        """Scatter rows computed for a part of the batch into a batch that is zero elsewhere; one
        row for all of them, as a T2I adapter gives it, is theirs alike."""

        made: dict[int, Tensor] = {}

        def place(residual: Tensor, _: Place) -> Tensor:
            if id(residual) not in made:
                whole = residual.new_zeros((batch, *residual.shape[1:]))
                part = residual.expand(len(rows), *residual.shape[1:])
                made[id(residual)] = whole.index_copy(0, rows.to(residual.device), part)
            return made[id(residual)]

        return self.map(place)

    def __add__(self, later: Residuals) -> Residuals:
        """Sum block by block. `self` comes first, as an earlier control does in ComfyUI's chain:
        floating-point sums of three and more depend on the order. Two tensors that meet at many
        blocks are summed once."""
        return self.plus(later, set())

    def plus(self, later: Residuals, made: set[int]) -> Residuals:
        """As the sum, which takes the place of `self`: tensors whose ids are in `made` are added
        to where they lie, and `made` becomes those of the sum that nobody else has."""
        sums: dict[tuple[int, int], Tensor] = {}
        uses = Counter(id(tensor) for _, tensors in self.groups() for tensor in tensors)
        new: set[int] = set()

        def add(block: str, first: Tensor | None, second: Tensor | None) -> Tensor | None:
            if first is None or second is None:
                if id(first) in made:
                    new.add(id(first))
                return second if first is None else first
            pair = (id(first), id(second))
            if pair not in sums:
                small, large = sorted((first, second), key=len)
                check_fit(block, small, large)
                mine = id(first) in made and uses[id(first)] == 1
                fits = first.dtype == second.dtype and len(first) >= len(second)
                sums[pair] = first.add_(second) if mine and fits else first + second
                new.add(id(sums[pair]))
            return sums[pair]

        pairs = zip(self.groups(), later.groups(), strict=True)
        total = Residuals(
            **{group: _sum(group, mine, theirs, add) for (group, mine), (_, theirs) in pairs}
        )
        made.clear()
        made.update(new)
        return total

    def finite(self) -> bool:
        """Whether no value is NaN or infinite; waits for the device, once.

        Whatever is not finite leaves a sum that is not; only sums that overflow need a look at each
        value.
        """
        if bool(self.sums().isfinite().all()):
            return True
        tensors = (r for _, group in self.groups() for r in group if r is not None)
        return all(bool(tensor.isfinite().all()) for tensor in tensors)

    def sums(self) -> Tensor:
        """The sum of each tensor's values, (tensors,), in float32; does not wait for the device."""
        tensors = {id(r): r for _, group in self.groups() for r in group if r is not None}
        sums = [tensor.sum(dtype=torch.float32) for tensor in tensors.values()]
        return torch.stack(sums) if sums else torch.zeros(0)

    def groups(self) -> tuple[tuple[str, Tensors], ...]:
        """The names of `GROUPS`, each with its tensors."""
        return (("input", self.input), ("middle", self.middle), ("output", self.output))


def _from_the_first(group: str, tensors: Tensors) -> list[tuple[int, Tensor | None]]:
    """Tensors of one group with their numbers, as the net makes them: the U-Net takes "input", a
    T2I adapter's feature maps, from the end of the list; transformers take tokens from its begin.
    """
    numbered = list(enumerate(tensors))
    maps = group == "input" and any(r is not None and r.ndim > 3 for r in tensors)
    return numbered[::-1] if maps else numbered


def _sum(
    group: str,
    first: Tensors,
    later: Tensors,
    add: Callable[[str, Tensor | None, Tensor | None], Tensor | None],
) -> Tensors:
    shared = [add(f"{group} {i}", a, b) for i, (a, b) in enumerate(zip(first, later, strict=False))]
    longer = first if len(first) > len(later) else later
    return (*shared, *longer[len(shared) :])
