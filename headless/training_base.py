"""The locked model of a training run, from files or from MODEL, CLIP and VAE of the graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..ground.errors import UserError
from ..ground.wording import listing
from ..hosts.bare_model import require_bare, require_base
from ..model_files.files import read_contents
from ..model_files.folders import CONFIG
from ..model_files.kinds import CHECKPOINT, kind_of
from ..training.base import Base, Encoders
from ..training.base_fit import per_level
from ..training.sdxl import as_diffusers, pooled_width
from .models import inspect, loading
from .models.clip import Clip
from .models.encoders import ModelEncoders
from .models.inspect import PIPELINE
from .models.parts import SECOND, checkpoint_kinds
from .models.vae import Vae
from .sampling.model import Model


@dataclass(frozen=True)
class _Parts:
    """Where the models lie: files or folders; `texts` are one, or SDXL's two; None is not there."""

    unet: Path
    texts: tuple[Path, ...] = ()
    vae: Path | None = None


def load_base(
    path: Path,
    text_encoder: Path | None = None,
    vae: Path | None = None,
    device: torch.device | str = "cpu",
) -> Base:
    """The locked model in `path`, with its encoders, all on `device` in float32.

    `path`: a diffusers pipeline folder, its `unet` folder, a checkpoint as a single file, or a
    U-Net's file. `text_encoder` and `vae` (folders or files) take the place of those that lie in
    or beside it; SDXL's second text encoder lies in the same file, or beside the first one's
    folder, as diffusers has it. The noise schedule is that of the `scheduler` folder, SD 1.x's for
    files.

    Raises UserError, before anything is loaded, where one of the three is missing, damaged, another
    kind of file, or of a family that does not run here.
    """
    parts = _parts(path)
    if text_encoder is not None:
        inspect.check(text_encoder, "text_encoders")
        parts = replace(parts, texts=_texts(text_encoder))
    if vae is not None:
        inspect.check(vae, "vae")
        parts = replace(parts, vae=vae)
    if not parts.texts or parts.vae is None:
        missing = "VAE" if parts.texts else "text encoder"
        missing = missing if parts.texts or parts.vae else "text encoder and no VAE"
        raise UserError(
            f"{path} has no {missing}: name the files or folders to train with, or a whole model."
        )
    model, clip = loading.load_unet(parts.unet), loading.load_clip(*parts.texts)
    autoencoder = loading.load_vae(parts.vae)
    texts = (one.network for one in clip.encoders)
    for network in (model.model.diffusion_model, *texts, autoencoder.autoencoder):
        network.to(device)
    return base_of(model, clip, autoencoder, path.name)


def check_unet(path: Path) -> None:
    """Raise UserError, without loading it, where `load_unet` finds no U-Net that runs."""
    _parts(path)


def load_unet(path: Path) -> Any:
    """The U-Net alone of what `load_base` takes, on the CPU in float32; raises as it does."""
    return as_diffusers(loading.load_unet(_parts(path).unet).model.diffusion_model)


def base_of(model: Model, clip: Clip | None, vae: Vae | None, name: str) -> Base:
    """The locked model behind a MODEL, with the encoders of CLIP and VAE; shares their weights.

    Raises UserError for a MODEL that cannot be trained on, and where only one of CLIP and VAE is
    given or they belong to another model.
    """
    unet = as_diffusers(model.model.diffusion_model)
    require_base(unet, name)
    require_bare(model, name)
    sampling = model.model.model_sampling
    alphas = 1 / (1 + sampling.sigmas.to(model.load_device, torch.float64) ** 2)
    encoders = _encoders(model, clip, vae, name)
    return Base(unet, alphas.float(), sampling.prediction_type, encoders, name)


def _encoders(model: Model, clip: Clip | None, vae: Vae | None, name: str) -> Encoders | None:
    if clip is None and vae is None:
        return None
    if clip is None or vae is None:
        missing = "CLIP" if clip is None else "VAE"
        raise UserError(f"{name} came without its {missing}: wire one, training needs both.")
    config = model.model.unet_config
    encoders = ModelEncoders(clip, vae, model.model.latent_scale)
    pooled, wanted = encoders.pooled_width, pooled_width(as_diffusers(model.model.diffusion_model))
    reads = sorted(set(per_level(config, "cross_attention_dim")))
    if reads != [clip.width]:
        raise UserError(
            f"The text encoder gives texts {clip.width} wide and {name} reads {listing(reads)}: "
            "give the text encoder that belongs to the model."
        )
    if pooled != wanted:
        raise UserError(
            f"The text encoder pools texts {pooled} wide and {name} reads {wanted} (0 is none): "
            "give the text encoders that belong to the model; SDXL has two."
        )
    takes, makes = config["in_channels"], vae.autoencoder.config.latent_channels
    if makes != takes:
        raise UserError(
            f"The VAE gives latents of {makes} channels and {name} takes {takes}: give the VAE "
            "that belongs to the model."
        )
    return encoders


def _parts(path: Path) -> _Parts:
    """The models in or beside `path`, checked; UserError where there is no U-Net that runs."""
    if (path / PIPELINE).is_file():
        inspect.check(path, "checkpoints")
        return _Parts(path / "unet", _texts(path / "text_encoder"), path / "vae")
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise UserError(
                f"{path} holds no model: it has neither {PIPELINE}, as a diffusers pipeline has, "
                f"nor {CONFIG}, as its unet folder has."
            )
        inspect.check(path, "diffusion_models")
        text, vae = path.parent / "text_encoder", path.parent / "vae"
        return _Parts(path, _texts(text) if text.is_dir() else (), vae if vae.is_dir() else None)
    if path.is_file() and kind_of(shapes := read_contents(path).shapes) == CHECKPOINT:
        inspect.check(path, "checkpoints")
        return _Parts(path, (path,), path if "vae" in checkpoint_kinds(shapes) else None)
    inspect.check(path, "diffusion_models")
    return _Parts(path)


def _texts(first: Path) -> tuple[Path, ...]:
    """A text encoder, and SDXL's second one where it lies beside its folder."""
    second = first.parent / SECOND
    is_one_of_two = first.is_dir() and first.name == "text_encoder" and second.is_dir()
    return (first, second) if is_one_of_two else (first,)
