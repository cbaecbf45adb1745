"""All factors multiply with all others, in any order; each has a value that changes no bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from controlstack.model_patch.blocks import Blocks
from controlstack.model_patch.call import Call
from controlstack.model_patch.curve import Curve
from controlstack.model_patch.factors import (
    Factor,
    Sides,
    Span,
    StepSpan,
    Strength,
    weighed,
)
from controlstack.model_patch.frames import FrameStrengths
from controlstack.model_patch.mask import Mask
from controlstack.model_patch.residuals import Residuals
from tests.model_patch.factor_cases import factors
from tests.model_patch.recording import added, numbered

SIGMAS = (10.0, 7.5, 5.0, 2.5, 0.0)
HALVES = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.25, 0.5, 0.75, 1.0]]).view(2, 1, 4)
ONES = torch.ones(1, 8, 8)

MASKS = st.builds(
    Mask,
    st.sampled_from([HALVES, HALVES[:1], ONES]),
    span=st.sampled_from([None, Span(0.25, 0.6)]),
    blocks=st.sampled_from([(), ("middle",), ("first half",)]),
)
ANY = st.one_of(factors(), MASKS)


def result(sigma: float, *also: Factor, **given: Any) -> dict[str, list[Tensor]]:
    """What a control adds to two pictures on both sides."""
    stack = (numbered(1.0, 3.0, also=also, **given),)
    options = {"cond_or_uncond": [0, 1], "sample_sigmas": torch.tensor(SIGMAS)}
    return added(stack, 4, sigma=sigma, **options)


def flat(made: dict[str, list[Tensor]]) -> Tensor:
    """All of it; nothing where the net was not run."""
    every = [tensor.flatten() for group in ("output", "middle") for tensor in made.get(group, ())]
    return torch.cat(every) if every else torch.zeros(0)


@settings(deadline=None)
@given(st.sampled_from(SIGMAS[:-1]), ANY, ANY)
def test_any_two_factors_commute(sigma: float, first: Factor, second: Factor) -> None:
    one, other = flat(result(sigma, first, second)), flat(result(sigma, second, first))
    assert one.shape == other.shape
    assert torch.allclose(one, other, rtol=1e-5, atol=1e-30)


@settings(deadline=None)
@given(st.sampled_from(SIGMAS[:-1]), ANY, ANY)
def test_two_factors_are_the_product_of_each(sigma: float, first: Factor, second: Factor) -> None:
    made = [flat(result(sigma, *also)) for also in ((), (first,), (second,), (first, second))]
    plain, one, other, both = (part if len(part) else torch.zeros_like(made[0]) for part in made)
    assert torch.allclose(one * other / plain, both, rtol=1e-5, atol=1e-30)


def test_a_picture_that_is_left_out_moves_no_hint() -> None:
    """Two hints for the two rows that stay, which are one picture on both sides."""
    first_alone = flat(result(10.0, FrameStrengths(((0.0, 1.0), (1.0, 0.0)))))
    assert set(first_alone.tolist()) == {0.0, 1.0}


NEUTRAL: dict[str, Factor] = {
    "strength": Strength(1.0),
    "percents": Span(0.0, 1.0),
    "steps": StepSpan(0, len(SIGMAS) - 1),
    "sides": Sides(1.0, 1.0),
    "blocks": Blocks((("all", 1.0), ("middle", 1.0))),
    "frames": FrameStrengths(((0.0, 1.0), (1.0, 1.0))),
    "a full mask": Mask(ONES),
    "a full mask in part": Mask(ONES, span=Span(0.2, 0.7), blocks=("first half",)),
    "a mask of nothing, elsewhere": Mask(torch.zeros(1, 8, 8), span=Span(1.0, 1.0)),
    **{
        f"curve over {over}": Curve(((0.0, 1.0), (1.0, 1.0)), "cosine", over)  # type: ignore[arg-type]
        for over in ("percent", "steps", "sigma")
    },
}


@pytest.mark.parametrize("sigma", SIGMAS[:-1])
@pytest.mark.parametrize("name", NEUTRAL)
def test_a_neutral_factor_changes_no_bit(name: str, sigma: float) -> None:
    made = result(sigma, NEUTRAL[name], strength=0.3)
    assert torch.equal(flat(made), flat(result(sigma, strength=0.3)))
    assert len(flat(made))


@pytest.mark.parametrize("sigma", SIGMAS[:-1])
def test_constants_are_strengths(sigma: float) -> None:
    half = flat(result(sigma, strength=0.5))
    for factor in (
        Strength(0.5),
        Curve(((0.0, 0.5),)),
        Sides(0.5, 0.5),
        Blocks((("all", 0.5),)),
        FrameStrengths(((0.0, 0.5),)),
        Mask(ONES / 2),
    ):
        assert torch.equal(flat(result(sigma, factor)), half), factor


def test_one_tensor_for_many_blocks_is_multiplied_and_summed_once() -> None:
    """As nets of Flux and Qwen-Image give it; a copy a block would take gigabytes."""
    shared, other = torch.ones(1, 16, 4), torch.full((1, 16, 4), 2.0)
    given = Residuals(input=(shared,) * 20 + (other,) * 20)
    call = Call.of(torch.zeros(1, 4, 8, 8), torch.tensor([5.0]), {}, {})
    mask = torch.zeros(1, 8, 8)
    mask[..., :4] = 1.0
    factors = (Mask(mask), Blocks((("input 0-9", 0.5),)))

    part = weighed(given, call, factors)
    total = part.placed(torch.tensor([1]), 2) + part.placed(torch.tensor([0]), 2)

    assert len({id(tensor) for tensor in part.input}) == 3
    assert len({id(tensor) for tensor in total.input}) == 3
    assert [float(tensor.sum()) for tensor in part.input[::10]] == [16.0, 32.0, 64.0, 64.0]
