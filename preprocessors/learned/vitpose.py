"""ViTPose: the people in a picture, by a detector and a network of joints, both of transformers.

RT-DETR finds people; ViTPose looks at each of them, cut out and 256 pixels high, for COCO's 17
joints: https://huggingface.co/docs/transformers/model_doc/vitpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...ground.errors import UserError
from ...ground.parameters import Parameter
from ..picture import Bytes
from ..pose.draw import DRAWING
from ..pose.people import Person, Pose
from ..spec import Learning, Preprocessor
from .coco import COCO, from_coco
from .folder import Kind, check_folder, load_network, load_processor, pixels, published
from .tensors import Networks, finite

if TYPE_CHECKING:
    import torch
    from torch import nn

Array: TypeAlias = npt.NDArray[np.float64]

DETECTOR_KIND = Kind(
    "person detector",
    {"rt_detr": "RTDetrForObjectDetection", "rt_detr_v2": "RTDetrV2ForObjectDetection"},
)
JOINTS_KIND = Kind("ViTPose model", {"vitpose": "VitPoseForPoseEstimation"})

EXPERT = 0
"""COCO's part of a ViTPose+ model, which has one for each data set it was trained on."""

MARGIN = 1.25
"""How much larger than the box of a person what ViTPose sees is, before it gets its shape."""


def vitpose(
    picture: Bytes,
    device: torch.device,
    detector: nn.Module,
    joints: nn.Module,
    detector_processor: Any,
    joints_processor: Any,
    person: int,
    person_threshold: float = 0.3,
    joint_threshold: float = 0.3,
    max_people: int = 20,
) -> Pose:
    """The people in `picture` (uint8 RGB, H x W x 3), in its pixels, the surest first.

    Each network has what makes its input; `person` is the number of the detector's class; the
    others are the settings of SELECTION. Raises UserError where a network's numbers are not finite.
    """
    boxes = _boxes(picture, device, detector, detector_processor, person, person_threshold)
    people: list[Person] = []
    if len(boxes := boxes[:max_people]):
        found = zip(*_joints(picture, device, boxes, joints, joints_processor), strict=True)
        people = [from_coco(points, sure, joint_threshold) for points, sure in found]
    return Pose(tuple(people), canvas=(picture.shape[1], picture.shape[0]))


def _boxes(
    picture: Bytes,
    device: torch.device,
    detector: nn.Module,
    processor: Any,
    person: int,
    threshold: float,
) -> Array:
    """N x 4, the surest first: left, top, width and height in pixels."""
    found = detector(pixel_values=pixels(processor, picture, device))
    for said in (found.logits, found.pred_boxes):
        finite(said, "ViTPose")
    (result,) = processor.post_process_object_detection(
        found, threshold=threshold, target_sizes=[picture.shape[:2]]
    )
    people = result["labels"] == person
    boxes = result["boxes"][people].double().cpu().numpy()
    boxes[:, 2:] -= boxes[:, :2]
    surest = result["scores"][people].argsort(descending=True, stable=True).cpu().numpy()
    # Nothing can be seen of what is smaller than a pixel.
    ordered: Array = boxes[surest]
    return ordered[(ordered[:, 2:] >= 1).all(axis=1)]


def _joints(
    picture: Bytes, device: torch.device, boxes: Array, joints: nn.Module, processor: Any
) -> tuple[list[Array], list[Array]]:
    """COCO's joints in each of `boxes` (17 x 2: x, y), and how sure each is (17, in 0..1)."""
    import torch

    seen = pixels(processor, picture, device, boxes=[boxes])
    experts = _config(joints).backbone_config.num_experts
    index = torch.full((len(boxes),), EXPERT, device=device) if experts > 1 else None
    found = joints(pixel_values=seen, dataset_index=index)
    finite(found.heatmaps, "ViTPose")
    (results,) = processor.post_process_pose_estimation(found, boxes=[boxes])
    points = [
        _in_view(result["keypoints"].double().numpy(), box, processor.size)
        for result, box in zip(results, boxes, strict=True)
    ]
    return points, [result["scores"].double().numpy() for result in results]


