"""The settings that a checkpoint was made with, and whether a run may go on with others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ..ground.errors import UserError
from ..ground.parameters import Value
from .order import Shares
from .settings import TrainingSettings

_FREE = (
    "log_every",
    "save_every",
    "keep",
    "validate_every",
    "workers",
    "gradient_checkpointing",
)
"""What changes nothing about a step, so that a resumed run may change it."""

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

    Only those that change nothing about a step may differ.
    """
    kept: dict[str, Value] = json.loads((folder / _FILE).read_text())
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


def _said(settings: Mapping[str, Value], name: str) -> str:
    return repr(settings[name]) if name in settings else "not there"
