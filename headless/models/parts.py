"""One model in a diffusers folder or a single file: its configuration, and its tensors under
diffusers' names.

A file's configuration comes from a `config.json` beside it or from the shapes of its tensors, the
renaming of CompVis' names from diffusers' own converters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ...ground.building import check_numbers
from ...ground.errors import UserError
from ...ground.structured import read_json
from ...model_files.files import Contents, Shape, read_contents
from ...model_files.folders import CONFIG, read_config
from ...model_files.kinds import UNET_PREFIX
from ...model_files.unet_layout import is_ldm, under
from ...training.ldm_layout import UNTOLD
from . import layouts
from .families import REFINER_WIDTH
from .t2i_network import plain_names
from .weights import Weights, read_folder, read_weights

Shapes = Mapping[str, Shape]
VAE_PREFIXES = ("first_stage_model.", "vae.")


@dataclass(frozen=True)
class Part:
    """One model: where it lies, its configuration, and what reads its tensors."""

    source: Path
    config: Mapping[str, Any]
    read: Callable[[], Weights]


@dataclass(frozen=True)
class _Layout:
    """How one kind of model lies in a file: the beginnings its names may have, what tells its
    configuration from its shapes, diffusers' converter for CompVis' names, and the beginning that
    this one wants.
    """

    prefixes: tuple[str, ...]
    tell: Callable[[Shapes], dict[str, Any]]
    converter: str = ""
    wanted: str = ""


_WHOLE = "cond_stage_model.transformer."
_SECOND = "conditioner.embedders.1.model."
"""SDXL's second text encoder (Stability-AI/generative-models, sd_xl_base.yaml)."""
_LAYOUTS = {
    "diffusion_models": _Layout(
        (UNET_PREFIX, ""), layouts.unet_config, "convert_ldm_unet_checkpoint", UNET_PREFIX
    ),
    "controlnet": _Layout(
        ("control_model.", ""), layouts.control_net_config, "convert_controlnet_checkpoint"
    ),
    "vae": _Layout((*VAE_PREFIXES, ""), layouts.vae_config, "convert_ldm_vae_checkpoint"),
}
# Of text encoders: SD 1.x's, SDXL's first, SD 2.x's in two layouts, those alone in a file.
_TEXTS = (
    *(f"{_WHOLE}text_model.", _WHOLE, "conditioner.embedders.0.transformer.text_model."),
    *("cond_stage_model.model.", "conditioner.embedders.0.model.", "text_model.", ""),
)
_OF_CLIP = ("embeddings.", "encoder.", "final_layer_norm.")
SECOND = "text_encoder_2"
"""The folder of SDXL's second text encoder in a diffusers pipeline."""
PROJECTION = "text_projection.weight"
"""What pooled texts go through, beside the encoder's own tensors."""


def part_of(path: Path, kind: str) -> Part:
    """The model of `kind` in a folder or file; UserError where a file has none that runs here."""
    if path.is_dir():
        return Part(path, read_config(path / CONFIG), partial(read_folder, path))
    return file_part(path, kind, read_contents(path))


def file_part(path: Path, kind: str, contents: Contents) -> Part:
    """The model of `kind` in a file of these contents; UserError where none runs here."""
    if kind == "text_encoders":
        return text_parts(path, contents)[0]
    layout, shapes = _LAYOUTS[kind], contents.shapes
    prefix = _prefix(shapes, layout.prefixes)
    inside = under(shapes, prefix)
    ldm = is_ldm(inside)
    config = _config_beside(path, _told(path, inside, layout.tell), ldm)
    if kind == "controlnet":
        config |= _in_header(path, contents.metadata)

    def read() -> Weights:
        found = read_weights(path, lambda name: name.startswith(prefix))
        weights = {name.removeprefix(prefix): value for name, value in found.items()}
        return _converted(path, weights, config, layout) if ldm else weights

    return Part(path, config, read)


