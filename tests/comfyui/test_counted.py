"""What a run computes, counted in the real ComfyUI: hints once, nets only where somebody reads."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from controlstack.model_patch.factors import Sides
from controlstack.model_patch.patch import patch
from tests.comfyui.models import Shelf
from tests.comfyui.parity import Case, Line, case_of, core, noise, on_prompts, ours, picture
from tests.comfyui.small import Line as Small
from tests.comfyui.small import base, sample
from tests.comfyui.small import hint as small_hint
from tests.comfyui.small import net as small_net
from tests.comfyui.small import stack as stack_of
from tests.comfyui.test_parity_conditioning import area, combined
from tests.comfyui.test_step_caches import cached, counted
from tests.comfyui.test_windows import windowed

STEPS = 4
WAYS = pytest.mark.parametrize("way", [ours, on_prompts])
ENCODERS = {
    "sd15 ldm": "input_hint_block",
    "sdxl ldm": "input_hint_block",
    "flux xlabs": "input_hint_block",
    "flux mistoline": "input_cond_block",
    "sd15_wide union": "input_hint_block",
}


def calls_of(layer: nn.Module) -> list[int]:
    """How many rows it is given; the list grows with each call."""
    rows: list[int] = []
    layer.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    return rows


def encoder_of(net: Any, name: str) -> nn.Module:
    layer: nn.Module = net.control_model.get_submodule(ENCODERS[name])
    return layer


def counted_net(net: Any) -> list[int]:
    """As `calls_of`, of a net as a whole."""
    return calls_of(net.control_model.time_embed)


@pytest.fixture
def fresh(shelf: Shelf) -> Callable[[str], Any]:
    """Gives nets whose layers nobody else has hooks on."""

    def load(name: str) -> Any:
        net = shelf.net(name).copy()
        net.control_model = deepcopy(net.control_model)
        return net

    return load


@WAYS
@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "sd15_wide union"])
def test_a_hint_is_encoded_once_a_run(
    shelf: Shelf, fresh: Callable[[str], Any], name: str, way: Callable[..., Case]
) -> None:
    """ComfyUI encodes it at every step; the picture is the same. Each run begins anew, and the
    host's net has its own layers all the time."""
    net = fresh(name)
    layer = encoder_of(net, name)
    rows = calls_of(layer)
    case = case_of(shelf, name.split()[0], steps=STEPS)
    lines = [Line(net, picture(1), 0.8)]
    mine = way(case, lines)
    expected = core(case, lines).result
    assert rows == [1] * STEPS
    for _ in range(2):
        rows.clear()
        assert torch.equal(mine.again, expected)
        assert rows == [1]
        assert encoder_of(net, name) is layer


def test_a_union_net_encodes_once(shelf: Shelf) -> None:
    net = shelf.net("sd15_wide union").copy()
    net.set_extra_arg("control_type", [1])
    rows = calls_of(encoder_of(net, "sd15_wide union"))
    case, lines = case_of(shelf, "sd15_wide", steps=2), [Line(net, picture(1))]
    mine = ours(case, lines).result
    assert rows == [1]
    assert torch.equal(mine, core(case, lines).result)
    assert rows == [1] * 3


@WAYS
@pytest.mark.parametrize("hints", [1, 2, 3])
def test_batches_and_lines_that_share_a_net(
    shelf: Shelf, fresh: Callable[[str], Any], hints: int, way: Callable[..., Case]
) -> None:
    """Both sides of the guidance are one batch, and of several hints each row has its own."""
    net = fresh("sd15 ldm")
    rows = calls_of(encoder_of(net, "sd15 ldm"))
    case = case_of(shelf, "sd15", latent={"samples": noise(5, 3, 4, 6, 6)}, steps=STEPS)
    lines = [Line(net, picture(1, batch=hints), 0.8), Line(net, picture(2), 0.5)]
    mine = way(case, lines).result
    assert rows == [1 if hints == 1 else 6, 1]
    assert torch.equal(mine, core(case, lines).result)


