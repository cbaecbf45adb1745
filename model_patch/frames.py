"""A number a picture of the batch: keyframes, or a list."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ground.errors import UserError
from .call import Call, Row
from .curve import Between, along, pairs_in_words, require_points
from .factors import Factor
from .grid import grid_of, laid_on
from .residuals import Place


@dataclass(frozen=True)
class FrameStrengths(Factor):
    """Strength over the pictures of a batch, through `points` (picture from 0, strength).

    In films pictures are the latent's frames; in context windows each keeps its own number. A row
    at 0 costs no run of the net.

    Args:
        points: pictures ascending, strengths 0..10; the first and last hold beyond.
        between: "stepped" holds each strength until the next picture; the others go there.
        listed: the points are one a picture, and more pictures than that raise UserError.
    """

    points: tuple[tuple[float, float], ...]
    between: Between = "stepped"
    listed: bool = False

    def __post_init__(self) -> None:
        require_points(self.points, "picture", "a list of keyframes")

    @property
    def silences(self) -> bool:
        return all(strength == 0.0 for _, strength in self.points)

    @property
    def words(self) -> str:
        return f"pictures {pairs_in_words(self.points)}, {self.between}"

    def require_pictures(self, count: int) -> None:
        if self.listed and count > len(self.points):
            raise UserError(
                f"there are {len(self.points)} strengths for {count} pictures or latent frames; "
                "give one for each, or keyframes (picture:strength)."
            )

    def of_row(self, row: Row) -> float:
        return 1.0 if row.film else along(self.points, self.between, row.picture)

    def over(self, call: Call, place: Place, like: Tensor) -> Tensor | None:
        if not call.frames:
            return None
        frames, height, width = grid_of(call, like)
        if frames != len(call.frames):
            raise UserError(
                f"this net adds to {frames} frames of a latent of {len(call.frames)}, so nobody "
                "can tell which strength is whose; take Control Frames away from this control."
            )
        numbers = [along(self.points, self.between, frame) for frame in call.frames]
        weights = torch.tensor(numbers, dtype=like.dtype, device=like.device)
        return laid_on(weights.view(1, 1, -1, 1, 1).expand(1, 1, -1, height, width), like)
