"""comfyui_controlnet_aux's nodes around its preprocessors: sizes, a menu of all, poses as JSON."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ...ground.errors import UserError
from ...ground.log import warn_once
from ...ground.wording import listing
from ...nodes.images import image_of
from ...preprocessors.names import named
from ...preprocessors.pose.draw import draw_pose
from ...preprocessors.pose.people import parse_keypoints
from ..core_nodes.batches import join
from ..core_nodes.declare import integer
from ..sampling.sample import Latent
from .aux_alike import require
from .aux_fields import MENU, RESOLUTION, aux_node, menu
from .aux_hints import ALIKE, stick_note
from .aux_pictures import pictures
from .aux_resize import BARS, MODES, fitted
from .declare import PACK_NODES

CATEGORY = MENU.rstrip("/")
POSTPROCESS = f"{MENU}Pose Keypoint Postprocess"

_EDGE = integer(512, 64, 8192, 8)
_SIZE = {
    "image_gen_width": _EDGE,
    "image_gen_height": _EDGE,
    "resize_mode": menu(*MODES),
}

FULL = 1.0
"""The confidence below which that pack's nodes leave a point out."""

_WITHOUT = (
    *("AnimeFace_SemSegPreprocessor", "DensePosePreprocessor", "DSINE-NormalMapPreprocessor"),
    *("AnimalPosePreprocessor", "LeReS-DepthMapPreprocessor", "Manga2Anime_LineArt_Preprocessor"),
    *("MeshGraphormer-DepthMapPreprocessor", "Metric3D-DepthMapPreprocessor"),
    *("Metric3D-NormalMapPreprocessor", "MiDaS-NormalMapPreprocessor"),
    *("OneFormer-COCO-SemSegPreprocessor", "PyraCannyPreprocessor", "SAMPreprocessor"),
    *("TTPlanet_TileGF_Preprocessor", "TTPlanet_TileSimple_Preprocessor"),
    *("UniFormer-SemSegPreprocessor", "SemSegPreprocessor"),
)
"""What the menu of all offers besides: `preprocessors.other_names` says why it has no equal."""

OF_PICTURES = (*ALIKE, "ColorPreprocessor", "TilePreprocessor")
EVERY = ("none", *OF_PICTURES, *_WITHOUT)


def _runs(preprocessor: str | None) -> None:
    """Raise UserError for a preprocessor that cannot run here; None comes through a link."""
    if preprocessor in ALIKE:
        require(ALIKE[preprocessor][1], {})
    elif preprocessor not in (None, "none", *OF_PICTURES):
        if preprocessor in _WITHOUT:
            named(preprocessor)
        raise UserError(
            f"input preprocessor is {preprocessor}, but has to be one of: {listing(EVERY)}"
        )


@aux_node(
    "AIO_Preprocessor",
    CATEGORY,
    {"image": "IMAGE"},
    "IMAGE",
    optional={"preprocessor": menu(*EVERY), **RESOLUTION},
    check=lambda preprocessor="none": _runs(preprocessor),
)
def any_hint(image: Tensor, preprocessor: str = "none", resolution: int = 512) -> Tensor:
    """The hint of a preprocessor with its defaults; "none" is the picture as it is."""
    if preprocessor == "none":
        return image
    _runs(preprocessor)
    hint: Tensor = PACK_NODES[preprocessor]().run(image=image, resolution=resolution)[0]
    return hint


@aux_node(
    "ControlNetPreprocessorSelector",
    CATEGORY,
    {"preprocessor": list(EVERY)},
    "COMBO",
    RETURN_NAMES=("preprocessor",),
)
def chosen(preprocessor: str) -> str:
    """A preprocessor's name, for the menu of all."""
    return preprocessor


