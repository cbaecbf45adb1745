"""What the hints are measured against, and weights for those that need some."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

AUX, PLAIN = "controlnet-aux", "OpenCV, NumPy"
COLUMNS = (AUX, PLAIN)

Array = npt.NDArray[Any]
Call = Callable[[], Any]


def of(name: str, source: Any, edge: int) -> Mapping[str, Call]:
    """The calls that make the hint `name` of `source` (edge x edge), by COLUMNS."""
    found: dict[str, Call] = {}
    if name in _AUX:
        detector, options = _AUX[name]
        found[AUX] = detector_call(detector, source, edge, options)
    if name == "pose":
        found[AUX] = _pose_call(edge)
    if name in _PLAIN:
        plain = _PLAIN[name]
        found[PLAIN] = lambda: plain(source)
    return found


def detector_call(detector: str, picture: Array, edge: int, options: Mapping[str, Any]) -> Call:
    """A detector of controlnet-aux at the picture's own size."""
    import controlnet_aux

    made = getattr(controlnet_aux, detector)()
    return lambda: made(picture, detect_resolution=edge, output_type="np", **options(edge))


_AUX: dict[str, tuple[str, Any]] = {
    "canny": ("CannyDetector", lambda edge: {"image_resolution": edge}),
    "lineart_standard": ("LineartStandardDetector", lambda edge: {}),
    "shuffle": ("ContentShuffleDetector", lambda edge: {"image_resolution": edge}),
}


def pose_json(edge: int) -> str:
    """Three people with hands and faces, each of points scattered over the picture."""
    counts = {"pose": 18, "hand_left": 21, "hand_right": 21, "face": 70}
    noise = np.random.default_rng(0)
    people = [
        {
            f"{part}_keypoints_2d": np.column_stack(
                (noise.uniform(0, edge, (count, 2)), np.ones(count))
            )
            .ravel()
            .tolist()
            for part, count in counts.items()
        }
        for _ in range(3)
    ]
    return json.dumps({"people": people, "canvas_width": edge, "canvas_height": edge})


def _pose_call(edge: int) -> Call:
    from controlnet_aux.open_pose import PoseResult, draw_poses
    from controlnet_aux.open_pose.body import BodyResult, Keypoint

    def points(person: Mapping[str, list[float]], part: str) -> list[Any]:
        numbers = np.array(person[f"{part}_keypoints_2d"]).reshape(-1, 3) / edge
        return [Keypoint(x, y) for x, y, _ in numbers.tolist()]

    people = [
        PoseResult(
            BodyResult(points(person, "pose"), 0, 0),
            *(points(person, part) for part in ("hand_left", "hand_right", "face")),
        )
        for person in json.loads(pose_json(edge))["people"]
    ]
    return lambda: draw_poses(people, edge, edge)


def _three(grey: Array) -> Array:
    return np.asarray(cv2.merge((grey, grey, grey)))


def _xdog(picture: Array) -> Array:
    """As comfyui_controlnet_aux has it."""
    fine = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.5)
    broad = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 5.0)
    dog = (255 - np.min(broad - fine, axis=2)).clip(0, 255).astype(np.uint8)
    result = np.zeros_like(picture)
    result[2 * (255 - dog) > 32] = 255
    return result


def _scribble(picture: Array) -> Array:
    result = np.zeros_like(picture)
    result[np.min(picture, axis=2) < 127] = 255
    return result


def _lineart_standard(picture: Array) -> Array:
    values = picture.astype(np.float32)
    strength = np.min(cv2.GaussianBlur(values, (0, 0), 6.0) - values, axis=2).clip(0, 255)
    strength /= max(16, np.median(strength[strength > 8]))
    return _three((strength * 127).clip(0, 255).astype(np.uint8))


def _binary(picture: Array) -> Array:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return _three(cv2.threshold(grey, 100, 255, cv2.THRESH_BINARY_INV)[1])


def _palette(picture: Array) -> Array:
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (width // 64, height // 64), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST))


def _inpaint(source: tuple[Array, Array]) -> Array:
    """As sd-webui-controlnet and the diffusers guide have it."""
    picture, mask = source
    result = picture.copy()
    result[mask > 0.5] = -1
    return result


def _normal(near: Array) -> Array:
    """ControlNet 1.0's."""
    depth = near * 2400
    x = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3)
    y = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3)
    z = np.ones_like(x) * (np.pi * 2.0)
    x[near < 0.1] = 0
    y[near < 0.1] = 0
    normal = np.stack([x, y, z], axis=2)
    normal /= np.sum(normal**2.0, axis=2, keepdims=True) ** 0.5
    return (normal * 127.5 + 127.5).clip(0, 255).astype(np.uint8)


