"""Control-LoRA: a ControlNet whose copied layers are the base's own, changed by factors of low
rank. Imports diffusers: import it where a network is made or loaded.

Source of the format: Stability AI, https://huggingface.co/stabilityai/control-lora.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from diffusers import ControlNetModel
from diffusers.models.controlnets.controlnet import zero_module
from torch import nn

from .low_rank import LowRank, pays
from .trainable import is_copied

_KNOWN = frozenset(signature(ControlNetModel.__init__).parameters) - {"self"}


class ControlLoraModel(ControlNetModel):  # type: ignore[misc]  # diffusers has no types
    """Diffusers' ControlNetModel without the copied weights: called in the same way, once it was
    given the U-Net whose weights it computes with (`attach`).

    Its own are the factors `up` and `down`, all biases and norms, what the U-Net has not (hint
    encoder, zero convolutions), and whole the weights of layers so small that factors would have
    no fewer numbers.
    """

    def __init__(self, rank: int, **config: Any) -> None:
        """`rank` is that of all changes; `config` is ControlNetModel's configuration."""
        here = torch.empty(0).device
        with torch.device("meta"):
            super().__init__(**config)
        self.register_to_config(rank=rank)
        for path, module in list(self.named_modules()):
            for name, layer in list(module.named_children()):
                inner = f"{path}.{name}" if path else name
                if is_copied(f"{inner}.") and pays(layer, rank):
                    setattr(module, name, LowRank(layer, rank, here))
                elif layer._parameters and not isinstance(layer, LowRank):
                    _begin(layer, here)
        for end in (*self.controlnet_down_blocks, self.controlnet_mid_block):
            zero_module(end)
        zero_module(self.controlnet_cond_embedding.conv_out)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ControlLoraModel:
        """The network of a configuration; what ControlNetModel does not know is left out."""
        return cls(config["rank"], **{name: config[name] for name in _KNOWN & config.keys()})

    @classmethod
    @torch.no_grad()
    def for_unet(cls, unet: Any, hint_channels: tuple[int, ...], rank: int) -> ControlLoraModel:
        """One that adds nothing to `unet` before it is trained, and computes with its weights."""
        told = {name: unet.config[name] for name in _KNOWN & unet.config.keys()}
        made = cls(rank, **{**told, "conditioning_embedding_out_channels": hint_channels})
        theirs = dict(unet.named_parameters())
        for name, weight in made.named_parameters():
            if name in theirs:
                weight.copy_(theirs[name])
        made.attach(unet)
        return made

    def attach(self, unet: Any) -> None:
        """Compute with the weights of `unet`'s encoder from now on, as long as that is there."""
        for path, layer in self.named_modules():
            if isinstance(layer, LowRank):
                layer.lent(unet.get_submodule(path))

    @property
    def told(self) -> str:
        """How many layers are changed by factors and how many are whole, for people."""
        copied = [one for name, one in self.named_modules() if is_copied(f"{name}.")]
        low = sum(isinstance(one, LowRank) for one in copied)
        whole = sum(isinstance(one, nn.Linear | nn.Conv2d) for one in copied)
        rank = self.config.rank
        said = f"{low} layers are changed by factors of rank {rank}"
        if whole:
            said += f"; {whole}, which have no more numbers than factors, are trained whole"
        return said


def _begin(layer: Any, device: torch.device) -> None:
    """Give a layer without memory the weights that torch draws for its kind."""
    for name, weight in list(layer.named_parameters(recurse=False)):
        setattr(layer, name, nn.Parameter(torch.empty_like(weight, device=device)))
    layer.reset_parameters()
