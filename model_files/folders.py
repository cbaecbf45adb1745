"""A folder as diffusers or transformers saves a model: its configuration and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..ground.building import check_numbers
from ..ground.errors import UserError
from ..ground.reading import read_text
from ..ground.structured import read_json
from .files import is_pickle, read_contents

CONFIG = "config.json"


def read_config(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; UserError where there is none, or one of no model's size."""
    config = read_json(read_text(path, "the configuration"), str(path), "configuration")
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no configuration: a JSON object is expected.")
    check_numbers(config, path)
    return config


def weight_files(folder: Path) -> list[Path]:
    """The weights of a model's folder: one file, or every part of one.

    Full precision is taken before halves, safetensors before pickles. Raises UserError where there
    are none, and for parts that are not there or outside of the folder.
    """
    for stem in ("diffusion_pytorch_model", "model", "pytorch_model"):
        for ending in (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin"):
            whole = folder / f"{stem}{ending}"
            if whole.exists():
                return [whole]
            index = folder / f"{stem}{ending}.index.json"
            if index.is_file():
                return _parts(index)
    raise UserError(
        f"{folder} has no weights: a model.safetensors, or diffusers' "
        "diffusion_pytorch_model.safetensors, belongs there."
    )


def check_weights(folder: Path) -> None:
    """Raise UserError where `weight_files` does, and for safetensors that are not whole; a pickle
    tells only when it is loaded.
    """
    for path in weight_files(folder):
        try:
            if not is_pickle(path):
                read_contents(path)
        except UserError as error:
            why = str(error).removeprefix(f"{path} ")
            raise UserError(f"{path} is no whole safetensors file: it {why}") from error


def _parts(index: Path) -> list[Path]:
    named, folder = read_config(index).get("weight_map"), index.parent
    names = sorted({str(name) for name in named.values()}) if isinstance(named, dict) else []
    if not names:
        raise UserError(f"{index} has no weight_map with files of weights; fetch it again.")
    for name in names:
        if Path(name).name != name:
            raise UserError(f"{folder} asks for weights outside itself ({name}); this is refused.")
        if not (folder / name).exists():
            raise UserError(f"{folder} lacks its weights {name}; fetch them again.")
    return [folder / name for name in names]
