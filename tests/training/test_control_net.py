"""The trainable copy starts as nothing, learns, and leaves the U-Net as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from controlstack.training.control_net import Batch, ControlRecipe, drop_prompts, train_control_net
from controlstack.training.copy import weights_hash
from controlstack.training.loop import Progress


class _Words(nn.Module):
    """Token ids to embeddings, as a text encoder's output has them."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 8)

    def forward(self, tokens: Tensor) -> Any:
        words = self.table(tokens)
        return type("Output", (), {"last_hidden_state": words})


@pytest.fixture
def unet() -> Any:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=2,
        norm_num_groups=4,
    )


def test_about_half_of_the_prompts_are_dropped_anew() -> None:
    generator = torch.Generator().manual_seed(4)
    tokens, empty = torch.ones(1000, 5, dtype=torch.long), torch.zeros(1, 7, dtype=torch.long)
    first = drop_prompts(tokens, empty, 0.5, generator)
    second = drop_prompts(tokens, empty, 0.5, generator)
    assert 430 < int((first[:, 0] == 0).sum()) < 570
    assert not torch.equal(first, second)


def test_training_teaches_the_copy_and_not_the_unet(unet: Any) -> None:
    text, before = _Words(), weights_hash(unet)
    empty = torch.zeros(1, 3, dtype=torch.long)
    reports: list[Progress] = []
    saved: list[int] = []

    def batch_of(step: int, generator: torch.Generator) -> Batch:
        latents = torch.randn(4, 1, 1, 1, generator=generator).expand(4, 4, 8, 8).contiguous()
        hints = latents[:, :3].sigmoid().repeat_interleave(8, 2).repeat_interleave(8, 3)
        return Batch(latents, torch.ones(4, 3, dtype=torch.long), hints)

    recipe = ControlRecipe(steps=12, batch=4, hint_channels=(4, 4, 8, 8))
    copy = train_control_net(
        recipe, unet, text, empty, batch_of, reports.append, lambda copy, step: saved.append(step)
    )
    assert weights_hash(unet) == before
    assert saved == [12]
    assert any(float(p.detach().abs().max()) > 0 for p in copy.controlnet_mid_block.parameters())
    assert [report.step for report in reports] == [12]