@aux_node(
    "ExecuteAllControlNetPreprocessors",
    CATEGORY,
    {"image": "IMAGE"},
    "IMAGE",
    optional=RESOLUTION,
)
def every_hint(image: Tensor, resolution: int = 512) -> Tensor:
    """All hints that can be made here, each with its name in the corner, at the picture's size."""
    made, gone = [], []
    for name in EVERY:
        try:
            made.append(with_text(any_hint(image, name, resolution), name))
        except UserError:
            gone.append(name)
    if gone:
        warn_once(f"ExecuteAllControlNetPreprocessors: without {listing(gone)}, which is not here")
    return reduce(join, made)


@aux_node(
    "ControlNetAuxSimpleAddText",
    CATEGORY,
    {"image": "IMAGE", "text": ("STRING", {"default": "", "multiline": False})},
    "IMAGE",
)
def with_text(image: Tensor, text: str) -> Tensor:
    """The first picture with `text` in green in its corner, 40 pixels high."""
    picture = Image.fromarray(pictures(image[:1])[0])
    ImageDraw.Draw(picture).text((0, 0), text, fill=(0, 255, 0), font=ImageFont.load_default(40))
    return image_of([np.asarray(picture)])


@aux_node(
    "PixelPerfectResolution",
    CATEGORY,
    {"original_image": "IMAGE", **_SIZE},
    "INT",
    RETURN_NAMES=("RESOLUTION (INT)",),
)
def pixel_perfect(
    original_image: Tensor, image_gen_width: int, image_gen_height: int, resize_mode: str
) -> int:
    """The shorter side at which a picture fills an image of that size, or fits into it."""
    height, width = original_image.shape[1:3]
    shares = image_gen_height / height, image_gen_width / width
    share = min(shares) if resize_mode == BARS else max(shares)
    return int(np.round(share * min(height, width)))


@aux_node("HintImageEnchance", CATEGORY, {"hint_image": "IMAGE", **_SIZE}, "IMAGE")
def resized_hint(
    hint_image: Tensor, image_gen_width: int, image_gen_height: int, resize_mode: str
) -> Tensor:
    """Hints at that size: lines stay thin, flat colours unblended."""
    size = (image_gen_width, image_gen_height)
    return image_of([fitted(hint, size, resize_mode) for hint in pictures(hint_image)])


_SIDES = ("IMAGE_GEN_WIDTH (INT)", "IMAGE_GEN_HEIGHT (INT)")


@aux_node(
    "ImageGenResolutionFromLatent",
    CATEGORY,
    {"latent": "LATENT"},
    *("INT", "INT"),
    RETURN_NAMES=_SIDES,
)
def size_of_latent(latent: Latent) -> tuple[int, int]:
    """Width and height in pixels, 8 for each of the latent's."""
    height, width = latent["samples"].shape[-2:]
    return width * 8, height * 8


@aux_node(
    "ImageGenResolutionFromImage",
    CATEGORY,
    {"image": "IMAGE"},
    *("INT", "INT"),
    RETURN_NAMES=_SIDES,
)
def size_of_image(image: Tensor) -> tuple[int, int]:
    """Width and height of the pictures."""
    return image.shape[2], image.shape[1]


_DRAWN = ("BOOLEAN", {"default": True})


@aux_node(
    "RenderPeopleKps",
    POSTPROCESS,
    {"kps": "POSE_KEYPOINT", "render_body": _DRAWN, "render_hand": _DRAWN, "render_face": _DRAWN},
    "IMAGE",
)
def render_people(kps: Any, render_body: bool, render_hand: bool, render_face: bool) -> Tensor:
    """The people of the first frame, drawn; points below confidence 1 are left out, as there."""
    pose = parse_keypoints(kps, FULL)[0]
    if pose.canvas is None:
        raise UserError("the pose says no canvas_width and canvas_height; give it both")
    width, height = (round(side) for side in pose.canvas)
    if said := stick_note(min(width, height)):
        warn_once(f"RenderPeopleKps: {said}")
    drawn = draw_pose(pose, width, height, body=render_body, hands=render_hand, face=render_face)
    return image_of([drawn])
