"""Which configurations the embedded host runs, and what to say of those that it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...ground.errors import UserError
from ...ground.wording import shown
from ...training.ldm_layout import CONTROL_LORA_CLASS

RUNS = "the embedded host runs models of the SD 1.x, SD 2.x and SDXL kind: a U-Net and CLIP's texts"

TEXT_TIME = "text_time"
"""Diffusers' `addition_embed_type` of SDXL: a pooled text and numbers beside the time."""
REFINER_WIDTH = 1280  # of the text that the SDXL refiner reads: OpenCLIP bigG's alone
ADAPTER_CLASS = "T2IAdapter"
LITE_CLASS = "LiteControlNet"  # of our own training
UNION_CLASS = "ControlNetUnionModel"
CLASSES: Mapping[str, tuple[str, ...]] = {
    "diffusion_models": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
    "controlnet": ("ControlNetModel", UNION_CLASS, LITE_CLASS, CONTROL_LORA_CLASS, ADAPTER_CLASS),
}
"""Classes that run here, by the folder their files lie in."""

Config = Mapping[str, Any]


def require_class(config: Config, kind: str, source: Path) -> None:
    """UserError unless the configuration is of one of the `CLASSES` of its kind."""
    classes = CLASSES[kind]
    name = config.get("_class_name")
    if name in classes:
        return
    raise UserError(f"{source} is a {_named(name)} where a {_either(classes)} belongs.")


def require_plain(config: Config, source: Path) -> None:
    """UserError where a U-Net or ControlNet asks for more than a latent, a time, a text and SDXL's
    sizes.
    """
    if config.get("addition_embed_type") == TEXT_TIME:
        if config.get("cross_attention_dim") == REFINER_WIDTH:
            raise UserError(f"{source} is of the SDXL refiner, which does not run here; {RUNS}.")
        config = {**config, "addition_embed_type": None}
    for key in ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim"):
        if config.get(key) is not None:
            what = f"{key}: {shown(config[key])}"
            raise UserError(f"{source} is of another family ({what}); {RUNS}.")


def require_text_encoder(config: Config, source: Path) -> None:
    """UserError unless the configuration is that of a CLIP text encoder."""
    kind = config.get("model_type")
    if kind != "clip_text_model":
        raise UserError(f"{source} is a model of type {shown(kind)}, no CLIP text encoder; {RUNS}.")


def _either(classes: Sequence[str]) -> str:
    *first, last = classes
    return f"{', '.join(first)} or {last}" if first else last


def _named(name: object) -> str:
    return name if isinstance(name, str) and name.isidentifier() else "model of unknown class"
