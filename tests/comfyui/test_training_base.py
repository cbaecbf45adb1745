"""A MODEL of the real ComfyUI as the locked model of a training run; a trained network in it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.hosts import host
from controlstack.hosts.comfy.control_net import CalledByComfy
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch
from controlstack.training.sdxl import as_sampled
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import control_net_from, controlled
from controlstack.training.transfer import begun_from
from tests.comfyui import small
from tests.weights import drawn

SMALL_HINTS = NetSettings(hint_channels="8,8,16,16")
NAME = "sd.safetensors"


def base_of(model: Any, clip: Any = None, vae: Any = None) -> Any:
    """As a node asks for it: in the inference mode that ComfyUI runs nodes in."""
    with torch.inference_mode():
        return host.current().training_base(model, clip, vae, NAME)


def noisy(count: int = 3, side: int = 8) -> Tensor:
    return torch.randn(count, 4, side, side, generator=torch.Generator().manual_seed(4))


def texts(count: int, width: int) -> Tensor:
    return torch.randn(count, 77, width, generator=torch.Generator().manual_seed(5))


def denoised(model: Any, x: Tensor, steps: Tensor, words: Tensor, **more: Tensor) -> Tensor:
    """ComfyUI's own answer: latents x0 from x = x0 + sigma * noise at these timesteps."""
    import comfy.model_management

    comfy.model_management.load_models_gpu([model])
    sampling = model.get_model_object("model_sampling")
    sigmas = sampling.sigmas[steps]
    original = model.model.model_sampling
    model.model.model_sampling = sampling  # as ComfyUI does with object patches while it samples
    try:
        return model.model.apply_model(x, sigmas, c_crossattn=words, transformer_options={}, **more)
    finally:
        model.model.model_sampling = original


def ours(base: Any, x: Tensor, steps: Tensor, words: Tensor, **more: Any) -> Tensor:
    """The same from `Base`, by the formulas of DDPM (Ho 2020) and v (Salimans & Ho 2022)."""
    alpha = base.alphas[steps].view(-1, 1, 1, 1).double()
    given = x * alpha.sqrt()  # x0 + sigma noise, scaled to variance 1
    with torch.no_grad():
        predicted = base.unet(given.float(), steps, words, return_dict=False, **more)[0].double()
    if base.prediction == "v_prediction":
        return alpha.sqrt() * given - (1 - alpha).sqrt() * predicted
    return (given - (1 - alpha).sqrt() * predicted) / alpha.sqrt()


def assert_same_model(model: Any, base: Any, width: int = 768) -> None:
    steps = torch.tensor([1, 480, 990])
    sigmas = model.get_model_object("model_sampling").sigmas[steps].view(-1, 1, 1, 1)
    x, words = noisy() * (1 + sigmas**2).sqrt(), texts(3, width)
    theirs, mine = denoised(model, x, steps, words), ours(base, x, steps, words)
    torch.testing.assert_close(mine.float(), theirs.float(), rtol=1e-4, atol=2e-4)


@pytest.fixture
def model(comfy: ModuleType) -> Any:
    return small.base()


def test_the_unet_predicts_what_comfyui_s_own_does(model: Any) -> None:
    base = base_of(model)
    assert base.prediction == "epsilon"
    assert_same_model(model, base)


def test_sd2_s_heads_and_v_prediction_are_taken_from_the_model(comfy: ModuleType) -> None:
    from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete

    (model,) = ModelSamplingDiscrete().patch(small.base(small.SD2), "v_prediction", True)
    base = base_of(model)
    assert base.prediction == "v_prediction"
    assert base.alphas[-1] < 1e-7  # zero terminal SNR: nothing of the picture is left
    assert base.unet.config.attention_head_dim == [1, 2, 2, 2]  # 64 channels a head
    assert_same_model(model, base, 1024)


