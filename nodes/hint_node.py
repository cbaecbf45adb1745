"""A node of each preprocessor: its settings become widgets, its entry the node's words."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..errors import UserError
from ..preprocessors import model_choice
from ..preprocessors.making import FIT, RESOLUTION, Loaded, Made, Sizing, Source, make
from ..preprocessors.picture import MAX_SIDE
from ..preprocessors.pose.people import parse_poses, to_json
from ..preprocessors.sizing import Size
from ..preprocessors.spec import Annotator, Learning, Parameter, Preprocessor, Value
from . import host, images

CATEGORY = "ControlStack/hints"

STANDING = {
    "people": [
        {
            "pose_keypoints_2d": [
                *(0.50, 0.14, 1, 0.50, 0.27, 1),  # nose, neck
                *(0.41, 0.27, 1, 0.35, 0.40, 1, 0.32, 0.52, 1),  # right arm
                *(0.59, 0.27, 1, 0.65, 0.40, 1, 0.68, 0.52, 1),  # left arm
                *(0.45, 0.53, 1, 0.44, 0.72, 1, 0.43, 0.90, 1),  # right leg
                *(0.55, 0.53, 1, 0.56, 0.72, 1, 0.57, 0.90, 1),  # left leg
                *(0.48, 0.12, 1, 0.52, 0.12, 1, 0.45, 0.13, 1, 0.55, 0.13, 1),  # eyes, ears
            ]
        }
    ]
}
"""A person to begin with, in fractions of the canvas."""

SIDES = tuple(
    Parameter(side, 512, "In pixels: best that of your picture.", 1, MAX_SIDE, 8)
    for side in ("width", "height")
)

log = logging.getLogger("controlstack")


class HintNode:
    """One preprocessor as a node; `node_of` makes the class."""

    PREPROCESSOR: ClassVar[Preprocessor]
    CATEGORY = CATEGORY
    FUNCTION = "make"

    def __init__(self) -> None:
        self._models = KeptModel()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets. Settings are optional: a prompt without one that came
        later runs with its default.
        """
        entry = cls.PREPROCESSOR
        model = {"model": _model_widget(entry)} if has_choice(entry) else {}
        settings = {parameter.name: _widget(parameter) for parameter in entry.parameters}
        return {
            "required": {**_SOURCES[entry.takes], **model},
            "optional": {**settings, **optional_inputs(entry)},
        }

    def make(self, **inputs: Any) -> tuple[Any, ...]:
        """The hints of a batch: (B, H, W, 3) in 0..1, and of learned poses their JSON."""
        entry = self.PREPROCESSOR
        names = {parameter.name for parameter in entry.parameters}
        settings = entry.settings({n: value for n, value in inputs.items() if n in names})
        made = make_batch(entry, _sources(entry, inputs), settings, inputs, self._models)
        hints = images.image_of([one.hint for one in made])
        if finds_people(entry):
            return hints, json.dumps([to_json(one.pose) for one in made if one.pose is not None])
        return (hints,)


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
        here = host.current()
        places = here.places()
        target = places[0] if download else None
        choice = model_choice.choose(entry, model, places, target, here.steps)
        if self._annotator is None or choice != self._choice:
            self._annotator = None  # the old one goes before the new one comes
            self._annotator, self._choice = choice.load(), choice
        return Loaded(self._annotator, here.place(self._annotator.networks))


def node_of(entry: Preprocessor) -> type[HintNode]:
    """The node class of `entry`."""
    people = finds_people(entry)
    return type(
        entry.node,
        (HintNode,),
        {
            "__doc__": entry.description,
            "PREPROCESSOR": entry,
            "VALIDATE_INPUTS": _validator(entry),
            "DESCRIPTION": entry.description,
            "SEARCH_ALIASES": entry.aliases,
            "RETURN_TYPES": ("IMAGE", "STRING") if people else ("IMAGE",),
            "RETURN_NAMES": ("hint", "pose_json") if people else ("hint",),
            "OUTPUT_TOOLTIPS": (
                f"The hint, for Add Control with a ControlNet for it. {entry.controls}.",
                *(["The people as OpenPose JSON, for Draw Pose Hint."] if people else []),
            ),
        },
    )


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


def accepted(check: Callable[[], object]) -> bool | str:
    """True, or the sentence of the UserError that `check` raised: what VALIDATE_INPUTS returns."""
    try:
        check()
    except UserError as error:
        return str(error)
    return True


def finds_people(entry: Preprocessor) -> bool:
    """Whether `entry` looks for people in a picture, and so has a pose to give besides."""
    return entry.learning is not None and entry.learning.finds_people


def has_choice(entry: Preprocessor) -> bool:
    """Whether there may be several models to pick from."""
    learning = entry.learning
    return learning is not None and (len(learning.models) > 1 or bool(learning.model_types))


