"""CONDITIONING made ready: areas, masks, percentages, counterparts, control on both sides."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.headless.sampling.conditioning import Cond, convert, prepare
from tests.tiny import tiny_conditioning, tiny_model, tiny_unet

MODEL = tiny_model().model
NOISE = torch.zeros(1, 4, 16, 24)


def entry(seed: int = 0, **settings: Any) -> list[Any]:
    return [tiny_conditioning(seed)[0][0], settings]


def ready(
    positive: list[list[Any]], negative: list[list[Any]] | None = None
) -> tuple[list[Cond], list[Cond]]:
    conds = [convert(positive), convert(negative or [entry(9)])]
    first, second = prepare(MODEL, conds, NOISE, NOISE, None)
    return first, second


def test_percentages_become_pixels() -> None:
    positive, _ = ready([entry(area=("percentage", 0.5, 0.25, 0.5, 0.75))])
    assert positive[0]["area"] == (8, 6, 8, 18)


def test_an_area_ends_at_the_edge() -> None:
    positive, _ = ready([entry(area=(100, 100, 4, 20))])
    assert positive[0]["area"] == (12, 4, 4, 20)


def test_an_area_outside_the_picture_is_an_error() -> None:
    with pytest.raises(UserError, match=r"x 200, y 0 pixels.*192 x 128"):
        ready([entry(area=(8, 8, 0, 25))])


@pytest.mark.parametrize("wrong", [float("inf"), float("nan")])
def test_an_area_without_an_end_is_an_error(wrong: float) -> None:
    """A share through a link may be any number."""
    with pytest.raises(UserError, match=r"height, width, y and x are 1, (inf|nan), 0, 0 of the pi"):
        ready([entry(area=("percentage", 1.0, wrong, 0.0, 0.0))])


def test_a_mask_is_brought_to_the_latents_size() -> None:
    mask = torch.zeros(128, 192)
    mask[:, 96:] = 1
    positive, _ = ready([entry(mask=mask)])
    assert positive[0]["mask"].shape == (1, 16, 24)
    assert "area" not in positive[0]
    assert positive[0]["mask"][0, 0].tolist() == [0.0] * 12 + [1.0] * 12


def test_the_area_follows_the_mask() -> None:
    mask = torch.zeros(1, 16, 24)
    mask[:, 3:13, 5] = 0.5
    positive, _ = ready([entry(mask=mask, set_area_to_bounds=True)])
    assert positive[0]["area"] == (10, 8, 3, 5)  # at least 8 wide


def test_an_empty_mask_has_the_smallest_area() -> None:
    positive, _ = ready([entry(mask=torch.zeros(1, 16, 24), set_area_to_bounds=True)])
    assert positive[0]["area"] == (8, 8, 0, 0)


def test_percents_become_sigmas() -> None:
    positive, negative = ready([entry(start_percent=0.2, end_percent=1.0)])
    assert positive[0]["timestep_start"] == MODEL.model_sampling.percent_to_sigma(0.2)
    assert positive[0]["timestep_end"] == 0.0
    assert "timestep_start" not in negative[0]


def test_an_area_gets_a_counterpart_with_the_other_sides_text() -> None:
    positive, negative = ready([entry(1), entry(2, area=(8, 8, 4, 4), strength=0.5)])
    assert len(positive) == 2
    assert [cond.get("area") for cond in negative] == [None, (8, 8, 4, 4)]
    assert negative[1]["strength"] == 0.5
    text = negative[1]["model_conds"]["c_crossattn"]
    assert torch.equal(text, negative[0]["model_conds"]["c_crossattn"])


def test_the_counterpart_takes_the_smallest_area_around_it() -> None:
    _, negative = ready(
        [entry(1, area=(4, 4, 6, 6))],
        [entry(2), entry(3, area=(12, 12, 2, 2)), entry(4, area=(8, 8, 4, 4))],
    )
    own = negative[-1]
    assert own["area"] == (4, 4, 6, 6)
    assert torch.equal(own["model_conds"]["c_crossattn"], entry(4)[0])


def test_no_counterpart_where_there_is_one() -> None:
    area = (8, 8, 4, 4)
    positive, negative = ready([entry(1, area=area)], [entry(2, area=area)])
    assert (len(positive), len(negative)) == (1, 1)


def test_control_reaches_the_negative_side_when_it_asks_to() -> None:
    control = object()
    _, negative = ready([entry(control=control, control_apply_to_uncond=True)])
    assert negative[0]["control"] is control
    _, negative = ready([entry(control=control, control_apply_to_uncond=False)])
    assert "control" not in negative[0]


def test_a_negative_side_keeps_its_own_control() -> None:
    own = object()
    shared = {"control": object(), "control_apply_to_uncond": True}
    _, negative = ready([entry(**shared)], [entry(control=own)])
    assert [cond["control"] for cond in negative] == [own]


def test_nothing_is_written_into_what_came_in() -> None:
    positive = [
        entry(area=("percentage", 0.5, 0.5, 0, 0), mask=torch.ones(8, 8), start_percent=0.1)
    ]
    before = [dict(settings) for _, settings in positive]
    ready(positive)
    assert [settings for _, settings in positive] == before


def test_a_text_of_another_family_is_an_error_with_both_widths() -> None:
    with pytest.raises(UserError, match=r"1024 wide.*takes 16"):
        ready([[torch.zeros(1, 77, 1024), {}]])


def test_inpainting_unets_get_mask_and_picture() -> None:
    model = tiny_model(tiny_unet(in_channels=9)).model
    latent = torch.randn(1, 4, 16, 24)
    mask = torch.full((1, 1, 16, 24), 0.7)
    conds = convert([entry()])
    (masked,), _ = prepare(model, [conds, conds], NOISE, latent, mask)
    expected = torch.cat([torch.ones(1, 1, 16, 24), latent], dim=1)
    assert torch.equal(masked["model_conds"]["c_concat"], expected)
    (plain,), _ = prepare(model, [conds, conds], NOISE, latent, None)
    grey = plain["model_conds"]["c_concat"]
    assert grey.shape == (1, 5, 16, 24)
    assert bool((grey[:, 0] == 1).all())


def test_other_input_channels_are_an_error() -> None:
    model = tiny_model(tiny_unet(in_channels=8)).model
    with pytest.raises(UserError, match="takes 8 channels"):
        prepare(model, [convert([entry()])] * 2, NOISE, NOISE, None)