def lora(strength: float = 4.0) -> dict[str, Tensor]:
    shapes = {}
    for block in ("input_blocks.1.1", "middle_block.1", "output_blocks.11.1"):
        stem = f"diffusion_model.{block}.transformer_blocks.0.attn2.to_q"
        channels = 64 if block == "middle_block.1" else 32
        shapes |= {
            f"{stem}.lora_up.weight": (channels, 2),
            f"{stem}.lora_down.weight": (2, channels),
        }
    return {name: value * strength for name, value in drawn(shapes, 8).items()}


def test_a_lora_on_the_model_is_in_the_weights_and_the_model_stays_as_it_was(model: Any) -> None:
    import comfy.sd

    patched, _ = comfy.sd.load_lora_for_models(model, None, lora(), 0.7, 0.0)
    plain, changed = base_of(model), base_of(patched)
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q.weight"
    assert not torch.equal(plain.unet.state_dict()[name], changed.unet.state_dict()[name])
    assert_same_model(patched, changed)
    # Now that ComfyUI has the patched weights loaded, both are still told apart.
    again, after = base_of(patched), base_of(model)
    torch.testing.assert_close(again.unet.state_dict()[name], changed.unet.state_dict()[name])
    assert torch.equal(after.unet.state_dict()[name], plain.unet.state_dict()[name])
    assert_same_model(model, plain)


