"""Whether a run may begin in a folder, or go on there: nothing of somebody else's is replaced."""

from __future__ import annotations

import os
from pathlib import Path

from ..ground.errors import UserError
from ..ground.places import identity
from ..ground.reading import read_bytes
from ..ground.wording import listing
from ..model_files.files import read_contents
from .checkpoint import NETWORK, Checkpoints
from .config import read_config, run_settings
from .curve import CURVE, read_lines
from .export import CONFIG as NETWORK_CONFIG
from .export import WEIGHTS
from .places import CONFIG, OWN, require_places, result_places
from .run_settings import SECTIONS, RunSettings

_LINE = b'{"step": '
"""What begins each line of a curve."""


def require_free(settings: RunSettings, resume: bool) -> None:
    """Raise UserError unless the run may begin, or with `resume` go on, in its folder: all that it
    writes can be written (`require_places`), and what is there is its own. Nothing is made.
    """
    require_places(settings)
    folder = settings.out.place
    checkpoints = Checkpoints(folder / "checkpoints", settings.training.keep)
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
    if _seen(folder / "checkpoints"):
        strange.add("checkpoints")
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
    """Whether the header says what a run writes there."""
    try:
        return {"base", "steps"} <= read_contents(weights).metadata.keys()
    except UserError:
        return False


def _seen(folder: Path) -> list[Path]:
    """What is in a folder and not hidden."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if not path.name.startswith(".")]
