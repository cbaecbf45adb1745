"""Tiny random pose models in the folders that transformers itself writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

SEEN = {"height": 64, "width": 48}
"""What the tiny ViTPose sees of a person: published ones see 256 x 192, of the same shape."""

RESNET: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [8, 8, 16, 16],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage2", "stage3", "stage4"],
}
DETECTOR: dict[str, Any] = {
    "encoder_in_channels": [8, 16, 16],
    "encoder_hidden_dim": 16,
    "d_model": 16,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "decoder_in_channels": [16, 16, 16],
    "num_queries": 10,
    "decoder_layers": 2,
    "decoder_n_points": 2,
    "id2label": {0: "person", 1: "bicycle", 2: "car"},
}


def tiny_vitpose(folder: Path, experts: int = 1, joints: int = 17) -> Path:
    """A ViTPose model; with 6 `experts` a ViTPose+ one."""
    torch.manual_seed(0)
    backbone = transformers.VitPoseBackboneConfig(
        image_size=list(SEEN.values()), patch_size=[16, 16], hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_experts=experts, part_features=4, out_indices=[2],
        initializer_range=0.5,
    )  # fmt: skip
    config = transformers.VitPoseConfig(
        backbone_config=backbone, num_labels=joints, initializer_range=0.5
    )
    transformers.VitPoseForPoseEstimation(config).save_pretrained(folder)
    transformers.VitPoseImageProcessor(size=SEEN).save_pretrained(folder)
    return folder


def tiny_detector(folder: Path, version: str = "RTDetr", **changes: Any) -> Path:
    """An RT-DETR, of `version` "RTDetr" or "RTDetrV2", at 64 x 64 instead of 640 x 640.

    What it finds is random, and mostly of its first class.
    """
    torch.manual_seed(0)
    config = getattr(transformers, f"{version}Config")(
        backbone_config=transformers.RTDetrResNetConfig(**RESNET), **DETECTOR | changes
    )
    network = getattr(transformers, f"{version}ForObjectDetection")(config)
    with torch.no_grad():
        for head in network.model.decoder.class_embed:
            head.bias[0] += 5
    network.save_pretrained(folder)
    size = {"height": 64, "width": 64}
    transformers.RTDetrImageProcessor(size=size).save_pretrained(folder)
    return folder
