"""What cannot work is refused with a sentence before anything is sampled; what can, is not."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch
from controlstack.nodes.stack import ControlStackAdd, ControlStackApply

from . import small_kinds as kinds
from .small import (
    INPAINTING,
    SD2,
    SD15,
    SDXL,
    Line,
    base,
    chained,
    control_lora,
    hint,
    is_one_paragraph,
    net,
    sample,
    stack,
    words,
)

NET_FILE, MODEL_FILE = "some_net.safetensors", "some_model.safetensors"
Make = Callable[[], Any]

OTHER_FAMILIES: dict[str, tuple[Make, Make, tuple[str, ...]]] = {
    # net on model: what both are called, and the two numbers that differ
    "SDXL on SD 1.5": (lambda: net(5, SDXL), base, ("SDXL", "2048", "Diffusion 1.x", "768")),
    "SD 1.5 on SDXL": (
        lambda: net(5),
        lambda: base(SDXL),
        ("Diffusion 1.x", "768", "SDXL", "2048"),
    ),
    "SD 2 on SD 1.5": (lambda: net(5, SD2), base, ("Diffusion 2.x", "1024", "1.x", "768")),
    "SD 1.5 on SD 2": (lambda: net(5), lambda: base(SD2), ("1.x", "768", "2.x", "1024")),
    "Flux on SD 1.5": (lambda: kinds.flux_net(5), base, ("Flux", "4096", "1.x", "768")),
    "Flux on SDXL": (lambda: kinds.flux_net(5), lambda: base(SDXL), ("Flux", "SDXL", "2048")),
    "SD 3 on SD 1.5": (lambda: kinds.sd3_net(5), base, ("Diffusion 3", "1.x", "768")),
    "SD 1.5 on Flux": (lambda: net(5), kinds.flux, ("1.x", "768", "Flux", "4096")),
    "SD 3 on Flux": (lambda: kinds.sd3_net(5), kinds.flux, ("Diffusion 3", "Flux")),
    "Flux on AuraFlow": (lambda: kinds.flux_net(5), kinds.aura_flow, ("Flux", "AuraFlow")),
    "SD 1.5 on AuraFlow": (lambda: net(5), kinds.aura_flow, ("1.x", "AuraFlow")),
    "an SD 1.5 ControlLoRA on SDXL": (
        lambda: control_lora(7),
        lambda: base(SDXL),
        ("1.x", "768", "SDXL", "2048"),
    ),
    "an SD 1.5 ControlLoRA on Flux": (lambda: control_lora(7), kinds.flux, ("1.x", "Flux")),
}


@pytest.mark.parametrize(("make_net", "make_model", "said"), OTHER_FAMILIES.values(),
                         ids=OTHER_FAMILIES.keys())  # fmt: skip
def test_another_family_is_refused_before_sampling(
    comfy: ModuleType, make_net: Make, make_model: Make, said: tuple[str, ...]
) -> None:
    control = Control(make_net(), hint(1), f"control 1 ({NET_FILE})", vae=object())
    with pytest.raises(UserError) as refusal:
        patch(make_model(), (control,), MODEL_FILE)
    sentence = str(refusal.value)
    assert is_one_paragraph(sentence)
    for word in (*said, NET_FILE, MODEL_FILE):
        assert word in sentence, sentence


def flat_control_lora() -> Any:
    """A ControlLoRA with its kernels kept as matrices, which ComfyUI takes as well."""
    lora = control_lora(7)
    lora.control_weights = {
        name: value.flatten(1) if name.endswith((".up", ".down")) else value
        for name, value in lora.control_weights.items()
    }
    return lora


def test_a_control_lora_of_matrices_tells_its_family(comfy: ModuleType) -> None:
    with pytest.raises(UserError, match=r"1\.x.*SDXL.*768.*2048"):
        patch(base(SDXL), stack(Line(flat_control_lora(), hint(1))))


def test_the_second_control_of_a_stack_is_the_one_named(comfy: ModuleType) -> None:
    lines = Line(net(5), hint(1)), Line(net(5, SDXL), hint(2))
    with pytest.raises(UserError, match="control 2 was made for SDXL"):
        patch(base(), stack(*lines))


def added(control_net: Any, image: torch.Tensor, **inputs: Any) -> Any:
    """A stack of one, by the nodes that a user wires."""
    given = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0, **inputs}
    [made] = ControlStackAdd().add(control_net, image, **given)
    return made


def test_a_family_is_refused_by_the_nodes(comfy: ModuleType) -> None:
    controls = added(net(5, SDXL), torch.zeros(1, 64, 64, 3))
    with pytest.raises(UserError, match="was made for SDXL"):
        ControlStackApply().apply(base(), controls)


@pytest.mark.parametrize("shape", [(0, 64, 64, 3), (1, 0, 64, 3), (1, 64, 0, 3), (1, 64, 64, 2),
                                   (1, 64, 64), (1, 64, 64, 5)], ids=str)  # fmt: skip
def test_a_hint_that_is_no_picture(comfy: ModuleType, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError) as refusal:
        added(net(5), torch.zeros(shape))
    assert is_one_paragraph(str(refusal.value))
    assert "hint" in str(refusal.value)


@pytest.mark.parametrize("shape", [(0, 8, 8), (1, 8, 0), (1, 1, 8, 8)], ids=str)
def test_a_mask_that_is_none(comfy: ModuleType, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="mask"):
        added(net(5), torch.zeros(1, 64, 64, 3), mask=torch.zeros(shape))


def test_no_net_on_the_wire(comfy: ModuleType) -> None:
    """What the core's loader of difference nets gives for a file that is no ControlNet."""
    with pytest.raises(UserError, match="no ControlNet on the wire"):
        added(None, torch.zeros(1, 64, 64, 3))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_hint_that_a_broken_preprocessor_made(comfy: ModuleType, value: float) -> None:
    picture = torch.zeros(1, 64, 64, 3)
    picture[0, 3, 5] = value
    with pytest.raises(UserError, match="the hint holds NaN or infinite"):
        added(net(5), picture)
    with pytest.raises(UserError, match="the mask holds NaN or infinite"):
        added(net(5), torch.zeros(1, 64, 64, 3), mask=picture[..., 0])


