"""A trained Control-LoRA's file in ComfyUI's own loader: the residuals are the merged net's."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.hosts import host
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch
from controlstack.training.export import save_single_file
from controlstack.training.ldm_layout import ldm_weights
from controlstack.training.low_rank import LowRank
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import control_net_from
from tests.comfyui import small

DEFAULT = "16,32,96,256"


def base_of(model: Any) -> Any:
    with torch.inference_mode():
        return host.current().training_base(model, None, None, "sd.safetensors")


@torch.no_grad()
def trained(unet: Any, hints: str, rank: int) -> Any:
    """A Control-LoRA whose every parameter is another than at first."""
    network = control_net_from(unet, NetSettings("control_lora", hints, rank=rank), 1)
    torch.manual_seed(4)
    for weight in network.parameters():
        weight.add_(torch.randn_like(weight), alpha=0.03)
    return network.eval()


@torch.no_grad()
def merged(network: Any, unet: Any, hints: str) -> Any:
    """The ordinary ControlNet with W + up @ down in place of W."""
    whole = control_net_from(unet, NetSettings(hint_channels=hints))
    state = {**whole.state_dict()}
    for path, layer in network.named_modules():
        if isinstance(layer, LowRank):
            state[f"{path}.weight"] = state[f"{path}.weight"] + layer.change()
    state |= {name: value for name, value in network.state_dict().items() if name in state}
    whole.load_state_dict(state)
    return whole.eval()


@pytest.mark.parametrize("rank", [2, 16, 1024])
@pytest.mark.parametrize("hints", [DEFAULT, "8,8,16,16"])
def test_comfyui_reads_it_as_the_merged_net(
    comfy: ModuleType, hints: str, rank: int, tmp_path: Path
) -> None:
    """To 1e-5 of a residual's largest number beside the core's own net of the merged weights, where
    it has one for such hints, and to 1e-3 beside diffusers', which computes in another order.
    """
    import comfy.controlnet
    import comfy.model_management

    model = small.base()
    unet = base_of(model).unet
    network = trained(unet, hints, rank)
    save_single_file(network, tmp_path / "lora.safetensors")
    net = comfy.controlnet.load_controlnet(str(tmp_path / "lora.safetensors"))
    assert isinstance(net, comfy.controlnet.ControlLora)

    generator = torch.Generator().manual_seed(3)
    noisy, words = (torch.randn(2, *size, generator=generator) for size in ((4, 16, 16), (77, 768)))
    picture, times = torch.rand(2, 3, 128, 128, generator=generator), torch.tensor([7.0, 640.0])
    given = {"x": noisy, "hint": picture, "timesteps": times, "context": words}
    whole = merged(network, unet, hints)
    comfy.model_management.load_models_gpu([model])
    with torch.inference_mode():
        net.pre_run(model.model, model.get_model_object("model_sampling").percent_to_sigma)
        found = listed(net.control_model(**given))
        net.cleanup()
        if hints == DEFAULT:
            core = small.net(5).control_model
            core.load_state_dict(ldm_weights(whole))
            require_close(found, listed(core(**given)), 1e-5)
    wanted = residuals(whole, noisy, times, words, picture)
    require_close(found, wanted, 1e-3)
    plain = residuals(merged(flat(network), unet, hints), noisy, times, words, picture)
    if rank < 1024:  # beyond a layer's size there are no factors, which could be left out
        assert (plain[-1] - wanted[-1]).abs().max() > 0.1 * wanted[-1].abs().max()


def listed(told: dict[str, list[Tensor]]) -> list[Tensor]:
    """The core's residuals, the middle one last."""
    return [*told["output"], *told["middle"]]


def require_close(found: list[Tensor], wanted: list[Tensor], share: float) -> None:
    assert len(found) == len(wanted) == 13
    for theirs, ours in zip(found, wanted, strict=True):
        assert ours.std() > 0.01
        assert float((theirs - ours).abs().max()) < share * float(ours.abs().max())


def test_before_it_is_trained_it_changes_no_bit(comfy: ModuleType, tmp_path: Path) -> None:
    import comfy.controlnet

    model = small.base()
    unet = base_of(model).unet
    network = control_net_from(unet, NetSettings("control_lora", rank=4))
    plain = small.sample(model)
    for fresh, one in ((True, network), (False, trained(unet, DEFAULT, 4))):
        path = tmp_path / f"{fresh}.safetensors"
        save_single_file(one, path)
        net = comfy.controlnet.load_controlnet(str(path))
        drawn = small.sample(patch(model, (Control(net, small.hint(1), "lora"),)))
        assert torch.equal(drawn, plain) == fresh


@torch.no_grad()
def residuals(network: Any, *given: Tensor) -> list[Tensor]:
    down, middle = network(*given, return_dict=False)
    return [*down, middle]


@torch.no_grad()
def flat(network: Any) -> Any:
    """The network itself without its changes of low rank."""
    for layer in network.modules():
        if isinstance(layer, LowRank):
            layer.up.zero_()
    return network
