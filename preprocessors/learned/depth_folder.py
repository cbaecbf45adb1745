"""Which depth models of transformers are known, and what do their numbers mean?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from .folder import Kind

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
