"""A node of each preprocessor: its settings become widgets, its entry the node's words."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..ground.errors import UserError
from ..ground.log import log
from ..ground.parameters import Value
from ..hosts import host
from ..preprocessors import model_choice
from ..preprocessors.making import Source
from ..preprocessors.pose.draw import least_confidence
from ..preprocessors.pose.people import (
    SURE,
    parse_keypoints,
    parse_poses,
    to_json,
    to_keypoints,
)
from ..preprocessors.ready import KeptModel
from ..preprocessors.spec import Preprocessor
from . import images
from .hint_batch import make_batch
from .hint_inputs import POSE_KEYPOINT, input_types
from .seen import seen
from .widgets import filled

CATEGORY = "ControlStack/hints"
_PEOPLE = (
    "The people in the hint's pixels, one frame a picture, for nodes of other packs and the core's "
    "SDPose that take POSE_KEYPOINT."
)


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
        """The hints of a batch: (B, H, W, 3) in 0..1, and of poses their people; `seen`."""
        entry = self.PREPROCESSOR
        names = {parameter.name for parameter in entry.parameters}
        settings = entry.settings({n: value for n, value in inputs.items() if n in names})
        sources = _sources(entry, inputs, settings)
        made = make_batch(entry, sources, settings, inputs, self._model)
        hints = images.image_of([one.hint for one in made])
        poses = [one.pose for one in made if one.pose is not None]
        if entry.finds_people:
            return seen(hints, _text(poses), [to_keypoints(pose) for pose in poses])
        if entry.takes == "pose":
            # The editor on the node shows what came through a wire: web/js/pose_node.js.
            wired = inputs.get("pose_keypoint") is not None
            ui = {"pose_json": [_text(sources) if wired else inputs["pose_json"]]}
            return seen(hints, [to_keypoints(pose) for pose in poses], ui=ui)
        return seen(hints)


def node_of(entry: Preprocessor) -> type[HintNode]:
    """The node class of `entry`."""
    hint = f"The hint, for Add ControlNet with a ControlNet for it. {entry.controls}."
    outputs = [("IMAGE", "hint", hint)]
    if entry.finds_people:
        outputs.append(("STRING", "pose_json", "The people as OpenPose JSON, for Draw Pose Hint."))
    if entry.finds_people or entry.takes == "pose":
        outputs.append((POSE_KEYPOINT, "pose_keypoint", _PEOPLE))
    types, names, tooltips = zip(*outputs, strict=True)
    return type(
        entry.node,
        (HintNode,),
        {
            "__doc__": entry.description,
            "PREPROCESSOR": entry,
            "VALIDATE_INPUTS": _validator(entry),
            "DESCRIPTION": entry.description,
            "SEARCH_ALIASES": entry.aliases,
            "RETURN_TYPES": types,
            "RETURN_NAMES": names,
            "OUTPUT_TOOLTIPS": tooltips,
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

    names = ["pose_json", "pose_keypoint"] if entry.takes == "pose" else []
    names += [parameter.name for parameter in entry.parameters if entry.check is not None]
    names += ["model"] if entry.has_choice else []
    names += ["download"] if entry.downloads else []
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
    if isinstance(inputs.get("pose_json"), str) and "pose_keypoint" not in inputs:
        parse_poses(inputs["pose_json"])
    model = inputs.get("model", None if entry.has_choice else "")
    if entry.downloads and model is not None and _is_off(inputs.get("download", False)):
        model_choice.choose(entry, model, host.current().places()).check()


def _is_off(switch: bool | None) -> bool:
    return switch is not None and not switch


def _sources(
    entry: Preprocessor, inputs: Mapping[str, Any], settings: Mapping[str, Value]
) -> list[Source]:
    if entry.takes == "pose":
        sure = least_confidence(settings)
        if inputs.get("pose_keypoint") is not None:
            log.info("%s draws the POSE_KEYPOINT that is wired; its text is not used.", entry.title)
            return list(parse_keypoints(inputs["pose_keypoint"], sure or SURE))
        return list(parse_poses(inputs["pose_json"], sure))
    return images.sources(entry.takes, inputs["image"], inputs.get("mask"))


def _text(poses: list[Any]) -> str:
    return json.dumps([to_json(pose) for pose in poses])
