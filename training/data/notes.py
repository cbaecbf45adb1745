"""What a person should know of data that can be used: what is lost of it, what is of little use,
and which settings do nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...ground.parameters import parameters
from ...ground.wording import one_line
from ...preprocessors.sizing import Size
from ..settings import DataSettings
from .condition import Condition, looks_for_hints
from .row import Rows
from .row_look import FAINT, Seen, Shades
from .view import picture_size, seen_size

_COLUMNS = ("image_column", "hint_column", "caption_column")


def notes_of(
    settings: DataSettings, condition: Condition, rows: Rows, seen: Sequence[Seen]
) -> list[str]:
    """A sentence without its point for each thing; `seen` is what was seen of the rows."""
    width, height = picture_size(settings)
    small = sum(_is_small(one.size, seen_size(one.size, settings)) for one in seen)
    empty = sum(not text.strip() for row in rows.good for text in row.captions)
    alpha = sum(one.alpha for one in seen)
    of_hints = sum(one.hint_alpha for one in seen)
    notes = [rows.left_out] if rows.left_out else []
    if small:
        than = "their buckets" if settings.buckets else f"{width} x {height}"
        notes.append(f"{count(small, 'picture')} smaller than {than} will be scaled up")
    if empty:
        notes.append(f"{count(empty, 'caption')} empty")
    if alpha:
        notes.append(
            f"{count(alpha, 'picture')} with an alpha channel: what is transparent is laid on white"
        )
    if of_hints:
        notes.append(
            f"{count(of_hints, 'hint')} with an alpha channel, which is left out, as LoadImage "
            "does: the colours under transparent parts count"
        )
    notes += _of_shades([one.shades for one in seen if one.shades is not None])
    if settings.flip and condition.entry is None:
        notes.append(
            "hints are mirrored as plain pictures; where they show poses or normals, name that "
            "with condition"
        )
    if condition.entry is not None and condition.entry.told:
        notes.append(condition.entry.told)
    notes += _idle(settings, condition, rows)
    return [one_line(note) for note in notes]


def _is_small(picture: Size, seen: Size) -> bool:
    return picture[0] < seen[0] or picture[1] < seen[1]


def count(number: int, what: str) -> str:
    """ "1 row", "2 rows"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _of_shades(every: Sequence[Shades]) -> Iterator[str]:
    flat = [one for one in every if one.flat]
    faint = [one for one in every if one.largest < FAINT and not one.flat]
    of_all = f"of {count(len(every), 'hint')} that were decoded"
    if flat:
        yield (
            f"{len(flat)} {of_all} have one colour all over and show nothing, such as "
            f"{flat[0].name}"
        )
    if faint:
        top = max(one.largest for one in faint)
        yield (
            f"{len(faint)} {of_all} are almost black, such as {faint[0].name}: white is 255 (65535 "
            f"with 16 bits), and their largest value is {255 * top:.3g} of 255; spread them over "
            "the whole range"
        )


def _idle(settings: DataSettings, condition: Condition, rows: Rows) -> Iterator[str]:
    """Settings that were given and do nothing here, and why."""
    defaults = {one.name: one.default for one in parameters(DataSettings)}
    for why, names in _unread(settings, condition, rows):
        given = [name for name in names if getattr(settings, name) != defaults[name]]
        if given:
            yield f"without effect: {', '.join(given)}; {why}"


def _unread(
    settings: DataSettings, condition: Condition, rows: Rows
) -> Iterator[tuple[str, Iterable[str]]]:
    """Why settings are not read, and which; a setting at its default is not meant."""
    layout = rows.layout
    if not (
        condition.made
        or condition.draws_people
        or (condition.turned_channel is not None and settings.flip)
        or (condition.entry is not None and condition.entry.takes == "picture")  # fidelity reads it
    ):
        yield "the hints are given", ("hint_settings",)
    if layout == "captions":
        why = "files belong together by their names, and there is no table"
        yield why, (*_COLUMNS, "split", "outside")
        if not looks_for_hints(settings):
            yield "all hints are made of the pictures", ("hint_folder", "resize_hints")
        return
    if layout == "shards":
        yield "names in tar files lead nowhere else", ("outside",)
    yield f"the layout {layout} has a column for its hints", ("hint_folder",)
    if not looks_for_hints(settings):
        yield "all hints are made of the pictures", ("hint_column", "resize_hints")
    elif condition.from_picture:
        yield "there are no hint files", ("resize_hints",)
    if not rows.split:
        yield f"there is one split in {rows.place}", ("split",)
