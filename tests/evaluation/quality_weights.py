"""Random weights in the formats in which those of CLIP, the aesthetic predictor and FID's Inception
are published.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tiny import tiny_clip


def write_clip(folder: Path, width: int = 8) -> Path:
    """A CLIP for pictures of 32 x 32 whose embeddings have `width` numbers. Tokens are bytes."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    tokenizer, text = tiny_clip(layers=1)
    vision = {
        **{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1},
        **{"num_attention_heads": 2, "image_size": 32, "patch_size": 8, "projection_dim": width},
    }
    config = CLIPConfig(
        text_config={**text.config.to_dict(), "projection_dim": width},
        vision_config=vision,
        projection_dim=width,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        CLIPModel(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_predictor(path: Path) -> nn.Sequential:
    """The aesthetic predictor as its author's code builds it, dropout included, and its file."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = nn.Sequential(
            nn.Linear(768, 1024), nn.Dropout(0.2),
            nn.Linear(1024, 128), nn.Dropout(0.2),
            nn.Linear(128, 64), nn.Dropout(0.1),
            nn.Linear(64, 16), nn.Linear(16, 1),
        )  # fmt: skip
    torch.save({f"layers.{name}": value for name, value in layers.state_dict().items()}, path)
    return layers.eval()


def write_inception(path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """torch-fidelity's Inception with random weights, which gives 64 features, and its file."""
    import torch_fidelity.feature_extractor_inceptionv3 as module

    network_class = module.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(2)
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(network_class, "load_state_dict", lambda *_: None)
        network = network_class("inception-v3-compat", ["64"])
    torch.save(network.state_dict(), path)
    return network.eval()
