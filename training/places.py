"""The places of a run's files, looked at before anything is loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..ground.errors import UserError
from ..ground.lock import LOCK, require_idle
from ..ground.places import require_place
from ..ground.wording import shown
from .curve import CURVE
from .export import SAVING
from .run_settings import OutSettings, RunSettings

CONFIG, SHEETS, PLOT = "config.toml", "sheets", "curve.png"
"""What a run's folder has beside what the loop writes there."""
TRAINING = "training"
"""What a process does in the folder that it keeps to itself."""
_FOLDERS = (SHEETS, "checkpoints", "tensorboard")
_FILES = (CONFIG, CURVE, PLOT, LOCK)


def result_places(settings: RunSettings) -> dict[str, Path]:
    """Where the results go that the settings ask for: "folder", "single file" and "base"."""
    folder, out = settings.out.place, settings.out
    places = {"folder": folder / out.name}
    if out.single_file:
        places["single file"] = folder / f"{out.name}.safetensors"
    if settings.training.unlock_decoder:
        places["base"] = folder / f"{out.name}-unet"
    return places


def require_places(settings: RunSettings) -> None:
    """Raise UserError unless every file of the run and of its result can be written, and nobody
    else is at work in the folder. Nothing is made.
    """
    _check_name(settings.out)
    folder = settings.out.place
    require_place(folder, "the run's folder", folder=True)
    for name in _FILES + _FOLDERS:
        require_place(folder / name, f"{name} of the run", folder=name in _FOLDERS)
    for what, place in result_places(settings).items():
        require_place(place, "the result", folder=what != "single file")
    if settings.data.cache:
        require_place(Path(settings.data.cache).expanduser(), "the cache", folder=True)
    require_idle(folder, TRAINING)


def require_unused(folder: Path) -> None:
    """Raise UserError for a folder that holds something. What a run leaves that ended before its
    first checkpoint is nothing: it may begin again.
    """
    found = _seen(folder)
    ended = CURVE in found and found <= {*_FILES, *_FOLDERS} and not _seen(folder / "checkpoints")
    if found and not ended:
        raise UserError(
            f"{folder} holds something already: name another folder with --out, or go on with the "
            "run in it by --resume."
        )


def tidy(folder: Path) -> None:
    """Remove what a process that was killed while it wrote a result has left in a run's folder."""
    for left in folder.glob(f"{SAVING}*"):
        shutil.rmtree(left, ignore_errors=True)


def _seen(folder: Path) -> set[str]:
    """The names in a folder that are not hidden."""
    if not folder.is_dir():
        return set()
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def _check_name(out: OutSettings) -> None:
    name = out.name
    if not name or name == ".." or Path(name).name != name or not name.isprintable():
        raise UserError(f"The result's name is {shown(name)}; give a name without folders.")
    if name.casefold() in _FILES + _FOLDERS:
        raise UserError(
            f"The result's name is {name}, as something else in the run's folder is called; give "
            "another."
        )
