"""What cannot work is refused with a sentence, before anything is sampled where that can be known.

And what can work is not refused: the second half of the file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from controlstack.errors import UserError
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


def is_one_paragraph(sentence: str) -> bool:
    """What ComfyUI shows in its dialog: no torch jargon, no line breaks."""
    jargon = ("mat1", "size of tensor", "NoneType", "object has no attribute")
    return "\n" not in sentence and not any(word in sentence for word in jargon)


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


@pytest.mark.parametrize("shape", [(0, 64, 64, 3), (1, 0, 64, 3), (1, 64, 0, 3), (1, 64, 64, 4),
                                   (1, 64, 64), (1, 64, 64, 1)], ids=str)  # fmt: skip
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


def test_nan_of_the_model_is_not_blamed_on_the_net(
    comfy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = base()
    real = model.model.diffusion_model.forward
    monkeypatch.setattr(
        model.model.diffusion_model, "forward", lambda *a, **k: real(*a, **k) * float("nan")
    )
    sentence = refused_while_sampling(model, Line(net(5), hint(1)))
    assert "control 1" in sentence
    assert "the latent holds NaN" in sentence


def test_nan_of_the_text_is_not_blamed_on_the_net(comfy: ModuleType) -> None:
    broken = words(11)
    broken[0][0][0, 3, 5] = float("nan")
    with pytest.raises(UserError, match=r"control 1.*the text holds NaN"):
        sample(patch(base(), stack(Line(net(5), hint(1)))), broken, broken)


def test_a_net_that_needs_a_vae(comfy: ModuleType) -> None:
    with pytest.raises(UserError, match=r"control 1.* VAE") as refusal:
        patch(kinds.flux(), stack(Line(kinds.flux_net(5), hint(1))))
    assert is_one_paragraph(str(refusal.value))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which U-Nets have computed."""
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    made: list[str] = []
    real = UNetModel.forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(type(self).__name__)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(UNetModel, "forward", forward)
    return made


def test_a_kind_of_model_that_reads_no_residuals(comfy: ModuleType) -> None:
    """A T2I adapter's layers tell no family, so only the model's first call can show it."""
    wide = words(11, SDXL)[0][0]
    prompt = [[wide[:, :, :2048], {}]]
    model = kinds.aura_flow()
    assert sample(model, prompt, prompt).isfinite().all()
    with pytest.raises(UserError, match="AuraFlow") as refusal:
        sample(patch(model, stack(Line(kinds.t2i_adapter(5), hint(1)))), prompt, prompt)
    assert "control 1" in str(refusal.value)
    assert is_one_paragraph(str(refusal.value))
    assert sample(model, prompt, prompt).isfinite().all()


def refused_while_sampling(model: Any, *lines: Line, **options: Any) -> str:
    with pytest.raises(UserError) as refusal:
        sample(patch(model, stack(*lines)), **options)
    assert is_one_paragraph(str(refusal.value)), str(refusal.value)
    return str(refusal.value)


