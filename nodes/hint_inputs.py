"""What a hint node asks for: its source, its settings, its model and its size, as widgets."""

from __future__ import annotations

import json
from typing import Any

from ..ground.parameters import Parameter
from ..hosts import host
from ..preprocessors import model_choice
from ..preprocessors.making import FIT, resolution_of
from ..preprocessors.picture import MAX_EDGE
from ..preprocessors.spec import Learning, Preprocessor
from .widgets import widget, widgets

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

POSE_KEYPOINT = "POSE_KEYPOINT"
"""The type of comfyui_controlnet_aux's and the core's wires of people."""

EDGES = tuple(
    Parameter(edge, 512, "In pixels: best that of your picture.", 1, MAX_EDGE)
    for edge in ("width", "height")
)

BY_HAND = tuple(
    Parameter(
        edge,
        0,
        "In pixels, by hand. 0 is the picture's own, or by its shape where only the other is "
        "given. What a wire says wins.",
        0,
        MAX_EDGE,
        8,
    )
    for edge in ("width", "height")
)


def input_types(entry: Preprocessor) -> dict[str, Any]:
    """INPUT_TYPES of the node of `entry`.

    Settings are optional: a prompt without one that came later runs with its default.
    """
    model = {"model": _model_widget(entry)} if entry.has_choice else {}
    wires = {"pose_keypoint": _WIRED_POSE} if entry.takes == "pose" else {}
    first = [one for one in entry.parameters if one.name not in entry.added]
    later = [one for one in entry.parameters if one.name in entry.added]
    return {
        "required": {**_SOURCES[entry.takes], **model},
        "optional": {**widgets(first), **optional_inputs(entry), **wires, **widgets(later)},
    }


def optional_inputs(*entries: Preprocessor) -> dict[str, Any]:
    """What the entries have besides their source and settings: resolution, size, download.

    Poses ask for their edges among the required inputs.
    """
    learnings: list[Learning] = [entry.learning for entry in entries if entry.learning is not None]
    any_size = any(one.any_size for one in learnings)
    return {
        **({"resolution": widget(resolution_of(*entries))} if any_size else {}),
        "fit": widget(FIT),
        **({"download": _DOWNLOAD} if any(entry.downloads for entry in entries) else {}),
        "latent": _LATENT,
        "size_of": _SIZE_OF,
        **({} if entries[0].takes == "pose" else widgets(BY_HAND)),
    }


def _model_widget(entry: Preprocessor) -> tuple[list[str], dict[str, str]]:
    assert entry.learning is not None
    places = host.current().places() if host.is_running() else []
    tooltip = (
        "The model. Those on this machine come first; the others are looked for in "
        "models/controlstack and the Hugging Face cache, or downloaded if you switch that on."
    )
    return model_choice.names(entry.learning, places), {"tooltip": tooltip}


MASK = ("MASK", {"tooltip": "White where the picture is to be painted anew."})

_IMAGE = ("IMAGE", {"tooltip": "The picture or pictures to make a hint of."})
_SOURCES: dict[str, dict[str, Any]] = {
    "picture": {"image": _IMAGE},
    "masked picture": {
        "image": _IMAGE,
        "mask": MASK,
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
                "canvas_width, canvas_height. Or width, height, keypoints. Edit pose changes it.",
            },
        ),
        **widgets(EDGES),
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
_WIRED_POSE = (
    POSE_KEYPOINT,
    {
        "tooltip": "People from a pose estimator of another pack or the core's SDPose, one frame a "
        "picture. While this is wired, pose_json is not used. Points below a confidence of 0.3 "
        "are left out, or below confidence_threshold where that is not 0."
    },
)
_SIZE_OF = (
    "IMAGE",
    {"tooltip": "Gives the hint the size of this picture, in the place of a latent."},
)
