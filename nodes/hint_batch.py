"""A batch of hints in a host: its sizes, its progress, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ground.errors import UserError
from ..ground.log import log
from ..ground.parameters import Value
from ..hosts import host
from ..preprocessors.making import FIT, RESOLUTION, Made, Sizing, Source, make, missed
from ..preprocessors.pose.people import Pose
from ..preprocessors.ready import KeptModel
from ..preprocessors.sizing import Size
from ..preprocessors.spec import Preprocessor
from . import images


def make_batch(
    entry: Preprocessor,
    sources: list[Source],
    settings: Mapping[str, Value],
    inputs: Mapping[str, Any],
    models: KeptModel,
) -> list[Made]:
    """A hint of each source, with progress; `inputs` hold size, resolution and model."""
    loaded = None
    if entry.learning is not None:
        model, download = inputs.get("model", ""), inputs.get("download", False)
        loaded = models.ready(entry, model, download, host.current())
    sizing = _sizing(entry, inputs, sources[0])
    made = []
    with host.steps(len(sources), entry.title) as bar:
        for number, source in enumerate(sources, start=1):
            made.append(make(entry, source, settings, sizing, loaded))
            if nothing := missed(entry, made[-1]):
                log.warning(
                    "%s: %s in picture %d; its hint is black.", entry.title, nothing, number
                )
            bar.advance()
    return made


def _sizing(entry: Preprocessor, inputs: Mapping[str, Any], first: Source) -> Sizing:
    asked: dict[str, Any] = {
        one.name: one.checked(inputs.get(one.name, one.default), entry.name)
        for one in (FIT, RESOLUTION)
    }
    return Sizing(_size(entry, inputs, first), **asked)


def _size(entry: Preprocessor, inputs: Mapping[str, Any], first: Source) -> Size | None:
    """The size that is asked for: of a latent, of a picture, or by hand; None is the source's."""
    latent, picture = inputs.get("latent"), inputs.get("size_of")
    if latent is not None and picture is not None:
        raise UserError(
            f"{entry.name}: latent and size_of both say how large the hint is; unplug one of them."
        )
    if latent is not None:
        return images.size_of(latent)
    if picture is not None:
        return images.size_of_picture(picture)
    width, height = inputs.get("width", 0), inputs.get("height", 0)
    if not (width or height):
        return None
    if not (width and height) and not isinstance(first, Pose):
        drawn = first[0] if isinstance(first, tuple) else first
        high, wide = drawn.shape[:2]
        width, height = width or round(height * wide / high), height or round(width * high / wide)
    return max(1, width), max(1, height)
