"""The folder of a run: where its files go, and whether the run may begin there or go on.

All is looked at before anything is loaded, and nothing of somebody else's is replaced.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..ground.errors import UserError
from ..ground.lock import LOCK, require_idle
from ..ground.names import without_ending
from ..ground.places import identity, require_place
from ..ground.reading import read_bytes
from ..ground.wording import listing, shown
from ..model_files.files import read_contents
from .checkpoint import CHECKPOINTS, NETWORK, Checkpoints
from .config import read_config, run_settings
from .curve import CURVE, read_lines
from .events import GAIN
from .export import CONFIG as NETWORK_CONFIG
from .export import SAVING, WEIGHTS
from .settings import SECTIONS, OutSettings, RunSettings

CONFIG, SHEETS, PLOT, BEST = "config.toml", "sheets", "curve.png", "best"
"""What a run's folder has beside what the loop writes there."""
TRAINING = "training"
"""What a process does in the folder that it keeps to itself."""
_FOLDERS = (SHEETS, BEST, f"{BEST}-unet", CHECKPOINTS, "tensorboard")
_FILES = (CONFIG, CURVE, PLOT, LOCK)
OWN = _FILES + _FOLDERS
"""Names in a run's folder that are the run's own, beside its results."""
_LINE = b'{"step": '
"""What begins each line of a curve."""


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


def kept_best(folder: Path) -> tuple[int, float] | None:
    """The step and the gain of the network that a run's folder keeps as its best, by what its file
    says of itself; None where there is none that can be read.
    """
    weights = folder / BEST / WEIGHTS
    if not weights.is_file():
        return None
    try:
        told = read_contents(weights).metadata
        return int(told["step"]), float(told[GAIN])
    except (UserError, KeyError, ValueError):
        return None


def forget_best(folder: Path) -> None:
    """Remove the network that a run's folder keeps as its best."""
    for name in (BEST, f"{BEST}-unet"):
        shutil.rmtree(folder / name, ignore_errors=True)


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


def require_free(settings: RunSettings, resume: bool) -> None:
    """Raise UserError unless the run may begin, or with `resume` go on, in its folder: all that it
    writes can be written (`require_places`), and what is there is its own. Nothing is made.
    """
    require_places(settings)
    folder = settings.out.place
    checkpoints = Checkpoints(folder / CHECKPOINTS, settings.training.keep)
    beginning(checkpoints, resume)
    newest = checkpoints.newest()
    if newest is None:
        cache = settings.data.cache
        require_unused(folder, resume, Path(cache).expanduser() if cache else None)
        return
    for place in result_places(settings).values():
        if not _is_result(place, newest):
            raise UserError(
                f"{place}, where the result belongs, is there and was not written by a run; give "
                "another name, or move it away"
            )


def beginning(checkpoints: Checkpoints, resume: bool) -> list[str]:
    """What is to be said of where a run begins; UserError where there is no checkpoint to `resume`
    from and no run ended before its first, and where there is one and it is not meant.
    """
    newest, folder = checkpoints.newest(), checkpoints.folder.parent
    if newest and not resume:
        raise UserError(
            f"{folder} holds the checkpoint {newest.name} of an earlier run: resume it, or "
            "choose another folder."
        )
    if newest or not resume:
        return []
    if not (folder / CURVE).exists():
        raise UserError(
            f"There is no checkpoint to resume from in {folder}; begin without resume, in an empty "
            "folder."
        )
    return [f"the run in {folder} ended before its first checkpoint; it begins anew"]


def require_unused(folder: Path, resume: bool = False, cache: Path | None = None) -> None:
    """Raise UserError for a folder without a checkpoint that holds something beside the `cache` of
    the data. What a run leaves that ended before its first checkpoint is nothing: it may begin
    again, also where it is to `resume`.
    """
    kept = {identity(path) for path in (cache, *cache.parents)} if cache else set()
    found = {path.name for path in _seen(folder) if identity(path) not in kept}
    strange = _strange(folder, found)
    if strange and resume:
        raise UserError(
            f"{folder} has no checkpoint left, but a result, or what is not of a run that ended "
            f"before its first one: {listing(strange)}; begin without resume, in another folder"
        )
    if strange:
        raise UserError(
            f"{folder} holds something already: name another folder, or resume the run in it."
        )


def _strange(folder: Path, names: set[str]) -> list[str]:
    """Those of the `names` in a folder that no run left which ended before its first checkpoint."""
    if CURVE not in names:
        return sorted(names)
    strange = names - set(OWN)
    if _seen(folder / CHECKPOINTS):
        strange.add(CHECKPOINTS)
    former = _former(folder) if CONFIG in names else None
    if former is None:  # a run writes its curve first, then its settings, then all else
        strange |= names - {CURVE, "tensorboard"}
    if not _is_beginning(folder / CURVE, former):
        strange.add(CURVE)
    return sorted(strange)


def _is_beginning(curve: Path, former: RunSettings | None) -> bool:
    """Whether a run wrote the curve, whose last line may be cut off, and had no checkpoint yet."""
    lines = read_lines(curve)
    last = curve.read_bytes().rpartition(b"\n")[2]
    steps = [entry.step for entry in lines.entries]
    due = former.training.save_every if former else 0
    cut_off = last.startswith(_LINE) or _LINE.startswith(last)
    return cut_off and not lines.damaged and max(steps, default=0) <= due


def _former(folder: Path) -> RunSettings | None:
    """The settings of the run that was in the folder; None where no run wrote them: it writes all
    sections.
    """
    try:
        given = read_config(folder / CONFIG)
    except UserError:
        return None
    return run_settings(given) if given.keys() == SECTIONS.keys() else None


def _is_result(place: Path, newest: Path) -> bool:
    """Whether nothing is at `place`, or a result of a run, such as one with the checkpoint `newest`
    that was killed between the two files of its network.
    """
    if place.is_symlink():
        return False
    if not place.is_dir():
        return not place.exists() or _is_trained(place)
    config, weights = place / NETWORK_CONFIG, place / WEIGHTS
    if os.path.lexists(weights):
        return _is_trained(weights)
    if not os.path.lexists(config):
        return True
    try:
        ours = read_bytes(newest / NETWORK / NETWORK_CONFIG, "the file")
        return read_bytes(config, "the file") == ours
    except UserError:
        return False


def _is_trained(weights: Path) -> bool:
    try:
        return {"base", "steps"} <= read_contents(weights).metadata.keys()
    except UserError:
        return False


def _seen(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if not path.name.startswith(".")]
