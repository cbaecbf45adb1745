"""A layer whose weight another network holds, with a trained change of low rank beside it.

Source: E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685.
"""

from __future__ import annotations

import weakref
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Plain: TypeAlias = nn.Linear | nn.Conv2d
"""The layers that can be changed by factors."""


class LowRank(nn.Module):
    """What a linear layer or a convolution of weight W + up @ down computes, and its own bias.

    W is that of the layer it was `lent` to last, which it neither owns nor keeps alive: it is in no
    list of parameters, and copies go on borrowing it. The two products are computed one after the
    other, so that the sum, a whole weight, is never made, nor its gradient.
    """

    up: nn.Parameter
    down: nn.Parameter

    def __init__(self, layer: Plain, rank: int, device: torch.device) -> None:
        """As `layer` is, which may be on "meta", with factors (rows, rank) and (rank, ...) on
        `device`. `up` is 0, so that nothing is changed at first; `down` is drawn as torch draws a
        layer of its shape.
        """
        super().__init__()
        self._lender: weakref.ref[Plain] | None = None
        convolves = isinstance(layer, nn.Conv2d)
        ones = (1, 1) if convolves else ()
        self.up = nn.Parameter(torch.zeros(len(layer.weight), rank, *ones, device=device))
        self.down = nn.Parameter(torch.empty(rank, *layer.weight.shape[1:], device=device))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)
        bias = None if layer.bias is None else torch.zeros(len(layer.weight), device=device)
        self.bias = None if bias is None else nn.Parameter(bias)

    def lent(self, layer: Plain) -> None:
        """Compute with the weight of `layer` from now on, as long as it is there."""
        self._lender = weakref.ref(layer)

    def forward(self, x: Tensor) -> Tensor:
        """As the layer it stands for."""
        layer = self._lender() if self._lender else None
        if layer is None:
            raise RuntimeError("a Control-LoRA was called without its base's weights")
        if isinstance(layer, nn.Linear):
            return F.linear(x, layer.weight, self.bias) + F.linear(F.linear(x, self.down), self.up)
        few: Tensor = layer._conv_forward(x, self.down, None)
        plain: Tensor = layer._conv_forward(x, layer.weight, self.bias)
        return plain + F.conv2d(few, self.up)

    def change(self) -> Tensor:
        """up @ down, in the shape of the weight that it is added to."""
        product = self.up.flatten(1) @ self.down.flatten(1)
        return product.reshape(len(self.up), *self.down.shape[1:])


def pays(layer: nn.Module, rank: int) -> bool:
    """Whether factors of `rank` have fewer numbers than the weight of `layer`."""
    if not isinstance(layer, nn.Linear | nn.Conv2d) or (
        isinstance(layer, nn.Conv2d) and (layer.groups != 1 or layer.padding_mode != "zeros")
    ):
        return False
    rows, columns = len(layer.weight), layer.weight[0].numel()
    return rank * (rows + columns) < rows * columns
