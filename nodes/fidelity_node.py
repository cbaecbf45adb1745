"""Does a picture follow its hint: the condition is found again in the picture and compared."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..evaluation.fidelity import Condition, Figure, asks_nothing, compare, means
from ..ground.errors import UserError
from ..ground.log import log
from ..preprocessors.making import Made
from ..preprocessors.pose.people import parse_keypoints, parse_poses
from ..preprocessors.ready import KeptModel
from ..preprocessors.spec import Preprocessor
from . import images
from .any_hint import OF_PICTURES, accepted_name, chosen
from .hint_batch import make_batch
from .hint_inputs import POSE_KEYPOINT, optional_inputs
from .widgets import filled


@filled
class ControlStackFidelity:
    """Figures of how well pictures follow their hints."""

    DESCRIPTION = (
        "Measures whether pictures follow their hints: finds the condition again in each picture "
        "with the preprocessor that made the hint, and compares the two."
    )
    SEARCH_ALIASES = (
        *("controlnet metric", "evaluate", "fidelity", "edge f1", "iou", "pck"),
        *("does it obey", "条件一致性", "评估"),
    )
    CATEGORY = "ControlStack"
    FUNCTION = "measure"
    RETURN_TYPES = ("FLOAT", "STRING", "IMAGE")
    RETURN_NAMES = ("fidelity", "figures", "found")
    OUTPUT_TOOLTIPS = (
        "The first figure, the mean over the pictures: edge F1, mean IoU, PCK ...",
        "All figures as JSON: their means, and those of each picture.",
        "What was found again in the pictures, to be looked at beside the hints.",
    )

    def __init__(self) -> None:
        self._model = KeptModel()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        of_pictures = optional_inputs(*OF_PICTURES.values())
        return {
            "required": {
                "images": ("IMAGE", {"tooltip": "The pictures that were generated."}),
                "hint": (
                    "IMAGE",
                    {"tooltip": "The hint that they should follow, one for all or one a picture."},
                ),
                "preprocessor": (
                    list(OF_PICTURES),
                    {"tooltip": "What finds the condition again: the kind that made the hint."},
                ),
            },
            "optional": {
                "pose_json": (
                    "STRING",
                    {
                        "forceInput": True,
                        "tooltip": "For poses: the hint's people as OpenPose JSON, from the node "
                        "that found them. A drawn skeleton cannot be compared.",
                    },
                ),
                **{name: of_pictures[name] for name in ("resolution", "download")},
                "pose_keypoint": (
                    POSE_KEYPOINT,
                    {"tooltip": "For poses: the hint's people by this wire instead of pose_json."},
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, preprocessor: str | None = None, download: bool | None = False
    ) -> bool | str:
        """Whether the preprocessor's model is there; None is what comes through a link."""
        return accepted_name(preprocessor, download)

    def measure(
        self,
        images: Tensor,
        hint: Tensor,
        preprocessor: str,
        pose_json: str | None = None,
        pose_keypoint: Any = None,
        **inputs: Any,
    ) -> tuple[float, str, Tensor]:
        """`images` and `hint` (B, H, W, 3) in 0..1 -> the first figure, all of them, what was
        found (B, H, W, 3).
        """
        entry = chosen(preprocessor)
        wanted = _wanted(entry, hint, pose_json, pose_keypoint)
        if len(wanted) not in (1, len(images)):
            raise UserError(
                f"There are {len(images)} pictures and {len(wanted)} hints; give one hint, or one "
                "a picture."
            )
        each = wanted if len(wanted) == len(images) else wanted * len(images)
        found = _found(entry, images, inputs, self._model)
        rows = [
            compare(entry.shows, made.hint if made.pose is None else made.pose, one)
            for made, one in zip(found, each, strict=True)
        ]
        if empty := sum(asks_nothing(entry.shows, one) for one in each):
            log.warning(
                "Condition Fidelity: %d of %d hints ask for nothing, and their pictures count in "
                "no mean.",
                *(empty, len(each)),
            )
        return means(rows)[0].value, _as_json(rows), _drawn(found)


def _wanted(
    entry: Preprocessor, hint: Tensor, pose_json: str | None, pose_keypoint: Any
) -> list[Condition]:
    if not entry.finds_people:
        return list(images.hints_of(hint))
    if pose_keypoint is not None:
        return list(parse_keypoints(pose_keypoint))
    if pose_json is None:
        raise UserError(
            "A drawn skeleton cannot be compared with a pose: wire pose_json or pose_keypoint, "
            "which the node that made the hint gives."
        )
    return list(parse_poses(pose_json))


def _found(
    entry: Preprocessor, pictures: Tensor, inputs: dict[str, Any], model: KeptModel
) -> list[Made]:
    sources = images.sources(entry.takes, pictures)
    return make_batch(entry, sources, entry.settings({}), inputs, model)


def _drawn(found: Sequence[Made]) -> Tensor:
    return images.image_of([one.hint for one in found])


def _as_json(rows: Sequence[Sequence[Figure]]) -> str:
    summary = {one.name: _number(one.value) for one in means(rows)}
    pictures = [{figure.name: _number(figure.value) for figure in row} for row in rows]
    return json.dumps({"mean": summary, "pictures": pictures}, indent=2, ensure_ascii=False)


def _number(value: float) -> float | None:
    """`value`, or None where it is none or infinite, which JSON does not have."""
    return value if math.isfinite(value) else None
