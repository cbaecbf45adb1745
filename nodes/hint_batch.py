"""A batch of hints in a host: its progress, its memory, and the network that a node keeps."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..ground.parameters import Value
from ..preprocessors import model_choice
from ..preprocessors.making import FIT, RESOLUTION, Loaded, Made, Sizing, Source, make
from ..preprocessors.sizing import Size
from ..preprocessors.spec import Annotator, Preprocessor
from ..training.data.reading import HintMaker
from . import host, images

log = logging.getLogger("controlstack")


class KeptModel:
    """The learned preprocessor that a node keeps until another is asked for or its files change.

    The host drops its nodes, and the networks with them, when it frees a workflow.
    """

    def __init__(self) -> None:
        self._choice: model_choice.Choice | None = None
        self._annotator: Annotator | None = None

    def ready(self, entry: Preprocessor, model: str, download: bool) -> Loaded:
        """`entry` with `model` ("" for the first there is), its networks where the host computes.

        Raises UserError for weights that are missing, unless `download`, or do not fit.
        """
        choice = _choice(entry, model, download)
        if self._annotator is None or choice != self._choice:
            self._annotator = None  # the old one goes before the new one comes
            self._annotator, self._choice = choice.load(), choice
        return Loaded(self._annotator, host.current().place(self._annotator.networks))


def hint_maker(entry: Preprocessor, download: bool = False) -> HintMaker:
    """`entry` with the first of its models that the host has, for training data.

    Raises UserError for weights that are missing, unless `download`, or do not fit.
    """
    choice = _choice(entry, "", download)
    files = ", ".join(path.name for path in choice.paths)
    return HintMaker(KeptModel().ready(entry, "", False), f"{files} {choice.changed}")


def _choice(entry: Preprocessor, model: str, download: bool) -> model_choice.Choice:
    here = host.current()
    places = here.places()
    target = places[0] if download else None
    return model_choice.choose(entry, model, places, target, here.steps)


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
        loaded = models.ready(entry, inputs.get("model", ""), inputs.get("download", False))
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
