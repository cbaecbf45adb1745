"""Where published weights lie on this machine: in the host's folders, or the Hugging Face cache.

Makes no request; `download` is the one module that does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..ground.errors import UserError
from ..ground.not_found import not_found
from ..model_files.folders import CONFIG, read_config
from .spec import Weights

PICKLES = frozenset({".pth", ".pt", ".bin", ".ckpt"})
"""Endings of files that are preferred as .safetensors of the same stem."""

HINT_NETWORK = "hint network"

PAGES = "https://huggingface.co"

DEPTH = 3
"""How many folders deep a user's own models are looked for: place / publisher / model."""


def find(weights: Weights, places: Sequence[Path]) -> tuple[Path, ...] | None:
    """The folder of `weights`, or its files in order; None where one is not on this machine.

    In each place: `<name>/`, `<repo>/` (the layout of comfyui_controlnet_aux's ckpts), the
    repository's own name, and for files the place itself. Then the Hugging Face cache, whose
    place HF_HOME and HF_HUB_CACHE tell. A .safetensors of the same stem goes before a pickle.
    Weights that ship with the pack are looked for there alone. Makes no request.
    """
    if weights.shipped is not None:
        files = tuple(weights.shipped / file for file in weights.files)
        return files if all(map(_is_file, files)) else None
    if weights.is_folder:
        folders = (folder for place in places for folder in _folders(weights, place))
        whole = next((folder for folder in folders if _holds(weights, folder)), None)
        whole = whole or _cached_folder(weights)
        return None if whole is None else (whole,)
    found = [_found(weights, file, places) for file in weights.files]
    return None if None in found else tuple(path for path in found if path is not None)


def missing(weights: Weights, places: Sequence[Path]) -> UserError:
    """Says which files of `weights` are not here, where to get them and where to put them."""
    if weights.shipped is not None:
        return UserError(
            f"{weights.shipped} lacks files of {weights.name}, which ship with ControlStack "
            f"({', '.join(weights.files)}); install ControlStack anew."
        )
    gone = list(weights.files)
    if not weights.is_folder:
        gone = [file for file in gone if _found(weights, file, places) is None]
    several = len(gone) > 1
    named = f"{', '.join(gone[:-1])} and {gone[-1]}" if several else gone[0]
    them, are = ("them", "are") if several else ("it", "is")
    use = "" if weights.commercial else ", not for commercial use"
    return not_found(
        f"{named} of {weights.name} {are} not on this machine: get {them} from "
        f"{PAGES}/{weights.repo} ({weights.megabytes} MB, licence {weights.licence}{use}) and put "
        f"{them} into {places[0] / weights.name}, or allow the download (download on the node, "
        "--download on the command line).",
        HINT_NETWORK,
        weights.name,
    )


def local_folders(places: Sequence[Path], model_types: Sequence[str]) -> dict[str, Path]:
    """A user's own models in transformers' layout, by their path below their place.

    A model is a folder whose config.json has one of `model_types`; earlier places win.
    """
    found: dict[str, Path] = {}
    for place in places if model_types else ():
        for folder in _models_below(place, DEPTH):
            if _model_type(folder) in model_types:
                found.setdefault(folder.relative_to(place).as_posix(), folder)
    return found


def below(folder: Path, name: str) -> Path:
    """`folder / name`. Raises UserError for a name that leads out of `folder`."""
    parts = PurePosixPath(name.replace("\\", "/"))
    outside = parts.is_absolute() or ".." in parts.parts or PureWindowsPath(name).drive
    if outside or not parts.parts or "\0" in name:
        raise UserError(f"{name!r} names nothing inside {folder}; give a name inside it.")
    return folder.joinpath(*parts.parts)


def _folders(weights: Weights, place: Path) -> Iterator[Path]:
    for name in (weights.name, weights.repo, weights.repo.split("/")[-1]):
        yield below(place, name)


def _holds(weights: Weights, folder: Path) -> bool:
    return all(_in_folder(folder, file) is not None for file in weights.files)


def _found(weights: Weights, file: str, places: Sequence[Path]) -> Path | None:
    for place in places:
        for folder in (*_folders(weights, place), place):
            path = _in_folder(folder, file)
            if path is not None:
                return path
    return _cached(weights.repo, file)


def _in_folder(folder: Path, file: str) -> Path | None:
    """`file` in `folder`, with or without the subfolder that it has on the hub."""
    names = [*_variants(file), *_variants(PurePosixPath(file).name)]
    return next((path for name in names if _is_file(path := below(folder, name))), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # in a folder that may not be read
        return False


def _variants(file: str) -> Iterator[str]:
    """The names that hold the weights of `file`: as safetensors first."""
    path = PurePosixPath(file)
    if path.suffix in PICKLES:
        yield str(path.with_suffix(".safetensors"))
        if path.name == "pytorch_model.bin":  # transformers' two names for one thing
            yield str(path.with_name("model.safetensors"))
    yield file


def _cached(repo: str, file: str) -> Path | None:
    """`file` in the local Hugging Face cache."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:  # then nothing filled a cache
        return None
    for name in _variants(file):
        path = try_to_load_from_cache(repo, name)
        if isinstance(path, str):
            return Path(path)
    return None


def _cached_folder(weights: Weights) -> Path | None:
    """The cache's folder of one commit, if it holds all of `weights`."""
    config = _cached(weights.repo, CONFIG)
    return config.parent if config is not None and _holds(weights, config.parent) else None


def _models_below(folder: Path, depth: int) -> Iterator[Path]:
    """The folders with a config.json, none inside another one. Links are followed."""
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:  # no folder, or none that may be read
        return
    for path in inside:
        if _is_file(path / CONFIG):
            yield path
        elif depth > 1 and path.is_dir():
            yield from _models_below(path, depth - 1)


def _model_type(folder: Path) -> str | None:
    try:
        kind = read_config(folder / CONFIG).get("model_type")
    except UserError:
        return None
    return kind if isinstance(kind, str) else None