def optional_inputs(*entries: Preprocessor) -> dict[str, Any]:
    """What the entries have besides their source and settings: resolution, size, download."""
    learnings: list[Learning] = [entry.learning for entry in entries if entry.learning is not None]
    return {
        **({"resolution": _widget(RESOLUTION)} if any(one.any_size for one in learnings) else {}),
        "fit": _widget(FIT),
        **({"download": _DOWNLOAD} if learnings else {}),
        "latent": _LATENT,
    }


def _validator(entry: Preprocessor) -> Any:
    """VALIDATE_INPUTS for `entry`: what it names is judged here, all else by the host.

    It names no more than it has to, since ComfyUI repeats its sentence for each.
    """

    def validate(cls: type, **inputs: Any) -> bool | str:
        """Whether settings, pose and model are in order; what comes through a link waits."""
        return accepted(lambda: check(entry, inputs))

    names = ["pose_json"] if entry.takes == "pose" else []
    names += [parameter.name for parameter in entry.parameters if entry.check is not None]
    names += ["model"] if has_choice(entry) else []
    names += ["download"] if entry.learning is not None else []
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    function: Any = validate
    function.__signature__ = inspect.Signature(
        [
            inspect.Parameter("cls", kind),
            *(inspect.Parameter(name, kind, default=None) for name in names),
        ]
    )
    return classmethod(function)


def check(entry: Preprocessor, inputs: Mapping[str, Any]) -> None:
    """Raise UserError for settings, a pose or a model of `entry` that cannot be used.

    What is missing from `inputs` or None comes through a link and is not judged.
    """
    given = {name: value for name, value in inputs.items() if value is not None}
    for parameter in entry.parameters:
        if parameter.name in given:
            parameter.checked(given[parameter.name], entry.name)
    settings = {p.name: given[p.name] for p in entry.parameters if p.name in given}
    if len(settings) == len(entry.parameters):
        entry.settings(settings)
    if isinstance(given.get("pose_json"), str):
        parse_poses(given["pose_json"])
    model_is_linked = has_choice(entry) and "model" not in given
    if entry.learning is not None and not given.get("download") and not model_is_linked:
        model_choice.choose(entry, given.get("model", ""), host.current().places()).check()


def _sources(entry: Preprocessor, inputs: Mapping[str, Any]) -> list[Source]:
    if entry.takes == "pose":
        return list(parse_poses(inputs["pose_json"]))
    return images.sources(entry.takes, inputs["image"], inputs.get("mask"))


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


def _widget(parameter: Parameter) -> tuple[Any, dict[str, Any]]:
    words = {"default": parameter.default, "tooltip": parameter.tooltip}
    if parameter.choices:
        return list(parameter.choices), words
    match parameter.default:
        case bool():
            return "BOOLEAN", words
        case str():
            return "STRING", words
        case int():
            return "INT", {**words, **_range(parameter)}
        case float():
            return "FLOAT", {**words, **_range(parameter), "round": False}


def _range(parameter: Parameter) -> dict[str, float]:
    return {"min": parameter.low, "max": parameter.high, "step": parameter.step}


def _model_widget(entry: Preprocessor) -> tuple[list[str], dict[str, str]]:
    assert entry.learning is not None
    places = host.current().places() if host.is_running() else []
    tooltip = (
        "The model. Those on this machine come first; the others are looked for in "
        "models/controlstack and the Hugging Face cache, or downloaded if you switch that on."
    )
    return model_choice.names(entry.learning, places), {"tooltip": tooltip}


_IMAGE = ("IMAGE", {"tooltip": "The picture or pictures to make a hint of."})
_SOURCES: dict[str, dict[str, Any]] = {
    "picture": {"image": _IMAGE},
    "masked picture": {
        "image": _IMAGE,
        "mask": ("MASK", {"tooltip": "White where the picture is to be painted anew."}),
    },
    "depth": {"image": ("IMAGE", {"tooltip": "Depth, near is white."})},
    "labels": {
        "image": ("IMAGE", {"tooltip": "A label map: the grey level, 0 to 255, is the class."})
    },
    "pose": {
        "pose_json": (
            "STRING",
            {
                "default": json.dumps(STANDING),
                "multiline": True,
                "tooltip": "OpenPose JSON, as pose editors export it: people with "
                "pose_keypoints_2d (x, y, confidence for each of 18 or 25 joints), "
                "canvas_width, canvas_height.",
            },
        ),
        **{side.name: _widget(side) for side in SIDES},
    },
}
_DOWNLOAD = (
    "BOOLEAN",
    {
        "default": False,
        "tooltip": "Download the model if it is not on this machine: once, into "
        "models/controlstack. While this is off, no request is made.",
    },
)
_LATENT = (
    "LATENT",
    {"tooltip": "Gives the hint the size of the picture that this latent becomes."},
)
