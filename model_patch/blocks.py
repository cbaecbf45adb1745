"""A weight a block: by name, or by the published rules."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..ground.errors import UserError
from .curve import pairs_in_words
from .factors import MAX_STRENGTH, Factor
from .residuals import NAMED, Place

REFERENCE_HEIGHT = 64
"""The 64 of the paper's w_i = 64 / h_i: the latent height of its 512 px pictures."""

PARTS: dict[str, tuple[float, float]] = {
    "all": (0.0, 1.0),
    "first half": (0.0, 1 / 2),
    "second half": (1 / 2, 1.0),
    "first third": (0.0, 1 / 3),
    "middle third": (1 / 3, 2 / 3),
    "last third": (2 / 3, 1.0),
}
"""Parts of a net by name, as shares of its depth: the first blocks see fine detail, the deepest the
layout."""

_ONE = re.compile(rf"({'|'.join(NAMED)})(?:\s+(\d+)(?:\s*-\s*(\d+))?)?")


@dataclass(frozen=True)
class Blocks(Factor):
    """Weights by name; blocks that nobody names have 1, of several names the last one counts.

    A name is a group of the host's ("input", "middle", "output"), one or some of its blocks
    ("output 3", "output 0-5"), or one of `PARTS`. A ControlNet for a U-Net has a residual for each
    skip, "output 0" (the first, finest) and on, and "middle".
    """

    weights: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        for name, weight in self.weights:
            if name not in PARTS and not _ONE.fullmatch(name):
                raise UserError(
                    f"{name!r} is no name of a block; write {', '.join(NAMED)}, one or some of a "
                    f"group (output 3, output 0-5), or {', '.join(PARTS)}."
                )
            if not 0.0 <= weight <= MAX_STRENGTH:  # also refuses NaN
                raise UserError(
                    f"the weight of {name} is {weight:g}; it must be between 0 and "
                    f"{MAX_STRENGTH:g}."
                )

    @property
    def words(self) -> str:
        return f"blocks {pairs_in_words(self.weights)}"

    def require_blocks(self, places: Sequence[Place]) -> None:
        for name, _ in self.weights:
            if not any(_named(name, place) for place in places):
                there = ", ".join(place.name for place in places)
                raise UserError(f"this net has no block {name}; it has {there}.")

    def of_block(self, place: Place) -> float:
        fitting = [weight for name, weight in self.weights if _named(name, place)]
        return fitting[-1] if fitting else 1.0


@dataclass(frozen=True)
class SoftWeights(Factor):
    """sd-webui-controlnet's soft injection: 0.825 ** (n - i) for residual i of 0..n, the deepest at
    1; T2I adapters of four have a table (`scripts/hook.py` there).

    It takes the first ten of its thirteen numbers for SDXL's shorter nets; here those end at 1,
    as in Advanced-ControlNet.
    """

    @property
    def words(self) -> str:
        return "soft weights"

    def of_block(self, place: Place) -> float:
        if place.group == "input" and place.height is not None and place.residuals == 4:
            return (0.25, 0.62, 0.825, 1.0)[place.depth]
        return math.pow(0.825, place.residuals - 1 - place.depth)


@dataclass(frozen=True)
class LogSpace(Factor):
    """diffusers' guess mode: from 0.1 for the first residual to 1 for the deepest, evenly in their
    logarithms (`ControlNetModel.forward`: `torch.logspace(-1, 0, n)`)."""

    @property
    def words(self) -> str:
        return "weights in logspace, 0.1 to 1"

    def of_block(self, place: Place) -> float:
        last = place.residuals - 1
        return 1.0 if last == 0 else math.pow(10.0, place.depth / last - 1.0)


@dataclass(frozen=True)
class Resolution(Factor):
    """The paper's resolution weighting: w_i = 64 / h_i, h_i the height of the block's feature map
    (arXiv 2302.05543, 3.4, "Classifier-free guidance resolution weighting"): 1 at 64 x 64, 8 at
    8 x 8. A transformer's blocks are all of one resolution: there it is 1.
    """

    @property
    def words(self) -> str:
        return "weights 64 / height"

    def of_block(self, place: Place) -> float:
        return 1.0 if place.height is None else REFERENCE_HEIGHT / place.height


@dataclass(frozen=True)
class RelativeResolution(Factor):
    """The same for every size of picture: h_0 / h_i, h_0 the height of the largest feature map. At
    512 px that is the paper's 64 / h_i."""

    @property
    def words(self) -> str:
        return "weights by resolution"

    def of_block(self, place: Place) -> float:
        if place.height is None or place.tallest is None:
            return 1.0
        return place.tallest / place.height


def _named(name: str, place: Place) -> bool:
    if name in PARTS:
        start, end = PARTS[name]
        # The middle of a block's share of the depth: a half of an odd number takes the larger part.
        return start <= (place.depth + 0.5) / place.residuals <= end
    found = _ONE.fullmatch(name)
    assert found is not None
    group, first, last = found.groups()
    low = 0 if first is None else int(first)
    high = place.blocks - 1 if first is None else int(last or first)
    return place.group == group and low <= place.block <= high
