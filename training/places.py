"""The places of a run's files, looked at before anything is loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..ground.errors import UserError
from ..ground.lock import LOCK, require_idle
from ..ground.names import without_ending
from ..ground.places import require_place
from ..ground.wording import shown
from .curve import CURVE
from .export import CONFIG as NETWORK_CONFIG
from .export import SAVING, WEIGHTS
from .run_settings import OutSettings, RunSettings

CONFIG, SHEETS, PLOT = "config.toml", "sheets", "curve.png"
"""What a run's folder has beside what the loop writes there."""
TRAINING = "training"
"""What a process does in the folder that it keeps to itself."""
_FOLDERS = (SHEETS, "checkpoints", "tensorboard")
_FILES = (CONFIG, CURVE, PLOT, LOCK)
OWN = _FILES + _FOLDERS
"""Names in a run's folder that are the run's own, beside its results."""


def result_places(settings: RunSettings) -> dict[str, Path]:
    """Where the results go that the settings ask for: "folder", "single file" and "base"."""
    folder, out = settings.out.place, settings.out
    name = without_ending(out.name, ".safetensors")
    places = {"folder": folder / name}
    if out.single_file:
        places["single file"] = folder / f"{name}.safetensors"
    if settings.training.unlock_decoder:
        places["base"] = folder / f"{name}-unet"
    return places


def require_places(settings: RunSettings) -> None:
    """Raise UserError unless every file of the run and of its result can be written, and nobody
    else is at work in the folder. Nothing is made.
    """
    _check_name(settings.out)
    folder = settings.out.place
    require_place(folder, "the run's folder", folder=True)
    for name in OWN:
        require_place(folder / name, f"{name} of the run", folder=name in _FOLDERS)
    for what, place in result_places(settings).items():
        require_place(place, "the result", folder=what != "single file")
        if what != "single file":
            for name in (NETWORK_CONFIG, WEIGHTS):
                require_place(place / name, "the result")
    for sheet in (folder / SHEETS).glob("step-*.png"):
        require_place(sheet, "a sheet of the run")
    if settings.data.cache:
        require_place(Path(settings.data.cache).expanduser(), "the cache", folder=True)
    require_idle(folder, TRAINING)


def tidy(folder: Path) -> None:
    """Remove what a process that was killed while it wrote a result has left in a run's folder."""
    for left in folder.glob(f"{SAVING}*"):
        shutil.rmtree(left, ignore_errors=True)


def _check_name(out: OutSettings) -> None:
    name = without_ending(out.name, ".safetensors")
    if not name or name == ".." or Path(name).name != name or not name.isprintable():
        raise UserError(f"The result's name is {shown(name)}; give a name without folders.")
    if name.casefold() in OWN:
        raise UserError(
            f"The result's name is {name}, as something else in the run's folder is called; give "
            "another."
        )
