"""One call of the host's model: its tensors, and what each row of its batch is.

The only place that knows how hosts lay a batch out: conditionings one after another, each with the
pictures of the run or, in a context window, with some of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..ground.errors import UserError

Area: TypeAlias = tuple[int, int, int, int]
"""Height, width, top and left in latent pixels, as ComfyUI's conditioning has them."""

CONDITIONAL = 0
"""The side of the guidance that the prompt is on, in the host's `cond_or_uncond`; the negative
prompt is 1, further ones (PerpNeg's empty prompt) come after it. A guider that asks in another
order (DualCFGGuider: negative, middle, positive) has other numbers, which nobody tells."""


@dataclass(frozen=True)
class Row:
    """One row of the batch: which picture of the run it is, on which side, in which area; a `film`
    is one picture of several latent frames."""

    picture: int
    side: int = CONDITIONAL
    area: Area | None = None
    film: bool = False


@dataclass(frozen=True, eq=False)
class Call:
    """What the host gives an "apply_model" wrapper, apart from the control it has already.

    Args:
        x: (B, C, h, w) raw latents, or (B, C, frames, h, w).
        t: (B,) sigmas.
        rows: what each of the B rows is.
        chunks: how many conditionings of equally many rows follow one another.
        latent: height and width of the whole latent, of which `x` may be an area.
        sigma: the noise level; to read it waits for the device, so once a call.
        partial: whether the rows are of some of the run's pictures: a context window's, or those
            that a factor leaves.
    """

    x: Tensor
    t: Tensor
    cond: Mapping[str, Any]
    options: Mapping[str, Any]
    rows: tuple[Row, ...]
    chunks: int
    latent: tuple[int, int]
    sigma: float
    partial: bool

    @classmethod
    def of(
        cls,
        x: Tensor,
        t: Tensor,
        cond: Mapping[str, Any],
        options: Mapping[str, Any],
        areas: Sequence[Area | None] = (),
        latent: tuple[int, int] | None = None,
    ) -> Call:
        """Read the batch from the host's options; `areas` has one entry a conditioning."""
        if x.ndim == 4 and getattr(options.get("context_window"), "dim", 0) > 1:
            raise UserError(
                "context windows along the height or width of pictures cut them into pieces, and a "
                "control does not know of which part its hint is then; windows of pictures have "
                "dim 0."
            )
        sides = tuple(options.get("cond_or_uncond", ())) or (CONDITIONAL,)
        count = x.shape[0] // len(sides)
        window = _window(options, 0, count)
        pictures = range(count) if window is None else window
        where = areas or (None,) * len(sides)
        film = _is_film(x, options)
        rows = tuple(
            Row(picture, side, area, film)
            for side, area in zip(sides, where, strict=True)
            for picture in pictures
        )
        size = (x.shape[-2], x.shape[-1])
        return cls(
            *(x, t, cond, options, rows, len(sides), latent or size, float(t[0])),
            partial=window is not None,
        )

    @property
    def frames(self) -> tuple[int, ...]:
        """Which latent frames of a film `x` holds; () of pictures."""
        if not _is_film(self.x, self.options):
            return ()
        return _window(self.options, 2, self.x.shape[2]) or tuple(range(self.x.shape[2]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames of `x` (1 where its latents have none), height and width."""
        frames = self.x.shape[2] if self.x.ndim == 5 else 1
        return frames, self.x.shape[-2], self.x.shape[-1]

    def only(self, kept: Sequence[int]) -> Call:
        """The same call with these rows alone, whole conditionings where it is some of them."""
        if len(kept) == len(self.rows):
            return self
        size = len(self.rows) // self.chunks
        starts = [index for index in kept if index % size == 0]
        whole = [index for start in starts for index in range(start, start + size)] == list(kept)
        firsts = starts if whole else list(kept)
        rows = torch.tensor(list(kept))

        def part(value: Any) -> Any:
            batched = isinstance(value, Tensor) and value.ndim > 0
            batched = batched and value.shape[0] == len(self.rows)
            return value[rows.to(value.device)] if batched else value

        options = {**self.options, "cond_or_uncond": [self.rows[index].side for index in firsts]}
        if "uuids" in options:
            options["uuids"] = [self.options["uuids"][index // size] for index in firsts]
        return Call(
            *(part(self.x), part(self.t)),
            {name: part(value) for name, value in self.cond.items()},
            options,
            tuple(self.rows[index] for index in kept),
            len(firsts),
            self.latent,
            self.sigma,
            self.partial or not whole,
        )


def is_film(x: Tensor) -> bool:
    """Whether a run's whole latents are of films. Qwen-Image and Anima take pictures as films of
    one frame."""
    return x.ndim == 5 and x.shape[2] > 1


def _is_film(x: Tensor, options: Mapping[str, Any]) -> bool:
    along_frames = getattr(options.get("context_window"), "dim", 0) == 2
    return is_film(x) or (x.ndim == 5 and along_frames)


def _window(options: Mapping[str, Any], dim: int, count: int) -> tuple[int, ...] | None:
    """The indices along `dim` of the context window that is being sampled, where there is one.

    ComfyUI's (`comfy/context_windows.py`) may carry one more in front, which it drops again
    afterwards; AnimateDiff-Evolved's windows are of pictures alone.
    """
    window = options.get("context_window")
    if window is not None and getattr(window, "dim", 0) == dim:
        indices = [int(index) for index in window.index_list]
        anchor = getattr(window, "causal_anchor_index", None)
        if anchor is not None and anchor >= 0:
            indices = [anchor, *indices]
        if dim == 2:  # frames that guide the others lie behind them
            indices += indices[-1:] * (count - len(indices))
    elif dim == 0:
        told = (options.get("ad_params") or {}).get("sub_idxs")
        indices = [] if told is None else [int(index) for index in told]
    else:
        return None
    return tuple(indices) if len(indices) == count else None
