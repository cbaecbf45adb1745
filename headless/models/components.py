"""Diffusers folders, whole pipelines and single components, to MODEL, CLIP, VAE and networks."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ...model_files.folders import CONFIG, read_config
from ..sampling.base_model import BaseModel
from ..sampling.model import Model
from ..sampling.model_sampling import DiscreteSampling
from . import tokenizers
from .clip import Clip
from .families import LITE_CLASS, require_class, require_plain, require_text_encoder
from .vae import LATENT_SCALE, Vae
from .weights import Weights, read_folder, skeleton, with_weights

if TYPE_CHECKING:
    from transformers import CLIPTextModel

PIPELINE = "model_index.json"

Config = Mapping[str, Any]


def load_pipeline(folder: Path) -> tuple[Model, Clip, Vae]:
    """A diffusers pipeline folder (`model_index.json`) as MODEL, CLIP and VAE."""
    return (
        load_unet(folder / "unet"),
        load_clip(folder / "text_encoder"),
        load_vae(folder / "vae"),
    )


def load_unet(folder: Path) -> Model:
    """A `unet` folder as MODEL, on the noise schedule of the `scheduler` folder beside it."""
    unet = make_unet(read_config(folder / CONFIG), read_folder(folder), folder)
    schedule = folder.parent / "scheduler" / "scheduler_config.json"
    sampling = (
        DiscreteSampling.from_scheduler_config(read_config(schedule))
        if schedule.is_file()
        else DiscreteSampling.from_betas()
    )
    return as_model(unet, sampling)


def load_clip(folder: Path) -> Clip:
    """A `text_encoder` folder as CLIP; its tokenizer lies inside it or beside it."""
    text_encoder = make_text_encoder(read_config(folder / CONFIG), read_folder(folder), folder)
    places = (folder, folder / "tokenizer", folder.parent / "tokenizer")
    return Clip(text_encoder, tokenizers.load(places, text_encoder.config.vocab_size, folder))


def load_vae(folder: Path) -> Vae:
    """A `vae` folder, AutoencoderKL or AutoencoderTiny, as VAE."""
    return make_vae(read_config(folder / CONFIG), read_folder(folder), folder)


def load_control_network(folder: Path) -> nn.Module:
    """A ControlNet folder as diffusers' ControlNetModel, or as our LiteControlNet."""
    return make_control_network(read_config(folder / CONFIG), read_folder(folder), folder)


def as_model(unet: nn.Module, sampling: DiscreteSampling) -> Model:
    """MODEL around a U-Net; latents are in the unit of `vae.LATENT_SCALE`."""
    return Model(BaseModel(unet, sampling, LATENT_SCALE))


def make_unet(config: Config, weights: Weights, source: Path) -> nn.Module:
    """Diffusers' UNet2DConditionModel of this configuration; UserError for another family."""
    require_class(config, "diffusion_models", source)
    require_plain(config, source)
    from diffusers import UNet2DConditionModel

    return _of_diffusers(UNet2DConditionModel, config, weights, source)


def make_control_network(config: Config, weights: Weights, source: Path) -> nn.Module:
    """The ControlNetModel or LiteControlNet of this configuration; UserError for another family."""
    require_class(config, "controlnet", source)
    require_plain(config, source)
    if config["_class_name"] == LITE_CLASS:
        from ...training.lite import LiteControlNet

        return _of_diffusers(LiteControlNet, config, weights, source)
    from diffusers import ControlNetModel

    return _of_diffusers(ControlNetModel, config, weights, source)


def make_vae(config: Config, weights: Weights, source: Path) -> Vae:
    """VAE of this configuration, AutoencoderKL or AutoencoderTiny."""
    require_class(config, "vae", source)
    import diffusers

    return Vae(_of_diffusers(getattr(diffusers, config["_class_name"]), config, weights, source))


def make_text_encoder(config: Config, weights: Weights, source: Path) -> CLIPTextModel:
    """Transformers' CLIPTextModel of this configuration; UserError for another text encoder."""
    require_text_encoder(config, source)
    from transformers import CLIPTextConfig, CLIPTextModel

    module = skeleton(lambda: CLIPTextModel(CLIPTextConfig.from_dict(dict(config))), source)
    # Files have every name below "text_model."; transformers >= 5 has that level no longer.
    prefix = "text_model." if hasattr(module, "text_model") else ""
    named = {prefix + name.removeprefix("text_model."): value for name, value in weights.items()}
    return with_weights(module, named, source)


def _of_diffusers(kind: Any, config: Config, weights: Weights, source: Path) -> nn.Module:
    # Keys of other versions of diffusers are left out, as the library itself does, with a warning.
    known = signature(kind.__init__).parameters
    kept = {key: value for key, value in config.items() if key in known}
    module: nn.Module = skeleton(lambda: kind.from_config(kept), source)
    return with_weights(module, weights, source)
