"""Layers whose weights are made when they compute: of narrow numbers, of packed blocks, of a scale,
of a low-rank change.

What lies in memory is what the file holds; the whole weight exists for the time of one layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...model_files.gguf_files import Packed

LARGE = 2**16
"""Numbers in a weight that is worth keeping narrow; smaller ones are a thousandth of a network."""


class _Made(nn.Module):
    """What such layers have beside their weight; a layer becomes one, or plain again, in place."""

    weight: Tensor
    packed: Packed | None
    """What the weight is made of, if anything; `weight` then has its shape and no memory."""
    scale: Tensor | None
    up: Tensor | None
    down: Tensor | None

    def made(self, dtype: torch.dtype) -> Tensor:
        """The layer's whole weight, in a type it computes in."""
        weight = (self.weight if self.packed is None else self.packed.whole()).to(dtype)
        if self.scale is not None:
            weight = weight * self.scale.to(weight)
        if self.up is not None and self.down is not None:
            change = torch.mm(self.up.flatten(1), self.down.flatten(1))
            weight = weight + change.reshape(weight.shape).to(dtype)
        return weight


class _MadeLinear(_Made, nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.made(x.dtype), self.bias)


class _MadeConv(_Made, nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self._conv_forward(x, self.made(x.dtype), self.bias)
        return made


_KINDS: dict[type[nn.Module], type[nn.Module]] = {nn.Linear: _MadeLinear, nn.Conv2d: _MadeConv}
_PLAIN: dict[type[nn.Module], type[nn.Module]] = {made: plain for plain, made in _KINDS.items()}


def settle(
    module: nn.Module,
    scales: Mapping[str, Tensor],
    dtype: torch.dtype,
    packed: Mapping[str, Packed] = MappingProxyType({}),
) -> None:
    """Have a network that was filled from a file compute in `dtype`, in place.

    Large weights of a narrower type, or `packed` ones, stay as they are, and are made for each
    layer; the rest is converted. The first layer is among that: its type is what a network is asked
    for its own. `scales` has a factor for some weights, by their names.
    """
    first = next((name for name, _ in module.named_parameters()), "")
    for path, layer in module.named_modules():
        for role, own in list(layer.named_parameters(recurse=False)):
            name = f"{path}.{role}" if path else role
            scale, blocks = scales.get(name), packed.get(name)
            narrow = blocks is not None or own.element_size() < dtype.itemsize
            large = own.numel() >= LARGE and role == "weight" and type(layer) in _KINDS
            if narrow and large and name != first:
                _become(layer, scale, blocks)
            elif own.dtype != dtype or scale is not None or blocks is not None:
                value = (own if blocks is None else blocks.whole()).to(dtype)
                value = value if scale is None else value * scale.to(dtype)
                setattr(layer, role, nn.Parameter(value, requires_grad=False))
        for role, buffer in list(layer.named_buffers(recurse=False)):
            if buffer.is_floating_point():
                setattr(layer, role, buffer.to(dtype))


def low_rank(layer: nn.Module, base: nn.Module, up: Tensor, down: Tensor) -> None:
    """Have `layer`, whose weight is that of `base`, compute with up @ down added to it."""
    scale, packed = (base.scale, base.packed) if isinstance(base, _Made) else (None, None)
    _become(layer, scale, packed, up, down)


def as_its_base(layer: nn.Module, base: nn.Module) -> None:
    """Have `layer`, whose weight is that of `base`, make it as `base` does."""
    if isinstance(base, _Made):
        _become(layer, base.scale, base.packed)


def set_whole(layer: Any, weight: Tensor) -> None:
    """Give a layer another weight, which is whole."""
    kind: Any = _PLAIN.get(type(layer), type(layer))
    layer.__class__ = kind
    layer.weight = nn.Parameter(weight, requires_grad=False)


def whole(layer: Any) -> Tensor:
    """The weight of a layer, as float32 where it is made."""
    weight: Tensor = layer.made(torch.float32) if isinstance(layer, _Made) else layer.weight
    return weight


def widened(module: nn.Module) -> nn.Module:
    """The network itself, with all its weights whole and float32, as a training wants it."""
    for layer in filter(_is_made, module.modules()):
        set_whole(layer, whole(layer))
    return module.float()


def _is_made(layer: nn.Module) -> bool:
    return isinstance(layer, _Made)


def _become(
    layer: Any,
    scale: Tensor | None,
    packed: Packed | None,
    up: Tensor | None = None,
    down: Tensor | None = None,
) -> None:
    layer.__class__ = _KINDS.get(type(layer), type(layer))
    layer.scale, layer.packed, layer.up, layer.down = scale, packed, up, down
