"""Tile: the picture itself, with as much of its detail taken away as the net shall invent.

The tile ControlNet is given the picture as it is (`gradio_tile.py` of
https://github.com/lllyasviel/ControlNet-v1-1-nightly). `tile_resample` of
https://github.com/Mikubill/sd-webui-controlnet makes it smaller first: averaged down, and with
cubic interpolation up again. comfyui_controlnet_aux instead doubles a small picture several times
with `cv2.pyrUp`, which moves it towards the upper left, by 3.5 pixels at its three doublings; a
hint shall stay where the picture is.
"""

from __future__ import annotations

from ..ground.parameters import Parameter
from .opencv import opencv
from .picture import Bytes, checked_rgb
from .spec import Preprocessor

RATE = 1.0


def tile(picture: Bytes, down_sampling_rate: float = RATE) -> Bytes:
    """`picture` (uint8 RGB, H x W x 3) made smaller by `down_sampling_rate` and large again; 1 is a
    copy of it.

    Raises UserError for another kind of picture.
    """
    cv2 = opencv()
    whole = checked_rgb(picture, "Tile")
    height, width = whole.shape[:2]
    small_size = (max(1, int(width / down_sampling_rate)), max(1, int(height / down_sampling_rate)))
    if small_size == (width, height):
        return whole.copy()
    small = cv2.resize(whole, small_size, interpolation=cv2.INTER_AREA)
    again: Bytes = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return again


TILE = Preprocessor(
    name="tile",
    node="ControlStackTile",
    title="Tile Hint",
    shows="picture",
    description=(
        "The picture itself, less sharp if wanted, for tile ControlNets, which add detail to it."
    ),
    aliases=(
        *("tile", "tile_resample", "TilePreprocessor", "upscale", "add detail", "blur"),
        *("分块", "平铺", "放大"),
    ),
    controls="Tile: control_v11f1e_sd15_tile and those of other families",
    parameters=(
        Parameter(
            "down_sampling_rate",
            RATE,
            "How many times smaller the picture is made before it is enlarged again: more leaves "
            "more detail to invent, 1 leaves it as it is.",
            low=1,
            high=8,
            step=0.01,
        ),
    ),
    run=tile,
)
