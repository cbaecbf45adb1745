"""Nothing is silently not applied: one call of the host's model is watched taking its residuals.

ComfyUI's U-Net logs a residual that does not fit and goes on without it, and models that know no
control never look. Here both end the run with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from .protocols import BaseModel, ControlDict
from .residuals import SIDES, NotAppliedError, Residuals, check_fit

BLOCK_PATCH = "input_block_patch"
"""The host calls these patches with each feature map that becomes a skip."""


class HostCall(Protocol):
    """What this module needs to know of a step: the latents (B, C, h, w) and the host's options."""

    @property
    def x(self) -> Tensor: ...

    @property
    def options(self) -> Mapping[str, Any]: ...


class Watched(dict[str, list[Tensor | None]]):
    """A control dict that remembers which of its lists were asked for."""

    def __init__(self, residuals: Residuals) -> None:
        super().__init__(residuals.as_dict())
        self.asked: set[str] = set()

    def __getitem__(self, side: str) -> list[Tensor | None]:
        self.asked.add(side)
        return super().__getitem__(side)

    def get(self, side: str, default: Any = None) -> Any:
        """As dict's own."""
        self.asked.add(side)
        return super().get(side, default)

    # Whoever walks through it, or copies it, may read everything.

    def __iter__(self) -> Iterator[str]:
        self.asked.update(SIDES)
        return super().__iter__()

    def items(self) -> Any:
        """As dict's own."""
        self.asked.update(SIDES)
        return super().items()

    def values(self) -> Any:
        """As dict's own."""
        self.asked.update(SIDES)
        return super().values()

    def copy(self) -> dict[str, list[Tensor | None]]:
        """As dict's own."""
        self.asked.update(SIDES)
        return super().copy()

    def unread(self) -> list[str]:
        """The sides that hold residuals and were not asked for."""
        return [side for side in SIDES if self._holds(side) and side not in self.asked]

    def _holds(self, side: str) -> bool:
        return any(residual is not None for residual in super().__getitem__(side))


def fit_check(residuals: Residuals, blocks: int) -> Callable[[Tensor, Mapping[str, Any]], Tensor]:
    """An "input_block_patch" for a U-Net of `blocks` encoder blocks that compares shapes.

    It gets each block's features (B, C, h, w) and raises `ResidualMismatchError` where the residual
    that this block, its skip or, at the last block, the middle would be given does not fit.

    Raises:
        NotAppliedError: at once, when there are more residuals than places.
    """
    for side, places in zip(SIDES, (blocks, 1, blocks), strict=True):
        given = getattr(residuals, side)
        left_over = given[: max(len(given) - places, 0)]  # lists are taken from their end
        if any(residual is not None for residual in left_over):
            raise NotAppliedError(
                f"{len(given)} {side} residuals for a U-Net with {places} places for them; use a "
                "ControlNet made for this base model."
            )

    def check(features: Tensor, options: Mapping[str, Any]) -> Tensor:
        _, block = options["block"]
        # The U-Net takes every list from its end: the last skip first, but the first block first.
        after = blocks - 1 - block
        _check("output", residuals.output, -1 - after, features)
        _check("input", residuals.input, -1 - block, features)
        if after == 0:
            _check("middle", residuals.middle, -1, features)
        return features

    return check


def _check(side: str, tensors: Sequence[Tensor | None], place: int, features: Tensor) -> None:
    index = len(tensors) + place
    residual = tensors[index] if index >= 0 else None
    if residual is not None:
        check_fit(f"{side} {index}", residual, features)


class Delivery:
    """Hands residuals to the host's model, and makes sure that they arrive.

    The first call of every combination of shapes is watched; so is every call where another patch
    may change the feature maps' sizes from step to step.
    """

    def __init__(self, base: BaseModel) -> None:
        self._base = base
        self._seen: set[object] = set()

    def __call__(
        self,
        residuals: Residuals,
        step: HostCall,
        model: Callable[[ControlDict, Mapping[str, Any]], Any],
    ) -> Any:
        """Call `model(control, options)`.

        Raises:
            NotAppliedError: a residual does not fit, or the model never looked at it.
        """
        shapes = (step.x.shape, residuals.shapes())
        resized = any(name.startswith(BLOCK_PATCH) for name in step.options.get("patches", ()))
        if shapes in self._seen and not resized:
            return model(residuals.as_dict(), step.options)
        watched = Watched(residuals)
        result = model(watched, self._watching(residuals, step.options))
        if unread := watched.unread():
            raise NotAppliedError(
                f"{type(self._base).__name__}, the kind of this model, takes no residuals for "
                f"{' and '.join(unread)}: a ControlNet cannot act on it. Use a model that this "
                "ControlNet was made for."
            )
        self._seen.add(shapes)
        return result

    def _watching(self, residuals: Residuals, options: Mapping[str, Any]) -> Mapping[str, Any]:
        blocks = getattr(self._base.diffusion_model, "input_blocks", None)
        if blocks is None:  # no U-Net of ComfyUI's
            return options
        patches = options.get("patches", {})
        mine = [*patches.get(BLOCK_PATCH, ()), fit_check(residuals, len(blocks))]
        return {**options, "patches": {**patches, BLOCK_PATCH: mine}}
