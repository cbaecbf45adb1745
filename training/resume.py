"""Which checkpoint a run goes on from: the newest whole one, made with settings that are the same
now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from ..ground.errors import UserError
from ..ground.parameters import Value
from ..ground.wording import shown
from .checkpoint import Checkpoints
from .manifest import DamagedError, check_manifest, read_object
from .row_order import Shares
from .settings import TrainingSettings

_FREE = (
    "log_every",
    "save_every",
    "keep",
    "validate_every",
    "workers",
    "gradient_checkpointing",
    "stop_when",
    "save_best",
)
"""What changes nothing about a step, so that a resumed run may change it."""

_LATER: Mapping[str, Value] = {
    **{"compile": False, "network.rank": 64},
    **{"data.resize_hints": False, "data.buckets": False},
}
"""Settings that older checkpoints do not know, and what they then are."""

_SHARES = ("batch", "accumulate")
"""Free as long as a step has as many pictures in all."""

_CONSTANT = ("constant", "constant_with_warmup")
"""Schedules whose rate does not depend on where the run ends: `steps` is free with them."""

_FILE = "settings.json"


def in_force(
    settings: TrainingSettings, about: Mapping[str, Value], shares: Shares
) -> dict[str, Value]:
    """All settings of a run by name: of the training, of everything else (`about`), and the number
    of pictures a step.
    """
    return {**asdict(settings), "pictures a step": shares.pictures, **about}


def write_settings(folder: Path, settings: Mapping[str, Value]) -> None:
    """Keep them in a checkpoint."""
    (folder / _FILE).write_text(json.dumps(settings, indent=2) + "\n")


def check_same(folder: Path, now: Mapping[str, Value]) -> None:
    """Raises UserError, listing each setting that is another now than in the checkpoint `folder`.

    Only those that change nothing about a step may differ. Raises DamagedError where the settings
    cannot be read.
    """
    later = {name: value for name, value in _LATER.items() if name in now}
    kept = {**later, **read_object(folder / _FILE)}
    free = {*_FREE, *_SHARES, *(("steps",) if now["schedule"] in _CONSTANT else ())}
    differences = {
        name: f"{name}: {_said(kept, name)} -> {_said(now, name)}"
        for name in {**kept, **now}
        if name not in free and kept.get(name) != now.get(name)
    }
    if "steps" in differences:
        differences["steps"] += (
            f" (with the schedule {now['schedule']} each step's rate hangs on it)"
        )
    if differences:
        raise UserError(
            f"{folder} was made with other settings: {'; '.join(differences.values())}. Resume "
            "with the same, or begin a new run in another folder."
        )


def go_on(
    checkpoints: Checkpoints, now: Mapping[str, Value], load: Callable[[Path], None]
) -> list[str]:
    """`load` the newest checkpoint that is whole; what is to be said of those that are not.

    `now` are the settings in force. Raises UserError where they differ from the checkpoint's, and
    where none is whole.
    """
    damaged: list[str] = []
    for step in reversed(checkpoints.steps()):
        folder = checkpoints.of(step)
        try:
            check_manifest(folder)
            check_same(folder, now)
            load(folder)
        except DamagedError as error:
            damaged.append(error.sentence)
        else:
            return [f"{said}; the training goes on from {folder}" for said in damaged]
    raise UserError(
        f"{damaged[0]}. No checkpoint in {checkpoints.folder} is whole: put that file back as it "
        "was, or begin a new run in another folder",
        damaged[1:],
    )


def _said(settings: Mapping[str, object], name: str) -> str:
    return shown(settings[name]) if name in settings else "not there"
