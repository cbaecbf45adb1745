"""A picture -> how near each of its points is, by a depth model of transformers.

Near is white, as the depth ControlNets were trained (MiDaS maps, lllyasviel/ControlNet).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ...ground.errors import UserError
from ..picture import Bytes, Floats
from ..spec import Learning, Preprocessor
from .folder import PICKLE, Kind, check_folder, load_network, load_processor, pixels, published
from .narrow import taking, widened
from .tensors import Networks

if TYPE_CHECKING:
    import torch
    from torch import nn

ZOE_PERCENTILES = (2, 85)
"""The range of distances that is kept, in percent of the pixels:
https://github.com/huggingface/controlnet_aux/blob/master/src/controlnet_aux/zoe/__init__.py"""


Reading: TypeAlias = Literal["nearness", "distance", "zoe"]
"""What a model's numbers mean. "nearness" grows towards the viewer, "distance" (metres) away from
him; "zoe" is a distance whose far 15 % are cut off first."""

DEPTH_MODELS = Kind(
    what="depth model",
    classes={
        "dpt": "DPTForDepthEstimation",
        "depth_anything": "DepthAnythingForDepthEstimation",
        "zoedepth": "ZoeDepthForDepthEstimation",
        "depth_pro": "DepthProForDepthEstimation",
    },
    unused=("fusion_stage.layers.0.residual_layer1.", "mask_token", "pooler."),
)
"""No depth passes through the unused tensors, and published files (Intel/dpt-large) lack them."""


def depth(
    picture: Bytes, device: torch.device, network: nn.Module, processor: Any, reading: Reading
) -> Floats:
    """How near each pixel of `picture` (uint8 RGB, H x W x 3) is: float32, H x W x 3 equal
    channels, 0 the farthest to 1 the nearest point.

    `processor` makes the network's input, `reading` says what its numbers mean. A picture without
    any depth comes out black. Raises UserError where the model gives no numbers or cannot take the
    picture.
    """
    height, width = picture.shape[:2]
    with taking(picture, DEPTH_MODELS.what):
        raw = _predict(widened(picture), device, network, processor, reading)[:height, :width]
    return np.repeat(nearness(raw, reading)[:, :, None], 3, axis=2)


def _predict(
    picture: Bytes, device: torch.device, network: nn.Module, processor: Any, reading: Reading
) -> Floats:
    """The model's own numbers for `picture`, resized to its H x W."""
    import torch

    from .depth_input import input_size

    size = picture.shape[:2]
    seen = input_size(network, processor, (size[1], size[0]))
    more = {} if seen is None else _exactly(*seen)
    values = pixels(processor, picture, device, **more)
    output = network(pixel_values=values)
    if reading == "zoe":  # its processor pads the picture, and knows how to unpad
        # The mean of the picture and its mirror image: `infer` of isl-org/ZoeDepth
        # (`zoedepth/models/depth_model.py`), which sd-webui's annotator calls.
        found = processor.post_process_depth_estimation(
            output,
            source_sizes=[size],
            outputs_flipped=network(pixel_values=values.flip(-1)),
        )
        near = found[0]["predicted_depth"]
    else:
        near = torch.nn.functional.interpolate(
            output.predicted_depth[:, None], size=size, mode="bicubic"
        )[0, 0]
    raw: Floats = near.cpu().numpy()
    return raw


def _exactly(width: int, height: int) -> dict[str, Any]:
    """What tells a processor to make that size, and no other by its own rules."""
    return {"size": {"height": height, "width": width}, "keep_aspect_ratio": False}


def load_depth(paths: Sequence[Path]) -> Networks:
    """The depth model in the folder `paths[0]`.

    Raises UserError for a folder that is not whole or holds no depth model.
    """
    from .depth_input import any_shape

    (folder,) = paths
    reading = reading_of(check_folder(folder, DEPTH_MODELS))
    network, processor = load_network(folder, DEPTH_MODELS), load_processor(folder, DEPTH_MODELS)
    draw = partial(depth, processor=processor, reading=reading)
    return Networks("The depth model", (any_shape(network),), draw)


def reading_of(config: Mapping[str, Any]) -> Reading:
    """What the numbers of a model with this config.json mean, one of `DEPTH_MODELS`."""
    match config["model_type"]:
        case "dpt":
            # MiDaS's DPT gives nearness. The one published family that gives metres, DINOv2's for
            # NYU and KITTI, is the one with a projection before its head.
            return "distance" if config.get("add_projection") else "nearness"
        case "depth_anything":
            return "distance" if config.get("depth_estimation_type") == "metric" else "nearness"
        case "zoedepth":
            return "zoe"
        case _:
            return "nearness"  # Depth Pro: one over metres, before its processor's post-processing


def nearness(raw: Floats, reading: Reading) -> Floats:
    """What a model said (H x W, any range) as 0 (the farthest) to 1 (the nearest point).

    Raises UserError for numbers that are not finite.
    """
    if not np.isfinite(raw).all():
        raise UserError("The depth model gave no finite numbers; its weights are damaged.")
    if reading == "zoe":
        low, high = (float(value) for value in np.percentile(raw, ZOE_PERCENTILES))
    else:
        low, high = float(raw.min()), float(raw.max())
    if high <= low:
        return np.zeros_like(raw)
    level: Floats = np.clip((raw - low) / (high - low), 0, 1).astype(np.float32)
    return level if reading == "nearness" else np.float32(1) - level


DEPTH = Preprocessor(
    name="depth",
    node="ControlStackDepth",
    title="Depth Hint",
    shows="depth",
    description=(
        "Estimates how near each point is, near is white, with Depth Anything V2, DPT (MiDaS), "
        "ZoeDepth or Depth Pro. Depth Anything V2 Base and Large and Depth Pro are not for "
        "commercial use."
    ),
    aliases=(
        *("depth map", "depth estimation", "depth_midas", "depth_zoe", "depth_anything_v2"),
        *("MiDaS-DepthMapPreprocessor", "Zoe-DepthMapPreprocessor"),
        *("DepthAnythingV2Preprocessor", "dpt", "depth pro", "preprocessor", "annotator"),
        *("深度图", "深度估计", "预处理器"),
    ),
    controls="Depth: control_v11f1p_sd15_depth",
    way=1,
    learning=Learning(
        models=(
            published(
                "depth-anything/Depth-Anything-V2-Small-hf",
                "Apache-2.0",
                99,
                sha256="3152477ce0d8d6978d76b995120de97cb5b928701fd0f817769f59e249a16b70",
            ),
            published(
                "depth-anything/Depth-Anything-V2-Base-hf", "CC-BY-NC-4.0", 390, commercial=False
            ),
            published(
                "depth-anything/Depth-Anything-V2-Large-hf",
                "CC-BY-NC-4.0",
                1341,
                commercial=False,
                sha256="4e01e34ed5549b529b70b92d53226bc370f03041977b390d3dde45d47f516cf9",
            ),
            published("Intel/dpt-hybrid-midas", "Apache-2.0", 490, PICKLE),
            published("Intel/dpt-large", "Apache-2.0", 1368),
            published("Intel/zoedepth-nyu-kitti", "MIT", 1380),
            published("apple/DepthPro-hf", "Apple AMLR (research only)", 1904, commercial=False),
        ),
        load=load_depth,
        check=lambda paths: check_folder(paths[0], DEPTH_MODELS),
        model_types=tuple(DEPTH_MODELS.classes),
    ),
)
