"""What the embedded host answers to the training nodes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.headless.host import EmbeddedHost
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import control_net_from, controlled
from tests.tiny import tiny_model, tiny_unet
from tests.weights import drawn

HOST = EmbeddedHost()
UNET = tiny_unet()


def network(kind: str) -> Any:
    """A trained one: with residuals of the size of what they are added to."""
    made = control_net_from(UNET, NetSettings(kind, "4,4,8,8"))
    made.load_state_dict(drawn({n: tuple(v.shape) for n, v in made.state_dict().items()}, 6))
    return made


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("kind", ["controlnet", "gaussian", "lite"])
def test_a_stack_predicts_what_training_does(kind: str) -> None:
    model, trained = tiny_model(UNET), network(kind)
    net = HOST.control_net_of(trained, "ours")
    step, sampling = 480, model.model.model_sampling
    sigma = sampling.sigmas[step].expand(2)
    noisy, words, hints = random(2, 4, 8, 8), random(2, 77, 16), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        predicted = controlled(UNET, trained, noisy, torch.full((2,), step), words, hints)
    stacked = patch(model, (Control(net, hints, "ours"),))
    carried = noisy * (1 + sigma.view(-1, 1, 1, 1) ** 2).sqrt()
    options = {**stacked.model_options["transformer_options"], "wrappers": stacked.wrappers}
    options |= {"cond_or_uncond": [0], "sample_sigmas": sampling.sigmas.flip(0)}
    denoised = stacked.model.apply_model(
        carried, sigma, c_crossattn=words, transformer_options=options
    )
    wanted = carried - sigma.view(-1, 1, 1, 1) * predicted
    torch.testing.assert_close(denoised, wanted, rtol=1e-4, atol=1e-4)


def test_the_control_net_keeps_the_weights_of_the_moment() -> None:
    trained = network("controlnet")
    net: Any = HOST.control_net_of(trained, "ours")
    before = {name: value.clone() for name, value in net.network.state_dict().items()}
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.zero_()
    after = net.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert trained.training
    assert not any(parameter.requires_grad for parameter in net.network.parameters())


def test_gradients_are_recorded_inside_training_only() -> None:
    with torch.no_grad():
        with HOST.training():
            assert torch.is_grad_enabled()
        assert not torch.is_grad_enabled()


def test_training_on_the_base_cannot_reach_the_model() -> None:
    model = tiny_model(UNET)
    base = HOST.training_base(model, None, None)
    assert base.encoders is None
    assert base.name == "the base model"
    theirs = model.model.diffusion_model.state_dict()
    for name, value in base.unet.state_dict().items():
        assert torch.equal(value, theirs[name])
        assert value.data_ptr() != theirs[name].data_ptr()
