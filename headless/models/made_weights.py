"""Layers whose weights are made when they compute: of narrow numbers, a scale, a low-rank change.

What lies in memory is what the file holds; the whole weight exists for the time of one layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Made(nn.Module):
    """What such layers have beside their weight; a layer becomes one by `made_of`."""

    scale: Tensor | None
    up: Tensor | None
    down: Tensor | None

    def made(self, dtype: torch.dtype) -> Tensor:
        """The layer's whole weight, in a type it computes in."""
        weight: Tensor = self.weight.to(dtype)  # type: ignore[operator, assignment]
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
        return self._conv_forward(x, self.made(x.dtype), self.bias)


_KINDS: dict[type[nn.Module], type[_Made]] = {nn.Linear: _MadeLinear, nn.Conv2d: _MadeConv}


def made_of(
    layer: nn.Module, base: Any = None, up: Tensor | None = None, down: Tensor | None = None
) -> None:
    """Have `layer`'s weight made as that of `base` is, of which it may be a copy, and changed by
    up @ down.
    """
    scale = getattr(base, "scale", None) if isinstance(base, _Made) else None
    if scale is None and up is None:
        return
    layer.__class__ = _KINDS[type(layer)]
    layer.scale, layer.up, layer.down = scale, up, down


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network by name, with the weights of such layers made, as float32."""
    state = module.state_dict()
    for path, layer in module.named_modules():
        if isinstance(layer, _Made):
            state[f"{path}.weight"] = layer.made(torch.float32)
    return state
