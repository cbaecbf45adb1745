"""ComfyUI's own EasyCache and LazyCache: steps in which they answer in the model's place."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.model_patch.patch import patch
from tests.comfyui import small_kinds as kinds
from tests.comfyui.small import SDXL, Line, base, chained, hint, net, sample, stack, words

STEPS = 10


def cached(model: Any, node: str, threshold: float = 5.0) -> Any:
    made = getattr(import_module("comfy_extras.nodes_easycache"), node).execute(
        model, threshold, 0.0, 1.0, False
    )
    return made.result[0]


def counted(model: Any) -> list[int]:
    """How often the model's network computes; the list grows with each time."""
    network = model.model.diffusion_model
    calls: list[int] = []
    network.time_embed.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("node", ["EasyCacheNode", "LazyCacheNode"])
@pytest.mark.parametrize("start", [0.0, 0.3, 0.5, 0.7, 0.95])
def test_a_control_that_begins_in_a_skipped_step(
    comfy: ModuleType, node: str, start: float
) -> None:
    """In both orders of the nodes, the picture of the core's own chain under the same cache."""
    model, line = base(), Line(net(5), hint(1), start=start)
    calls = counted(model)

    def pictures() -> list[Tensor]:
        return [
            sample(cached(patch(model, stack(line)), node), steps=STEPS),
            sample(patch(cached(model, node), stack(line)), steps=STEPS),
        ]

    core = sample(cached(model, node), *chained(words(11), words(12), line), steps=STEPS)
    assert 0 < len(calls) < STEPS, "the cache skipped nothing, or all"
    assert all(torch.equal(mine, core) for mine in pictures())


def test_a_cache_that_never_skips_changes_nothing(comfy: ModuleType) -> None:
    model, line = base(), Line(net(5), hint(1), start=0.3)
    plain = sample(patch(model, stack(line)), steps=STEPS)
    never = cached(patch(model, stack(line)), "EasyCacheNode", threshold=0.0)
    assert torch.equal(sample(never, steps=STEPS), plain)
    assert not torch.equal(plain, sample(model, steps=STEPS))


@pytest.mark.parametrize("skips", [True, False])
def test_a_model_that_reads_no_residuals_is_found_out_behind_a_cache(
    comfy: ModuleType, skips: bool
) -> None:
    """The first call that reaches the model tells, not one that the cache answered."""
    wide = words(11, SDXL)[0][0]
    prompt = [[wide[:, :, :2048], {}]]
    line = Line(kinds.t2i_adapter(5), hint(1), start=0.5)
    model = cached(patch(kinds.aura_flow(), stack(line)), "EasyCacheNode", 1e9 if skips else 0.0)
    if skips:
        assert sample(model, prompt, prompt, steps=STEPS).isfinite().all()
    else:
        with pytest.raises(UserError, match="AuraFlow"):
            sample(model, prompt, prompt, steps=STEPS)


def test_a_patch_that_takes_the_control_away_is_named(comfy: ModuleType) -> None:
    def strip(executor: Any, x: Any, t: Any, text: Any, y: Any, control: Any, *rest: Any) -> Any:
        return executor(x, t, text, y, None, *rest)

    model = patch(base(), stack(Line(net(5), hint(1))))
    model.add_wrapper_with_key("diffusion_model", "strip", strip)
    with pytest.raises(UserError, match="control 1: another patch on this model calls it without"):
        sample(model)
