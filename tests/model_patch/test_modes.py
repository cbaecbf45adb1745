"""Modes and rules against the numbers that others have published, and diffusers itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.headless.models.control_net import ControlNet
from controlstack.model_patch.blocks import LogSpace, RelativeResolution, Resolution, SoftWeights
from controlstack.model_patch.control import MODES, Control
from controlstack.model_patch.factors import Factor, Sides
from controlstack.model_patch.residuals import Residuals
from controlstack.model_patch.run import Session
from tests.model_patch.recording import Numbers, added, hints
from tests.model_patch.stacks import UNET
from tests.tiny import CONTEXT, tiny_controlnet, tiny_model

LEVELS = (1, 1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8)
"""What divides the latent's height at each of the twelve skips of SD 1.5; the middle has 8."""

SOFT = (
    *(0.09941396206337118, 0.12050177219802567, 0.14606275417942507, 0.17704576264172736),
    *(0.214600924414215, 0.26012233262329093, 0.3152997971191405, 0.3821815722656249),
    *(0.4632503906249999, 0.561515625, 0.6806249999999999, 0.825, 1.0),
)
"""sd-webui-controlnet's soft injection, 0.825 ** (12 - i) for i of 0..12 (`scripts/hook.py`), whose
last is the middle's; written out as Advanced-ControlNet has them (`nodes_weight.py`)."""

ONES, ZEROS = (1.0,) * 13, (0.0,) * 13

LAYOUT = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 4.0, 4.0, 4.0, 8.0, 8.0, 8.0, 8.0)
"""64 / h_i at 512 px (arXiv 2302.05543, 3.4)."""

PUBLISHED = {  # sd-webui: soft injection in all modes but balanced, cfg injection in control
    "balanced": (ONES, ONES),
    "prompt is more important": (SOFT, SOFT),
    "control is more important": (SOFT, ZEROS),
    "CFG resolution weighting": (LAYOUT, ZEROS),
    "cfg_rw": (LAYOUT, ZEROS),
}
"""For each mode what the thirteen residuals of an SD 1.5 net are multiplied by at 512 px: for the
prompt, and for the negative prompt."""


class Ones(Numbers):
    """A net of SD 1.5's thirteen residuals, or a T2I adapter's four, all ones."""

    adapter = False

    def copy(self) -> Ones:
        made = Ones(self.runs)
        made.adapter = self.adapter
        return made

    def get_control(self, x: Tensor, t: Tensor, cond: Any, repeats: int, options: Any) -> Any:
        height = x.shape[-2]
        maps: list[Any] = [torch.ones(len(x), 1, height // by, 1) * self.strength for by in LEVELS]
        if self.adapter:  # for the last layer of each level, from the deepest: the U-Net pops
            kept = [one if i % 3 == 2 else None for i, one in enumerate(maps)]
            return {"input": kept[::-1], "middle": [], "output": []}
        return {"input": [], "middle": [maps[-1]], "output": maps}


def weights(*factors: Factor, mode: str = "balanced", latent: int = 64, **given: Any) -> Any:
    """What each residual from the first to the middle is, for the prompt and the negative one."""
    net: Any = Ones()
    net.adapter = given.pop("adapter", False)
    control = Control(net, hints(1.0), mode=mode, also=factors)
    x = torch.zeros(2, 4, latent, latent)
    made = added((control,), 2, latent=x, cond_or_uncond=[0, 1])
    kept = [
        r for r in (*reversed(made["input"]), *made["output"], *made["middle"]) if r is not None
    ]
    for residual in kept:
        assert torch.equal(residual, residual[:, :, :1, :1].expand_as(residual))
    return tuple(tuple(float(r[side, 0, 0, 0]) for r in kept) for side in (0, 1))


def test_every_mode_has_its_published_numbers() -> None:
    assert PUBLISHED.keys() == MODES.keys()


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_is_as_it_is_published(mode: str) -> None:
    for got, published in zip(weights(mode=mode), PUBLISHED[mode], strict=True):
        assert got == pytest.approx(published, rel=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_is_the_product_of_its_factors(mode: str) -> None:
    assert weights(*MODES[mode]) == weights(mode=mode)


@pytest.mark.parametrize(("latent", "first"), [(64, 1.0), (128, 0.5), (16, 4.0)])
def test_the_paper_s_weights_are_for_512_px_and_the_relative_for_all(
    latent: int, first: float
) -> None:
    paper = weights(mode="cfg_rw", latent=latent)
    relative = weights(mode="CFG resolution weighting", latent=latent)
    assert relative == (LAYOUT, ZEROS)
    assert paper == (tuple(first * weight for weight in LAYOUT), ZEROS)
    assert weights(Resolution(), latent=latent) == (paper[0], paper[0])
    assert weights(RelativeResolution(), latent=latent) == (LAYOUT, LAYOUT)


def test_soft_weights_of_a_t2i_adapter_are_the_table_of_sd_webui() -> None:
    table = (0.25, 0.62, 0.825, 1.0)  # `scripts/hook.py`, from the finest feature map
    for got in weights(SoftWeights(), adapter=True):
        assert got == pytest.approx(table, rel=1e-6)


def test_a_t2i_adapter_s_first_residual_is_the_last_of_its_list() -> None:
    places = Residuals(input=(torch.ones(1, 1, 2, 2), None, torch.ones(1, 1, 8, 8))).places()
    assert [(place.height, place.block, place.depth) for place in places] == [(8, 2, 0), (2, 0, 1)]
    tokens = Residuals(input=(torch.ones(1, 4, 2), torch.ones(1, 4, 2))).places()
    assert [place.block for place in tokens] == [0, 1]


def test_guess_mode_is_that_of_diffusers() -> None:
    network = tiny_controlnet(UNET)
    generator = torch.Generator().manual_seed(7)
    x, context, hint = (
        torch.randn(2, 4, 8, 8, generator=generator),
        torch.randn(2, 77, CONTEXT, generator=generator),
        torch.rand(1, 3, 64, 64, generator=generator),
    )
    base: Any = tiny_model(UNET).model
    sigma = torch.full((2,), 3.0)
    got: dict[str, Any] = {}
    strength = 0.75
    also = (Sides(1.0, 0.0), LogSpace())
    control = Control(ControlNet(network), hint, strength=strength, also=also)
    options = {"cond_or_uncond": [0, 1], "sample_sigmas": torch.tensor([3.0, 0.0])}
    with Session((control,), set()) as session:
        session.apply(
            None, (x, sigma, {"c_crossattn": context}, options), base, lambda c, _: got.update(c)
        )
    sampling = base.model_sampling
    down, middle = network(
        sampling.calculate_input(sigma[:1], x[:1]),
        sampling.timestep(sigma[:1]),
        context[:1],
        hint,
        conditioning_scale=strength,
        guess_mode=True,
        return_dict=False,
    )
    # Its pipeline puts zeros in the negative prompt's place.
    for ours, theirs in zip([*got["output"], *got["middle"]], [*down, middle], strict=True):
        assert theirs.abs().max() > 1e-3
        assert torch.allclose(ours[:1], theirs, rtol=1e-5, atol=1e-7)
        assert not ours[1:].any()
