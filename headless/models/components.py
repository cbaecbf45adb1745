"""A configuration and its weights -> a network of diffusers, of transformers or of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...ground.garbage import uncollected
from ...training.ldm_layout import CONTROL_LORA_CLASS
from .. import computing
from .families import (
    LITE_CLASS,
    TEXT_TIME,
    UNION_CLASS,
    Config,
    require_class,
    require_plain,
    require_text_encoder,
)
from .parts import PROJECTION, Part
from .t2i_network import T2INetwork
from .weights import Weights, from_config, skeleton, with_weights

if TYPE_CHECKING:
    from transformers import CLIPTextModel

_OF_DIFFUSERS, _OF_Y = "add_embedding.", "class_embedding."


def make_unet(part: Part) -> nn.Module:
    """Diffusers' UNet2DConditionModel of this configuration; UserError for another family."""
    require_class(part.config, "diffusion_models", part.source)
    require_plain(part.config, part.source)
    with uncollected():
        from diffusers import UNet2DConditionModel

    return _of_diffusers(UNet2DConditionModel, part, computing.current().dtype)


def make_control_network(part: Part) -> nn.Module:
    """The ControlNetModel, ControlNetUnionModel, LiteControlNet or ControlLoraModel, which is lent
    no weights yet, of this configuration; UserError for another family.
    """
    require_class(part.config, "controlnet", part.source)
    require_plain(part.config, part.source)
    dtype = computing.current().dtype
    if part.config["_class_name"] == LITE_CLASS:
        with uncollected():
            from ...training.lite import LiteControlNet

        return _of_diffusers(LiteControlNet, part, dtype)
    if part.config["_class_name"] == CONTROL_LORA_CLASS:
        with uncollected():
            from ...training.control_lora import ControlLoraModel

        config, weights = given_y(part.config, part.read)
        bare = skeleton(lambda: ControlLoraModel.from_config(config), part.source)
        return with_weights(bare, weights(), part.source, dtype)
    with uncollected():
        from diffusers import ControlNetModel, ControlNetUnionModel

    union = part.config["_class_name"] == UNION_CLASS
    return _of_diffusers(ControlNetUnionModel if union else ControlNetModel, part, dtype)


def make_adapter(part: Part) -> T2INetwork:
    """The T2I adapter of this configuration."""
    return with_weights(
        skeleton(lambda: T2INetwork(part.config), part.source), part.read(), part.source
    )


def make_autoencoder(part: Part) -> nn.Module:
    """AutoencoderKL or AutoencoderTiny of this configuration; UserError for another class."""
    require_class(part.config, "vae", part.source)
    with uncollected():
        import diffusers

        kind = getattr(diffusers, part.config["_class_name"])  # imported as it is asked for

    return _of_diffusers(kind, part, computing.current().of_pictures)


def make_text_encoder(part: Part) -> tuple[CLIPTextModel, Tensor | None]:
    """Transformers' CLIPTextModel of this configuration, and what pooled texts go through (out, C),
    None for a file without it; UserError for another text encoder.
    """
    require_text_encoder(part.config, part.source)
    with uncollected():
        from transformers import CLIPTextConfig, CLIPTextModel

    config = dict(part.config)
    module = skeleton(lambda: CLIPTextModel(CLIPTextConfig.from_dict(config)), part.source)
    # Files have every name below "text_model."; transformers >= 5 has that level no longer.
    prefix = "text_model." if hasattr(module, "text_model") else ""
    weights = part.read()
    projection = weights.pop(PROJECTION, None)
    named = {prefix + name.removeprefix("text_model."): v for name, v in weights.items()}
    return with_weights(module, named, part.source), projection


def _of_diffusers(kind: Any, part: Part, dtype: torch.dtype) -> nn.Module:
    config, weights = given_y(part.config, part.read)
    module: nn.Module = from_config(kind, config, part.source)
    return with_weights(module, weights(), part.source, dtype)


def given_y(config: Config, read: Callable[[], Weights]) -> tuple[Config, Callable[[], Weights]]:
    """SDXL's networks as ones that are given the vector `y` (`sampling/size_conditioning.py`).

    Diffusers' own make it themselves, from text and numbers. What it then goes through is the two
    layers of a "projection" of classes, which takes any vector as it is.
    """
    if config.get("addition_embed_type") != TEXT_TIME:
        return config, read

    def renamed() -> Weights:
        return {_renamed(name): value for name, value in read().items()}

    return {**config, "addition_embed_type": None, "class_embed_type": "projection"}, renamed


def _renamed(name: str) -> str:
    mine = name.startswith(_OF_DIFFUSERS)  # a union net has a control_add_embedding beside it
    return _OF_Y + name.removeprefix(_OF_DIFFUSERS) if mine else name
