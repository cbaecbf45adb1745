"""A trained Control-LoRA's file in ComfyUI's own loader: the residuals are the merged net's."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.hosts import host
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch
from controlstack.training.export import save_single_file
from controlstack.training.ldm_layout import ldm_weights
from controlstack.training.low_rank import LowRank
from controlstack.training.sdxl import as_sampled, given
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import control_net_from
from tests.comfyui import small

DEFAULT, NARROW = "16,32,96,256", "8,8,16,16"
EDGE = 128  # of pictures
WHOLE = 8192  # a rank at which no layer of these models has factors


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


@pytest.mark.parametrize(
    ("family", "hints", "rank"),
    [
        *((small.SD15, hints, rank) for hints in (DEFAULT, NARROW) for rank in (2, 16, 1024)),
        *(
            (small.SDXL, hints, rank)
            for hints, rank in ((DEFAULT, 4), (DEFAULT, WHOLE), (NARROW, 4))
        ),
    ],
    ids=lambda one: getattr(one, "config", str(one)),
)
def test_comfyui_reads_it_as_the_merged_net(
    comfy: ModuleType, family: small.Family, hints: str, rank: int, tmp_path: Path
) -> None:
    """To 1e-5 of a residual's largest number beside the core's own net of the merged weights, where
    it has one for such hints, and to 1e-3 beside diffusers', which computes in another order.
    """
    import comfy.controlnet
    import comfy.model_management

    model = small.base(family)
    unet = base_of(model).unet
    network = trained(unet, hints, rank)
    save_single_file(network, tmp_path / "lora.safetensors")
    net = comfy.controlnet.load_controlnet(str(tmp_path / "lora.safetensors"))
    assert isinstance(net, comfy.controlnet.ControlLora)

    noisy, words = random(2, 4, 16, 16), random(2, 77, family.context)
    picture, times = random(2, 3, EDGE, EDGE).sigmoid(), torch.tensor([7.0, 640.0])
    y, added = told(model, family)
    inputs = {"x": noisy, "hint": picture, "timesteps": times, "context": words, **y}
    whole = merged(network, unet, hints)
    comfy.model_management.load_models_gpu([model])
    with torch.inference_mode():
        net.pre_run(model.model, model.get_model_object("model_sampling").percent_to_sigma)
        found = listed(net.control_model(**inputs))
        net.cleanup()
        if hints == DEFAULT:
            core = small.net(5, family).control_model
            core.load_state_dict(ldm_weights(whole))
            require_close(found, listed(core(**inputs)), 1e-5)
    wanted = residuals(whole, noisy, times, words, picture, **added)
    require_close(found, wanted, 1e-3)
    plain = residuals(merged(flat(network), unet, hints), noisy, times, words, picture, **added)
    if rank < 1024:  # beyond a layer's size there are no factors, which could be left out
        assert (plain[-1] - wanted[-1]).abs().max() > 0.1 * wanted[-1].abs().max()


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def told(model: Any, family: small.Family) -> tuple[dict[str, Any], dict[str, Any]]:
    """What SDXL is told of pictures of this size: by ComfyUI's own model, and by us."""
    if family.pooled is None:
        return {}, {}
    pooled = random(2, 1280)
    y = model.model.encode_adm(pooled_output=pooled, width=EDGE, height=EDGE, device="cpu")
    return {"y": y}, given(as_sampled(pooled, EDGE, EDGE))


def listed(told: dict[str, list[Tensor]]) -> list[Tensor]:
    """The core's residuals, the middle one last."""
    return [*told["output"], *told["middle"]]


def require_close(found: list[Tensor], wanted: list[Tensor], share: float) -> None:
    assert len(found) == len(wanted)
    for theirs, ours in zip(found, wanted, strict=True):
        assert ours.std() > 0.01
        assert float((theirs - ours).abs().max()) < share * float(ours.abs().max())


@pytest.mark.parametrize("family", [small.SD15, small.SDXL], ids=lambda one: one.config)
def test_before_it_is_trained_it_changes_no_bit(
    comfy: ModuleType, family: small.Family, tmp_path: Path
) -> None:
    import comfy.controlnet

    def drawn(model: Any) -> Tensor:
        return small.sample(model, small.words(11, family), small.words(12, family))

    model = small.base(family)
    unet = base_of(model).unet
    network = control_net_from(unet, NetSettings("control_lora", rank=4))
    plain = drawn(model)
    for fresh, one in ((True, network), (False, trained(unet, DEFAULT, 4))):
        path = tmp_path / f"{fresh}.safetensors"
        save_single_file(one, path)
        loaded = comfy.controlnet.load_controlnet(str(path))
        wired = host.current().control_net_of(one, "lora")
        for net in (loaded, wired):
            changed = drawn(patch(model, (Control(net, small.hint(1), "lora"),)))
            assert torch.equal(changed, plain) == fresh


def test_it_is_nothing_to_start_from_on_a_wire(comfy: ModuleType) -> None:
    unet = base_of(small.base(small.SDXL)).unet
    with torch.inference_mode():
        wired = host.current().control_net_of(trained(unet, DEFAULT, 4), "ours")
        with pytest.raises(UserError, match="ours is a ControlLora without a ControlNet's copied"):
            host.current().network_of(wired, unet, "ours")


@torch.no_grad()
def residuals(network: Any, *inputs: Tensor, **also: Any) -> list[Tensor]:
    down, middle = network(*inputs, return_dict=False, **also)
    return [*down, middle]


@torch.no_grad()
def flat(network: Any) -> Any:
    """The network itself without its changes of low rank."""
    for layer in network.modules():
        if isinstance(layer, LowRank):
            layer.up.zero_()
    return network
