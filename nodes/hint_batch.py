"""A batch of hints in a host: its sizes, its progress, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ground.log import log
from ..ground.parameters import Value
from ..hosts import host
from ..preprocessors.making import FIT, RESOLUTION, Made, Sizing, Source, make
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
        loaded = models.ready(entry, inputs.get("model", ""), inputs["download"], host.current())
    sizing = _sizing(entry, inputs)
    made = []
    with host.steps(len(sources), entry.title) as bar:
        for number, source in enumerate(sources, start=1):
            made.append(make(entry, source, settings, sizing, loaded))
            if made[-1].pose is not None and not made[-1].pose.people:
                log.warning("%s: nobody in picture %d; its hint is black.", entry.title, number)
            bar.advance()
    return made


def _sizing(entry: Preprocessor, inputs: Mapping[str, Any]) -> Sizing:
    size: Size | None = None
    if inputs.get("latent") is not None:
        size = images.size_of(inputs["latent"])
    elif "width" in inputs:
        size = inputs["width"], inputs["height"]
    asked: dict[str, Any] = {
        one.name: one.checked(inputs.get(one.name, one.default), entry.name)
        for one in (FIT, RESOLUTION)
    }
    return Sizing(size, **asked)
