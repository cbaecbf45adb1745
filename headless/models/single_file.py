"""Single files, in CompVis' layout or diffusers', to MODEL, CLIP, VAE and networks.

The configuration comes from a `config.json` beside the file or from the shapes of its tensors, the
renaming from diffusers' own converters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ...ground.building import check_numbers
from ...ground.errors import UserError
from ...ground.structured import read_json
from ...model_files.files import Shape, read_contents
from ...model_files.folders import CONFIG, read_config
from ...model_files.kinds import UNET_PREFIX
from ...model_files.unet_layout import is_ldm, under
from ...training.ldm_layout import UNTOLD
from ..sampling.model import Model
from ..sampling.model_sampling import DiscreteSampling
from . import components, layouts, tokenizers
from .clip import Clip
from .families import RUNS
from .t2i_network import T2INetwork, plain_names
from .vae import Vae
from .weights import Weights, read_weights, skeleton, with_weights

Shapes = Mapping[str, Shape]
VAE_PREFIXES = ("first_stage_model.", "vae.")


@dataclass(frozen=True)
class Part:
    """One model inside a file: the beginning of its names, its shapes, its configuration."""

    path: Path
    prefix: str
    shapes: Shapes
    config: Mapping[str, Any]

    def read(self) -> Weights:
        """Its tensors, without the prefix."""
        weights = read_weights(self.path, lambda name: name.startswith(self.prefix))
        return {name.removeprefix(self.prefix): value for name, value in weights.items()}


def unet_part(path: Path, shapes: Shapes) -> Part:
    """The U-Net in a file; UserError where there is none that runs here."""
    return _part(path, shapes, (UNET_PREFIX, ""), layouts.unet_config)


def controlnet_part(path: Path, shapes: Shapes) -> Part:
    """The ControlNet in a file; UserError where there is none that runs here."""
    return _part(path, shapes, ("control_model.", ""), layouts.controlnet_config)


def adapter_part(path: Path, shapes: Shapes) -> Part:
    """The T2I adapter in a file, under TencentARC's names; UserError for one of another family."""
    names = plain_names(shapes)
    inside = {names[name]: shape for name, shape in shapes.items()}
    return Part(path, "", inside, _told(path, inside, layouts.adapter_config))


def vae_part(path: Path, shapes: Shapes) -> Part:
    """The VAE in a file; UserError where there is none that runs here."""
    return _part(path, shapes, (*VAE_PREFIXES, ""), layouts.vae_config)


def clip_part(path: Path, shapes: Shapes) -> Part:
    """The text encoder in a file; UserError where there is none that runs here."""
    for beginning, family in (
        ("conditioner.", "of the SDXL family"),
        ("cond_stage_model.model.", "of the SD 2.x family as a single file"),
    ):
        if any(name.startswith(beginning) for name in shapes):
            raise UserError(f"{path} is {family}; {RUNS}, SD 2.x from diffusers folders.")
    whole = "cond_stage_model.transformer."
    prefixes = (f"{whole}text_model.", whole, "text_model.", "")
    return _part(path, shapes, prefixes, layouts.clip_config)


def checkpoint_parts(path: Path, shapes: Shapes) -> tuple[Part, ...]:
    """U-Net, text encoder and, where there is one, VAE; UserError for what does not run here."""
    parts = (unet_part(path, shapes), clip_part(path, shapes))
    return (*parts, vae_part(path, shapes)) if has_vae(shapes) else parts


def load_checkpoint(path: Path) -> tuple[Model, Clip, Vae | None]:
    """MODEL, CLIP and VAE of an SD 1.x checkpoint; "no-vae" files have no VAE."""
    vae = load_vae(path) if has_vae(read_contents(path).shapes) else None
    return load_unet(path), load_clip(path), vae


def has_vae(shapes: Shapes) -> bool:
    """Whether a checkpoint has a VAE; "no-vae" files have none."""
    return any(name.startswith(VAE_PREFIXES) for name in shapes)


