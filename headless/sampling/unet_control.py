"""Control residuals brought to where diffusers' U-Net adds them.

Those of the skips and the middle are its own arguments. Those of the encoder's blocks ("input", of
T2I adapters) are added to the blocks' outputs: diffusers' argument for them knows the ends of
levels only, and adds in place.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...ground.errors import UserError
from ...model_patch.residuals import check_fit

Control = Mapping[str, Sequence[Tensor | None]]
Places = tuple[Tensor | None, ...]
Shape = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Residuals that fit a U-Net: one or None for each block of its encoder, skip, and middle."""

    blocks: Places
    skips: Places
    middle: Places

    def arguments(self, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """Return diffusers' keyword arguments for skips and middle; none where these are empty."""
        if all(r is None for r in (*self.skips, *self.middle)):
            return {}

        # A place without a residual adds 0; diffusers reads None as "no ControlNet at all".
        def ready(residual: Tensor | None) -> Tensor | float:
            return 0.0 if residual is None else residual.to(device, dtype)

        return {
            "down_block_additional_residuals": tuple(map(ready, self.skips)),
            "mid_block_additional_residual": ready(self.middle[0]),
        }

    @contextmanager
    def added_inside(self, unet: nn.Module) -> Iterator[None]:
        """Have the residuals of the encoder's blocks added while `unet` runs, once each.

        In this thread alone: another may run the same U-Net meanwhile.
        """
        if all(residual is None for residual in self.blocks):
            yield
            return
        here = threading.get_ident()
        hooks = [
            block.register_forward_hook(partial(_plus, residual, here))
            for block, residual in zip(_encoder_blocks(unet), self.blocks, strict=True)
            if residual is not None
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


@contextmanager
def patched_outputs(
    unet: nn.Module, options: Mapping[str, Any], shapes: Sequence[Shape]
) -> Iterator[None]:
    """Have the "output_block_patch" functions of ComfyUI's options called while `unet` runs, in
    this thread alone: `patch(features, skip, options)` with what goes into each block of the
    decoder gives what takes the place of both. `shapes` are the skips' (`skip_shapes`).
    """
    patches = options.get("patches", {}).get("output_block_patch", ())
    here = threading.get_ident()
    known: Any = unet
    resnets = [one for level in known.up_blocks for one in level.resnets] if patches else []

    def patched(block: int, module: nn.Module, inputs: Any) -> Any:
        if threading.get_ident() != here:
            return None
        joined, *others = inputs
        width = joined.shape[1] - shapes[-1 - block][1]
        features, skip = joined[:, :width], joined[:, width:]
        for patch in patches:
            features, skip = patch(features, skip, {**options, "block": ("output", block)})
        return (torch.cat([features, skip], dim=1), *others)

    hooks = [one.register_forward_pre_hook(partial(patched, i)) for i, one in enumerate(resnets)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def patched_inside(unet: nn.Module, options: Mapping[str, Any]) -> Iterator[None]:
    """Have the "input_block_patch" functions of ComfyUI's options called while `unet` runs, in this
    thread alone: `patch(features, options)` with the output of each block of the encoder, whose
    number is in options["block"], gives what takes its place.
    """
    patches = options.get("patches", {}).get("input_block_patch", ())
    here = threading.get_ident()
    blocks = _encoder_blocks(unet) if patches else []

    def patched(block: int, module: nn.Module, inputs: Any, output: Any) -> Any:
        if threading.get_ident() != here:
            return output
        if isinstance(output, tuple):
            return (patched(block, module, inputs, output[0]), *output[1:])
        for patch in patches:
            output = patch(output, {**options, "block": ("input", block)})
        return output

    hooks = [block.register_forward_hook(partial(patched, i)) for i, block in enumerate(blocks)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def fitted(control: Control, shapes: Sequence[Shape]) -> Fitted:
    """Return `control` lined up with the skips of these `shapes`, or raise what does not fit.

    Lists are read from their end, as ComfyUI's U-Net does: the last residual meets the last skip,
    but the first block of the encoder. They are not emptied.

    Raises:
        UserError: more residuals than places, or one of another shape.
    """
    return Fitted(
        blocks=_fitted("input", control.get("input", ()), shapes[::-1])[::-1],
        skips=_fitted("output", control.get("output", ()), shapes),
        middle=_fitted("middle", control.get("middle", ()), shapes[-1:]),
    )


def skip_shapes(config: Mapping[str, Any], x: Tensor) -> list[Shape]:
    """Return the shapes of a U-Net's skips in encoder order, for an input `x` (B, C, h, w).

    The input convolution, then each level's layers, then the halving (rounded up) to the next:
    twelve in SD 1.x. The last is the middle's too.
    """
    batch, _, height, width = x.shape
    channels = config["block_out_channels"]
    layers = config["layers_per_block"]
    shapes = [(batch, channels[0], height, width)]
    for level, depth in enumerate(channels):
        count = layers if isinstance(layers, int) else layers[level]
        shapes += [(batch, depth, height, width)] * count
        if level < len(channels) - 1:
            height, width = (height + 1) // 2, (width + 1) // 2
            shapes.append((batch, depth, height, width))
    return shapes


def _fitted(place: str, residuals: Sequence[Tensor | None], shapes: Sequence[Shape]) -> Places:
    """Return `residuals` lined up with the ends of `shapes`, or raise where one does not fit."""
    if len(residuals) > len(shapes):
        raise UserError(
            f'The control gives {len(residuals)} residuals for "{place}" and the U-Net has '
            f"{len(shapes)} places for them: use a ControlNet made for this base model."
        )
    first = len(shapes) - len(residuals)
    for index, (residual, shape) in enumerate(zip(residuals, shapes[first:], strict=True), first):
        if residual is not None:
            check_fit(f"{place} {index}", residual, torch.empty(shape, device="meta"))
    return (*[None] * first, *residuals)


def _encoder_blocks(unet: nn.Module) -> list[nn.Module]:
    """Return the modules whose outputs `skip_shapes` describes."""
    known: Any = unet
    blocks = [known.conv_in]
    for level in known.down_blocks:
        blocks += getattr(level, "attentions", level.resnets)
        blocks += level.downsamplers or []
    return blocks


def _plus(residual: Tensor, thread: int, module: nn.Module, inputs: Any, output: Any) -> Any:
    """A forward hook; attention layers give their output in a tuple."""
    if threading.get_ident() != thread:
        return output
    if isinstance(output, tuple):
        return (_plus(residual, thread, module, inputs, output[0]), *output[1:])
    return output + residual.to(output)
