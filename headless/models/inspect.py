"""Is this file or folder what a loader can load? Answered before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from ...errors import UserError
from .families import require_class, require_plain, require_text_encoder
from .files import read_contents
from .weights import read_config, weight_files

_CLASSES = {
    "diffusion_models": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
    "controlnet": ("ControlNetModel",),
}
_PIPELINE = {
    "unet": "diffusion_models",
    "vae": "vae",
    "text_encoder": "text_encoders",
}


def check(path: Path, kind: str) -> None:
    """Raise UserError unless `path` can be a model of `kind`, a folder name of `folders.KINDS`.

    Reads headers and configurations only: what is missing, cut off, a pickle that holds code, of
    another kind, or of a family that the embedded host does not run, is said here.
    """
    if not path.exists():
        raise UserError(f"{path} is not there.")
    if path.is_dir():
        _check_folder(path, kind)


def _check_folder(folder: Path, kind: str) -> None:
    if kind == "checkpoints":
        _check_pipeline(folder)
        return
    config = read_config(folder / "config.json")
    if kind == "text_encoders":
        require_text_encoder(config, folder)
    elif kind in _CLASSES:
        require_class(config, _CLASSES[kind], folder)
        require_plain(config, folder)
    for file in weight_files(folder):
        read_contents(file)


def _check_pipeline(folder: Path) -> None:
    read_config(folder / "model_index.json")
    for part, kind in _PIPELINE.items():
        if not (folder / part).is_dir():
            raise UserError(f"{folder} has no {part} folder: it is no pipeline that can run here.")
        _check_folder(folder / part, kind)