def load_unet(path: Path) -> Model:
    """MODEL of a diffusion model, or of the one in a checkpoint; predicts noise, as SD 1.x does."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    def convert(weights: Weights, config: dict[str, Any]) -> Weights:
        named = {UNET_PREFIX + name: value for name, value in weights.items()}
        return dict(convert_ldm_unet_checkpoint(named, config))

    part = unet_part(path, read_contents(path).shapes)
    unet = components.make_unet(part.config, _diffusers_names(part, convert), path)
    return components.as_model(unet, DiscreteSampling.from_betas())


def load_clip(path: Path) -> Clip:
    """CLIP of a text encoder, or of the one in a checkpoint; its tokenizer is OpenAI's."""
    part = clip_part(path, read_contents(path).shapes)
    # Some files have CLIP's projection beside the encoder; SD 1.x does not use it.
    used = ("embeddings.", "encoder.", "final_layer_norm.")
    weights = {name: value for name, value in part.read().items() if name.startswith(used)}
    text_encoder = components.make_text_encoder(part.config, weights, path)
    places = (path.parent / "tokenizer",)
    return Clip(text_encoder, tokenizers.load(places, part.config["vocab_size"], path))


def load_vae(path: Path) -> Vae:
    """VAE of a file of its own, or of the one in a checkpoint."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    part = vae_part(path, read_contents(path).shapes)
    weights = _diffusers_names(part, convert_ldm_vae_checkpoint)
    return components.make_vae(part.config, weights, path)


def load_control_network(path: Path) -> nn.Module:
    """Diffusers' ControlNetModel of a file in either layout."""
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    contents = read_contents(path)
    part = controlnet_part(path, contents.shapes)
    part = replace(part, config={**part.config, **_in_header(path, contents.metadata)})
    weights = _diffusers_names(part, convert_controlnet_checkpoint)
    return components.make_control_network(part.config, weights, path)


def _in_header(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What a ControlNet's file that we wrote says of itself beside its shapes."""
    told = {
        name: read_json(metadata[name], f"{path} ({name})", "configuration")
        for name in UNTOLD
        if name in metadata
    }
    check_numbers(told, path)
    return told


def load_adapter_network(path: Path) -> T2INetwork:
    """The network of a T2I adapter's file in either layout."""
    part = adapter_part(path, read_contents(path).shapes)
    weights = part.read()
    names = plain_names(weights)
    network = skeleton(lambda: T2INetwork(part.config), path)
    return with_weights(network, {names[name]: value for name, value in weights.items()}, path)


def _part(
    path: Path, shapes: Shapes, prefixes: tuple[str, ...], tell: Callable[[Shapes], dict[str, Any]]
) -> Part:
    """The part below the first prefix that the file has; `tell` makes its configuration."""
    prefix = next(p for p in prefixes if any(name.startswith(p) for name in shapes) or not p)
    inside = under(shapes, prefix)
    told = _told(path, inside, tell)
    return Part(path, prefix, inside, _config_beside(path, told, is_ldm(inside)))


def _told(path: Path, shapes: Shapes, tell: Callable[[Shapes], dict[str, Any]]) -> dict[str, Any]:
    try:
        config = tell(shapes)
    except UserError as error:
        raise UserError(f"{path}: {error}.") from error
    check_numbers(config, path)
    return config


def _config_beside(path: Path, told: dict[str, Any], ldm: bool) -> dict[str, Any]:
    """The `config.json` beside a diffusers-layout file, if it is of the same class, else `told`.

    It knows what shapes do not tell: heads, groups, activations.
    """
    beside = path.with_name(CONFIG)
    if ldm or not beside.is_file():
        return told
    config = read_config(beside)
    same = all(config.get(key) == told.get(key) for key in ("_class_name", "model_type"))
    return config if same else told


def _diffusers_names(part: Part, convert: Callable[[Weights, dict[str, Any]], Weights]) -> Weights:
    """The part's tensors under diffusers' names."""
    weights = part.read()
    if not is_ldm(part.shapes):
        return weights
    try:
        converted = convert(weights, dict(part.config))
    except (KeyError, AttributeError, IndexError, ValueError) as error:
        raise UserError(f"{part.path} is not a whole SD 1.x model: {error}.") from error
    return {name: value for name, value in converted.items() if value is not None}
