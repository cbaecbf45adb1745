"""Tiny random depth models in the folders that transformers itself writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

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


def tiny_dpt_hybrid(folder: Path) -> Path:
    """As Intel/dpt-hybrid-midas is published: a pickle, and a processor in the words of its day."""
    backbone = transformers.BitConfig(
        embedding_size=8, hidden_sizes=[32, 32, 32], depths=[1, 1, 1], layer_type="bottleneck",
        num_groups=4, global_padding="same", embedding_dynamic_padding=True,
        out_features=["stage1", "stage2", "stage3"],
    )  # fmt: skip
    config = transformers.DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16,
        image_size=32, patch_size=16, is_hybrid=True, backbone_config=backbone,
        backbone_featmap_shape=[1, 32, 2, 2], backbone_out_indices=[0, 1, 2, 3],
        neck_ignore_stages=[0, 1], readout_type="project", neck_hidden_sizes=[32, 32, 8, 8],
        fusion_hidden_size=8,
    )  # fmt: skip
    transformers.DPTForDepthEstimation(config).save_pretrained(folder)
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    processor = {
        "do_normalize": True, "do_resize": True, "feature_extractor_type": "DPTFeatureExtractor",
        "ensure_multiple_of": 1, "keep_aspect_ratio": False, "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5], "resample": 2, "size": 32,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


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


def tiny_zoe(folder: Path, *rooms: str) -> Path:
    """Of one domain, as ZoeDepth-NYU, or of several, as ZoeDepth-NK."""
    backbone = transformers.BeitConfig(
        **BACKBONE, image_size=32, patch_size=8, intermediate_size=16, out_indices=[1, 2, 3, 4],
        use_relative_position_bias=True,
    )  # fmt: skip
    config = transformers.ZoeDepthConfig(
        backbone_config=backbone, backbone_hidden_size=16, bottleneck_features=8,
        num_relative_features=8, bin_embedding_dim=8, num_attractors=[4, 2, 2, 1],
        bin_configurations=[
            {"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0, "name": name}
            for name in rooms or ("nyu",)
        ],
        patch_transformer_hidden_size=128, patch_transformer_intermediate_size=8,
        num_patch_transformer_layers=4, patch_transformer_num_attention_heads=2, **NECK,
    )  # fmt: skip
    processor = transformers.ZoeDepthImageProcessor(size={"height": 32, "width": 32})
    return _save(folder, transformers.ZoeDepthForDepthEstimation(config), processor)


def tiny_zoe_nk(folder: Path) -> Path:
    return tiny_zoe(folder, "nyu", "kitti")


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
    "dpt_hybrid": tiny_dpt_hybrid,
    "depth_anything": tiny_depth_anything,
    "zoe": tiny_zoe,
    "zoe_nk": tiny_zoe_nk,
    "depth_pro": tiny_depth_pro,
}
