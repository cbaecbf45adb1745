"""A node of each preprocessor: its settings become widgets, its entry the node's words."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..ground.errors import UserError
from ..hosts import host
from ..preprocessors import model_choice
from ..preprocessors.making import Source
from ..preprocessors.pose.people import parse_poses, to_json
from ..preprocessors.ready import KeptModel
from ..preprocessors.spec import Preprocessor
from . import images
from .hint_batch import make_batch
from .hint_inputs import input_types
from .seen import seen
from .widgets import filled

CATEGORY = "ControlStack/hints"


@filled
class HintNode:
    """One preprocessor as a node; `node_of` makes the class."""

    PREPROCESSOR: ClassVar[Preprocessor]
    CATEGORY = CATEGORY
    FUNCTION = "make"

    def __init__(self) -> None:
        self._model = KeptModel()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        return input_types(cls.PREPROCESSOR)

    def make(self, **inputs: Any) -> Any:
        """The hints of a batch: (B, H, W, 3) in 0..1, and of learned poses their JSON; `seen`."""
        entry = self.PREPROCESSOR
        names = {parameter.name for parameter in entry.parameters}
        settings = entry.settings({n: value for n, value in inputs.items() if n in names})
        made = make_batch(entry, _sources(entry, inputs), settings, inputs, self._model)
        hints = images.image_of([one.hint for one in made])
        if entry.finds_people:
            poses = [to_json(one.pose) for one in made if one.pose is not None]
            return seen(hints, json.dumps(poses))
        return seen(hints)


def node_of(entry: Preprocessor) -> type[HintNode]:
    """The node class of `entry`."""
    people = entry.finds_people
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
                f"The hint, for Add ControlNet with a ControlNet for it. {entry.controls}.",
                *(["The people as OpenPose JSON, for Draw Pose Hint."] if people else []),
            ),
        },
    )


def accepted(check: Callable[[], object]) -> bool | str:
    """True, or the sentence of the UserError that `check` raised: what VALIDATE_INPUTS returns."""
    try:
        check()
    except UserError as error:
        return str(error)
    return True


def _validator(entry: Preprocessor) -> Any:
    """VALIDATE_INPUTS for `entry`: what it names is judged here, all else by the host.

    It names no more than it has to, since ComfyUI repeats its sentence for each.
    """

    def validate(cls: type, **inputs: Any) -> bool | str:
        """Whether settings, pose and model are in order; what comes through a link waits."""
        return accepted(lambda: check(entry, inputs))

    names = ["pose_json"] if entry.takes == "pose" else []
    names += [parameter.name for parameter in entry.parameters if entry.check is not None]
    names += ["model"] if entry.has_choice else []
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

    What is missing from `inputs` has its default; what is None comes through a link and waits.
    """
    settings = {one.name: inputs.get(one.name, one.default) for one in entry.parameters}
    for parameter in entry.parameters:
        if settings[parameter.name] is not None:
            parameter.checked(settings[parameter.name], entry.name)
    if None not in settings.values():
        entry.settings(settings)
    if isinstance(inputs.get("pose_json"), str):
        parse_poses(inputs["pose_json"])
    model = inputs.get("model", None if entry.has_choice else "")
    if entry.learning is not None and model is not None and _is_off(inputs.get("download", False)):
        model_choice.choose(entry, model, host.current().places()).check()


def _is_off(switch: bool | None) -> bool:
    return switch is not None and not switch


def _sources(entry: Preprocessor, inputs: Mapping[str, Any]) -> list[Source]:
    if entry.takes == "pose":
        return list(parse_poses(inputs["pose_json"]))
    return images.sources(entry.takes, inputs["image"], inputs.get("mask"))
