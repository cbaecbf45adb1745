"""One node for all preprocessors of a picture, each with its own defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..ground.log import log
from ..preprocessors.names import named
from ..preprocessors.ready import KeptModel
from ..preprocessors.registry import PREPROCESSORS
from ..preprocessors.spec import Preprocessor
from . import images
from .hint_batch import make_batch
from .hint_inputs import optional_inputs
from .hint_node import CATEGORY, accepted, check
from .seen import seen
from .widgets import filled

OF_PICTURES = {name: entry for name, entry in PREPROCESSORS.items() if entry.takes == "picture"}


def chosen(preprocessor: str, offered: Mapping[str, Preprocessor] = OF_PICTURES) -> Preprocessor:
    """The preprocessor of a name, `named`; what another pack's name means here is logged."""
    entry = named(preprocessor, offered)
    if entry.told:
        log.warning("%s", entry.told)
    return entry


def accepted_name(preprocessor: str | None, download: bool | None) -> bool | str:
    """What VALIDATE_INPUTS says of the name of a preprocessor of pictures, with its first model;
    None comes through a link and waits."""
    if preprocessor is None:
        return True
    first = {"model": "", "download": download}
    return accepted(lambda: check(named(preprocessor, OF_PICTURES), first))


@filled
class ControlStackHint:
    """Any hint of a picture."""

    DESCRIPTION = (
        "Makes any hint of a picture with that preprocessor's own defaults. The node of one "
        "preprocessor has its settings."
    )
    SEARCH_ALIASES = ("preprocessor", "annotator", "aio", "all preprocessors", "预处理器", "控制图")
    CATEGORY = CATEGORY
    FUNCTION = "make"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("hint",)
    OUTPUT_TOOLTIPS = ("The hint, for Add ControlNet with the ControlNet that follows it.",)

    def __init__(self) -> None:
        self._model = KeptModel()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        tooltip = (
            "Which hint: it has to be the kind that your ControlNet was trained on. In a prompt of "
            "the API names of comfyui_controlnet_aux and sd-webui-controlnet are taken too."
        )
        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "The picture or pictures to make a hint of."}),
                "preprocessor": (list(OF_PICTURES), {"tooltip": tooltip}),
            },
            "optional": optional_inputs(*OF_PICTURES.values()),
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, preprocessor: str | None = None, download: bool | None = False
    ) -> bool | str:
        """Whether the preprocessor's model is there; None is what comes through a link."""
        return accepted_name(preprocessor, download)

    def make(self, image: Tensor, preprocessor: str, **inputs: Any) -> Any:
        """(B, H, W, 3) in 0..1 -> hints in 0..1, of that size or the latent's; `seen`."""
        entry = chosen(preprocessor)
        sources = images.sources(entry.takes, image)
        made = make_batch(entry, sources, entry.settings({}), inputs, self._model)
        return seen(images.image_of([one.hint for one in made]))
