"""ViTPose: the people in a picture, by a detector and a network of joints, both of transformers.

RT-DETR finds people; ViTPose looks at each of them, cut out and 256 pixels high, for COCO's 17
joints: https://huggingface.co/docs/transformers/model_doc/vitpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...ground.errors import UserError
from ...ground.parameters import Parameter
from ..picture import Bytes, checked_rgb
from ..pose.draw import DRAWING
from ..pose.people import Person, Pose
from ..spec import Annotator, Learning, Preprocessor
from .coco import COCO, from_coco
from .folder import Kind, check_folder, load_network, load_processor, pixels, published

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


@dataclass(frozen=True)
class VitPose:
    """A detector and a network of joints, loaded, each with what makes its input.

    `person` is the number of the detector's class.
    """

    detector: nn.Module
    detector_processor: Any
    joints: nn.Module
    joints_processor: Any
    person: int

    @property
    def networks(self) -> Sequence[nn.Module]:
        """The detector and the network of joints."""
        return self.detector, self.joints

    def __call__(self, picture: Bytes, device: torch.device, **settings: Any) -> Pose:
        """The people in `picture` (uint8 RGB, H x W x 3), in its pixels, the surest first.

        The settings are those of SELECTION. Raises UserError for another kind of picture, and
        where a network's numbers are not finite.
        """
        import torch

        seen = checked_rgb(picture, "ViTPose")
        with torch.inference_mode():
            people = self._people(seen, device, **settings)
        return Pose(people, canvas=(seen.shape[1], seen.shape[0]))

    def _people(
        self,
        picture: Bytes,
        device: torch.device,
        person_threshold: float = 0.3,
        joint_threshold: float = 0.3,
        max_people: int = 20,
    ) -> tuple[Person, ...]:
        boxes = self._boxes(picture, device, person_threshold)[:max_people]
        if not len(boxes):
            return ()
        points, scores = self._joints(picture, boxes, device)
        return tuple(
            from_coco(one, sure, joint_threshold) for one, sure in zip(points, scores, strict=True)
        )

    def _boxes(self, picture: Bytes, device: torch.device, threshold: float) -> Array:
        """N x 4, the surest first: left, top, width and height in pixels."""
        found = self.detector(pixel_values=pixels(self.detector_processor, picture, device))
        _check_finite(found.logits, found.pred_boxes)
        (result,) = self.detector_processor.post_process_object_detection(
            found, threshold=threshold, target_sizes=[picture.shape[:2]]
        )
        people = result["labels"] == self.person
        boxes = result["boxes"][people].double().cpu().numpy()
        boxes[:, 2:] -= boxes[:, :2]
        surest = result["scores"][people].argsort(descending=True, stable=True).cpu().numpy()
        # Nothing can be seen of what is smaller than a pixel.
        ordered: Array = boxes[surest]
        return ordered[(ordered[:, 2:] >= 1).all(axis=1)]

    def _joints(
        self, picture: Bytes, boxes: Array, device: torch.device
    ) -> tuple[list[Array], list[Array]]:
        """COCO's joints in each of `boxes` (17 x 2: x, y), and how sure each is (17, in 0..1)."""
        import torch

        seen = pixels(self.joints_processor, picture, device, boxes=[boxes])
        experts = _config(self.joints).backbone_config.num_experts
        index = torch.full((len(boxes),), EXPERT, device=device) if experts > 1 else None
        found = self.joints(pixel_values=seen, dataset_index=index)
        _check_finite(found.heatmaps)
        (results,) = self.joints_processor.post_process_pose_estimation(found, boxes=[boxes])
        points = [
            self._in_view(result["keypoints"].double().numpy(), box)
            for result, box in zip(results, boxes, strict=True)
        ]
        return points, [result["scores"].double().numpy() for result in results]

    def _in_view(self, points: Array, box: Array) -> Array:
        """Pixels as points of a canvas, where the middle of pixel i is i + 0.5.

        NaN for a point outside of what ViTPose saw around `box`, give or take a tenth: where its
        map is flat, the processor's step from a cell to the top of the slope has no end.
        """
        size = self.joints_processor.size
        wide, high = size["width"] / size["height"], 1.0
        reach = 1.1 * MARGIN / 2 * max(box[2] / wide, box[3] / high) * np.array([wide, high])
        away = np.abs(points - (box[:2] + box[2:] / 2))
        return np.where((away <= reach).all(axis=1, keepdims=True), points + 0.5, np.nan)


def check_vitpose(paths: Sequence[Path]) -> None:
    """Raise UserError unless both folders, in the order of `load_vitpose`, hold their models."""
    for folder, kind in zip(paths, (JOINTS_KIND, DETECTOR_KIND), strict=True):
        check_folder(folder, kind)


def load_vitpose(paths: Sequence[Path]) -> Annotator:
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
    return VitPose(
        detector,
        load_processor(detector_folder, DETECTOR_KIND),
        joints,
        load_processor(folder, JOINTS_KIND),
        classes["person"],
    )


def _config(network: nn.Module) -> Any:
    return network.config


def _check_finite(*tensors: torch.Tensor) -> None:
    import torch

    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise UserError("ViTPose's networks gave no finite numbers; their weights are damaged.")


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
