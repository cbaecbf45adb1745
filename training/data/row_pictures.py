"""A row's picture and hint: read, compared, and cut to what is seen at a step."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ...ground.errors import UserError
from ...preprocessors.making import Source
from ...preprocessors.picture_files import first_frame, transparency, upright_header
from ...preprocessors.pose.draw import draw_pose, least_confidence
from ...preprocessors.pose.people import Pose
from ...preprocessors.ready import HintMaker
from ...preprocessors.sizing import Size, resized
from ...preprocessors.sources import read_hint_picture, read_mask, read_sources
from ...preprocessors.spec import Hint
from ..settings import DataSettings
from .condition import Condition
from .mirror import swapped_faces, swapped_sides, turned_normals
from .row import Row, Stored
from .view import View, picture_size, seen_size, view_of

Picture = npt.NDArray[np.uint8]


def read_picture(row: Row) -> Picture:
    """The row's picture, uint8 RGB, H x W x 3, upright. Raises UserError, naming it."""
    read = read_sources("picture", row.picture.name, content=row.picture.content())
    return cast(Picture, read.sources[0])


def size_of(stored: Stored) -> Size:
    """Width and height of a stored picture, upright, by its header. Raises UserError."""
    return header_of(stored)[0]


def size_seen(row: Row, settings: DataSettings) -> Size:
    """Width and height that the row's picture is brought to: with buckets told by its header.

    Where that cannot be read, the resolution's: what is wrong is said when the picture is read.
    """
    if not settings.buckets:
        return picture_size(settings)
    try:
        return seen_size(size_of(row.picture), settings)
    except (UserError, OSError):
        return picture_size(settings)


def header_of(stored: Stored) -> tuple[Size, bool]:
    """As `size_of`, and whether the picture may be transparent."""
    return upright_header(stored.name, stored.beginning())


def read_hint(row: Row, picture: Picture | Size, condition: Condition) -> Source:
    """What the row's hint is made of, or the hint itself where it is given, of the picture's size.

    `picture` is the row's or, where the condition does not need it (`needs_picture`), its size.
    Raises UserError, naming the file, for one that holds something else and for one of another
    size, unless the condition resizes hints and it has the picture's shape.
    """
    size = picture if isinstance(picture, tuple) else (picture.shape[1], picture.shape[0])
    pixels = None if isinstance(picture, tuple) else picture
    if condition.from_picture:
        assert pixels is not None
        return pixels
    assert row.hint is not None
    source = _source(row.hint, pixels, condition)
    check_size(row, source, size, condition)
    if isinstance(source, tuple):
        colours, mask = source
        return resized(colours, size, condition.drawn), resized(mask, size, condition.drawn)
    return source if isinstance(source, Pose) else resized(source, size, condition.drawn)


def check_size(row: Row, hint: Source | Size, picture: Size, condition: Condition) -> None:
    """Raise UserError, naming both sizes, for a hint that is not of its picture's size.

    A pose's canvas may be larger or smaller, where it has the picture's shape to a pixel; so may
    other hints where the condition resizes them.
    """
    if isinstance(hint, Pose):
        if hint.canvas is None:
            return
        found, may_differ = hint.canvas, True
    else:
        found, may_differ = _size(hint), condition.resize
    if found == picture or (may_differ and _same_shape(found, picture)):
        return
    assert row.hint is not None
    wide, high = found
    advice = "give hints of the pictures' size"
    if _same_shape(found, picture):
        advice += ", or resize_hints = true (--resize-hints) resizes these"
    raise UserError(
        f"the hint {row.hint.name} is {wide:g} x {high:g} and the picture {row.picture.name} "
        f"{picture[0]} x {picture[1]} pixels; {advice}"
    )


def _same_shape(one: tuple[float, float], other: Size) -> bool:
    """Whether both have one shape, but for a pixel of the smaller one."""
    return abs(one[1] * other[0] - other[1] * one[0]) <= max(*one, *other)


def seen_of(
    row: Row,
    settings: DataSettings,
    condition: Condition,
    seed: int,
    maker: HintMaker | None = None,
) -> tuple[Picture, Hint | None]:
    """What a step sees of the row's picture and hint, in the view that `seed` draws; no hint where
    a network makes them and `maker` is not given. Raises UserError for files that are not right.
    """
    picture = read_picture(row)
    size = picture.shape[1], picture.shape[0]
    view = view_of(size, settings, seed)
    if condition.by_network and maker is None:
        return view.of(picture), None
    source = read_hint(row, picture, condition)
    return view.of(picture), hint_in(view, source, size, condition, maker)


def hint_in(
    view: View, source: Source, picture: Size, condition: Condition, maker: HintMaker | None = None
) -> Hint:
    """The hint that `view` shows of `source` (see `read_hint`): H x W x 3 of the training's size.

    `picture` is the size of the whole picture; `maker` is needed where a network makes the hints.
    """
    seen = view.of_source(source, picture, condition.drawn)
    if isinstance(seen, Pose):
        # Values of settings; which name has which type is checked where they are read.
        return draw_pose(seen, *view.placement.size, **condition.drawing)  # type: ignore[arg-type]
    if condition.whole:
        return condition.make(seen, maker)
    hint = cast(Hint, seen)
    return _other_side(hint, condition) if view.flip else hint


def _other_side(hint: Hint, condition: Condition) -> Hint:
    """A mirrored hint with what a mirror changes beside the places."""
    if hint.dtype != np.uint8:
        return hint
    pixels = cast(Picture, hint)
    if condition.draws_people:
        return swapped_sides(pixels)
    if condition.draws_faces:
        return swapped_faces(pixels)
    channel = condition.turned_channel
    return pixels if channel is None else turned_normals(pixels, channel)


def _source(stored: Stored, picture: Picture | None, condition: Condition) -> Source:
    entry = condition.entry
    name, content = stored.name, stored.content()
    if stored.is_pose or (condition.made and entry is not None and entry.takes == "pose"):
        if not condition.draws_people:
            raise UserError(f"the hint {name} is no picture; for poses set condition to pose")
        sure = least_confidence(condition.values)
        return read_sources("pose", name, content=content, sure=sure).sources[0]
    if entry is not None and entry.takes == "masked picture":
        if not condition.made:
            if transparency(first_frame(name, content)[0]) is None:
                raise UserError(
                    f"the hint {name} has no transparent part that would be painted anew; give "
                    "pictures with an alpha channel, or masks with hints = made"
                )
            return read_sources("masked picture", name, content=content).sources[0]
        assert picture is not None
        return picture.astype(np.float32) / np.float32(255), read_mask(name, content)
    if condition.made and entry is not None:
        return read_sources(entry.takes, name, content=content).sources[0]
    return read_hint_picture(name, content)


def _size(hint: Picture | Hint | tuple[Any, Any]) -> Size:
    """A hint's or mask's own size; a size is itself."""
    last = hint[-1] if isinstance(hint, tuple) else hint
    if isinstance(last, np.ndarray):
        return last.shape[1], last.shape[0]
    assert isinstance(hint, tuple)
    return hint
