"""What a stack refuses, at once or while it samples: a sentence each, and nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.headless.models.control_net import ControlNet
from controlstack.model_patch.applied import KEY
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch
from tests.model_patch.stacks import (
    UNET,
    control,
    hint,
    net,
    sample,
)
from tests.tiny import tiny_controlnet, tiny_model


def test_a_net_that_gives_nan_is_named_and_the_next_run_is_right() -> None:
    broken = tiny_controlnet(UNET)
    broken.controlnet_mid_block.weight.data[0] = float("nan")
    model = tiny_model(UNET)
    plain = sample(model)
    bad = Control(net=ControlNet(broken, "broken.safetensors"), hint=hint(), name="broken")
    with pytest.raises(UserError, match=r"broken.*NaN"):
        sample(patch(model, (bad,)))
    assert torch.equal(sample(model), plain)


def test_residuals_that_do_not_fit_name_the_control_the_block_and_both_shapes() -> None:
    class Wider(ControlNet):
        """A net whose residuals are one pixel too wide."""

        def copy(self) -> Any:
            return Wider(self.network, self.name)

        def get_control(self, *args: Any, **kwargs: Any) -> Any:
            good = super().get_control(*args, **kwargs)
            assert good is not None
            good["output"][5] = torch.nn.functional.pad(good["output"][5], (0, 1))
            return good

    item = Control(net=Wider(tiny_controlnet(UNET), "wide"), hint=hint(), name="wide.safetensors")
    with pytest.raises(UserError, match=r"wide\.safetensors.*5.*\(2, 16, 4, 5\).*\(2, 16, 4, 4\)"):
        sample(patch(tiny_model(UNET), (item,)))


def test_a_net_that_needs_a_vae_is_refused_at_once_without_one() -> None:
    needy: Any = net()
    needy.latent_format = object()
    with pytest.raises(UserError, match="pose works on latents and needs a VAE"):
        patch(tiny_model(UNET), (Control(net=needy, hint=hint(), name="pose"),))


def test_a_net_that_acts_through_hooks_is_refused_at_once() -> None:
    hooked: Any = net()
    hooked.get_extra_hooks = lambda: ["a hook"]
    with pytest.raises(UserError, match=r"reference acts through hooks.*Apply ControlNet"):
        patch(tiny_model(UNET), (Control(net=hooked, hint=hint(), name="reference"),))


def test_several_gpus_are_refused() -> None:
    patched = patch(tiny_model(UNET), (control(),))
    patched.set_additional_models("multigpu", ["a second GPU"])
    (wrapper,) = patched.wrappers["prepare_sampling"][KEY]
    with pytest.raises(UserError, match=r"net 1: .* one GPU"):
        wrapper(None, patched, (1, 4, 8, 8), {})


class Failing(ControlNet):
    """A net that fails in its own way."""

    error: Exception = RuntimeError("mat1 and mat2 shapes cannot be multiplied\nat line 3")

    def copy(self) -> Any:
        return Failing(self.network, self.name)

    def get_control(self, *args: Any, **kwargs: Any) -> Any:
        raise self.error

    def cleanup(self) -> None:
        raise OSError("and it cannot even clean up")


def failing() -> Control:
    return Control(net=Failing(tiny_controlnet(UNET), "x"), hint=hint(), name="pose")


def test_torchs_own_error_becomes_a_sentence_with_the_shapes() -> None:
    with pytest.raises(UserError) as caught:
        sample(patch(tiny_model(UNET), (failing(),)))
    message = str(caught.value)
    assert message.startswith("pose: the net failed on a latent of shape (2, 4, 8, 8)")
    assert "(1, 3, 64, 64)" in message
    assert "mat1 and mat2 shapes cannot be multiplied)" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("no memory"), RuntimeError("CUDA error: launch failure")]
)
def test_a_gpus_own_failures_are_the_hosts_to_handle(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Failing, "error", error)
    with pytest.raises(type(error)) as caught:
        sample(patch(tiny_model(UNET), (failing(),)))
    assert caught.value is error
