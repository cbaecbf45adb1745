"""comfyui_controlnet_aux's preprocessors, made by our own.

Ids, inputs, order and defaults are those of `node_wrappers/` of
https://github.com/Fannovel16/comfyui_controlnet_aux (1.1.5). Each looks at the picture as there:
`resolution` pixels on its shorter side, padded to a multiple of 64. What differs from that pack's
hint is said once a run; docs/other-packs.md has how it was measured.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...ground.errors import UserError
from ...ground.log import warn_once
from ...ground.parameters import Value
from ...ground.wording import listing, shown
from ...hosts import host
from ...nodes.hint_batch import make_batch
from ...nodes.hint_node import check as check_hint
from ...nodes.images import image_of
from ...preprocessors import model_choice
from ...preprocessors.inpaint import BLACK, MASKED, inpaint
from ...preprocessors.making import Made
from ...preprocessors.opencv import opencv
from ...preprocessors.palette import cells
from ...preprocessors.picture import Bytes, grey_as_rgb
from ...preprocessors.pose.draw import JOINT, pixels_of
from ...preprocessors.pose.people import to_keypoints
from ...preprocessors.ready import KeptModel
from ...preprocessors.registry import PREPROCESSORS
from ...preprocessors.scribble import from_edges
from ...preprocessors.sizing import Size
from ...preprocessors.spec import Hint, Preprocessor
from ...preprocessors.weights import PAGES, local_folders
from ..core_nodes.declare import Declared, integer, number
from ..resize import MAX_RESOLUTION
from .aux_pictures import Grow, levels, on_white, padded, pictures, resized
from .declare import nodes_of

PACK = "comfyui_controlnet_aux"
aux_node = nodes_of(PACK)

MENU = "ControlNet Preprocessors/"
LINES, POSES, DEPTHS = (
    f"{MENU}Line Extractors",
    f"{MENU}Faces and Poses Estimators",
    f"{MENU}Normal and Depth Estimators",
)
SEGMENTS, TILES, RECOLOR = (
    f"{MENU}Semantic Segmentation",
    f"{MENU}tile",
    f"{MENU}Recolor",
)
T2I, OTHERS = f"{MENU}T2IAdapter-only", f"{MENU}others"

Settings: TypeAlias = Mapping[str, Value]
Change: TypeAlias = Callable[[Bytes], Bytes]


def whole(default: int, least: int = 0, most: int = MAX_RESOLUTION) -> Declared:
    """An INT of that pack's, which have a step always."""
    return integer(default, least, most, 1)


def real(default: float, least: float = 0, most: float = 1, step: float = 0.01) -> Declared:
    """A FLOAT of that pack's."""
    return number(default, least, most, step)


def menu(*choices: str, default: str = "") -> Declared:
    """A choice of that pack's."""
    return list(choices), {"default": default or choices[0]}


def resolution(default: int = 512, least: int = 64, step: int = 64) -> Declared:
    """The pixels of the shorter side at which a picture is looked at."""
    return integer(default, least, MAX_RESOLUTION, step)


RESOLUTION = {"resolution": resolution()}
SAFE = {"safe": menu("enable", "disable"), **RESOLUTION}
_POSE = {
    "detect_hand": menu("enable", "disable"),
    "detect_body": menu("enable", "disable"),
    "detect_face": menu("enable", "disable"),
    **RESOLUTION,
}
_STICKS = {"scale_stick_for_xinsr_cn": menu("disable", "enable")}


