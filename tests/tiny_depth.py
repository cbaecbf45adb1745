"""Tiny random depth models in the folders that transformers itself writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

NECK = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}
BACKBONE = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "reshape_hidden_states": False,
}


def _save(folder: Path, network: Any, processor: Any) -> Path:
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def tiny_dpt(folder: Path) -> Path:
    config = transformers.DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16,
        image_size=32, patch_size=8, backbone_out_indices=[0, 1, 2, 3], **NECK,
    )  # fmt: skip
    processor = transformers.DPTImageProcessor(size={"height": 32, "width": 32})
    return _save(folder, transformers.DPTForDepthEstimation(config), processor)


def tiny_depth_anything(folder: Path) -> Path:
    backbone = transformers.Dinov2Config(
        **BACKBONE, image_size=28, patch_size=14, out_indices=[1, 2, 3, 4], apply_layernorm=True
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, head_hidden_size=4, **NECK
    )
    processor = transformers.DPTImageProcessor(
        size={"height": 28, "width": 28}, keep_aspect_ratio=True, ensure_multiple_of=14
    )
    return _save(folder, transformers.DepthAnythingForDepthEstimation(config), processor)


def tiny_zoe(folder: Path) -> Path:
    backbone = transformers.BeitConfig(
        **BACKBONE, image_size=32, patch_size=8, intermediate_size=16, out_indices=[1, 2, 3, 4],
        use_relative_position_bias=True,
    )  # fmt: skip
    config = transformers.ZoeDepthConfig(
        backbone_config=backbone, backbone_hidden_size=16, bottleneck_features=8,
        num_relative_features=8, bin_embedding_dim=8, num_attractors=[4, 2, 2, 1],
        bin_configurations=[{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}],
        patch_transformer_hidden_size=8, patch_transformer_intermediate_size=8,
        num_patch_transformer_layers=1, patch_transformer_num_attention_heads=2, **NECK,
    )  # fmt: skip
    processor = transformers.ZoeDepthImageProcessor(size={"height": 32, "width": 32})
    return _save(folder, transformers.ZoeDepthForDepthEstimation(config), processor)


def tiny_depth_pro(folder: Path) -> Path:
    vit = {
        "model_type": "dinov2", "num_hidden_layers": 4, "hidden_size": 16,
        "num_attention_heads": 2, "patch_size": 8, "image_size": 32,
    }  # fmt: skip
    config = transformers.DepthProConfig(
        patch_size=32, fusion_hidden_size=16, intermediate_hook_ids=[3, 1],
        intermediate_feature_dims=[16, 16], scaled_images_feature_dims=[16, 16, 16],
        image_model_config=vit, patch_model_config=vit, fov_model_config=vit, use_fov_model=False,
    )  # fmt: skip
    processor = transformers.DepthProImageProcessor(size={"height": 128, "width": 128})
    return _save(folder, transformers.DepthProForDepthEstimation(config), processor)


MODELS = {
    "dpt": tiny_dpt,
    "depth_anything": tiny_depth_anything,
    "zoe": tiny_zoe,
    "depth_pro": tiny_depth_pro,
}
