"""A Control-LoRA: the base's own layers, changed by factors, and what its files say of them."""

from __future__ import annotations

import copy
import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from controlstack.headless.models.loading import load_control_net
from controlstack.headless.sampling.base_model import BaseModel
from controlstack.training.export import load_network, save_folder, save_single_file
from controlstack.training.ldm_layout import no_single_file
from controlstack.training.locked_unet import predict
from controlstack.training.low_rank import LowRank
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import (
    control_net_from,
    controlled,
    copied_weights,
    new_weights,
    started_from,
    weights_hash,
)
from controlstack.training.transfer import transferred
from tests.tiny import CONTEXT, Y_WIDTH, tiny_model, tiny_sdxl_unet, tiny_unet
from tests.training import control_loras
from tests.training.control_loras import drawn, merged
from tests.training.small_runs import quiet, same_weights, small_run, small_unet, stop_after
from tests.training.unets import sd2_unet

NET = NetSettings("control_lora", "4,4,8,8", rank=2)


def inputs() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(2, 4, 8, 8, generator=generator),
        torch.tensor([5, 800]),
        torch.randn(2, 3, CONTEXT, generator=generator),
        torch.rand(2, 3, 64, 64, generator=generator),
    )


def residuals(network: Any, *given: Tensor) -> list[Tensor]:
    labels = {"class_labels": torch.ones(2, Y_WIDTH)} if network.class_embedding else {}
    return control_loras.residuals(network, *given, **labels)


@pytest.mark.parametrize("make", [tiny_unet, sd2_unet, tiny_sdxl_unet])
@pytest.mark.parametrize("rank", [1, 4])
@torch.no_grad()
def test_its_residuals_are_those_of_the_whole_weights(make: Any, rank: int) -> None:
    """To float32's rounding: two products after one another beside one."""
    unet = make()
    network = drawn(unet, rank)
    wanted, found = (residuals(one, *inputs()) for one in (merged(network, unet), network))
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)
    changed = [one for one in network.modules() if isinstance(one, LowRank)]
    for layer in changed:
        layer.up.zero_()
    assert changed
    plain = residuals(network, *inputs())
    assert not torch.allclose(plain[-1], wanted[-1], atol=1e-3)


@torch.no_grad()
def test_it_adds_nothing_before_it_is_trained() -> None:
    unet = tiny_unet()
    network = control_net_from(unet, NET, 3)
    noisy, times, words, hints = inputs()
    plain = unet(noisy, times, words).sample
    assert torch.equal(controlled(unet, network, noisy, times, words, hints), plain)
    assert torch.equal(predict(unet, network, noisy, times, words, hints), plain)


def test_it_holds_none_of_the_bases_large_weights() -> None:
    unet = tiny_unet()
    network = control_net_from(unet, NET)
    theirs = {weight.data_ptr() for weight in unet.parameters()}
    assert not any(weight.data_ptr() in theirs for weight in network.parameters())
    whole = control_net_from(unet, replace(NET, kind="controlnet"))
    layers = [one for one in network.modules() if isinstance(one, LowRank)]
    saved = sum(layer.change().numel() - layer.up.numel() - layer.down.numel() for layer in layers)
    count = sum(weight.numel() for weight in network.parameters())
    assert count == sum(weight.numel() for weight in whole.parameters()) - saved
    assert all(weight.requires_grad for weight in network.parameters())
    split = copied_weights(network), new_weights(network)
    assert sum(map(len, split)) == len(list(network.parameters()))
    assert {id(layer.up) for layer in layers} <= {id(weight) for weight in split[0]}


def test_each_parameter_gets_its_gradient() -> None:
    unet = tiny_unet()
    network = drawn(unet)
    wanted, found = merged(network, unet), network
    for one in (wanted, found):
        sum(r.square().sum() for r in residuals(one, *inputs())).backward()
    whole = dict(wanted.named_parameters())
    for path, layer in found.named_modules():
        if isinstance(layer, LowRank):
            gradient = whole[f"{path}.weight"].grad.flatten(1)  # d(up @ down), by the chain rule
            up, down = layer.up.flatten(1), layer.down.flatten(1)
            wide = gradient.abs().max().item()
            close = {"rtol": 1e-3, "atol": 1e-4 * max(1.0, wide)}
            torch.testing.assert_close(layer.up.grad.flatten(1), gradient @ down.T, **close)
            torch.testing.assert_close(layer.down.grad.flatten(1), up.T @ gradient, **close)


