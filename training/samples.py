"""What a validation tries: rows of the data that are held out of training, or hints of a user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..ground.errors import UserError
from ..ground.inputs import left_out
from ..ground.reading import read_text
from ..preprocessors.ready import HintMaker
from ..preprocessors.sources import read_hint_picture
from ..preprocessors.spec import Hint
from .data.check import Report
from .data.row import PICTURES, Row
from .data.row_pictures import seen_of
from .data.view import MULTIPLE
from .settings import ValidationSettings

Thing = TypeVar("Thing")
Pixels: TypeAlias = NDArray[np.uint8]
"""A picture, H x W x 3 RGB."""

_SHARE = 10
"""Of so many rows one may be held out."""
_LARGEST = 4 << 20
"""Bytes of a file of prompts: 64 captions of the longest kind that training takes."""


@dataclass(frozen=True)
class Sample:
    """What is tried: a hint (3, H, W) RGB in 0..1, sides multiples of 8, a prompt, and the picture
    that both come from, if there is one."""

    hint: Tensor
    prompt: str
    target: Pixels | None = None


@dataclass(frozen=True)
class Split:
    """Checked data without the rows that are `held` out of it."""

    kept: Report
    held: tuple[Row, ...]


def held_out(report: Report, count: int) -> Split:
    """`report` without `count` of its rows, spread evenly over all, at most a tenth of them.

    Raises UserError where a tenth is none.
    """
    rows = report.rows.good
    held = min(count, len(rows) // _SHARE)
    if not held:
        raise UserError(
            f"{report.rows.place} has {len(rows)} rows, too few to hold some out for validation, "
            f"which takes a tenth: {_SHARE} are needed; name hints to validate on, or set "
            "validate_every to 0."
        )
    chosen = dict.fromkeys(evenly(range(len(rows)), held))
    kept = tuple(row for number, row in enumerate(rows) if number not in chosen)
    return Split(
        replace(report, rows=replace(report.rows, good=kept)),
        tuple(rows[number] for number in chosen),
    )


def evenly(things: Sequence[Thing], count: int) -> tuple[Thing, ...]:
    """`count` of `things`, spread evenly over all from the first on; all where they are fewer."""
    taken = min(count, len(things))
    return tuple(things[index * len(things) // taken] for index in range(taken))


def samples_of_rows(rows: Sequence[Row], report: Report, maker: HintMaker | None) -> list[Sample]:
    """`rows` as samples with their captions: the middle of each picture, not mirrored. Raises
    UserError, naming the row, for one that cannot be read.
    """
    return [_sample_of_row(row, report, maker) for row in rows]


def prompted(
    samples: Sequence[Sample], settings: ValidationSettings, notes: list[str] | None = None
) -> list[Sample]:
    """`samples` with the settings' prompts, if there are any; `notes` gets what has no effect."""
    prompts = _prompts(settings, len(samples), notes) or [one.prompt for one in samples]
    return [replace(one, prompt=prompt) for one, prompt in zip(samples, prompts, strict=True)]


def samples_of_files(settings: ValidationSettings, notes: list[str] | None = None) -> list[Sample]:
    """The first `count` of the settings' hints, by name, with their prompts; `notes` gets what has
    no effect.

    Raises UserError where there is none, for a file that is no picture, and for one whose sides are
    no multiples of 8.
    """
    path = Path(settings.hints).expanduser()
    every = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [file for file in every if file.suffix.lower() in PICTURES][: settings.count]
    if not files:
        raise UserError(f"There is no hint to validate on in {path}; name a picture or a folder.")
    if notes is not None and len(files) < settings.count != ValidationSettings.count:
        notes.append(f"the validation's count is {settings.count}, and {path} has {len(files)}")
    others = left_out(path, every, PICTURES)
    if notes is not None and others:
        notes.append(others)
    return prompted([Sample(_hint_in_file(file), "") for file in files], settings, notes)


def _sample_of_row(row: Row, report: Report, maker: HintMaker | None) -> Sample:
    settings = replace(report.settings, flip=0.0, crop="center")
    picture, hint = seen_of(row, settings, report.condition, 0, maker)
    assert hint is not None  # there is a maker where one is needed
    return Sample(_tensor(hint), row.caption, picture.astype(np.uint8, copy=False))


def _hint_in_file(file: Path) -> Tensor:
    hint = read_hint_picture(file)
    height, width = hint.shape[:2]
    if width % MULTIPLE or height % MULTIPLE:
        raise UserError(
            f"The hint {file} is {width} x {height} pixels; both sides have to be multiples of "
            f"{MULTIPLE}."
        )
    return _tensor(hint)


def _prompts(settings: ValidationSettings, count: int, notes: list[str] | None) -> list[str]:
    """`count` prompts of the settings' file; none where they name no file."""
    if not settings.prompts:
        return []
    path = Path(settings.prompts).expanduser()
    lines = read_text(path, "the prompts", _LARGEST).splitlines()
    if len(lines) < count:
        raise UserError(
            f"{path} has {len(lines)} prompts for {count} pictures; give one a line, or set "
            f"the validation's count to {max(len(lines), 1)}."
        )
    if notes is not None and any(line.strip() for line in lines[count:]):
        notes.append(f"{path} has {len(lines)} prompts for {count} pictures; the last have no use")
    return lines[:count]


def _tensor(hint: Hint) -> Tensor:
    """H x W x 3 -> float (3, H, W), bytes as 0..1."""
    found = torch.from_numpy(np.ascontiguousarray(hint)).permute(2, 0, 1).float()
    return found / 255 if hint.dtype == np.uint8 else found