@dataclass(frozen=True)
class Alike:
    """A node of that pack, and what makes its hint here.

    Args:
        entry: the name of our preprocessor.
        fields: the inputs beside the picture, in their order.
        settings: what our preprocessor is to be set to, for the values of `fields`.
        note: what is not the same, half a sentence, always; or for some values.
        before: what happens to the padded picture first.
        after: what becomes of our hint's bytes, at the padded size.
        last: what becomes of them when the padding is off.
        models: the models that it means, by the values; the first that is there is taken.
        judged: the fields that `check` and `models` look at.
        check: raises UserError for values that have no equal.
    """

    entry: str
    fields: Mapping[str, Declared] = field(default_factory=lambda: RESOLUTION)
    settings: Callable[[Mapping[str, Any]], Settings] = lambda given: {}
    note: str | Callable[[Mapping[str, Any]], str] = ""
    grow: Grow = "cubic"
    before: Change | None = None
    after: Callable[[Bytes, Mapping[str, Any]], Bytes] | None = None
    last: Change | None = None
    models: Callable[[Mapping[str, Any]], tuple[str, ...]] | None = None
    judged: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], None] | None = None


def is_on(value: object) -> bool:
    """Whether a switch of that pack's is on."""
    return value == "enable"


def hints(node: str, alike: Alike, image: Tensor, given: Mapping[str, Any]) -> list[Made]:
    """What `alike` makes of IMAGE, one hint a picture, cut back from the padding; what is not the
    same as in that pack is said."""
    entry, asked = PREPROCESSORS[alike.entry], {**_defaults(alike), **given}
    meant, model = _models(alike, entry, asked)
    said = alike.note(asked) if callable(alike.note) else alike.note
    if said:
        warn_once(f"{node}: {said}")
    if model != meant:
        warn_once(f"{node}: {meant} is not here, and {model} is taken for it")
    seen, size = [], (0, 0)
    for picture in pictures(image):
        one, size = padded(resized(picture, asked["resolution"], alike.grow))
        seen.append(one if alike.before is None else alike.before(one))
    inputs = {"resolution": min(seen[0].shape[:2]), "model": model}
    made = make_batch(entry, list(seen), entry.settings(alike.settings(asked)), inputs, KeptModel())
    return [Made(_finished(one.hint, alike, asked, size), one.pose) for one in made]


def _finished(hint: Hint, alike: Alike, asked: Mapping[str, Any], size: Size) -> Bytes:
    # That pack's hints are bytes, and a level falls to the one below it.
    scaled = hint if hint.dtype == np.uint8 else (hint * 255.0).clip(0, 255)
    made: Bytes = scaled.astype(np.uint8)
    if alike.after is not None:
        made = alike.after(made, asked)
    cut: Bytes = np.ascontiguousarray(made[: size[1], : size[0]])
    return cut if alike.last is None else alike.last(cut)


def require(alike: Alike, given: Mapping[str, Any]) -> None:
    """Raise UserError for values or weights that its hint cannot be made with; None is what comes
    through a link and waits."""
    asked = {**_defaults(alike), **given}
    if any(asked[name] is None for name in alike.judged):
        return
    for name in alike.judged:
        choices = alike.fields[name][0]
        if asked[name] not in choices:
            raise UserError(
                f"input {name} is {shown(asked[name])}, but has to be one of: {listing(choices)}"
            )
    if alike.check is not None:
        alike.check(asked)
    entry = PREPROCESSORS[alike.entry]
    if entry.learning is not None:
        check_hint(entry, {"model": _models(alike, entry, asked)[1], "download": False})


def _defaults(alike: Alike) -> dict[str, Any]:
    return {
        name: declared[1]["default"] if len(declared) > 1 else declared[0][0]
        for name, declared in alike.fields.items()
    }


