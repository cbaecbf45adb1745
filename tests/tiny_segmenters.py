"""Tiny random segmentation models in the folders that their publishers wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

SWIN = {
    "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4,
    "image_size": 64, "out_features": ["stage1", "stage2", "stage3", "stage4"],
}  # fmt: skip


def tiny_segformer(folder: Path, classes: int = 150) -> Path:
    config = transformers.SegformerConfig(
        num_labels=classes, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16,
    )  # fmt: skip
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    _processor(folder, "SegformerFeatureExtractor", size=64, reduce_labels=True)
    return folder


def tiny_upernet(folder: Path, classes: int = 150) -> Path:
    config = transformers.UperNetConfig(
        num_labels=classes, backbone_config=transformers.SwinConfig(**SWIN), hidden_size=16,
        auxiliary_channels=8, auxiliary_in_channels=32,
    )  # fmt: skip
    transformers.UperNetForSemanticSegmentation(config).save_pretrained(folder)
    _processor(
        folder,
        "SegformerImageProcessor",
        size={"height": 64, "width": 64},
        do_reduce_labels=False,
    )
    return folder


def tiny_oneformer(folder: Path, classes: int = 150) -> Path:
    config = transformers.OneFormerConfig(
        num_labels=classes, backbone_config=transformers.SwinConfig(**SWIN), num_queries=12,
        conv_dim=32, mask_dim=32, hidden_dim=32, encoder_feedforward_dim=16, dim_feedforward=16,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, text_encoder_width=8,
    )  # fmt: skip
    transformers.OneFormerForUniversalSegmentation(config).save_pretrained(folder)
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")  # as this one is published
    weights.unlink()
    _processor(
        folder,
        "OneFormerImageProcessor",
        size={"shortest_edge": 64, "longest_edge": 256},
        class_info_file="ade20k_panoptic.json",
        repo_path="shi-labs/oneformer_demo",
        num_text=234,
        num_labels=classes,
        ignore_index=255,
        reduce_labels=False,
        metadata={"0": "wall", "class_names": ["wall"], "thing_ids": [7]},
    )
    return folder


def _processor(folder: Path, kind: str, **settings: Any) -> None:
    """preprocessor_config.json as the pages of these models hold it, in the words of its day."""
    common = {
        "do_resize": True, "resample": 2, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }  # fmt: skip
    key = "feature_extractor_type" if kind.endswith("Extractor") else "image_processor_type"
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**common, **settings, key: kind}))


MODELS = {"segformer": tiny_segformer, "upernet": tiny_upernet, "oneformer": tiny_oneformer}