def test_a_rank_beyond_a_layers_size_trains_the_layer_whole() -> None:
    unet = tiny_unet()
    network = control_net_from(unet, replace(NET, rank=4096), 3)
    assert not any(isinstance(one, LowRank) for one in network.modules())
    assert network.told.startswith("0 layers are changed by factors of rank 4096; 121, which")
    whole = control_net_from(unet, replace(NET, kind="controlnet"), 3)
    assert list(network.state_dict()) == list(whole.state_dict())
    some = control_net_from(unet, replace(NET, rank=4))
    assert some.told.startswith("105 layers are changed by factors of rank 4; 16, which")
    for path, layer in unet.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and path in dict(some.named_modules()):
            rows, columns = len(layer.weight), layer.weight[0].numel()
            low = isinstance(some.get_submodule(path), LowRank)
            assert low == (4 * (rows + columns) < rows * columns)


def test_without_its_base_it_says_so() -> None:
    network = control_net_from(tiny_unet(), NET)
    gc.collect()  # nobody else holds the base; the network does not keep it alive
    with pytest.raises(RuntimeError, match="without its base's weights"):
        network(*inputs())


@torch.no_grad()
def test_a_copy_goes_on_with_the_same_base_and_another_base_counts() -> None:
    unet, other = tiny_unet(), tiny_unet(seed=8)
    network = drawn(unet)
    first = residuals(network, *inputs())
    assert all(map(torch.equal, first, residuals(copy.deepcopy(network), *inputs())))
    network.attach(other)
    assert not torch.equal(first[-1], residuals(network, *inputs())[-1])


@torch.no_grad()
def test_a_folder_brings_it_back(tmp_path: Path) -> None:
    unet = tiny_unet()
    network = drawn(unet)
    save_folder(network, tmp_path / "net")
    loaded = load_network(tmp_path / "net").eval()
    assert weights_hash(loaded) == weights_hash(network)
    assert loaded.config.rank == 2
    loaded.attach(unet)
    assert all(map(torch.equal, residuals(network, *inputs()), residuals(loaded, *inputs())))


@pytest.mark.parametrize("form", ["folder", "single file"])
@torch.no_grad()
def test_the_embedded_host_runs_its_files_as_the_merged_net(tmp_path: Path, form: str) -> None:
    unet = tiny_unet()
    network = drawn(unet)
    path = tmp_path / "net"
    if form == "folder":
        save_folder(network, path)
    else:
        path = tmp_path / "net.safetensors"
        assert no_single_file(network) is None
        save_single_file(network, path)
    noisy, times, words, hints = inputs()
    net = load_control_net(path).set_cond_hint(hints)
    base: BaseModel = tiny_model(unet).model
    net.pre_run(base, base.model_sampling.percent_to_sigma)
    net_of_run: Any = net
    down, middle = net_of_run.network(
        noisy, times, words, net_of_run.network.encode_hint(hints), 1.0
    )
    wanted = residuals(merged(network, unet), noisy, times, words, hints)
    for one, other in zip(wanted, [*down, middle], strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_transferred_it_keeps_its_factors_and_moves_what_it_holds_whole() -> None:
    old, new = tiny_unet(), tiny_unet(seed=8)
    network = drawn(old)
    moved = transferred(network, old, new)
    moved.attach(new)
    network.attach(old)
    wanted = transferred(merged(network, old), old, new)
    for one, other in zip(residuals(wanted, *inputs()), residuals(moved, *inputs()), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


def test_a_training_goes_on_from_one() -> None:
    unet = tiny_unet()
    network = drawn(unet)
    started = started_from(network, unet)
    assert weights_hash(started) == weights_hash(network)
    assert started.training
    assert all(weight.requires_grad for weight in started.parameters())


@pytest.mark.parametrize("more", [{}, {"gradient_checkpointing": True}, {"precision": "bf16"}])
def test_it_learns_and_the_base_stays(more: dict[str, Any]) -> None:
    unet = small_unet()
    before = weights_hash(unet)
    network = control_net_from(unet, NET, 3)
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    small_run(unet=unet, network=network, steps=5, **more)
    assert weights_hash(unet) == before
    assert all(weight.grad is None for weight in unet.parameters())
    moved = {name for name, value in network.state_dict().items() if not value.equal(fresh[name])}
    assert moved == set(fresh)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stopped_and_resumed_it_is_the_whole_run_bit_for_bit(
    tmp_path: Path, precision: str
) -> None:
    def run(place: str, heard: Any = quiet, **more: Any) -> Any:
        unet = small_unet()
        network = control_net_from(unet, NET, 3)
        settings = {"ema": 0.9, "accumulate": 2, "new_rate": 2e-3, "precision": precision, **more}
        return small_run(tmp_path / place, heard, unet=unet, network=network, **settings)

    whole = run("whole")
    first = run("run", stop_after(6))
    assert (first.step, first.stopped) == (6, True)
    assert not same_weights(first.network, whole.network)
    rest = run("run", resume=True)
    assert (rest.step, rest.stopped) == (10, False)
    assert same_weights(rest.network, whole.network)
