"""Guidance between three conditionings: where two of them are one, it is plain guidance.

`tests/comfyui/test_two_hosts.py` has ComfyUI's guiders beside these.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.sampling import wrappers
from controlstack.headless.sampling.conditioning import convert, prepare
from controlstack.headless.sampling.guider import ALWAYS_BOTH
from controlstack.headless.sampling.model import Model
from tests.tiny import tiny_conditioning, tiny_model

FIRST, SECOND, NEGATIVE = (tiny_conditioning(seed) for seed in (1, 2, 3))
LATENT = {"samples": torch.zeros(1, 4, 8, 8)}
ONE = {"cfg_conds": 1.0, "cfg_cond2_negative": 1.0}


def run(node_id: str, **inputs: Any) -> Any:
    return CORE_NODES[node_id]().run(**inputs)[0]


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


def made(guider: Any) -> Tensor:
    samples: Tensor = run(
        *("SamplerCustomAdvanced",),
        noise=run("RandomNoise", noise_seed=3),
        guider=guider,
        sampler=run("KSamplerSelect", sampler_name="euler"),
        sigmas=torch.tensor([14.0, 5.0, 1.0, 0.0]),
        latent_image=LATENT,
    )["samples"]
    return samples


def plain(model: Model, positive: Any, negative: Any, cfg: float) -> Tensor:
    return made(run("CFGGuider", model=model, positive=positive, negative=negative, cfg=cfg))


def dual(model: Model, style: str = "regular", **given: Any) -> Any:
    sides = {"cond1": FIRST, "cond2": SECOND, "negative": NEGATIVE, **ONE, **given}
    return run("DualCFGGuider", model=model, style=style, **sides)


def perpendicular(model: Model, **given: Any) -> Any:
    sides = {"positive": FIRST, "negative": NEGATIVE, "empty_conditioning": SECOND}
    return run("PerpNegGuider", model=model, **{**sides, "cfg": 4.0, "neg_scale": 1.0, **given})


def test_where_two_are_one_it_is_plain_guidance(model: Model) -> None:
    lower = {"cfg_conds": 9.0, "cfg_cond2_negative": 4.0}
    expected = plain(model, SECOND, NEGATIVE, 4.0)
    for style in ("regular", "nested"):
        same = made(dual(model, style, cond1=SECOND, **lower))
        torch.testing.assert_close(same, expected, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(made(dual(model, style, **lower)), expected, atol=1e-2)
    upper = made(dual(model, cfg_conds=4.0, cond2=NEGATIVE))
    torch.testing.assert_close(upper, plain(model, FIRST, NEGATIVE, 4.0), atol=1e-4, rtol=1e-4)
    # Nested, one scale multiplies the other: what is 2 x 2 of the first's way with one negative.
    scales = {"cfg_conds": 2.0, "cfg_cond2_negative": 2.0}
    nested = made(dual(model, "nested", cond2=NEGATIVE, **scales))
    torch.testing.assert_close(nested, plain(model, FIRST, NEGATIVE, 4.0), atol=1e-4, rtol=1e-4)


def test_a_negative_along_the_prompt_is_left_out(model: Model) -> None:
    expected = plain(model, FIRST, SECOND, 4.0)
    for given in ({"neg_scale": 0.0}, {"negative": FIRST}, {"negative": SECOND}):
        same = made(perpendicular(model, **given))
        torch.testing.assert_close(same, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(made(perpendicular(model)), expected, atol=1e-2)


def test_what_cancels_out_is_not_evaluated(model: Model) -> None:
    assert dual(model)().count == 1
    assert dual(model, cfg_conds=2.0)().count == 2
    assert dual(model, "nested")().count == 3
    assert perpendicular(model, cfg=1.0, neg_scale=0.0)().count == 1
    assert perpendicular(model, neg_scale=0.0)().count == 2
    both = model.clone()
    both.model_options[ALWAYS_BOTH] = True
    assert dual(both)().count == perpendicular(both, cfg=1.0, neg_scale=0.0)().count == 3
    torch.testing.assert_close(made(dual(both)), made(dual(model)), atol=1e-5, rtol=1e-5)


def test_sides_are_counted_in_comfyui_s_order(model: Model) -> None:
    seen: list[tuple[list[int], Tensor]] = []

    def look(executor: Any, x: Tensor, t: Tensor, concat: Any, text: Tensor, *more: Any) -> Any:
        seen.append((more[1]["cond_or_uncond"], text))
        return executor(x, t, concat, text, *more)

    watched = model.clone()
    watched.add_wrapper_with_key(wrappers.APPLY_MODEL, "look", look)
    scales = {"cfg_conds": 3.0, "cfg_cond2_negative": 2.0}
    for guider, sides in (
        (dual(watched, **scales), (NEGATIVE, SECOND, FIRST)),
        (perpendicular(watched), (FIRST, NEGATIVE, SECOND)),
    ):
        made(guider)
        order, texts = seen[-1]
        assert sorted(order) == [0, 1, 2]
        for side, text in zip(order, texts, strict=True):
            assert torch.equal(text, sides[side][0][0][0])


def test_every_side_has_areas_and_shared_control(model: Model) -> None:
    control = object()
    positive = [
        [FIRST[0][0], {"area": (4, 4, 0, 0)}],
        [FIRST[0][0], {"control": control, "control_apply_to_uncond": True}],
    ]
    noise = torch.zeros(1, 4, 8, 8)
    sides = prepare(
        model.model, [convert(side) for side in (positive, SECOND, NEGATIVE)], noise, noise, None
    )
    for side, own in zip(sides[1:], (SECOND, NEGATIVE), strict=True):
        assert [cond.get("area") for cond in side] == [None, (4, 4, 0, 0)]
        assert side[0]["control"] is control
        for cond in side:
            assert torch.equal(cond["model_conds"]["c_crossattn"], own[0][0])


def test_an_operation_in_guidance(model: Model) -> None:
    def halved(latent: Tensor, **_: Any) -> Tensor:
        return latent * 0.5

    halves = run("LatentApplyOperationCFG", model=model, operation=halved)
    expected = plain(model, FIRST, NEGATIVE, 3.0)
    made = plain(halves, FIRST, NEGATIVE, 6.0)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)
    assert "sampler_pre_cfg_function" not in model.model_options