def test_residuals_that_do_not_fit_are_no_warning(
    comfy: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core logs and goes on without them."""
    one = net(5)
    real = one.control_model.forward

    def larger(*args: Any, **kwargs: Any) -> Any:
        control = real(*args, **kwargs)
        control["output"][4] = control["output"][4][..., :1]
        return control

    monkeypatch.setattr(one.control_model, "forward", larger)
    with caplog.at_level(logging.WARNING):
        sentence = refused_while_sampling(base(), Line(net(6), hint(2)), Line(one, hint(1)))
    assert "control 2" in sentence
    assert "output 4" in sentence
    assert "(2, 64, 4, 1)" in sentence
    assert "(2, 64, 4, 4)" in sentence


def test_residuals_that_do_not_fit_though_broadcasting_would(
    comfy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = net(5)
    real = one.control_model.forward

    def one_pixel(*args: Any, **kwargs: Any) -> Any:
        control = real(*args, **kwargs)
        control["middle"][0] = control["middle"][0].mean((2, 3), keepdim=True).repeat(1, 1, 2, 2)
        return control

    monkeypatch.setattr(one.control_model, "forward", one_pixel)
    sentence = refused_while_sampling(base(), Line(one, hint(1)))
    assert "control 1" in sentence
    assert "middle 0" in sentence


def test_more_residuals_than_places(
    comfy: ModuleType, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    one = net(5)
    real = one.control_model.forward

    def more(*args: Any, **kwargs: Any) -> Any:
        control = real(*args, **kwargs)
        control["output"] *= 2
        return control

    monkeypatch.setattr(one.control_model, "forward", more)
    sentence = refused_while_sampling(base(), Line(one, hint(1)))
    assert "24" in sentence
    assert "12" in sentence
    assert calls == []


def test_an_adapter_of_another_width(comfy: ModuleType) -> None:
    wide = Line(kinds.t2i_adapter(5, channels=48), hint(1))
    sentence = refused_while_sampling(base(), wide)
    assert "control 1" in sentence
    assert "48" in sentence
    assert "32" in sentence


@pytest.mark.parametrize("side", [7, 9, 12, 13, 16])
def test_a_latent_that_an_adapter_cannot_take(
    comfy: ModuleType, caplog: pytest.LogCaptureFixture, side: int
) -> None:
    """Adapters need sides of 64 px: the core scales the hint up, and logs where that did not do."""
    model, line = base(), Line(kinds.t2i_adapter(5), hint(1))
    with caplog.at_level(logging.WARNING):
        core = sample(model, *chained(words(11), words(12), line), side=side)
    if "could not be applied" in caplog.text:
        assert side != 16
        sentence = refused_while_sampling(model, line, side=side)
        assert "control 1" in sentence
        assert "latent" in sentence
    else:
        assert torch.equal(sample(patch(model, stack(line)), side=side), core)


def in_two_halves(model: Any) -> Any:
    """As packs do that sample large pictures tile by tile."""
    clone = model.clone()

    def halves(apply_model: Any, given: dict[str, Any]) -> torch.Tensor:
        parts = given["input"].chunk(2, dim=-1)
        made = [apply_model(part, given["timestep"], **given["c"]) for part in parts]
        return torch.cat(made, dim=-1)

    clone.set_model_unet_function_wrapper(halves)
    return clone


@pytest.mark.parametrize("tiled_first", [True, False])
def test_tiles_whose_place_nobody_tells(comfy: ModuleType, tiled_first: bool) -> None:
    """The core logs that its residuals do not fit; ours would fit, of the whole hint squeezed."""
    model, controls = base(), stack(Line(net(5), hint(1), 1.0, 0.5, 1.0))
    if tiled_first:
        tiled = patch(in_two_halves(model), controls)
    else:
        tiled = in_two_halves(patch(model, controls))
    with pytest.raises(UserError, match=r"control 1.*16 x 8 of a latent of 16 x 16") as refusal:
        sample(tiled, side=16)
    assert is_one_paragraph(str(refusal.value))


def test_tiles_where_no_control_acts(comfy: ModuleType) -> None:
    model, never = base(), Line(net(5), hint(1), 1.0, 0.7, 0.1)
    patched = in_two_halves(patch(model, stack(never)))
    assert torch.equal(sample(patched, side=16), sample(in_two_halves(model), side=16))


@pytest.mark.parametrize("side", [1, 2, 3, 5, 7, 9, 13])
def test_odd_latents_that_the_core_takes_are_taken(comfy: ModuleType, side: int) -> None:
    model, line = base(), Line(net(5), hint(1))
    core = sample(model, *chained(words(11), words(12), line), side=side)
    assert torch.equal(sample(patch(model, stack(line)), side=side), core)


@pytest.mark.parametrize("error", ["size mismatch", ""], ids=["with words", "without"])
def test_a_net_that_fails_inside_torch(
    comfy: ModuleType, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    one = net(5)

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError(error)

    monkeypatch.setattr(one.control_model, "forward", fail)
    sentence = refused_while_sampling(base(), Line(one, hint(1)))
    assert "control 1" in sentence
    assert "(2, 4, 8, 8)" in sentence
    assert error in sentence


def test_no_text_at_all_is_the_cores_business(comfy: ModuleType) -> None:
    """A prompt of another width breaks the model with and without control."""
    prompt = words(11, SDXL)
    with pytest.raises(RuntimeError):
        sample(base(), prompt, prompt)
    with pytest.raises((RuntimeError, UserError)):
        sample(patch(base(), stack(Line(net(5), hint(1)))), prompt, prompt)


# What must not be refused ------------------------------------------------------------------------


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
