"""The size at which the authors of a depth model show it a picture, and a DPT that takes each size.

transformers' processors show some models less: for Depth Anything they scale as little as they can,
so that a picture of 640 x 427 becomes 518 x 350, and DPT folders have it bent to a square.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn

from ..sizing import Size

if TYPE_CHECKING:
    from torch import Tensor

MIDAS_MULTIPLE = 32
"""Pixels, of both sides: `ensure_multiple_of` of MiDaS's `midas/model_loader.py`."""


def input_size(network: nn.Module, processor: Any, size: Size) -> Size | None:
    """The width and height at which `network` looks at a picture of `size`; None is what its
    `processor` makes of it.

    Depth Anything, 1 and 2, has both sides at least those of its processor (518): `image2tensor` of
    https://github.com/DepthAnything/Depth-Anything-V2 (`depth_anything_v2/dpt.py`, "lower_bound").
    DPT on a ViT or its hybrid keeps the picture's shape: https://github.com/isl-org/MiDaS
    (`midas/model_loader.py`, "minimal"), whose Swin models do not.
    """
    if not getattr(processor, "do_resize", False):
        return None
    target = processor.size["width"], processor.size["height"]
    if isinstance(network, AnyShape):
        return minimal(size, target, MIDAS_MULTIPLE)
    if getattr(getattr(network, "config", None), "model_type", "") == "depth_anything":
        return lower_bound(size, target, processor.ensure_multiple_of)
    return None


def lower_bound(size: Size, target: Size, multiple: int) -> Size:
    """`size` scaled to cover `target`, both sides multiples: the nearest that are not below it.

    `Resize.get_size`, "lower_bound", of Depth-Anything-V2's `depth_anything_v2/util/transform.py`.
    """
    scale = max(target[0] / size[0], target[1] / size[1])
    width, height = (
        _multiple(side * scale, multiple, least) for side, least in zip(size, target, strict=True)
    )
    return width, height


def minimal(size: Size, target: Size, multiple: int) -> Size:
    """`size` scaled by as little as brings one of its sides to `target`, both sides the nearest
    multiples.

    `Resize.get_size`, "minimal", of MiDaS's `midas/transforms.py`, which transformers' processors
    have, too. A side has one multiple at least, where theirs may have none.
    """
    across, down = target[0] / size[0], target[1] / size[1]
    scale = across if abs(1 - across) < abs(1 - down) else down
    width, height = (_multiple(side * scale, multiple, multiple) for side in size)
    return width, height


def _multiple(side: float, multiple: int, least: int) -> int:
    near = round(side / multiple) * multiple
    return near if near >= least else -(-least // multiple) * multiple


class AnyShape(nn.Module):
    """A DPT of transformers on a ViT, or its hybrid, for pictures of any shape.

    As transformers runs it, it takes squares alone, though all of its parts are there for others:
    MiDaS's own runs with them (`forward_flex` of `midas/backbones/vit.py`). A square gives the bits
    that it gave.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        config: Any = network.config
        self.patch: int = config.patch_size
        if config.is_hybrid:
            embeddings: Any = network.get_submodule("dpt.embeddings")
            embeddings.forward = partial(embeddings.forward, interpolate_pos_encoding=True)
        self.train(network.training)

    def forward(self, pixel_values: Tensor) -> Any:
        """What the network says of 1 x 3 x H x W, both sides multiples of its patch."""
        height, width = pixel_values.shape[-2:]
        neck = _Neck(self.network.get_submodule("neck"), height // self.patch, width // self.patch)
        # Of this call alone, with the same weights: nothing is left behind for another thread.
        view = copy.copy(self.network)
        view._modules = {**self.network._modules, "neck": neck}
        return view(pixel_values=pixel_values)


class _Neck(nn.Module):
    """A DPT's neck that is told how many patches there are down and across."""

    def __init__(self, neck: nn.Module, down: int, across: int) -> None:
        super().__init__()
        self.neck, self.down, self.across = neck, down, across

    def forward(self, hidden_states: Any, *_: Any) -> Any:
        """The neck's features."""
        return self.neck(hidden_states, self.down, self.across)


def any_shape(network: nn.Module) -> nn.Module:
    """`network`, as AnyShape where it is a DPT that can be."""
    config: Any = network.config
    plain = config.model_type == "dpt" and (config.is_hybrid or config.backbone_config is None)
    return AnyShape(network) if plain and MIDAS_MULTIPLE % config.patch_size == 0 else network