def test_a_net_that_needs_a_vae(comfy: ModuleType) -> None:
    with pytest.raises(UserError, match=r"control 1.* VAE") as refusal:
        patch(kinds.flux(), stack(Line(kinds.flux_net(5), hint(1))))
    assert is_one_paragraph(str(refusal.value))


def test_a_net_with_hooks_of_its_own(comfy: ModuleType) -> None:
    import comfy.hooks

    one = net(5)
    one.extra_hooks = comfy.hooks.HookGroup()
    with pytest.raises(UserError, match=r"control 1.*hooks.*Apply ControlNet"):
        patch(base(), stack(Line(one, hint(1))))


def test_several_gpus(comfy: ModuleType) -> None:
    """The host then samples on a copy of the model, where the nets are not."""
    patched = patch(base(), stack(Line(net(5), hint(1))))
    patched.set_additional_models("multigpu", [base(seed=77)])
    with pytest.raises(UserError, match=r"control 1.*one GPU"):
        sample(patched)


WORKS: dict[str, tuple[Make, Make]] = {
    "SD 1.5": (lambda: net(5), base),
    "SD 2": (lambda: net(5, SD2), lambda: base(SD2)),
    "a plain net on an inpainting model": (lambda: net(5), lambda: base(INPAINTING)),
    "a ControlLoRA": (lambda: control_lora(7), base),
    "a ControlLoRA of matrices": (flat_control_lora, base),
    "a T2I adapter": (lambda: kinds.t2i_adapter(5), base),
}


@pytest.mark.parametrize(("make_net", "make_model"), WORKS.values(), ids=WORKS.keys())
def test_what_the_core_takes_is_taken(comfy: ModuleType, make_net: Make, make_model: Make) -> None:
    model, line = make_model(), Line(make_net(), hint(1))
    family = SD2 if model.model.model_config.unet_config["context_dim"] == 1024 else SD15
    prompts = words(11, family), words(12, family)
    core = sample(model, *chained(*prompts, line))
    ours = sample(patch(model, stack(line)), *prompts)
    assert torch.equal(ours, core)
    assert not torch.equal(ours, sample(model, *prompts))


@pytest.mark.parametrize("silent", [{"strength": 0.0}, {"mask": torch.zeros(1, 8, 8)}], ids=str)
def test_a_control_that_is_switched_off_is_not_refused(
    comfy: ModuleType, silent: dict[str, Any]
) -> None:
    """A user switches it off by its strength, and may have the wrong net beside it."""
    model = base()
    off = Control(net(5, SDXL), hint(1), **silent)
    assert torch.equal(sample(patch(model, (off,))), sample(model))