_COLOURS = np.random.default_rng(1).integers(0, 256, (256, 3), np.uint8)

_PLAIN: dict[str, Callable[[Any], Array]] = {
    "canny": lambda picture: _three(cv2.Canny(picture, 100, 200)),
    "scribble": _scribble,
    "scribble_xdog": _xdog,
    "lineart_standard": _lineart_standard,
    "binary": _binary,
    "invert": lambda picture: 255 - picture,
    "recolor_luminance": lambda p: _three(cv2.cvtColor(p, cv2.COLOR_RGB2LAB)[:, :, 0]),
    "recolor_intensity": lambda p: _three(cv2.cvtColor(p, cv2.COLOR_RGB2HSV)[:, :, 2]),
    "tile": lambda picture: picture.copy(),
    "blur": lambda picture: np.asarray(cv2.GaussianBlur(picture, (0, 0), 9.0)),
    "color_palette": _palette,
    "inpaint": _inpaint,
    "inpaint_black": _inpaint,
    "seg_labels": lambda labels: _COLOURS[labels],
    "normal_from_depth": _normal,
}


def published(name: str, folder: Path) -> list[Path]:
    """Random weights for a learned preprocessor, in the published form and of a published size."""
    from tests import annotator_files, openpose_files

    if name in _FOLDERS:
        return [make(folder / str(number)) for number, make in enumerate(_FOLDERS[name])]
    if name == "pose_openpose":
        names = (openpose_files.BODY, openpose_files.HAND, openpose_files.FACE)
        # So small that nobody is found, and no hand or face looked for: noise would give crowds.
        return [openpose_files.publish_random(folder, file, gain=0.3) for file in names]
    from controlstack.preprocessors.registry import PREPROCESSORS

    learning = PREPROCESSORS[name].learning
    assert learning is not None
    return [
        annotator_files.publish(folder, file, annotator_files.random_state(Path(file).name))
        for file in learning.models[0].files
    ]


def _saved(folder: Path, network: Any, processor: Any) -> Path:
    from transformers.utils import logging

    logging.disable_progress_bar()
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _depth_anything(folder: Path) -> Path:
    """Depth Anything V2 Small: transformers' default, for 518 pixels."""
    import transformers as library

    backbone = library.Dinov2Config(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14,
        out_indices=[3, 6, 9, 12], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    config = library.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=384, patch_size=14,
        neck_hidden_sizes=[48, 96, 192, 384], fusion_hidden_size=64, head_hidden_size=32,
    )  # fmt: skip
    size = {"height": 518, "width": 518}
    processor = library.DPTImageProcessor(size=size, keep_aspect_ratio=True, ensure_multiple_of=14)
    return _saved(folder, library.DepthAnythingForDepthEstimation(config), processor)


def _segformer(folder: Path) -> Path:
    """SegFormer B0: transformers' default, for 512 pixels. A dozen of its classes are likely, as
    in a photo; in noise all 150 would be."""
    import torch
    import transformers as library

    network = library.SegformerForSemanticSegmentation(library.SegformerConfig(num_labels=150))
    with torch.no_grad():
        network.decode_head.classifier.bias[12:] -= 1000.0
    return _saved(folder, network, library.SegformerImageProcessor())


def _vitpose(folder: Path) -> Path:
    """ViTPose base: transformers' default, for 256 x 192 pixels."""
    import transformers as library

    config = library.VitPoseConfig(backbone_config=library.VitPoseBackboneConfig(out_indices=[12]))
    config.num_labels = 17
    network = library.VitPoseForPoseEstimation(config)
    return _saved(folder, network, library.VitPoseImageProcessor())


def _detector(folder: Path) -> Path:
    """RT-DETR with a ResNet 50: transformers' default, for 640 pixels; all it finds is people."""
    import torch
    import transformers as library

    network = library.RTDetrForObjectDetection(library.RTDetrConfig(id2label={0: "person"}))
    with torch.no_grad():
        network.model.decoder.class_embed[-1].bias.fill_(0.0)
    return _saved(folder, network, library.RTDetrImageProcessor())


_FOLDERS: dict[str, tuple[Callable[[Path], Path], ...]] = {
    "depth": (_depth_anything,),
    "seg_ade20k": (_segformer,),
    "pose_vitpose": (_vitpose, _detector),
}
