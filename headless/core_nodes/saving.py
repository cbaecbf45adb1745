"""What the core's nodes that write files have in common: names, and what is written into a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import folders
from ..file_names import expand

PROMPT_AND_CANVAS = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
"""What a node that writes files asks for beside its inputs."""


def name_checked(suffix: str) -> Callable[..., None]:
    """A check of a node's `filename_prefix` for files with `suffix`: UserError where it leaves its
    folder or cannot be written.
    """

    def check(filename_prefix: str, prompt: dict[str, Any] | None = None) -> None:
        # The size of the pictures is not known yet; it has one digit or more.
        name = expand(filename_prefix, width=1, height=1, number=0, prompt=prompt or {})
        folders.check_prefix("output", name, suffix)

    return check


def texts_of(
    prompt: dict[str, Any] | None = None, extra_pnginfo: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What a file tells of the run that made it: the graph, and the canvas where there is one."""
    return {**({} if prompt is None else {"prompt": prompt}), **(extra_pnginfo or {})}


def written(
    data: bytes,
    prefix: str,
    suffix: str,
    kind: folders.Kind = "output",
    size: tuple[int, int] = (0, 0),
    number: int | None = None,
    prompt: dict[str, Any] | None = None,
) -> dict[str, str]:
    """Write `data` as the next free file of `prefix`, and tell of it as ComfyUI's canvas reads it.

    `size` (width, height), `number` (in the batch) and `prompt` fill the prefix's marks.
    """
    width, height = size
    name = expand(prefix, width=width, height=height, number=number, prompt=prompt or {})
    path = folders.save(kind, name, data, suffix)
    subfolder = path.parent.relative_to(folders.root(kind)).as_posix()
    return {
        "filename": path.name,
        "subfolder": "" if subfolder == "." else subfolder,
        "type": kind,
    }