@WAYS
def test_areas_of_several_sizes_are_each_encoded_once(
    shelf: Shelf, fresh: Callable[[str], Any], way: Callable[..., Case]
) -> None:
    """They take turns at every step; ComfyUI resizes and encodes at each turn."""
    net = fresh("sd15 ldm")
    rows = calls_of(encoder_of(net, "sd15 ldm"))
    plain = case_of(shelf, "sd15", steps=STEPS)
    positive = combined(area(plain.positive, 0, 0, 24, 48), plain.positive)
    case, lines = replace(plain, positive=positive), [Line(net, picture(1))]
    mine = way(case, lines).result
    assert len(rows) == 2
    rows.clear()
    assert torch.equal(mine, core(case, lines).result)
    assert len(rows) == 2 * STEPS


@WAYS
def test_windows_are_each_encoded_once(
    shelf: Shelf, fresh: Callable[[str], Any], way: Callable[..., Case]
) -> None:
    net = fresh("sd15 ldm")
    rows = calls_of(encoder_of(net, "sd15 ldm"))
    case = case_of(shelf, "sd15", latent={"samples": noise(5, 8, 4, 6, 6)}, steps=7)
    case = replace(case, model=windowed(case.model))
    assert way(case, [Line(net, picture(9, batch=8))]).result.isfinite().all()
    assert rows == [8, 8], "two windows of four frames, for two prompts"


def test_a_failed_run_gives_everything_back(comfy: ModuleType) -> None:
    """The next run encodes again, of its own hint."""
    model, line = base(), Small(small_net(5), small_hint(1))
    layer = line.net.control_model.input_hint_block
    rows = calls_of(layer)

    def fail(step: int, *_: Any) -> None:
        if step == 1:
            raise RuntimeError("stopped")

    patched = patch(model, stack_of(line))
    with pytest.raises(RuntimeError, match="stopped"):
        sample(patched, callback=fail)
    assert rows == [1]
    assert line.net.control_model.input_hint_block is layer
    other = replace(line, hint=small_hint(2))
    fresh = Small(small_net(5), small_hint(2))
    again = sample(patch(model, stack_of(other)))
    assert torch.equal(again, sample(patch(model, stack_of(fresh))))
    assert rows == [1, 1]


@pytest.mark.parametrize("node", ["EasyCacheNode", "LazyCacheNode"])
@WAYS
def test_no_net_runs_in_a_step_that_a_cache_skips(
    shelf: Shelf, fresh: Callable[[str], Any], node: str, way: Callable[..., Case]
) -> None:
    """ComfyUI's own chain runs it and throws away what it made, under EasyCache."""
    net = fresh("sd15 ldm")
    ran = counted_net(net)
    model = cached(case_of(shelf, "sd15").model, node, 5.0)
    case = replace(case_of(shelf, "sd15", steps=10), model=model)
    calls = counted(model)
    lines = [Line(net, picture(1), 0.8)]
    mine = way(case, lines).result
    assert 0 < len(calls) < 10, "the cache skipped nothing, or all"
    assert len(ran) == len(calls)
    ran.clear()
    assert torch.equal(mine, core(case, lines).result)
    assert len(ran) == (10 if node == "EasyCacheNode" else len(calls) // 2)


def test_nothing_runs_where_it_is_worth_nothing(shelf: Shelf, fresh: Callable[[str], Any]) -> None:
    """At strength 0, outside of a range, and for a side whose number is 0."""
    case = case_of(shelf, "sd15", steps=STEPS)
    nets = [fresh("sd15 ldm") for _ in range(3)]
    ran = [counted_net(net) for net in nets]
    lines = [
        Line(nets[0], picture(1), strength=0.0),
        Line(nets[1], picture(2), start=0.6),
        Line(nets[2], picture(3), factor=(Sides(1.0, 0.0),)),
    ]
    encoded = [calls_of(encoder_of(net, "sd15 ldm")) for net in nets]
    assert ours(case, lines).result.isfinite().all()
    assert ran[0] == encoded[0] == []
    assert 0 < len(ran[1]) < STEPS
    assert set(ran[1]) == {2}
    assert ran[2] == [1] * STEPS
    assert [len(rows) for rows in encoded[1:]] == [1, 1]
