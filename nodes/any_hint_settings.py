"""One node for all preprocessors that has the settings of the one that is chosen.

The menu is a DynamicCombo of ComfyUI's V3 schema, which its front end knows by the type's name
alone, so that a plain class may have one: it draws the chosen preprocessor's settings below the
menu, and sends them as `preprocessor.low_threshold`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..ground.parameters import Value
from ..preprocessors.names import named
from ..preprocessors.ready import KeptModel
from ..preprocessors.registry import PREPROCESSORS
from ..preprocessors.spec import Preprocessor
from . import images
from .any_hint import chosen
from .hint_batch import make_batch
from .hint_inputs import MASK, input_types, optional_inputs
from .hint_node import CATEGORY, accepted, check
from .seen import seen
from .widgets import filled, widgets

OF_IMAGES = {name: entry for name, entry in PREPROCESSORS.items() if entry.takes != "pose"}
"""Poses are drawn in the editor of their own node, from no picture."""

MENU = "COMFY_DYNAMICCOMBO_V3"
BEFORE = "preprocessor."
"""What the names of settings begin with."""


class WithSettings(dict[str, Any]):
    """The optional inputs of the node. A host that asks whether it takes `preprocessor.x` is told
    so: hosts pass on what they find in here, and draw what they are told of."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or _is_setting(name)

    def __missing__(self, name: str) -> Any:
        if _is_setting(name):
            return ("*", {})
        raise KeyError(name)


@filled
class ControlStackAnyHintSettings:
    """Any hint of a picture, with its preprocessor's settings."""

    DESCRIPTION = (
        "Makes any hint of a picture, with the settings of the preprocessor that is chosen. "
        "Choosing another puts its settings back to their defaults."
    )
    SEARCH_ALIASES = (
        *("preprocessor", "annotator", "aio", "all preprocessors", "preprocessor settings"),
        *("预处理器", "控制图"),
    )
    CATEGORY = CATEGORY
    FUNCTION = "make"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("hint",)
    OUTPUT_TOOLTIPS = ("The hint, for Add ControlNet with the ControlNet that follows it.",)

    def __init__(self) -> None:
        self._model = KeptModel()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets, those of each preprocessor inside of the menu."""
        tooltip = (
            "Which hint: it has to be the kind that your ControlNet was trained on. Its settings "
            "stand below. In a prompt of the API names of comfyui_controlnet_aux and "
            "sd-webui-controlnet are taken too."
        )
        options = [{"key": name, "inputs": _settings(entry)} for name, entry in OF_IMAGES.items()]
        return {
            "required": {
                "image": (
                    "IMAGE",
                    {
                        "tooltip": "The picture or pictures to make a hint of; for "
                        "normal_from_depth depth, near is white, for seg_labels a label map."
                    },
                ),
                "preprocessor": (MENU, {"options": options, "tooltip": tooltip}),
            },
            "optional": WithSettings(
                {"mask": MASK, **optional_inputs(*OF_IMAGES.values())},
            ),
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, preprocessor: str | None = None, download: bool | None = False
    ) -> bool | str:
        """Whether there is the preprocessor, and its model where it has but one; None is what comes
        through a link. ComfyUI would repeat a sentence on a setting for every input there is, so
        settings are judged when the node runs.
        """
        if preprocessor is None:
            return True
        return accepted(lambda: _check(preprocessor, download))

    def make(
        self, image: Tensor, preprocessor: str, mask: Tensor | None = None, **inputs: Any
    ) -> Any:
        """(B, H, W, 3) in 0..1 -> hints in 0..1, of that size or the latent's; `seen`. Raises
        UserError for a setting that there is not, and for one out of range."""
        entry = chosen(preprocessor, OF_IMAGES)
        given = {name: value for name, value in inputs.items() if value is not None}
        settings = _own(entry, given)
        model = given.get(f"{BEFORE}model", "") if entry.has_choice else ""
        sources = images.sources(entry.takes, image, mask)
        made = make_batch(entry, sources, settings, {**inputs, "model": model}, self._model)
        return seen(images.image_of([one.hint for one in made]))


def _settings(entry: Preprocessor) -> dict[str, Any]:
    """The inputs below the menu while it stands at `entry`."""
    model = {"model": input_types(entry)["required"]["model"]} if entry.has_choice else {}
    return {"required": {}, "optional": {**model, **widgets(entry.parameters)}}


def _is_setting(name: object) -> bool:
    return isinstance(name, str) and name.startswith(BEFORE)


def _check(preprocessor: str, download: bool | None) -> None:
    entry = named(preprocessor, OF_IMAGES)
    if not entry.has_choice:
        check(entry, {"download": download})


def _own(entry: Preprocessor, given: dict[str, Any]) -> dict[str, Value]:
    """`entry`'s settings among the inputs `given`. A prompt whose menu was changed by hand may have
    those of another preprocessor left; what is nobody's is a typing error."""
    names = {name.removeprefix(BEFORE): name for name in given if _is_setting(name)}
    known = {"model"} | {p.name for other in OF_IMAGES.values() for p in other.parameters}
    own = {parameter.name for parameter in entry.parameters} | (names.keys() - known)
    return entry.settings({name: given[whole] for name, whole in names.items() if name in own})
