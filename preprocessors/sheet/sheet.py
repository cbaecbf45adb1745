"""Every hint of one picture on one page, as far as this machine has the weights."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...ground.errors import UserError
from ...ground.ours import Results
from ...ground.places import require_place
from ...ground.reporter import reporter
from ..making import Made, Sizing, Source, make
from ..opencv import opencv
from ..picture import Floats
from ..picture_files import colours, first_frame, on_white, transparency
from ..registry import EXACT, LEARNED, PREPROCESSORS, SHIPPED
from ..sizing import looked_at, resized
from ..spec import Preprocessor
from .files import encode_ours
from .page import Cell, Group, Missing, draw_page

EDGE = 512
"""Pixels of the shorter side of every hint: the annotators' own default."""


@dataclass(frozen=True)
class Picture:
    """What the hints are made of: float32 RGB, H x W x 3 in 0..1, and H x W, 1 where masked.

    The `colours` lie on white; `under` are those of the file, also where it is transparent.
    """

    colours: Floats
    mask: Floats
    under: Floats


@dataclass(frozen=True)
class Shown:
    """A hint, and the seconds that it took, its network being loaded."""

    made: Made
    seconds: float


def make_sheet(
    path: Path, out: Path, models: Sequence[Path], overwrite: bool = False
) -> tuple[tuple[Missing, ...], bool]:
    """Write the page of the picture in `path` to `out` (PNG); what it does not show, and why, and
    whether a file that was there is replaced.

    Weights are looked for in the folders `models`, laid out as ComfyUI's. Raises UserError for a
    file that is no picture and, at once, for an `out` that cannot be written or is in the way
    (`ground.ours`).
    """
    require_place(out, "the page")
    results = Results([path], overwrite)
    results.expect(out)
    picture = read_picture(path)
    shown, missing = make_hints(picture, models)
    height, width = picture.colours.shape[:2]
    page = draw_page(
        "Hints",
        f"Each {width} x {height} pixels. Under a hint: its name, the time it took on this "
        "machine, and the ControlNets that follow it.",
        [
            Group(
                "Without weights", (_the_picture(path, picture), *_cells((*EXACT, *SHIPPED), shown))
            ),
            Group("With weights", _cells(LEARNED, shown)),
        ],
        missing,
    )
    results.write(out, encode_ours(page, optimize=True))
    return missing, bool(results.replaced)


def read_picture(path: Path) -> Picture:
    """The first picture in `path` at the size of its hints.

    Its middle is masked where nothing is transparent. Raises UserError for a file that is no
    picture.
    """
    frame, _ = first_frame(path)
    picture, under, mask = colours(on_white(frame)), colours(frame), transparency(frame)
    height, width = picture.shape[:2]
    if mask is None or not mask.any():
        under = picture
        mask = np.zeros((height, width), np.float32)
        mask[height // 3 : height - height // 3, width // 3 : width - width // 3] = 1
    made = f"{path} is {width} x {height} pixels, and a hint of it with a shorter side of {EDGE}"
    size = looked_at((width, height), EDGE, made)
    return Picture(resized(picture, size), resized(mask, size, drawn=True), resized(under, size))


def make_hints(
    picture: Picture, models: Sequence[Path]
) -> tuple[dict[str, Shown], tuple[Missing, ...]]:
    """Every hint that can be made of `picture`, by its preprocessor's name, and the others.

    Those that take a depth or people are given what others found.
    """
    opencv()  # so that its import is not in the first one's time
    shown: dict[str, Shown] = {}
    why: dict[str, str] = {}
    entries = sorted(PREPROCESSORS.values(), key=lambda entry: entry.takes in ("depth", "pose"))
    with reporter().steps(len(entries), "hints") as bar:
        for entry in entries:
            try:
                shown[entry.name] = _make(entry, _source(entry, picture, shown), models)
            except UserError as error:
                why[entry.name] = str(error)
            bar.advance()
    return shown, tuple(Missing(name, why[name]) for name in PREPROCESSORS if name in why)


def _make(entry: Preprocessor, source: Source, models: Sequence[Path]) -> Shown:
    loaded = None
    if entry.learning is not None:
        from ..ready import InFolders, load, require  # torch with it

        require(entry, InFolders(models))
        loaded = load(entry, "", InFolders(models))
    began = time.perf_counter()
    made = make(entry, source, entry.settings({}), Sizing(), loaded)
    return Shown(made, time.perf_counter() - began)


def _source(entry: Preprocessor, picture: Picture, shown: Mapping[str, Shown]) -> Source:
    """What `entry` takes. Raises UserError where neither the picture nor another hint is that."""
    match entry.takes:
        case "picture":
            return (picture.colours * 255).round().astype(np.uint8)
        case "masked picture":
            return picture.under, picture.mask
        case "depth":
            finders = [one.name for one in LEARNED if one.shows == "depth"]
            found = next((shown[name].made.hint for name in finders if name in shown), None)
            if found is None:
                names = " or ".join(finders)
                raise UserError(f"It takes a depth map, and {names} is not here either.")
            return found[..., 0].astype(np.float32)
        case "pose":
            poses = (one.made.pose for one in shown.values())
            people = next((pose for pose in poses if pose is not None and pose.people), None)
            if people is None:
                raise UserError("It takes OpenPose JSON, and no people were found for it to draw.")
            return people
        case "labels":
            raise UserError("It takes a label map, which a picture is not.")


def _the_picture(path: Path, picture: Picture) -> Cell:
    # The page's font has no letters but Latin ones.
    return Cell(picture.colours, "The picture", "", path.name if path.name.isascii() else "")


def _cells(entries: Sequence[Preprocessor], shown: Mapping[str, Shown]) -> tuple[Cell, ...]:
    return tuple(
        Cell(
            shown[entry.name].made.hint,
            entry.name,
            _duration(shown[entry.name].seconds),
            entry.controls,
        )
        for entry in entries
        if entry.name in shown
    )


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "under 1 ms"
