"""Which column of a table holds the pictures, which the hints and which the captions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ...ground.errors import UserError
from ...ground.wording import listing
from ..settings import DataSettings

FILE_NAME = "_file_name"
"""What imagefolder's metadata adds to the name of a column that names files:
https://huggingface.co/docs/datasets/image_dataset#imagefolder"""

IMAGES = ("image", "file_name", "target", "jpg", "png")
HINTS = ("conditioning_image", "hint", "source", "control", "control_image", "condition")
CAPTIONS = ("text", "caption", "prompt", "txt")
"""Names that data sets use, the first that a table has being taken: those of diffusers'
train_controlnet (image, conditioning_image, text), of imagefolder and of fill50k."""


@dataclass(frozen=True)
class Columns:
    """A table's columns; `hint` is None for a table without hints."""

    image: str
    hint: str | None
    caption: str


def find_columns(names: Collection[str], settings: DataSettings, place: str) -> Columns:
    """The columns among `names` that the settings name, or that have a usual name.

    Raises UserError, naming `place`, for one that is not there; hints may be missing where they are
    made.
    """
    image = _find("image_column", settings.image_column, IMAGES, names, place)
    caption = _find("caption_column", settings.caption_column, CAPTIONS, names, place)
    hint = _find("hint_column", settings.hint_column, HINTS, names, place)
    if image is None or caption is None:
        what, usual, key = (
            ("pictures", IMAGES, "image_column")
            if image is None
            else ("captions", CAPTIONS, "caption_column")
        )
        raise UserError(
            f"{place} has no column of {what} by a usual name ({', '.join(usual)}); it has "
            f"{listing(names)}: name one with {key}."
        )
    return Columns(image, hint, caption)


def _find(
    key: str, wanted: str, usual: Collection[str], names: Collection[str], place: str
) -> str | None:
    for name in (wanted,) if wanted else usual:
        for form in (name, name + FILE_NAME):
            if form in names:
                return form
    if wanted:
        raise UserError(
            f"{place} has no column {wanted}, which {key} names; it has {listing(names)}."
        )
    return None
