"""One model in a diffusers folder or a single file: its configuration, and its tensors under
diffusers' names.

A file's configuration comes from a `config.json` beside it or from the shapes of its tensors, the
renaming of CompVis' names from diffusers' own converters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
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
from .families import RUNS
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
_LAYOUTS = {
    "diffusion_models": _Layout(
        (UNET_PREFIX, ""), layouts.unet_config, "convert_ldm_unet_checkpoint", UNET_PREFIX
    ),
    "controlnet": _Layout(
        ("control_model.", ""), layouts.control_net_config, "convert_controlnet_checkpoint"
    ),
    "vae": _Layout((*VAE_PREFIXES, ""), layouts.vae_config, "convert_ldm_vae_checkpoint"),
    "text_encoders": _Layout(
        (f"{_WHOLE}text_model.", _WHOLE, "text_model.", ""), layouts.clip_config
    ),
}
_NOT_FROM_FILES = {
    "conditioner.": "of the SDXL family",
    "cond_stage_model.model.": "of the SD 2.x family as a single file",
}
# Some files have CLIP's projection beside the encoder; SD 1.x does not use it.
_OF_CLIP = ("embeddings.", "encoder.", "final_layer_norm.")


def part_of(path: Path, kind: str) -> Part:
    """The model of `kind` in a folder or file; UserError where a file has none that runs here."""
    if path.is_dir():
        return Part(path, read_config(path / CONFIG), partial(read_folder, path))
    return file_part(path, kind, read_contents(path))


def file_part(path: Path, kind: str, contents: Contents) -> Part:
    """The model of `kind` in a file of these contents; UserError where none runs here."""
    layout, shapes = _LAYOUTS[kind], contents.shapes
    if kind == "text_encoders":
        for beginning, family in _NOT_FROM_FILES.items():
            if any(name.startswith(beginning) for name in shapes):
                raise UserError(f"{path} is {family}; {RUNS}, SD 2.x from diffusers folders.")
    prefix = next(p for p in layout.prefixes if any(name.startswith(p) for name in shapes) or not p)
    inside = under(shapes, prefix)
    ldm = is_ldm(inside)
    config = _config_beside(path, _told(path, inside, layout.tell), ldm)
    if kind == "controlnet":
        config |= _in_header(path, contents.metadata)

    def read() -> Weights:
        found = read_weights(path, lambda name: name.startswith(prefix))
        weights = {name.removeprefix(prefix): value for name, value in found.items()}
        if kind == "text_encoders":
            return {name: value for name, value in weights.items() if name.startswith(_OF_CLIP)}
        return _converted(path, weights, config, layout) if ldm else weights

    return Part(path, config, read)


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
        raise UserError(f"{path} is not a whole SD 1.x model: {error}.") from error
    return {name: value for name, value in converted.items() if value is not None}
