"""Where in the picture a control acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..ground.errors import UserError
from .blocks import Blocks
from .call import Call
from .factors import Between, Factor, Span
from .grid import grid_of, laid_on
from .residuals import Place
from .schedule import Schedule
from .view import View

MAX_EDGE = 512
"""The most pixels that a mask may grow, shrink or be feathered by."""


@dataclass(frozen=True, eq=False)
class Mask(Factor):
    """Where in the picture: masks (N, H, W) in 0..1, resized bilinearly to each residual's size.

    Picture i takes mask i, by the rules of `view`; latent frames of a film take theirs likewise.
    Transformer tokens take the mask on the grid that the model cuts its latent into. Outside of
    `span`, and at blocks that `blocks` does not name (with none it names all), it is 1.

    Raises:
        UserError: no masks, or a span that ends before it begins: the mask would hold nowhere, and
            the control act everywhere.
    """

    masks: Tensor
    view: View = field(default_factory=View)
    span: Span | Between | None = None
    blocks: tuple[str, ...] = ()
    _sizes: dict[object, Tensor] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        require_mask("mask", self.masks)
        if isinstance(self.span, Span) and self.span.start > self.span.end:
            raise UserError(
                f"the mask is to hold from start_percent {self.span.start:g} to end_percent "
                f"{self.span.end:g}, which lies before it; exchange the two."
            )

    def on(self, schedule: Schedule) -> Factor:
        span = self.span.on(schedule) if isinstance(self.span, Span) else self.span
        return replace(self, span=span, _sizes={})

    def under(self, view: View) -> Factor:
        return replace(self, view=view)

    def require_blocks(self, places: Sequence[Place]) -> None:
        self._named.require_blocks(places)

    @property
    def silences(self) -> bool:
        return self.span is None and not self.blocks and not self.masks.any()

    @property
    def words(self) -> str:
        count = "mask" if len(self.masks) == 1 else f"{len(self.masks)} masks"
        span = f" in {self.span.words}" if isinstance(self.span, Span) else ""
        blocks = f" at {', '.join(self.blocks)}" if self.blocks else ""
        return f"{count}{span}{blocks}"

    def over(self, call: Call, place: Place, like: Tensor) -> Tensor | None:
        if isinstance(self.span, Between) and self.span.at(call.sigma) == 0.0:
            return None
        if self.blocks and self._named.of_block(place) == 1.0:
            return None
        frames, *size = grid = grid_of(call, like)
        if frames == len(call.frames):
            numbers = [self.view.number(frame, len(self.masks)) for frame in call.frames]
            rows = self._resized_to(size, like)[numbers].movedim(0, 1)[None]
        elif (seen := self.view(call, len(self.masks))).crops:
            rows = _resize(seen.of(self.masks[:, None]).to(like), size).repeat(
                seen.repeats, 1, 1, 1
            )
        else:
            numbers = [number for number, _ in seen.rows] * seen.repeats
            rows = self._resized_to(size, like)[numbers]
        return laid_on(rows.view(-1, 1, *grid), like)

    @property
    def _named(self) -> Blocks:
        return Blocks(tuple((name, 0.0) for name in self.blocks))

    def _resized_to(self, size: Sequence[int], like: Tensor) -> Tensor:
        key = (tuple(size), like.dtype, like.device)
        if key not in self._sizes:
            self._sizes[key] = _resize(self.masks[:, None].to(like), size)
        return self._sizes[key]


def require_mask(what: str, masks: Tensor) -> None:
    """Raise UserError for masks that are not (N, H, W) with pixels, or hold what is no number."""
    if masks.ndim != 3 or 0 in masks.shape:
        raise UserError(
            f"the {what} has shape {tuple(masks.shape)}; it must be (batch, height, width) with at "
            "least one pixel."
        )
    if not masks.isfinite().all():
        raise UserError(
            f"the {what} holds NaN or infinite values; look at what the node that made it was "
            "given."
        )


def edged(masks: Tensor, grow: int, feather: int) -> Tensor:
    """Masks (N, H, W) in 0..1 whose white grows by `grow` pixels (below 0 it shrinks), by a disc,
    and whose edge then fades over about `feather` pixels to each side (a Gaussian of half of that).

    Outside of the picture it goes on as at its border.

    Raises:
        UserError: more pixels than `MAX_EDGE`, or what are no masks.
    """
    require_mask("mask", masks)
    for what, pixels in (("grow", abs(grow)), ("feather", feather)):
        if not 0 <= pixels <= MAX_EDGE:
            raise UserError(f"{what} is {pixels} pixels; it must be at most {MAX_EDGE}.")
    if not grow and not feather:
        return masks
    import cv2

    def change(mask: np.ndarray) -> np.ndarray:
        if grow:
            disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(grow) + 1,) * 2)
            mask = (cv2.dilate if grow > 0 else cv2.erode)(mask, disc)
        if feather:
            mask = cv2.GaussianBlur(mask, (0, 0), feather / 2, borderType=cv2.BORDER_REPLICATE)
        return mask

    changed = [change(mask) for mask in masks.float().cpu().numpy()]
    return torch.from_numpy(np.stack(changed)).clamp(0.0, 1.0).to(masks)


def _resize(masks: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(masks, size=tuple(size), mode="bilinear")
