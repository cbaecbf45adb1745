"""comfyui_controlnet_aux's preprocessors, made by our own.

Ids, inputs, order and defaults are those of `node_wrappers/` of
https://github.com/Fannovel16/comfyui_controlnet_aux (1.1.5). docs/other-packs.md has how what
differs was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ...ground.errors import UserError
from ...ground.parameters import Value
from ...ground.wording import listing
from ...hosts import host
from ...nodes.images import image_of
from ...preprocessors.picture import Bytes, grey_as_rgb
from ...preprocessors.pose.draw import JOINT, pixels_of
from ...preprocessors.pose.people import to_keypoints
from ...preprocessors.registry import PREPROCESSORS
from ...preprocessors.scribble import from_edges
from ...preprocessors.weights import PAGES, local_folders
from ..core_nodes.declare import integer
from .aux_alike import Alike, Settings, hints, require
from .aux_fields import (
    DEPTHS,
    LINES,
    POSES,
    RECOLOR,
    RESOLUTION,
    SAFE,
    SEGMENTS,
    T2I,
    aux_node,
    is_on,
    menu,
    real,
    resolution,
    whole,
)

_POSE = {
    "detect_hand": menu("enable", "disable"),
    "detect_body": menu("enable", "disable"),
    "detect_face": menu("enable", "disable"),
    **RESOLUTION,
}
_STICKS = {"scale_stick_for_xinsr_cn": menu("disable", "enable")}


def _inverted(hint: Bytes, _: Mapping[str, Any]) -> Bytes:
    return 255 - hint


def _drawn(hint: Bytes, _: Mapping[str, Any]) -> Bytes:
    return _scribbled(hint)


def _scribbled(hint: Bytes) -> Bytes:
    return grey_as_rgb(from_edges(np.ascontiguousarray(hint[..., 0])))


def _gamma(hint: Bytes, asked: Mapping[str, Any]) -> Bytes:
    """(v / 255) ** gamma, rounded down, in single precision as there."""
    table = (np.arange(256).astype(np.float32) / 255.0) ** asked["gamma_correction"]
    changed: Bytes = (table * 255.0).clip(0, 255).astype(np.uint8)[hint]
    return changed


def _thresholds(given: Mapping[str, Any]) -> Settings:
    low, high = sorted((given["low_threshold"], given["high_threshold"]))  # as OpenCV does
    return {"low_threshold": low, "high_threshold": high}


def _safe(given: Mapping[str, Any]) -> Settings:
    return {"safe": is_on(given["safe"])}


def _anyline_note(given: Mapping[str, Any]) -> str:
    fixed = {"lineart_lower_bound": 0, "lineart_upper_bound": 1}
    fixed |= {"object_min_size": 36, "object_connectivity": 1}
    other = [name for name, value in fixed.items() if given[name] != value]
    if not other:
        return ""
    return f"{listing(other)} stand at {listing(fixed[name] for name in other)} here"


def _standard_alone(given: Mapping[str, Any]) -> None:
    chosen = given["merge_with_lineart"]
    if chosen != "lineart_standard":
        raise UserError(
            f"merge_with_lineart is {chosen}, and has an equal here for lineart_standard alone; "
            "choose that, or run the workflow in ComfyUI"
        )


_V2 = {
    f"depth_anything_v2_vit{letter}.pth": f"Depth-Anything-V2-{size}-hf"
    for letter, size in (("l", "Large"), ("b", "Base"), ("s", "Small"))
}
_V1 = {
    f"depth_anything_vit{letter}14.pth": f"depth-anything-{size}-hf"
    for letter, size in (("l", "large"), ("b", "base"), ("s", "small"))
}


def _v2_models(given: Mapping[str, Any]) -> tuple[str, ...]:
    asked = _V2.get(given["ckpt_name"], _V2["depth_anything_v2_vitl.pth"])
    return (asked, *(name for name in _V2.values() if name != asked))


def _v1_there(given: Mapping[str, Any]) -> None:
    name = _V1[given["ckpt_name"]]
    learning = PREPROCESSORS["depth"].learning
    assert learning is not None
    if name not in local_folders(host.current().places(), learning.model_types):
        raise UserError(
            f"ckpt_name is {given['ckpt_name']}, whose network runs here from the folder {name}; "
            f"put config.json, preprocessor_config.json and model.safetensors of {PAGES}/LiheYoung/"
            f"{name} into models/controlstack/{name}"
        )


def _no_giant(given: Mapping[str, Any]) -> None:
    if given["ckpt_name"] == "depth_anything_v2_vitg.pth":
        raise UserError(
            "ckpt_name is depth_anything_v2_vitg.pth, whose network is not here; choose "
            "depth_anything_v2_vitl.pth"
        )


def _people(given: Mapping[str, Any]) -> dict[str, Value]:
    """The settings of a pose for that pack's switches; what it does not detect is not drawn."""
    return {
        "detect_hands": is_on(given["detect_hand"]),
        "detect_face": is_on(given["detect_face"]),
        "body": is_on(given["detect_body"]),
        "scale_sticks": is_on(given["scale_stick_for_xinsr_cn"]),
    }


