"""A union ControlNet's network: one net for several types of hints, told which one it is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .control_net import HintedNetwork
from .weights import from_config


class UnionNetwork(HintedNetwork):
    """Diffusers' ControlNetUnionModel, computed as ComfyUI does (`comfy/cldm/cldm.py`).

    Diffusers' own forward lets the rows of a batch attend to one another; ComfyUI's sees each row
    alone. The encoder behind the hint is that of any ControlNet, so diffusers' plain model runs it.
    """

    def __init__(self, union: nn.Module) -> None:
        """Shares its weights with `union`, which stays whole and untouched."""
        super().__init__(_plain(union))
        known: Any = union
        self.num_control_type = len(known.task_embedding)
        # What ComfyUI's network says of itself, and `model_patch/union.py` asks for.
        rest: Any = self.rest
        rest.num_control_type = self.num_control_type
        self.task_embedding: nn.Parameter = known.task_embedding
        self.mixers: nn.ModuleList = known.transformer_layes
        self.to_shift: nn.Linear = known.spatial_ch_projs
        self.rest.class_embedding = _TypesAndSizes(
            known.control_type_proj,
            known.control_add_embedding,
            known.class_embedding,
            self.num_control_type,
        )

    def encode_hint(self, hint: Tensor, types: Sequence[int] = ()) -> Tensor:
        """(B, 3, 8h, 8w) in 0..1 to (B, C, h, w); a type shifts its channels, none leaves them."""
        encoded = super().encode_hint(hint)
        if not types:
            return encoded
        feature = encoded.mean(dim=(2, 3)) + self.task_embedding[types[0]].to(encoded)
        for mixer in self.mixers:
            feature = mixer(feature[None])[0]  # a sequence of one for each row
        shift: Tensor = self.to_shift(feature)
        return encoded + shift[..., None, None]

    def labels(self, x: Tensor, y: Tensor | None, types: Sequence[int] = ()) -> Tensor:
        """Which types, as (B, n) zeros and ones, and beside them SDXL's vector (B, width)."""
        told = x.new_zeros(x.shape[0], self.num_control_type)
        told[:, list(types)] = 1.0
        return told if y is None else torch.cat([told, y], dim=1)


class _TypesAndSizes(nn.Module):
    """In a class embedding's place: (B, types + width of y) to what joins the time."""

    def __init__(self, waves: nn.Module, types: nn.Module, sizes: nn.Module | None, n: int) -> None:
        super().__init__()
        self.waves, self.types, self.sizes, self.n = waves, types, sizes, n

    def forward(self, labels: Tensor) -> Tensor:
        told, y = labels[:, : self.n], labels[:, self.n :]
        waves: Tensor = self.waves(told.flatten()).reshape(len(labels), -1)
        joined: Tensor = self.types(waves.to(labels.dtype))
        return joined if self.sizes is None else joined + self.sizes(y)


def _plain(union: nn.Module) -> nn.Module:
    """Diffusers' ControlNetModel on the layers that a union net has in common with it."""
    from diffusers import ControlNetModel

    config: Any = union.config
    plain: nn.Module = from_config(ControlNetModel, config, Path("the union ControlNet"))
    plain._modules = {name: union._modules.get(name) for name in plain._modules}
    return plain.eval()
