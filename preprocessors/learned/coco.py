"""COCO's 17 joints -> the 18 of OpenPose, which the OpenPose ControlNets were trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..pose.people import JOINTS, Joint, Person

COCO = (
    "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder",
    "left elbow", "right elbow", "left wrist", "right wrist", "left hip", "right hip",
    "left knee", "right knee", "left ankle", "right ankle",
)  # fmt: skip
"""COCO's joints in its order: the "keypoints" of the category person,
https://cocodataset.org/#format-data"""

SHOULDERS = COCO.index("left shoulder"), COCO.index("right shoulder")
"""COCO has no neck. As in DWPose's skeletons it is the middle of the shoulders, where both are
found: dwpose/wholebody.py in https://github.com/Fannovel16/comfyui_controlnet_aux"""


def from_coco(
    points: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], threshold: float
) -> Person:
    """The person whose joints lie at `points` (17 x 2: x, y), each found with a score (17).

    A joint of a score below `threshold` was not found, nor one whose point is not finite; the neck
    was found where both shoulders were.
    """
    found = (scores >= threshold) & np.isfinite(points).all(axis=1)
    joints = {
        name: Joint(float(x), float(y))
        for name, (x, y), there in zip(COCO, points, found, strict=True)
        if there
    }
    if found[list(SHOULDERS)].all():
        x, y = points[list(SHOULDERS)].mean(axis=0)
        joints["neck"] = Joint(float(x), float(y))
    return Person(body=tuple(joints.get(name) for name in JOINTS))
