"""A Control-LoRA on SDXL: what reads the pooled text and the sizes is changed by factors, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.host import EmbeddedHost
from controlstack.headless.models import loading
from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.sampling.base_model import BaseModel
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.size_conditioning import y_of
from controlstack.headless.transfer import load_existing
from controlstack.training.export import save_folder, save_single_file
from controlstack.training.ldm_layout import no_single_file
from controlstack.training.low_rank import LowRank
from controlstack.training.sdxl import as_sampled, given, with_y
from controlstack.training.trainable import started_from, weights_hash
from controlstack.training.transfer import begun_from, transferred
from tests.headless.models.sdxl_tiny import CONFIG, WIDTH, sdxl_control_net, sdxl_unet
from tests.training.control_loras import drawn, merged, residuals

STEP, EDGE = 480, 64
HINT = torch.rand(2, 3, EDGE, EDGE, generator=torch.Generator().manual_seed(3))


def random(*shape: int, seed: int = 5) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


X, WORDS, POOLED = random(2, 4, 8, 8), random(2, 7, 2 * WIDTH), random(2, WIDTH)
ADDED = given(as_sampled(POOLED, EDGE, EDGE))


def of(network: Any, x: Tensor = X) -> list[Tensor]:
    return residuals(network, x, torch.full((2,), STEP), WORDS, HINT, **ADDED)


@pytest.mark.parametrize("rank", [2, 64, 4096])
@torch.no_grad()
def test_its_residuals_are_those_of_the_whole_weights(rank: int) -> None:
    unet = sdxl_unet()
    network = drawn(unet, rank)
    whole = merged(network, unet)
    assert whole.config.addition_embed_type == "text_time"
    for one, other in zip(of(whole), found := of(network), strict=True):
        assert one.std() > 0.01
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)
    told = [one for one in network.add_embedding.modules() if isinstance(one, LowRank)]
    assert len(told) == (0 if rank == 4096 else 2)
    for layer in told:  # the text and the sizes alone are told as the base is told them
        layer.up.zero_()
        assert not torch.allclose(found[-1], of(network)[-1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("form", ["folder", "single file", "wire"])
@pytest.mark.parametrize("rank", [2, 4096])
@torch.no_grad()
def test_the_embedded_host_runs_it_as_the_merged_net(tmp_path: Path, form: str, rank: int) -> None:
    unet = sdxl_unet()
    network = drawn(unet, rank)
    if form == "wire":
        net: Any = EmbeddedHost().control_net_of(network, "ours")
    elif form == "folder":
        save_folder(network, tmp_path / "net")
        net = loading.load_control_net(tmp_path / "net")
    else:
        path = tmp_path / "net.safetensors"
        assert no_single_file(network) is None
        save_single_file(network, path)
        names = load_file(path).keys()
        roles = ("up", "down", "bias") if rank == 2 else ("weight", "bias")
        layers = {f"label_emb.0.{place}.{role}" for place in (0, 2) for role in roles}
        assert {name for name in names if name.startswith("label_emb.")} == layers
        net = loading.load_control_net(path)
    base = BaseModel(with_y(unet), DiscreteSampling.from_betas(), 0.13025)
    net = net.copy().set_cond_hint(HINT, 0.5)
    net.pre_run(base, base.model_sampling.percent_to_sigma)
    sigma = base.model_sampling.sigmas[STEP].expand(2)
    y = y_of(WIDTH + 6 * 256, {"pooled_output": POOLED}, (8, 8))
    control = net.get_control(X, sigma, {"c_crossattn": WORDS, "y": y}, 1, {})
    scaled = base.model_sampling.calculate_input(sigma, X)
    found = [*control["output"], *control["middle"]]
    for one, other in zip(of(merged(network, unet), scaled), found, strict=True):
        torch.testing.assert_close(other, 0.5 * one, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="takes a vector 1600 wide beside the text"):
        net.get_control(X, sigma, {"c_crossattn": WORDS}, 1, {})


@torch.no_grad()
def test_a_training_goes_on_from_its_folder_and_not_from_its_file(tmp_path: Path) -> None:
    unet = sdxl_unet()
    network = drawn(unet)
    save_folder(network, tmp_path / "net")
    started = started_from(load_existing(tmp_path / "net"), unet)
    assert started.config.addition_embed_type == "text_time"
    assert weights_hash(started) == weights_hash(network)
    started.attach(unet)
    assert all(map(torch.equal, of(network), of(started.eval())))
    save_single_file(network, tmp_path / "net.safetensors")
    with pytest.raises(UserError, match="give the folder that a training wrote beside it"):
        load_existing(tmp_path / "net.safetensors")


@torch.no_grad()
def test_transferred_it_is_the_merged_net_s_transfer() -> None:
    old = sdxl_unet()
    new = sdxl_unet()
    for number, weight in enumerate(new.parameters()):
        weight.add_(random(*weight.shape, seed=number), alpha=0.02)
    network = drawn(old)
    moved = transferred(network, old, new)
    moved.attach(new)
    wanted = transferred(merged(network, old), old, new)
    for one, other in zip(of(wanted), of(moved), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


def test_another_bases_is_refused() -> None:
    other = type(sdxl_unet())(
        **{**CONFIG, "projection_class_embeddings_input_dim": 1632},
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )
    with pytest.raises(UserError, match="its projection_class_embeddings_input_dim is 1632"):
        started_from(drawn(other), sdxl_unet())


# A CONTROL_NET on a wire, to start from


@torch.no_grad()
def test_an_sdxl_net_on_a_wire_comes_back_as_it_is_trained() -> None:
    here, unet, network = EmbeddedHost(), sdxl_unet(), sdxl_control_net()
    wire: Any = here.control_net_of(network, "ours")
    assert isinstance(wire, ControlNet)
    assert wire.network.y_width == WIDTH + 6 * 256
    found = here.network_of(wire, unet, "ours")
    assert weights_hash(found) == weights_hash(network)
    assert found.config.addition_embed_type == "text_time"
    begun = begun_from(found, "controlnet", "ours", unet).eval()
    assert all(map(torch.equal, of(network), of(begun)))
    found.add_embedding.linear_1.weight.zero_()  # it is a copy of the wire's
    again = here.network_of(wire, unet, "ours")
    assert weights_hash(again) == weights_hash(network)


def test_a_control_lora_on_a_wire_is_nothing_to_start_from() -> None:
    here, unet = EmbeddedHost(), sdxl_unet()
    wire = here.control_net_of(drawn(unet), "ours")
    with pytest.raises(UserError, match="ours is a ControlLora without a ControlNet's copied"):
        here.network_of(wire, unet, "ours")