def _models(alike: Alike, entry: Preprocessor, asked: Mapping[str, Any]) -> tuple[str, str]:
    """The model that is meant, and the one to be taken: of those that may stand for it the first
    that is there. "" where there is one alone."""
    if alike.models is None:
        return "", ""
    meant, *others = alike.models(asked)
    for name in (meant, *others):
        with suppress(UserError):
            model_choice.choose(entry, name, host.current().places())
            return meant, name
    return meant, meant


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

    kind = inspect.Parameter.KEYWORD_ONLY
    looked_at: Any = check
    looked_at.__signature__ = inspect.Signature(
        [inspect.Parameter(name, kind, default=_defaults(alike)[name]) for name in alike.judged]
    )

    @aux_node(node, category, {"image": "IMAGE"}, *outputs, optional=alike.fields, check=check)
    def make(image: Tensor, **given: Any) -> Any:
        """The hints of a batch (B, H, W, 3), and of poses their people."""
        made = hints(node, alike, image, given)
        shown = image_of([one.hint for one in made])
        poses = [to_keypoints(one.pose) for one in made if one.pose is not None]
        return (shown, poses) if entry.finds_people else shown


for _node, (_category, _alike) in ALIKE.items():
    _declare(_node, _category, _alike)


@aux_node(
    "InpaintPreprocessor",
    OTHERS,
    {"image": "IMAGE", "mask": "MASK"},
    "IMAGE",
    optional={"black_pixel_for_xinsir_cn": ("BOOLEAN", {"default": False})},
)
def inpaint_hint(image: Tensor, mask: Tensor, black_pixel_for_xinsir_cn: bool = False) -> Tensor:
    """The pictures with -1 (or black) where `mask`, brought to their size, is over 0.5.

    Raises UserError for masks that are neither one nor one a picture.
    """
    stretched = mask.reshape(-1, 1, *mask.shape[-2:])
    masks = F.interpolate(stretched, size=image.shape[1:3], mode="bilinear")[:, 0]
    if len(masks) not in (1, len(image)):
        raise UserError(
            f"there are {len(image)} pictures and {len(masks)} masks; give one mask, or one each"
        )
    value = BLACK if black_pixel_for_xinsir_cn else MASKED
    each = zip(image.float().numpy(), masks.expand(len(image), -1, -1).numpy(), strict=True)
    made = [inpaint(np.ascontiguousarray(one[..., :3]), area, value) for one, area in each]
    return torch.from_numpy(np.stack(made))


@aux_node(
    "ColorPreprocessor",
    T2I,
    {"image": "IMAGE"},
    "IMAGE",
    optional=RESOLUTION,
)
def color(image: Tensor, resolution: int = 512) -> Tensor:
    """One flat colour for each 64 x 64 pixels of the resized picture, which is not padded.

    Where 64 does not divide a side, its cells are not all of one size, as there.
    """
    cv2 = opencv()
    made = []
    for picture in pictures(image):
        seen = resized(picture, resolution, "area")
        size = (seen.shape[1], seen.shape[0])
        made.append(cv2.resize(cells(seen), size, interpolation=cv2.INTER_NEAREST))
    return image_of(made)


@aux_node(
    "TilePreprocessor",
    TILES,
    {"image": "IMAGE"},
    "IMAGE",
    optional={"pyrUp_iters": whole(3, 1, 10), **RESOLUTION},
)
def tile(image: Tensor, pyrUp_iters: int = 3, resolution: int = 512) -> Tensor:  # noqa: N803
    """The picture at 1 / 2 ** pyrUp_iters of its size, doubled again that many times by OpenCV.

    As there, `resolution` does nothing, and sides become multiples of 64 first. Raises UserError
    where nothing would be left of a side.
    """
    cv2 = opencv()
    made = []
    for picture in levels(image):
        sides = [int(np.round(side / 64.0)) * 64 // 2**pyrUp_iters for side in picture.shape[1::-1]]
        if min(sides) < 1:
            raise UserError(
                f"pyrUp_iters is {pyrUp_iters}, which leaves nothing of a picture of "
                f"{picture.shape[1]} x {picture.shape[0]}; give a smaller one"
            )
        small = cv2.resize(picture, tuple(sides), interpolation=cv2.INTER_AREA)
        small = on_white(small.reshape(*small.shape[:2], -1))
        for _ in range(pyrUp_iters):
            small = cv2.pyrUp(small)
        made.append(small)
    return image_of(made)
