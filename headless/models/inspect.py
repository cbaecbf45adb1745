"""Is this file or folder what a loader can load? Answered before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...ground.errors import UserError
from ...ground.reading import require_regular
from ...ground.wording import listing, shown
from ...model_files.files import is_gguf, read_contents
from ...model_files.folders import CONFIG, read_config, weight_files
from ...model_files.kinds import (
    CHECKPOINT,
    CONTROL_LORA,
    CONTROLNET,
    DIFFERENCE,
    DIFFUSION_MODEL,
    KINDS,
    LORA,
    T2I_ADAPTER,
    TEXT_ENCODER,
    UNION,
    VAE,
    kind_of,
)
from ...training.ldm_layout import CONTROL_LORA as MARK
from ...training.ldm_layout import CONTROL_LORA_CLASS
from . import control_lora
from .families import (
    ADAPTER_CLASS,
    CLASSES,
    TEXT_TIME,
    UNION_CLASS,
    require_class,
    require_plain,
    require_text_encoder,
)
from .parts import SECOND, adapter_part, checkpoint_kinds, file_part, part_of, text_parts

PIPELINE = "model_index.json"
_COMPONENTS = {"unet": "diffusion_models", "vae": "vae", "text_encoder": "text_encoders"}
NETS = frozenset({CONTROLNET, UNION, CONTROL_LORA, T2I_ADAPTER, DIFFERENCE})
RUNS = NETS | {CHECKPOINT, DIFFUSION_MODEL, TEXT_ENCODER, VAE, LORA}
"""The kinds of files that the embedded host can load."""

# The U-Net of a whole checkpoint can be loaded alone.
_ALSO = {"diffusion_models": ("checkpoints",)}


def check(path: Path, kind: str, difference: bool = False) -> None:
    """Raise UserError unless `path` can be a model of `kind`, a key of `KINDS`.

    Reads headers and configurations only: what is missing, cut off, a pickle that holds code, of
    another kind, or of a family that the embedded host does not run, is said here. `difference`:
    whether a ControlNet may be only its difference to a base model.
    """
    if path.is_dir():
        _check_folder(path, kind)
    elif path.is_file():
        _check_file(path, kind, difference)
    elif path.exists():
        require_regular(path, "the model")
    else:
        words = listing(sorted(entry.name for entry in path.parent.glob("*")))
        raise UserError(f"{path} is not there; in {path.parent} there is {words}.")


def is_adapter(path: Path) -> bool:
    """Whether the file or folder holds a T2I adapter; UserError where it cannot be read."""
    if path.is_dir():
        return read_config(path / CONFIG).get("_class_name") == ADAPTER_CLASS
    return kind_of(read_contents(path).shapes) == T2I_ADAPTER


def is_control_lora(path: Path) -> bool:
    """Whether the file or folder holds a Control-LoRA; UserError where it cannot be read."""
    if path.is_dir():
        return read_config(path / CONFIG).get("_class_name") == CONTROL_LORA_CLASS
    return MARK in read_contents(path).shapes


def require_copied_encoder(path: Path) -> None:
    """UserError unless the file or folder, which `check` has passed, holds a plain ControlNet, our
    lite one, or the folder of a Control-LoRA: what a training can go on with.
    """
    if path.is_dir():
        name = read_config(path / CONFIG).get("_class_name")
        words = {ADAPTER_CLASS: T2I_ADAPTER.words, UNION_CLASS: UNION.words}.get(str(name))
    else:
        kind = kind_of(read_contents(path).shapes)
        words = kind.words if kind and kind != CONTROLNET else None
    if words == CONTROL_LORA.words:
        raise UserError(
            f"{path} is {words} as a single file, which does not tell what its model is like: give "
            "the folder that a training wrote beside it."
        )
    if words:
        raise UserError(f"{path} is {words}; give a ControlNet.")


def control_net_config(path: Path) -> Mapping[str, Any]:
    """The configuration of the ControlNet or T2I adapter in a file or folder; raises as `check`."""
    check(path, "controlnet")
    if path.is_file() and is_adapter(path):
        return adapter_part(path, read_contents(path).shapes).config
    return part_of(path, "controlnet").config


def _check_file(path: Path, kind: str, difference: bool) -> None:
    contents = read_contents(path)
    shapes = contents.shapes
    found = kind_of(shapes)
    wanted = KINDS[kind].words
    if is_gguf(path) and kind != DIFFUSION_MODEL.folder:
        what = found.words if found else "a model that is not known here"
        raise UserError(
            f"{path} is a GGUF file of {what}: of such files the embedded host reads diffusion "
            f"models alone; get {wanted} as .safetensors."
        )
    if found is None:
        first = next(iter(shapes), None)
        told = f"its first tensor is {shown(first)}" if first else "it has no tensors"
        raise UserError(f"{path} is not {wanted}, nor any other model known here: {told}.")
    fits = found.folder == kind or found.folder in _ALSO.get(kind, ())
    if found.family:
        raise UserError(
            f"{path} is {found.words}: the embedded host has no {found.family} models; run the "
            "workflow in ComfyUI."
        )
    if found not in RUNS:
        other = "" if fits else f", not {wanted}"
        raise UserError(f"{path} is {found.words}{other}: no node of the embedded host loads it.")
    if not fits or (found == DIFFERENCE and not difference):
        raise UserError(f"{path} is {found.words}, not {wanted}: {found.place}.")
    if found == T2I_ADAPTER:
        adapter_part(path, shapes)
    elif found == CONTROL_LORA:
        control_lora.check(shapes, path)
    elif kind != "loras":
        for part in checkpoint_kinds(shapes) if kind == "checkpoints" else (kind,):
            if part == "text_encoders":
                for text in text_parts(path, contents):
                    require_text_encoder(text.config, path)
            else:
                file_part(path, part, contents)


def _check_folder(folder: Path, kind: str) -> None:
    if kind == "checkpoints":
        _check_pipeline(folder)
        return
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder} holds no model: it has no {CONFIG}.")
    config = read_config(folder / CONFIG)
    if kind == "text_encoders":
        require_text_encoder(config, folder)
    elif kind in CLASSES:
        require_class(config, kind, folder)
        require_plain(config, folder)
    for file in weight_files(folder):
        shapes = read_contents(file).shapes
        if config.get("_class_name") == ADAPTER_CLASS:
            adapter_part(file, shapes)


def _check_pipeline(folder: Path) -> None:
    if not (folder / PIPELINE).is_file():
        raise UserError(f"{folder} is no diffusers pipeline: it has no {PIPELINE}.")
    name = read_config(folder / PIPELINE).get("_class_name")
    components = dict(_COMPONENTS)
    if (folder / "unet" / CONFIG).is_file():
        config = read_config(folder / "unet" / CONFIG)
        if config.get("addition_embed_type") == TEXT_TIME:
            require_plain(config, folder / "unet")
            components[SECOND] = "text_encoders"
    for part, kind in components.items():
        if not (folder / part).is_dir():
            raise UserError(
                f"{folder} is a {shown(name)} without a {part} folder: the embedded host cannot "
                "run it."
            )
        _check_folder(folder / part, kind)
