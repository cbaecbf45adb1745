"""What a training run learns from, and how a row of it becomes a picture, a hint and a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...ground.errors import UserError
from ...ground.parameters import setting
from ..settings import MANY

if TYPE_CHECKING:
    from ...preprocessors.sizing import Size

LAYOUTS = ("auto", "fill50k", "captions", "imagefolder", "dataset")
MULTIPLE = 8
"""Pixels: both sides of training pictures are multiples of what one latent pixel covers."""


@dataclass(frozen=True)
class DataSettings:
    """Where the data is, what its hints are, and how pictures and hints are cut to size."""

    path: str = setting(
        "",
        "A folder, or the name of a data set on the Hugging Face hub such as fusing/fill50k.",
    )
    layout: str = setting(
        "auto",
        "fill50k: prompt.json with source, target and prompt. captions: pictures with a .txt of "
        "the same name. imagefolder: metadata.jsonl or .csv. dataset: what the library datasets "
        "reads. auto looks which it is.",
        choices=LAYOUTS,
    )
    split: str = setting("train", "The split of a data set that has several.")
    image_column: str = setting("", "The pictures' column; empty finds image, target, ...")
    hint_column: str = setting("", "The hints' column; empty finds conditioning_image, source, ...")
    caption_column: str = setting("", "The captions' column; empty finds text, prompt, caption.")
    hint_folder: str = setting(
        "",
        "For the layout captions: a folder of hints that have the pictures' names. Empty looks for "
        "hints/, conditioning_images/, and photo_hint.png beside photo.png.",
    )
    condition: str = setting(
        "",
        "What the hints show, as the name of a preprocessor such as canny or pose. It decides how "
        "hints are made, resized and mirrored; empty takes them for plain pictures.",
    )
    hints: str = setting(
        "auto",
        "given: hints are used as they are. made: the condition's preprocessor makes them of the "
        "pictures, or of the hint files where it takes depth, labels, poses or masks. auto: given "
        "where there are any.",
        choices=("auto", "given", "made"),
    )
    hint_settings: str = setting(
        "",
        "Settings of the condition's preprocessor, such as low_threshold=50,high_threshold=150.",
    )
    resolution: str = setting(
        "512", "Size of the training pictures in pixels, such as 512 or 768x512 (width x height)."
    )
    crop: str = setting(
        "center",
        "Which part is seen of a picture of another shape: its middle, or another one each time.",
        choices=("center", "random"),
    )
    flip: float = setting(
        0.0,
        "Share of pictures that are mirrored together with their hints, drawn anew each time; 0.5 "
        "is usual. Left and right of poses and normals change places where condition names them.",
        step=0.05,
    )
    bad_rows: str = setting(
        "stop",
        "What becomes of rows that cannot be used: stop names them and ends, skip names them and "
        "goes on without.",
        choices=("stop", "skip"),
    )
    max_rows: int = setting(0, "Use the first so many rows; 0 uses all.", high=MANY)
    cache: str = setting(
        "",
        "A folder that keeps encoded pictures, prompts and made hints, so that each is computed "
        "once. Empty keeps none.",
    )
    outside: bool = setting(
        False,
        "Take files that the data's tables name outside of their own folder: by absolute names, "
        "by '..' and by links.",
    )
    resize_hints: bool = setting(
        False,
        "Resize hints of another size to that of their picture, where both have one shape; "
        "otherwise they are refused.",
    )


def picture_size(settings: DataSettings) -> Size:
    """Width and height of the training pictures, in pixels.

    Raises UserError for a resolution that is no size, is no multiple of MULTIPLE, or is enormous.
    """
    numbers = settings.resolution.lower().replace("×", "x").split("x")
    try:
        sides = [int(number) for number in numbers]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < MULTIPLE or any(s % MULTIPLE for s in sides):
        raise UserError(
            f"The training data's resolution is {settings.resolution!r}; give one or two multiples "
            f"of {MULTIPLE}, such as 512 or 768x512 (width x height)."
        )
    from ...preprocessors.picture import checked_size

    checked_size(sides[0], sides[-1], "The training data's resolution")
    return sides[0], sides[-1]


def hint_values(settings: DataSettings) -> Mapping[str, Any]:
    """`hint_settings` by name, each as its text: "a=1,b=2" -> {"a": "1", "b": "2"}.

    Raises UserError for a part that has no "=".
    """
    parts = [part.strip() for part in settings.hint_settings.split(",") if part.strip()]
    wrong = [part for part in parts if "=" not in part]
    if wrong:
        raise UserError(
            f"The training data's hint_settings have {wrong[0]!r}; write name=value, with commas "
            "between, such as low_threshold=50,high_threshold=150."
        )
    return {name.strip(): value.strip() for name, value in (part.split("=", 1) for part in parts)}
