"""Control Speed in the real ComfyUI: the nets run in few steps, and the picture hardly changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch

from controlstack.inspection.report import report_of
from controlstack.model_patch.patch import patch
from controlstack.model_patch.record import recordings
from controlstack.nodes.speed_node import ControlStackSpeed
from controlstack.nodes.stack import ControlStackApply, ControlStackApplyConditioning
from tests.comfyui.models import Shelf
from tests.comfyui.parity import Case, Line, case_of, noise, ours, picture, stack
from tests.comfyui.small import Line as Small
from tests.comfyui.small import base, sample
from tests.comfyui.small import hint as small_hint
from tests.comfyui.small import net as small_net
from tests.comfyui.small import stack as stack_of
from tests.comfyui.small_kinds import t2i_adapter
from tests.comfyui.test_counted import counted_net, fresh
from tests.comfyui.test_step_caches import cached, counted
from tests.comfyui.test_windows import windowed

__all__ = ["fresh"]
STEPS = 20
ROWS = {"exact": [2] * STEPS, "near exact": [2, 1, 2, 1, 2, 1], "fast": [2, 1, 2, 1]}
"""Of both sides of the guidance, which are one batch, and of the prompt's alone."""

CLOSE = 0.5
"""How far from the exact result, as a part of what the control changes. Nets of random weights
change wildly from step to step; what trained ones lose is in docs/near-exact.md."""


def hurried(case: Case, lines: list[Line], speed: str) -> Case:
    """The case under our stack at this speed."""
    (made,) = ControlStackSpeed().hurry(stack(lines), speed)
    (model,) = ControlStackApply().apply(case.model, made)
    return replace(case, model=model)


def hurried_on_prompts(case: Case, lines: list[Line], speed: str) -> Case:
    """The same on the conditioning."""
    (made,) = ControlStackSpeed().hurry(stack(lines), speed)
    node = ControlStackApplyConditioning()
    positive, negative = node.apply(case.positive, case.negative, made)
    return replace(case, positive=positive, negative=negative)


@pytest.mark.parametrize("way", [hurried, hurried_on_prompts])
@pytest.mark.parametrize("speed", ROWS)
def test_nets_run_as_seldom_as_is_said(
    shelf: Shelf, fresh: Callable[[str], Any], speed: str, way: Callable[..., Case]
) -> None:
    net = fresh("sd15 ldm")
    ran = counted_net(net)
    case, lines = case_of(shelf, "sd15", steps=STEPS), [Line(net, picture(1), 0.8)]
    exact, plain = ours(case, lines).result, case.result
    mine = way(case, lines, speed)
    ran.clear()
    result = mine.result
    assert ran == ROWS[speed]
    assert torch.equal(result, exact) == (speed == "exact")
    away, effect = (result - exact).norm(), (plain - exact).norm()
    assert away < CLOSE * effect, f"{away:g} of {effect:g}"
    ran.clear()
    assert torch.equal(mine.again, result), "a run left something to the next"
    assert ran == ROWS[speed]


def test_each_window_has_a_forecast_of_its_own(shelf: Shelf, fresh: Callable[[str], Any]) -> None:
    net = fresh("sd15 ldm")
    ran = counted_net(net)
    # ComfyUI 0.3.64 samples windows only where there are as many sigmas as frames.
    case = case_of(shelf, "sd15", latent={"samples": noise(5, 12, 4, 6, 6)}, steps=11)
    case = replace(case, model=windowed(case.model))
    lines = [Line(net, picture(9, batch=12))]
    exact, plain = ours(case, lines).result, case.result
    ran.clear()
    result = hurried(case, lines, "near exact").result
    assert ran == [rows * 4 for rows in ROWS["near exact"] for _ in range(3)], "three windows"
    assert (result - exact).norm() < CLOSE * (plain - exact).norm()


@pytest.mark.parametrize("threshold", [0.2, 0.5, 5.0])
@pytest.mark.parametrize("speed", ["near exact", "fast"])
def test_a_refresh_that_a_cache_skips_is_made_in_the_next_step(
    shelf: Shelf, fresh: Callable[[str], Any], speed: str, threshold: float
) -> None:
    """EasyCache answers some steps in the model's place. No net runs in those, and one that was
    due in several of them runs once, in the first step that comes to the model again."""
    net = fresh("sd15 ldm")
    ran = counted_net(net)
    plain = case_of(shelf, "sd15", steps=STEPS)
    lines = [Line(net, picture(1), 0.8)]

    def steps(case: Case) -> list[tuple[bool, list[int]]]:
        """Of each step: whether the model ran, and for how many rows the net did."""
        asked, came = list[tuple[int, int]](), counted(case.model)

        def asking(executor: Any, *args: Any, **kwargs: Any) -> Any:
            asked.append((len(came), len(ran)))
            return executor(*args, **kwargs)

        model = hurried(case, lines, speed).model
        model.add_wrapper_with_key("apply_model", "asking", asking)
        ran.clear()
        assert replace(case, model=model).result.isfinite().all()
        ends = [*asked[1:], (len(came), len(ran))]
        return [(a[0] < b[0], ran[a[1] : b[1]]) for a, b in zip(asked, ends, strict=True)]

    due = [rows[0] if rows else 0 for _, rows in steps(plain)]
    skipping = steps(replace(plain, model=cached(plain.model, "EasyCacheNode", threshold)))
    assert 0 < sum(came for came, _ in skipping) < STEPS, "the cache skipped nothing, or all"
    waiting = 0
    for (came, rows), now in zip(skipping, due, strict=True):
        waiting = max(waiting, now)
        assert rows == ([waiting] if came and waiting else [])
        waiting = 0 if came else waiting


@pytest.mark.parametrize("node", [None, "EasyCacheNode", "LazyCacheNode"])
@pytest.mark.parametrize("speed", ROWS)
def test_a_report_tells_how_often_the_nets_ran(
    comfy: ModuleType, speed: str, node: str | None
) -> None:
    """As the nets themselves count it, with and without a cache that answers for the model."""
    model, net, adapter = base(), small_net(5), t2i_adapter(6)
    ran, calls, once = counted_net(net), counted(model), list[None]()
    adapter.t2i_model.register_forward_hook(lambda *_: once.append(None))
    given = stack_of(Small(net, small_hint(1), 0.5), Small(adapter, small_hint(2), 0.5))
    (made,) = ControlStackSpeed().hurry(given, speed)
    patched = patch(model, made, record=True)
    sample(patched if node is None else cached(patched, node), steps=STEPS)

    (recording,) = recordings(patched)
    assert recording.last is not None
    mine, adapters = report_of(recording.last).as_dict()["controls"]
    told = mine["net_ran"]
    assert told["steps"] == len(ran) <= len(calls)
    assert (len(calls) == STEPS) == (node is None)
    rows = zip(*told["rows"].values(), strict=True)
    assert [sum(both) for both in rows if any(both)] == ran
    assert f"its net ran in {len(ran)} of {STEPS} steps" in mine["sentence"]
    assert adapters["net_ran"]["steps"] == len(once) == 1
    assert f"its net ran in 1 of {STEPS} steps" in adapters["sentence"]
