"""One evaluation: which entries share a call, and how their results are averaged."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.headless.sampling.batching import FEATHER, calc_cond_batch
from controlstack.headless.sampling.conditioning import Cond

X = torch.zeros(2, 4, 24, 32)
SIGMA = torch.tensor([3.0, 3.0])


class Recorder:
    """Stands for the base model: answers each row with its text's first number, keeps the calls."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def apply_model(self, x: Tensor, t: Tensor, **kwargs: Any) -> Tensor:
        self.calls.append({"x": x, "t": t, **kwargs})
        return kwargs["c_crossattn"][:, 0, 0].view(-1, 1, 1, 1).expand(x.shape).clone()


def cond(value: float, tokens: int = 77, **settings: Any) -> Cond:
    text = torch.full((1, tokens, 16), value)
    return {"model_conds": {"c_crossattn": text}, "uuid": value, **settings}


def run(*sides: list[Cond] | None) -> tuple[list[Tensor], list[dict[str, Any]]]:
    model = Recorder()
    options = {"transformer_options": {"mine": 1}}
    return calc_cond_batch(model, sides, X, SIGMA, options), model.calls


def test_both_sides_share_one_call() -> None:
    (positive, negative), calls = run([cond(1.0)], [cond(2.0)])
    assert bool((positive == 1).all())
    assert bool((negative == 2).all())
    (call,) = calls
    options = call["transformer_options"]
    assert call["x"].shape == (4, 4, 24, 32)
    assert options["cond_or_uncond"] == [1, 0]
    assert options["uuids"] == [2.0, 1.0]
    assert options["sigmas"] is SIGMA
    assert options["mine"] == 1
    assert call["t"].tolist() == [3.0] * 4


def test_a_side_left_out_is_not_evaluated() -> None:
    (_, negative), calls = run([cond(1.0)], None)
    assert calls[0]["x"].shape[0] == 2
    assert bool((negative == 0).all())


def test_entries_of_a_side_are_averaged_by_strength() -> None:
    (positive, _), _ = run([cond(1.0, strength=1.0), cond(4.0, strength=0.5)], None)
    torch.testing.assert_close(positive, torch.full_like(X, (1.0 + 2.0) / 1.5))


def test_masks_divide_the_picture() -> None:
    left = torch.zeros(1, 24, 32)
    left[..., :16] = 1
    (positive, _), _ = run([cond(1.0, mask=left), cond(4.0, mask=1 - left)], None)
    torch.testing.assert_close(positive[..., :16], torch.ones(2, 4, 24, 16))
    torch.testing.assert_close(positive[..., 16:], torch.full((2, 4, 24, 16), 4.0))


def test_where_no_mask_reaches_there_is_nothing() -> None:
    mask = torch.zeros(1, 24, 32)
    mask[..., :16] = 0.5
    (positive, _), _ = run([cond(3.0, mask=mask, mask_strength=0.5)], None)
    torch.testing.assert_close(positive[..., :16], torch.full((2, 4, 24, 16), 3.0))
    assert bool((positive[..., 16:] == 0).all())


def test_an_area_is_evaluated_alone_and_fades_inside_the_picture() -> None:
    top, height = 4, 20  # reaches the lower edge, not the upper one
    (positive, _), calls = run([cond(0.0), cond(1.0, area=(height, 32, top, 0))], None)
    assert sorted(tuple(call["x"].shape[2:]) for call in calls) == [(20, 32), (24, 32)]
    column = positive[0, 0, :, 16]
    assert bool((column[:top] == 0).all())
    fade = min(FEATHER, height // 4)
    weights = torch.tensor([(i + 1) / fade for i in range(fade)] + [1.0] * (height - fade))
    torch.testing.assert_close(column[top:], weights / (weights + 1))
    assert bool((positive[0, 0, 23] == 0.5).all())  # full width: no fading to the sides


def test_entries_out_of_their_range_are_left_out() -> None:
    active = cond(1.0, timestep_start=3.0, timestep_end=3.0)  # inclusive at both ends
    early = cond(5.0, timestep_start=10.0, timestep_end=3.1)
    late = cond(7.0, timestep_start=2.9, timestep_end=0.0)
    (positive, negative), calls = run([active, early, late], [early])
    assert bool((positive == 1).all())
    assert bool((negative == 0).all())
    assert len(calls) == 1


@pytest.mark.parametrize(("tokens", "calls_made"), [(154, 1), (231, 1), (308, 1), (385, 2)])
def test_texts_of_unlike_length_share_a_call_up_to_four_to_one(
    tokens: int, calls_made: int
) -> None:
    _, calls = run([cond(1.0, tokens)], [cond(2.0, 77)])
    assert len(calls) == calls_made
    if calls_made == 1:
        assert calls[0]["c_crossattn"].shape == (4, tokens, 16)


def test_control_is_asked_once_a_call_and_keeps_entries_apart() -> None:
    asked: list[int] = []

    class Net:
        def get_control(
            self, x: Tensor, t: Tensor, conds: dict[str, Any], count: int, options: dict[str, Any]
        ) -> dict[str, Any]:
            assert conds["transformer_options"] is options
            asked.append(count)
            return {"output": [x]}

    shared, other = Net(), Net()
    _, calls = run(
        [cond(1.0, control=shared), cond(2.0, control=other)], [cond(3.0, control=shared)]
    )
    assert asked == [2, 1]
    assert [call["transformer_options"]["cond_or_uncond"] for call in calls] == [[1, 0], [0]]
    assert all("control" in call for call in calls)
    _, calls = run([cond(1.0, control=shared)], [cond(3.0)])
    assert ["control" in call for call in calls] == [True, False]
