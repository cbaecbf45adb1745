"""Residuals: what control adds to the skips and the middle of the U-Net.

Values only: every operation makes new tensors or passes old ones on, none writes into one, because
the host's U-Net pops from these lists and a cached tensor may be handed out twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ground.errors import UserError
from .protocols import ControlDict

SIDES = ("input", "middle", "output")
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
        return cls(**{side: tuple(control.get(side, ())) for side in SIDES}) if control else cls()

    def as_dict(self) -> dict[str, list[Tensor | None]]:
        """Fresh lists, as the host's U-Net consumes them."""
        return {side: list(self._side(side)) for side in SIDES}

    def shapes(self) -> tuple[tuple[torch.Size | None, ...], ...]:
        """The shape of every tensor, side by side."""
        return tuple(
            tuple(None if r is None else r.shape for r in self._side(side)) for side in SIDES
        )

    def map(self, change: Callable[[Tensor], Tensor]) -> Residuals:
        """Apply `change` to every tensor."""
        return Residuals(
            **{
                side: tuple(None if r is None else change(r) for r in self._side(side))
                for side in SIDES
            }
        )

    def expanded(self, batch: int) -> Residuals:
        """Rows for a whole batch where a net gave one for all (a T2I adapter does)."""
        return self.map(lambda r: r.expand(batch, *r.shape[1:]) if r.shape[0] == 1 else r)

    def masked(self, mask: Tensor, chunks: int = 1) -> Residuals:
        """Multiply by a mask (B, H, W), 0..1, resized bilinearly to each residual's own size.

        The batch holds `chunks` conditionings of the same pictures, one after another, and picture
        i of each gets mask i; fewer masks than pictures are repeated in order, further ones are
        left out. Residuals that are no feature maps (transformer tokens) cannot be masked.
        """

        def apply(residual: Tensor) -> Tensor:
            if residual.ndim != 4:
                raise UserError(
                    f"a mask needs residuals with height and width; this model's have shape "
                    f"{tuple(residual.shape)}. Remove the mask from this control."
                )
            resized = F.interpolate(
                mask[:, None].to(residual), size=residual.shape[-2:], mode="bilinear"
            )
            rows = max(residual.shape[0] // chunks, 1)
            repeats = -(-rows // resized.shape[0])
            pictures = resized.repeat(repeats, 1, 1, 1)[:rows]
            return residual * pictures.repeat(chunks, 1, 1, 1)[: residual.shape[0]]

        return self.map(apply)

    def placed(self, rows: Tensor, batch: int) -> Residuals:
        """Scatter rows computed for a part of the batch into a batch that is zero elsewhere."""
        return self.map(
            lambda r: r.new_zeros((batch, *r.shape[1:])).index_copy(0, rows.to(r.device), r)
        )

    def __add__(self, later: Residuals) -> Residuals:
        """Sum block by block. `self` comes first, as an earlier control does in ComfyUI's chain:
        floating-point sums of three and more depend on the order."""
        return Residuals(**{s: _sum(s, self._side(s), later._side(s)) for s in SIDES})

    def require_finite(self) -> None:
        """Raise UserError when any value is NaN or infinite."""
        flags = [r.isfinite().all() for side in SIDES for r in self._side(side) if r is not None]
        if flags and not bool(torch.stack(flags).all()):
            raise UserError(
                "the residuals hold NaN or infinite values; run this net in float32 or bfloat16, "
                "or get its file again: it may be damaged."
            )

    def _side(self, name: str) -> Tensors:
        side: Tensors = getattr(self, name)
        return side


def _sum(side: str, first: Tensors, later: Tensors) -> Tensors:
    shared = [_add(f"{side} {i}", a, b) for i, (a, b) in enumerate(zip(first, later, strict=False))]
    longer = first if len(first) > len(later) else later
    return (*shared, *longer[len(shared) :])


def _add(block: str, first: Tensor | None, later: Tensor | None) -> Tensor | None:
    if first is None or later is None:
        return later if first is None else first
    small, large = sorted((first, later), key=lambda r: r.shape[0])
    check_fit(block, small, large)
    return first + later