def stick_note(shorter: int) -> str:
    """What is said where a pose is not drawn on a shorter side of 512 pixels."""
    wide = pixels_of(JOINT, shorter, shorter)
    there = pixels_of(JOINT, 512, 512)
    if wide == there:
        return ""
    return f"joints and limbs have a radius of {wide} pixels, by the hint's size; {there} there"


def _pose_note(given: Mapping[str, Any], found: str = "") -> str:
    drawn = stick_note(given["resolution"])
    if is_on(given["scale_stick_for_xinsr_cn"]):
        drawn = "joints are as wide as the scaled limbs, as xinsir draws them; 4 pixels there"
    return "; ".join(part for part in (found, drawn) if part)


def _dwpose_note(given: Mapping[str, Any]) -> str:
    return _pose_note(given, "people, hands and faces are found by MediaPipe's networks")


def _shuffle_note(given: Mapping[str, Any]) -> str:
    return "" if given["seed"] else "seed 0 is one arrangement, and a new one at each run there"


_IN_TRANSFORMERS = "depth is measured by transformers' network at the resolution asked for"

ALIKE: dict[str, tuple[str, Alike]] = {
    "CannyEdgePreprocessor": (
        LINES,
        Alike(
            "canny",
            {
                "low_threshold": whole(100, most=255),
                "high_threshold": whole(200, most=255),
                **RESOLUTION,
            },
            _thresholds,
        ),
    ),
    "ScribblePreprocessor": (LINES, Alike("scribble", grow="area", after=_inverted)),
    "Scribble_XDoG_Preprocessor": (
        LINES,
        Alike(
            "scribble_xdog",
            {"threshold": whole(32, 1, 64), **RESOLUTION},
            lambda given: {"threshold": given["threshold"]},
            "broad dark lines are filled, and have holes there",
        ),
    ),
    "Scribble_PiDiNet_Preprocessor": (
        LINES,
        Alike(
            "pidinet",
            {"safe": (["enable", "disable"],), **RESOLUTION},
            _safe,
            after=_drawn,
            last=_scribbled,
        ),
    ),
    "FakeScribblePreprocessor": (LINES, Alike("hed", SAFE, _safe, after=_drawn)),
    "HEDPreprocessor": (LINES, Alike("hed", SAFE, _safe)),
    "PiDiNetPreprocessor": (LINES, Alike("pidinet", SAFE, _safe)),
    "LineArtPreprocessor": (
        LINES,
        Alike(
            "lineart",
            {"coarse": menu("disable", "enable"), **RESOLUTION},
            lambda given: {"coarse": is_on(given["coarse"])},
        ),
    ),
    "AnimeLineArtPreprocessor": (
        LINES,
        Alike(
            "lineart_anime",
            note="sides are padded to a multiple of 256 for the network, and stretched to it there",
        ),
    ),
    "LineartStandardPreprocessor": (
        LINES,
        Alike(
            "lineart_standard",
            {
                "guassian_sigma": real(6.0, most=100.0),
                "intensity_threshold": whole(8, most=16),
                **RESOLUTION,
            },
            lambda given: {
                "gaussian_sigma": given["guassian_sigma"],
                "intensity_threshold": given["intensity_threshold"],
            },
        ),
    ),
    "BinaryPreprocessor": (
        LINES,
        Alike(
            "binary",
            {"bin_threshold": whole(100, most=255), **RESOLUTION},
            lambda given: {"bin_threshold": given["bin_threshold"]},
            after=_inverted,
        ),
    ),
    "TEEDPreprocessor": (
        LINES,
        Alike(
            "teed",
            {"safe_steps": whole(2, most=10), **RESOLUTION},
            lambda given: {"safe_steps": given["safe_steps"]},
        ),
    ),
    "AnyLineArtPreprocessor_aux": (
        LINES,
        Alike(
            "anyline",
            {
                "merge_with_lineart": menu(
                    "lineart_standard", "lineart_realisitic", "lineart_anime", "manga_line"
                ),
                "resolution": resolution(1280, step=8),
                "lineart_lower_bound": real(0),
                "lineart_upper_bound": real(1),
                "object_min_size": whole(36, 1),
                "object_connectivity": whole(1, 1),
            },
            note=_anyline_note,
            judged=("merge_with_lineart",),
            check=_standard_alone,
        ),
    ),
    "M-LSDPreprocessor": (
        LINES,
        Alike(
            "mlsd",
            {
                "score_threshold": real(0.1, 0.01, 2.0),
                "dist_threshold": real(0.1, 0.01, 20.0),
                **RESOLUTION,
            },
            # A score over 1 there is none: from 1 on nothing is drawn.
            lambda given: {
                "value_threshold": min(given["score_threshold"], 1.0),
                "distance_threshold": given["dist_threshold"],
            },
            grow="area",
        ),
    ),
    "ImageLuminanceDetector": (
        RECOLOR,
        Alike(
            "recolor_luminance",
            {"gamma_correction": real(1.0, 0.1, 2.0), **RESOLUTION},
            before=lambda picture: np.ascontiguousarray(picture[..., ::-1]),  # red and blue there
            after=_gamma,
        ),
    ),
    "ImageIntensityDetector": (
        RECOLOR,
        Alike(
            "recolor_intensity",
            {"gamma_correction": real(1.0, 0.1, 2.0), **RESOLUTION},
            after=_gamma,
        ),
    ),
    "ShufflePreprocessor": (
        T2I,
        Alike(
            "shuffle",
            {**RESOLUTION, "seed": integer(0, 0, 2**64 - 1)},
            lambda given: {"seed": given["seed"]},
            _shuffle_note,
        ),
    ),
    "MiDaS-DepthMapPreprocessor": (
        DEPTHS,
        Alike(
            "depth",
            {
                "a": real(2 * np.pi, 0.0, 5 * np.pi),
                "bg_threshold": real(0.1),
                **RESOLUTION,
            },
            note=_IN_TRANSFORMERS,
            models=lambda given: ("dpt-hybrid-midas",),
        ),
    ),
    "Zoe-DepthMapPreprocessor": (
        DEPTHS,
        Alike("depth", note=_IN_TRANSFORMERS, models=lambda given: ("zoedepth-nyu-kitti",)),
    ),
    "Zoe_DepthAnythingPreprocessor": (
        DEPTHS,
        Alike(
            "depth",
            {"environment": menu("indoor", "outdoor"), **RESOLUTION},
            note=f"{_IN_TRANSFORMERS}, for indoor and outdoor alike as there since 1.1.5",
            models=lambda given: ("zoedepth-nyu-kitti",),
        ),
    ),
    "DepthAnythingPreprocessor": (
        DEPTHS,
        Alike(
            "depth",
            {"ckpt_name": menu(*_V1), **RESOLUTION},
            note=_IN_TRANSFORMERS,
            models=lambda given: (_V1[given["ckpt_name"]],),
            judged=("ckpt_name",),
            check=_v1_there,
        ),
    ),
    "DepthAnythingV2Preprocessor": (
        DEPTHS,
        Alike(
            "depth",
            {
                "ckpt_name": menu(
                    "depth_anything_v2_vitg.pth", *_V2, default="depth_anything_v2_vitl.pth"
                ),
                **RESOLUTION,
            },
            note=f"{_IN_TRANSFORMERS}; at 518 pixels there, and resized after",
            models=_v2_models,
            judged=("ckpt_name",),
            check=_no_giant,
        ),
    ),
    "BAE-NormalMapPreprocessor": (DEPTHS, Alike("normal_bae")),
    "OneFormer-ADE20K-SemSegPreprocessor": (
        SEGMENTS,
        Alike(
            "seg_ade20k",
            note="in ADE20K's colours, which its ControlNets were trained on; others there since "
            "1.1.5",
            models=lambda given: ("oneformer_ade20k_swin_large",),
        ),
    ),
    "MediaPipe-FaceMeshPreprocessor": (
        POSES,
        Alike(
            "mediapipe_face",
            {"max_faces": whole(10, 1, 50), "min_confidence": real(0.5, 0.1), **RESOLUTION},
            lambda given: {
                "max_faces": given["max_faces"],
                "face_threshold": given["min_confidence"],
            },
            "faces are found and drawn by our own code with MediaPipe's networks",
        ),
    ),
    "OpenposePreprocessor": (
        POSES,
        Alike("pose_openpose", {**_POSE, **_STICKS}, _people, _pose_note),
    ),
    "DWPreprocessor": (
        POSES,
        Alike(
            "pose_body",
            {
                **_POSE,
                "bbox_detector": menu(
                    *("None", "yolox_l.torchscript.pt", "yolox_l.onnx", "yolo_nas_l_fp16.onnx"),
                    *("yolo_nas_m_fp16.onnx", "yolo_nas_s_fp16.onnx"),
                    default="yolox_l.onnx",
                ),
                "pose_estimator": menu(
                    "dw-ll_ucoco_384_bs5.torchscript.pt",
                    *("dw-ll_ucoco_384.onnx", "dw-ll_ucoco.onnx"),
                ),
                **_STICKS,
            },
            _people,
            _dwpose_note,
        ),
    ),
}
"""That pack's nodes that make a hint of a picture alone, each with its category."""


def _declare(node: str, category: str, alike: Alike) -> None:
    entry = PREPROCESSORS[alike.entry]
    outputs = ("IMAGE", "POSE_KEYPOINT") if entry.finds_people else ("IMAGE",)

    def check(**given: Any) -> None:
        """What is judged is looked at, and whether the weights are there."""
        require(alike, given)

    @aux_node(
        node,
        category,
        {"image": "IMAGE"},
        *outputs,
        optional=alike.fields,
        check=check,
        checked=alike.judged,
    )
    def make(image: Tensor, **given: Any) -> Any:
        """The hints of a batch (B, H, W, 3), and of poses their people."""
        made = hints(node, alike, image, given)
        shown = image_of([one.hint for one in made])
        poses = [to_keypoints(one.pose) for one in made if one.pose is not None]
        return (shown, poses) if entry.finds_people else shown


for _node, (_category, _alike) in ALIKE.items():
    _declare(_node, _category, _alike)
