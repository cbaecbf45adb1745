"""The condition in a picture, as a preprocessor finds it, and the condition a hint file holds."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...ground.errors import UserError, named
from ...ground.reporter import reporter
from ...preprocessors.making import Loaded, Made, Sizing, make
from ...preprocessors.pose.draw import POSE
from ...preprocessors.pose.people import Pose
from ...preprocessors.registry import LEARNED, SHIPPED
from ...preprocessors.sizing import Fit, Size
from ...preprocessors.sources import read_hint_picture, read_sources
from ...preprocessors.spec import TAKEN, Hint, Preprocessor
from ..fidelity import Condition


@dataclass(frozen=True)
class Seen:
    """A condition, how it looks as a picture, and the picture that it was found in, if any."""

    condition: Condition
    drawn: Hint
    picture: NDArray[np.uint8] | None = None

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return self.drawn.shape[1], self.drawn.shape[0]


@dataclass(frozen=True)
class Extractor:
    """A preprocessor with its settings, made ready; `loaded` is a learned one's network."""

    entry: Preprocessor
    settings: Mapping[str, Any]
    resolution: int = 0
    loaded: Loaded | None = None

    def from_picture(self, path: Path, size: Size | None = None, fit: Fit | None = None) -> Seen:
        """The condition in a picture file.

        Where the picture is of another `size`, it is brought to it first by `fit`. Raises UserError
        for a file that is no picture, and for another size without `fit`.
        """
        source = read_sources(self.entry.takes, path).sources[0]
        picture = cast(NDArray[np.uint8], source)
        own = (picture.shape[1], picture.shape[0])
        if size is not None and size != own and fit is None:
            raise UserError(
                f"{path} is {own[0]} x {own[1]} pixels and its hint {size[0]} x {size[1]}; give "
                "pictures of their hints' size, or let --fit bring them to it."
            )
        sizing = Sizing(size, fit or "fill", self.resolution)
        with named(str(path)):
            made = make(self.entry, picture, self.settings, sizing, self.loaded)
        return Seen(_condition(made), made.hint, picture)


def extractor_of(
    entry: Preprocessor,
    settings: Mapping[str, Any],
    resolution: int,
    model: str,
    models: Sequence[Path],
    download: bool = False,
) -> Extractor:
    """`entry` made ready, with its network, if it has one, from the folders `models`. Raises
    UserError for weights that are not there."""
    loaded = None
    if entry.learning is not None:
        from ...preprocessors.ready import InFolders, load  # torch with it

        reporter().stage(f"loading {entry.name}")
        loaded = load(entry, model, InFolders(models), download)
    return Extractor(entry, settings, resolution, loaded)


def check_extracts(entry: Preprocessor) -> None:
    """Raise UserError unless `entry`, or what `finder_of` has for it, finds its condition in a
    plain picture."""
    if entry.takes != "picture" and not _finders(entry, SHIPPED):
        same = [e.name for e in _finders(entry, LEARNED)]
        named = f"; try {' or '.join(same)}" if same else ""
        raise UserError(
            f"{entry.name} takes {TAKEN[entry.takes]}, so it finds nothing in a picture{named}."
        )


def finder_of(entry: Preprocessor, models: Sequence[Path]) -> tuple[Preprocessor, tuple[str, ...]]:
    """What finds the condition of `entry` in pictures, and what is to be said of that: itself where
    it takes pictures. For one that draws what it is given it is the first network whose weights are
    in the folders `models`, else one whose weights ship with the pack.
    """
    if entry.takes == "picture":
        return entry, ()
    from ...preprocessors.ready import InFolders, is_here  # torch with it

    better, shipped = _finders(entry, LEARNED), _finders(entry, SHIPPED)
    found = next((one for one in better if is_here(one, InFolders(models))), None)
    if found is not None:
        return found, (f"{entry.name} finds nothing in a picture; {found.name} is used",)
    names = " or ".join(one.name for one in better)
    note = f"{entry.name} finds nothing in a picture; {shipped[0].name} is used, as no weights of "
    return shipped[0], (f"{note}{names} are here",)


def _finders(entry: Preprocessor, among: Sequence[Preprocessor]) -> list[Preprocessor]:
    return [one for one in among if one.shows == entry.shows and one.takes == "picture"]


def read_hint(path: Path, people: bool = False, content: bytes | None = None) -> Seen:
    """The condition in a hint file: a picture, or OpenPose JSON where it is `people`. `content` is
    the file's, where it was read already.

    Raises UserError for a file that holds something else, and for a pose without a canvas size.
    """
    if not people:
        hint = read_hint_picture(path, content)
        return Seen(hint, hint)
    pose = read_sources("pose", path, content=content).sources[0]
    if not isinstance(pose, Pose) or pose.canvas is None:
        raise UserError(
            f"{path} does not say the size of its picture; add canvas_width and canvas_height."
        )
    made = make(POSE, pose, POSE.settings({}), Sizing())
    return Seen(_condition(made), made.hint)


@dataclass(frozen=True)
class Packed:
    """What was seen, made small: sets are large, and hints mostly flat. Its picture is left out."""

    pose: Pose | None
    pixels: bytes
    shape: tuple[int, ...]
    kind: np.dtype[Any]

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return self.shape[1], self.shape[0]

    def unpacked(self) -> Seen:
        """What was packed."""
        flat = np.frombuffer(zlib.decompress(self.pixels), self.kind)
        drawn = cast(Hint, flat.reshape(self.shape))
        return Seen(drawn if self.pose is None else self.pose, drawn)


def packed(seen: Seen) -> Packed:
    """`seen` without its picture, made small."""
    pose = seen.condition if isinstance(seen.condition, Pose) else None
    drawn = np.ascontiguousarray(seen.drawn)
    return Packed(pose, zlib.compress(drawn.tobytes(), 1), drawn.shape, drawn.dtype)


def _condition(made: Made) -> Condition:
    return made.hint if made.pose is None else made.pose