def text_parts(path: Path, contents: Contents | None = None) -> list[Part]:
    """The text encoder of a file (of these `contents`) or folder, or the two of SDXL; their weights
    may have a `PROJECTION`. UserError for one that does not run here.
    """
    if path.is_dir():
        return [part_of(path, "text_encoders")]
    contents = contents or read_contents(path)
    first = _prefix(contents.shapes, _TEXTS)
    both = [first, _SECOND] if any(n.startswith(_SECOND) for n in contents.shapes) else [first]
    return [_text_part(path, contents, prefix) for prefix in both]


def _text_part(path: Path, contents: Contents, prefix: str) -> Part:
    inside = under(contents.shapes, prefix)
    openclip = layouts.is_openclip(inside)
    config = _config_beside(path, _told(path, inside, layouts.clip_config), openclip)
    if prefix == "conditioner.embedders.0.model." and config["hidden_size"] == REFINER_WIDTH:
        raise UserError(f"{path} has the SDXL refiner's text encoder, which does not run here.")

    def read() -> Weights:
        projection = f"{prefix.removesuffix('text_model.')}{PROJECTION}"
        found = read_weights(path, lambda name: name.startswith(prefix) or name == projection)
        weights = {name.removeprefix(prefix): value for name, value in found.items()}
        if openclip:
            weights = _from_openclip(weights, config)
        through = weights.pop(PROJECTION, found.get(projection))
        kept = {name: value for name, value in weights.items() if name.startswith(_OF_CLIP)}
        return kept if through is None else {**kept, PROJECTION: through}

    return Part(path, config, read)


def _from_openclip(weights: Weights, config: Mapping[str, Any]) -> Weights:
    """OpenCLIP's names and layout as transformers', by diffusers' converter."""
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    asked = SimpleNamespace(config=SimpleNamespace(**config))
    converted = convert_open_clip_checkpoint(asked, weights, prefix="")
    return {name.removeprefix("text_model."): value for name, value in converted.items()}


def _prefix(shapes: Shapes, prefixes: Sequence[str]) -> str:
    return next(p for p in prefixes if any(name.startswith(p) for name in shapes) or not p)


def adapter_part(path: Path, shapes: Shapes) -> Part:
    """The T2I adapter in a file, under TencentARC's names; UserError for one of another family."""
    names = plain_names(shapes)

    def read() -> Weights:
        return {names[name]: value for name, value in read_weights(path).items()}

    inside = {names[name]: shape for name, shape in shapes.items()}
    return Part(path, _told(path, inside, layouts.adapter_config), read)


def checkpoint_kinds(shapes: Shapes) -> tuple[str, ...]:
    """The kinds of models that a whole checkpoint has; "no-vae" files have no VAE."""
    vae = ("vae",) if any(name.startswith(VAE_PREFIXES) for name in shapes) else ()
    return ("diffusion_models", "text_encoders", *vae)


def _in_header(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What a ControlNet's file that we wrote says of itself beside its shapes."""
    told = {
        name: read_json(metadata[name], f"{path} ({name})", "configuration")
        for name in UNTOLD
        if name in metadata
    }
    check_numbers(told, path)
    return told


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


def _converted(path: Path, weights: Weights, config: Mapping[str, Any], layout: _Layout) -> Weights:
    """CompVis' names as diffusers'."""
    from diffusers.loaders import single_file_utils

    convert = getattr(single_file_utils, layout.converter)
    try:
        named = {layout.wanted + name: value for name, value in weights.items()}
        converted = convert(named, dict(config))
    except (KeyError, AttributeError, IndexError, ValueError) as error:
        raise UserError(f"{path} is not a whole Stable Diffusion model: {error}.") from error
    found = {name: value for name, value in converted.items() if value is not None}
    return found | _vector_layers(weights)


def _vector_layers(weights: Weights) -> Weights:
    """What SDXL's vector goes through: diffusers' converter leaves it out of ControlNets."""
    names = {
        f"label_emb.0.{2 * i}.{end}": f"add_embedding.linear_{i + 1}.{end}"
        for i in range(2)
        for end in ("weight", "bias")
    }
    return {new: weights[old] for old, new in names.items() if old in weights}
