"""A configuration and its weights -> a network of diffusers, of transformers or of our own."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from torch import nn

from ...ground.garbage import uncollected
from .families import LITE_CLASS, require_class, require_plain, require_text_encoder
from .parts import Part
from .t2i_network import T2INetwork
from .weights import skeleton, with_weights

if TYPE_CHECKING:
    from transformers import CLIPTextModel


def make_unet(part: Part) -> nn.Module:
    """Diffusers' UNet2DConditionModel of this configuration; UserError for another family."""
    require_class(part.config, "diffusion_models", part.source)
    require_plain(part.config, part.source)
    with uncollected():
        from diffusers import UNet2DConditionModel

    return _of_diffusers(UNet2DConditionModel, part)


def make_control_network(part: Part) -> nn.Module:
    """The ControlNetModel or LiteControlNet of this configuration; UserError for another family."""
    require_class(part.config, "controlnet", part.source)
    require_plain(part.config, part.source)
    if part.config["_class_name"] == LITE_CLASS:
        with uncollected():
            from ...training.lite import LiteControlNet

        return _of_diffusers(LiteControlNet, part)
    with uncollected():
        from diffusers import ControlNetModel

    return _of_diffusers(ControlNetModel, part)


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

    return _of_diffusers(kind, part)


def make_text_encoder(part: Part) -> CLIPTextModel:
    """Transformers' CLIPTextModel of this configuration; UserError for another text encoder."""
    require_text_encoder(part.config, part.source)
    with uncollected():
        from transformers import CLIPTextConfig, CLIPTextModel

    config = dict(part.config)
    module = skeleton(lambda: CLIPTextModel(CLIPTextConfig.from_dict(config)), part.source)
    # Files have every name below "text_model."; transformers >= 5 has that level no longer.
    prefix = "text_model." if hasattr(module, "text_model") else ""
    named = {prefix + name.removeprefix("text_model."): v for name, v in part.read().items()}
    return with_weights(module, named, part.source)


def _of_diffusers(kind: Any, part: Part) -> nn.Module:
    # Keys of other versions of diffusers are left out, as the library itself does, with a warning.
    known = signature(kind.__init__).parameters
    kept = {key: value for key, value in part.config.items() if key in known}
    module: nn.Module = skeleton(lambda: kind.from_config(kept), part.source)
    return with_weights(module, part.read(), part.source)