@pytest.mark.parametrize("kept", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_narrow_weights_train_in_single(comfy: ModuleType, kept: torch.dtype) -> None:
    model = small.base(dtype=kept, cast=torch.float32)
    base = base_of(model)
    assert base.unet.dtype == torch.float32
    assert_same_model(model, base)


def test_a_network_learns_inside_training_though_nodes_run_in_inference_mode(model: Any) -> None:
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    with torch.inference_mode():
        base = host.current().training_base(model, None, None)
        with host.current().training():
            network = control_net_from(base.unet, SMALL_HINTS)
            x, words, hints = noisy(2), texts(2, 768), torch.rand(2, 3, 64, 64)
            predicted = controlled(base.unet, network, x, torch.tensor([3, 700]), words, hints)
            predicted.square().mean().backward()
        assert torch.is_inference_mode_enabled()
    assert float(network.controlnet_mid_block.weight.grad.abs().max()) > 0
    assert all(parameter.grad is None for parameter in base.unet.parameters())
    after = model.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_training_frees_the_device_of_comfyui_s_models(model: Any) -> None:
    import comfy.model_management as manager

    manager.load_models_gpu([model])
    assert manager.loaded_models()
    with host.current().training():
        assert not manager.loaded_models()
        assert torch.is_grad_enabled()


def filled(network: Any) -> Any:
    """With residuals of the size of the U-Net's own skips."""
    weights = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict(drawn(weights, 6))
    return network.eval().requires_grad_(False)


def residuals(net: Any, model: Any, hints: Tensor, words: Tensor, step: int) -> dict[str, Any]:
    import comfy.model_management

    sampling = model.get_model_object("model_sampling")
    sigma = sampling.sigmas[[step]].expand(len(hints))
    net = net.copy()
    net.set_cond_hint(hints, 0.5, (0.0, 1.0))
    comfy.model_management.load_models_gpu([model, *net.get_models()])
    with torch.inference_mode():
        net.pre_run(model.model, sampling.percent_to_sigma)
        x = noisy(len(hints)) * (1 + sigma.view(-1, 1, 1, 1) ** 2).sqrt()
        control = net.get_control(x, sigma, {"c_crossattn": words}, 1, {})
        net.cleanup()
    return dict(control)


@pytest.mark.parametrize("kind", ["controlnet", "lite", "control_lora"])
def test_a_trained_network_gives_its_residuals_as_control_net(model: Any, kind: str) -> None:
    base = base_of(model)
    network = filled(control_net_from(base.unet, NetSettings(kind=kind)))
    with torch.inference_mode():
        net = host.current().control_net_of(network, "ours")
    words, hints, step = texts(2, 768), torch.rand(2, 3, 64, 64), 480
    down, middle = network(noisy(2), torch.full((2,), step), words, hints, return_dict=False)
    control = residuals(net, model, hints, words, step)
    found, wanted = [*control["output"], *control["middle"]], [*down, middle]
    assert len(found) == len(wanted) == 13
    for theirs, mine in zip(found, wanted, strict=True):
        torch.testing.assert_close(theirs, 0.5 * mine, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["controlnet", "lite", "control_lora"])
def test_it_goes_into_a_stack(model: Any, kind: str) -> None:
    network = filled(control_net_from(base_of(model).unet, NetSettings(kind, "8,8,16,16")))
    with torch.inference_mode():
        net = host.current().control_net_of(network, "ours")
    plain = small.sample(model)
    stacked = patch(model, (Control(net, small.hint(1), "ours"),))
    assert not torch.equal(small.sample(stacked), plain)
    # It holds the weights of the moment, whatever is trained on.
    for parameter in network.parameters():
        parameter.zero_()
    assert not torch.equal(small.sample(stacked), plain)


def test_comfyui_s_own_network_is_used_where_it_has_one(comfy: ModuleType) -> None:
    import comfy.cldm.cldm
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        block_out_channels=(320, 320),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    network = filled(control_net_from(unet, NetSettings()))
    net: Any = host.current().control_net_of(network, "ours")
    assert isinstance(net.control_model, comfy.cldm.cldm.ControlNet)
    words, hints, step = texts(1, 768), torch.rand(1, 3, 64, 64), 480
    control = residuals(net, small.base(), hints, words, step)
    down, middle = network(noisy(1), torch.tensor([step]), words, hints, return_dict=False)
    found, wanted = [*control["output"], *control["middle"]], [*down, middle]
    for theirs, mine in zip(found, wanted, strict=True):
        torch.testing.assert_close(theirs, 0.5 * mine, rtol=1e-4, atol=1e-4)


def said(model: Any, **encoders: Any) -> str:
    with pytest.raises(UserError) as caught:
        base_of(model, **encoders)
    words = str(caught.value)
    assert NAME in words
    assert small.is_one_paragraph(words)
    return words


def sizes(model: Any, count: int) -> tuple[Tensor, dict[str, Any]]:
    """What SDXL is told of pictures of 64 x 64 pixels: by ComfyUI's own model, and by us."""
    pooled = torch.randn(count, 1280, generator=torch.Generator().manual_seed(6))
    y = model.model.encode_adm(pooled_output=pooled, width=64, height=64, device="cpu")
    return y, {"added_cond_kwargs": as_sampled(pooled, 64, 64)}


def test_sdxl_s_unet_predicts_what_comfyui_s_own_does(comfy: ModuleType) -> None:
    model = small.base(small.SDXL)
    base = base_of(model)
    assert base.unet.config.addition_embed_type == "text_time"
    y, added = sizes(model, 3)
    steps = torch.tensor([1, 480, 990])
    sigmas = model.get_model_object("model_sampling").sigmas[steps].view(-1, 1, 1, 1)
    x, words = noisy() * (1 + sigmas**2).sqrt(), texts(3, 2048)
    theirs = denoised(model, x, steps, words, y=y)
    mine = ours(base, x, steps, words, **added)
    torch.testing.assert_close(mine.float(), theirs.float(), rtol=1e-4, atol=2e-4)
    other = denoised(model, x, steps, words, y=y.roll(1, 0))
    assert not torch.allclose(other, theirs, rtol=1e-4, atol=2e-4)


def test_a_network_for_sdxl_is_given_comfyui_s_vector(comfy: ModuleType) -> None:
    model = small.base(small.SDXL)
    network = filled(control_net_from(base_of(model).unet, SMALL_HINTS)).eval()
    net: Any = host.current().control_net_of(network, "ours")
    y, added = sizes(model, 2)
    x, words, hints, steps = (
        noisy(2),
        texts(2, 2048),
        torch.rand(2, 3, 64, 64),
        torch.tensor([3, 9]),
    )
    with torch.no_grad():
        down, middle = network(x, steps, words, hints, return_dict=False, **added)
        control = net.control_model(x=x, hint=hints, timesteps=steps, context=words, y=y)
    found, wanted = [*control["output"], *control["middle"]], [*down, middle]
    for theirs, mine in zip(found, wanted, strict=True):
        torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["ComfyUI's own", "ours"])
