"""What only the run itself shows: a sentence ends it, and nothing is silently not applied."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.model_patch.patch import patch

from . import small_kinds as kinds
from .small import SDXL, Line, base, chained, hint, is_one_paragraph, net, sample, stack, words


def refused_while_sampling(model: Any, *lines: Line, **options: Any) -> str:
    with pytest.raises(UserError) as refusal:
        sample(patch(model, stack(*lines)), **options)
    assert is_one_paragraph(str(refusal.value)), str(refusal.value)
    return str(refusal.value)


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
    assert len(calls) == 1, "said at the first block of the first call"


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
