"""What a training is told to cost: counts that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from controlstack.benchmarks import recipe_cost
from controlstack.benchmarks.recipe_cost import (
    FAMILIES,
    Family,
    Kept,
    compute_twice,
    counted,
    kept_of,
    memory_of,
    nets_of,
    numbers,
    work_of,
)
from controlstack.training.config import read_config, run_settings
from controlstack.training.data.view import picture_size
from controlstack.training.settings import NetSettings, TrainingSettings

SMALL = Family(
    {
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
    },
    ((64, 1, 1),),
)
SIZE = (64, 64)


@pytest.mark.parametrize(
    ("family", "unet", "control"),
    [("sd15", 859_520_964, 361_279_120), ("sdxl", 2_567_463_684, 1_251_090_000)],
)
def test_the_networks_have_their_full_size(family: str, unet: int, control: int) -> None:
    """Those of the published files, the SDXL ControlNet's to a part in 10000."""
    nets = nets_of(FAMILIES[family], NetSettings())
    assert numbers(nets.unet) == unet
    assert numbers(nets.control) == pytest.approx(control, rel=1e-4)


def test_multiply_adds_of_a_convolution() -> None:
    with torch.device("meta"):
        layer, x = nn.Conv2d(5, 7, 3, padding=1), torch.empty(1, 5, 8, 10)
    assert counted(lambda: layer(x)) == 5 * 7 * 9 * 8 * 10


def test_a_locked_layer_s_way_back_is_as_long_as_its_way_forth_and_a_trained_one_s_twice() -> None:
    with torch.device("meta"):
        layer, x = nn.Linear(6, 9), torch.empty(2, 6, requires_grad=True)
    forth = 2 * 6 * 9

    def both() -> None:
        layer(x).sum().backward()

    assert counted(both) == 3 * forth
    layer.requires_grad_(False)
    assert counted(both) == 2 * forth


def test_what_is_kept_of_layers() -> None:
    layer, x = nn.Conv2d(3, 4, 1), torch.randn(1, 3, 8, 8)
    kept = Kept({layer.weight.untyped_storage()._cdata})
    with torch.autograd.graph.saved_tensors_hooks(kept.add, lambda one: one):
        F.silu(layer(x))
    assert kept.bytes == 4 * 64 * (3 + 4)  # the convolution's input and the activation's


def test_attention_keeps_no_table_of_pairs() -> None:
    query = torch.randn(1, 2, 100, 4, requires_grad=True)
    kept = Kept(set())
    with torch.autograd.graph.saved_tensors_hooks(kept.add, lambda one: one), kept.attention():
        F.scaled_dot_product_attention(query, query, query)
    assert kept.bytes == 4 * 2 * 100 * 4 * 2  # one for all three, and the result


def test_checkpointing_computes_more_and_keeps_less() -> None:
    plain, again = nets_of(SMALL, NetSettings()), nets_of(SMALL, NetSettings())
    compute_twice(again)
    assert work_of(again, SMALL, SIZE).unet == work_of(plain, SMALL, SIZE).unet
    assert work_of(again, SMALL, SIZE).step > work_of(plain, SMALL, SIZE).step
    one, other = (kept_of(nets, SMALL, SIZE, 2, "bf16") for nets in (plain, again))
    assert 0 < other < one


def test_memory_by_what_it_is() -> None:
    nets = nets_of(SMALL, NetSettings())
    settings = TrainingSettings(batch=2, precision="fp32")
    step, validation = memory_of(nets, SMALL, SIZE, settings)
    weights = numbers(nets.control)
    assert step["AdamW's moments"] == 2 * step["gradients"] == 8 * weights
    assert validation["base as fp32"] == 0
    more, _ = memory_of(nets, SMALL, SIZE, replace(settings, batch=6, optimizer="adamw8bit"))
    assert more["activations"] == 3 * step["activations"]
    assert more["AdamW's moments"] == 2 * weights
    _, halves = memory_of(nets, SMALL, SIZE, replace(settings, precision="bf16"))
    assert halves["base as fp32"] == 4 * numbers(nets.unet)


def test_a_control_lora_s_own_weights_alone_are_trained() -> None:
    whole, nets = (
        nets_of(SMALL, NetSettings(kind, "4,4,8,8", rank=2))
        for kind in ("controlnet", "control_lora")
    )
    for name, weight in nets.control.named_parameters():
        assert weight.is_meta, name
    settings = TrainingSettings(batch=2, precision="bf16")
    step, _ = memory_of(nets, SMALL, SIZE, settings)
    wanted, _ = memory_of(whole, SMALL, SIZE, settings)
    assert step["gradients"] == 4 * numbers(nets.control) < wanted["gradients"] / 2
    assert 0 < wanted["activations"] < step["activations"] < 2 * wanted["activations"]
    # The base's weights are computed with and not trained: the way back has no gradient of theirs.
    mine, theirs = work_of(nets, SMALL, SIZE), work_of(whole, SMALL, SIZE)
    assert mine.control > theirs.control
    assert mine.step < theirs.step


def test_a_recipe_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(FAMILIES, "sdxl", SMALL)
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        '[base]\npath = "sd_xl_base.safetensors"\n[data]\nresolution = 64\ncache = "c"\n'
        '[training]\nbatch = 2\naccumulate = 4\nsteps = 30\nprecision = "bf16"\n'
    )
    recipe_cost.main([str(recipe)])
    words = capsys.readouterr().out
    assert f"{recipe} (sdxl): 64 x 64, 30 steps of 8 pictures" in words
    assert "pictures encoded before" in words
    recipe_cost.main(
        ["--family", "sdxl", "--resolution", "64", "--network", "control_lora", "--rank", "2"]
    )
    count = numbers(nets_of(SMALL, NetSettings("control_lora", rank=2)).control)
    assert f"ControlNet {count / 1e6:.0f} M" in capsys.readouterr().out


def test_the_recipe_of_sdxl_is_one_that_a_training_takes() -> None:
    recipe = Path(__file__).parents[2] / "docs" / "recipes" / "sdxl-canny.toml"
    settings = run_settings(read_config(recipe))
    assert "xl" in settings.base.path
    assert picture_size(settings.data) == (1024, 1024)
    assert settings.data.crop == "center"  # a cache holds no random ones