def _in_view(points: Array, box: Array, size: Mapping[str, int]) -> Array:
    """Pixels as points of a canvas, where the middle of pixel i is i + 0.5.

    NaN for a point outside of what ViTPose saw, at `size`, around `box`, give or take a tenth:
    where its map is flat, the processor's step from a cell to the top of the slope has no end.
    """
    wide, high = size["width"] / size["height"], 1.0
    reach = 1.1 * MARGIN / 2 * max(box[2] / wide, box[3] / high) * np.array([wide, high])
    away = np.abs(points - (box[:2] + box[2:] / 2))
    return np.where((away <= reach).all(axis=1, keepdims=True), points + 0.5, np.nan)


def check_vitpose(paths: Sequence[Path]) -> None:
    """Raise UserError unless both folders, in the order of `load_vitpose`, hold their models."""
    for folder, kind in zip(paths, (JOINTS_KIND, DETECTOR_KIND), strict=True):
        check_folder(folder, kind)


def load_vitpose(paths: Sequence[Path]) -> Networks:
    """ViTPose from its folder and that of the detector, in this order.

    Raises UserError for a folder that holds no such model, and for models that know no person or
    other joints than COCO's.
    """
    folder, detector_folder = paths
    joints = load_network(folder, JOINTS_KIND)
    detector = load_network(detector_folder, DETECTOR_KIND)
    number = len(_config(joints).id2label)
    if number != len(COCO):
        raise UserError(
            f"{folder} finds {number} joints, and COCO's {len(COCO)} are needed; take a ViTPose "
            "model of COCO."
        )
    classes = {str(name).lower(): int(i) for i, name in _config(detector).id2label.items()}
    if "person" not in classes:
        raise UserError(
            f"{detector_folder} detects no class named person; take a detector trained on COCO."
        )
    draw = partial(
        vitpose,
        detector_processor=load_processor(detector_folder, DETECTOR_KIND),
        joints_processor=load_processor(folder, JOINTS_KIND),
        person=classes["person"],
    )
    return Networks("ViTPose", (detector, joints), draw)


def _config(network: nn.Module) -> Any:
    return network.config


LICENCE = "Apache-2.0"
"""Of ViTPose and of RT-DETR."""

MODELS = (
    published("usyd-community/vitpose-base-simple", LICENCE, 344),
    published("usyd-community/vitpose-base", LICENCE, 360),
    published("usyd-community/vitpose-plus-small", LICENCE, 133),
    published("usyd-community/vitpose-plus-base", LICENCE, 502),
    published("usyd-community/vitpose-plus-large", LICENCE, 1740),
    published("usyd-community/vitpose-plus-huge", LICENCE, 3600),
)

DETECTOR = published("PekingU/rtdetr_r50vd_coco_o365", LICENCE, 172)

SELECTION = (
    Parameter(
        "person_threshold",
        0.3,
        "How sure the detector has to be of a person; lower finds more people, and more mistakes.",
        step=0.01,
    ),
    Parameter(
        "joint_threshold",
        0.3,
        "How sure ViTPose has to be of a joint; joints below it and their limbs are left out.",
        step=0.01,
    ),
    Parameter(
        "max_people",
        20,
        "The most people that are drawn, those the detector is surest of.",
        low=1,
        high=100,
    ),
)

VITPOSE = Preprocessor(
    name="pose_vitpose",
    node="ControlStackPoseVitpose",
    title="ViTPose Hint",
    shows="pose",
    description=(
        "Finds people with RT-DETR and their joints with ViTPose, and draws them as the coloured "
        "skeletons that the OpenPose ControlNets were trained on; no hands and no faces. "
        "Free for commercial use."
    ),
    aliases=(
        *(
            "pose",
            "openpose",
            "dwpose",
            "DWPreprocessor",
            "dw_openpose_full",
            "vitpose",
            "skeleton",
        ),
        *("people", "rt-detr", "姿势", "姿态", "人体姿态"),
    ),
    controls=(
        "OpenPose: control_v11p_sd15_openpose, control_sd15_openpose (style v1.0), "
        "xinsir's controlnet-openpose-sdxl-1.0 (scale_sticks)"
    ),
    parameters=(*SELECTION, *(p for p in DRAWING if p.name not in ("body", "hands", "face"))),
    drawn=True,
    learning=Learning(
        models=MODELS,
        load=load_vitpose,
        check=check_vitpose,
        also=(DETECTOR,),
        model_types=("vitpose",),
        finds_people=True,
    ),
)