def test_a_network_for_sdxl_on_a_wire_is_trained_further(comfy: ModuleType, kind: str) -> None:
    """It comes back in the form that a training calls, with what it gave on the wire."""
    model = small.base(small.SDXL)
    unet = base_of(model).unet
    wired: Any = small.net(5, small.SDXL)
    if kind == "ours":
        network = filled(control_net_from(unet, SMALL_HINTS))
        with torch.inference_mode():
            wired = host.current().control_net_of(network, "ours")
        assert isinstance(wired.control_model, CalledByComfy)
    with torch.inference_mode(), host.current().training():
        found = begun_from(host.current().network_of(wired, unet, "x"), "controlnet", "x", unet)
    assert found.config.addition_embed_type == "text_time"
    assert all(weight.requires_grad for weight in found.parameters())
    y, added = sizes(model, 2)
    x, words, hints, steps = (
        noisy(2),
        texts(2, 2048),
        torch.rand(2, 3, 64, 64),
        torch.tensor([3, 9]),
    )
    with torch.no_grad():
        down, middle = found.eval()(x, steps, words, hints, return_dict=False, **added)
        control = wired.control_model(x=x, hint=hints, timesteps=steps, context=words, y=y)
    given, wanted = [*down, middle], [*control["output"], *control["middle"]]
    for mine, theirs in zip(given, wanted, strict=True):
        assert theirs.std() > 1e-3
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_another_family_is_refused_by_name(comfy: ModuleType) -> None:
    model = small.base()
    model.model.adm_channels = 2560  # as the SDXL refiner's
    assert "of the family" in said(model)


def test_an_inpainting_model_is_refused(comfy: ModuleType) -> None:
    assert "9 channels" in said(small.base(small.INPAINTING))


def stacked(model: Any) -> Any:
    return patch(model, (Control(small.net(3), small.hint(1), "a control"),))


def with_free_u(model: Any) -> Any:
    from comfy_extras.nodes_freelunch import FreeU

    return _output(FreeU, model, 1.1, 1.2, 0.9, 0.2)


def with_lcm(model: Any) -> Any:
    from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete

    return ModelSamplingDiscrete().patch(model, "lcm", False)[0]


def with_edm(model: Any) -> Any:
    from comfy_extras.nodes_model_advanced import ModelSamplingContinuousEDM

    return ModelSamplingContinuousEDM().patch(model, "v_prediction", 120.0, 0.002)[0]


def _output(node: Any, *inputs: Any) -> Any:
    """A node of either of ComfyUI's two styles."""
    made = node.execute(*inputs) if hasattr(node, "execute") else node().patch(*inputs)
    return made[0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (stacked, "apply_model"),
        (with_free_u, "patches"),
        (with_lcm, "take the node away"),
        (with_edm, "take the node away"),
    ],
)
def test_what_weights_do_not_hold_is_refused(
    model: Any, changed: Callable[[Any], Any], words: str
) -> None:
    assert words in said(changed(model))


def test_one_encoder_without_the_other_is_refused(model: Any) -> None:
    assert "wire one" in said(model, clip=object())


def test_missing_packages_are_named_with_the_command(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from controlstack.hosts.comfy import training_base as comfy_training

    monkeypatch.setattr(comfy_training, "_NEEDED", ("torch", "no_such_package"))
    with pytest.raises(UserError, match="-m pip install no_such_package, then") as caught:
        base_of(model)
    assert small.is_one_paragraph(str(caught.value))
