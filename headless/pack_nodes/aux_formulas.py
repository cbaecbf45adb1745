"""comfyui_controlnet_aux's hints that are formulas of their own: inpaint, colours and tile."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...ground.errors import UserError
from ...nodes.images import image_of
from ...preprocessors.inpaint import BLACK, MASKED, inpaint
from ...preprocessors.opencv import opencv
from ...preprocessors.palette import cells
from .aux_fields import OTHERS, RESOLUTION, T2I, TILES, aux_node, whole
from .aux_pictures import levels, on_white, pictures, resized


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
def tile(image: Tensor, pyrUp_iters: int = 3, resolution: int = 512) -> Tensor:  # noqa: N803 - its name there
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
