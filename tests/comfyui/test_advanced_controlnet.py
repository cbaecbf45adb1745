"""Soft weights against Advanced-ControlNet's own, on the same weights, in one ComfyUI.

`ADVANCED_CONTROLNET_PATH` names the folder of its source; without it these tests are skipped.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.model_patch.blocks import SoftWeights
from controlstack.model_patch.conditioning import apply_to_conditioning
from controlstack.model_patch.control import Control
from controlstack.model_patch.factors import Factor
from controlstack.model_patch.patch import patch

from .small import Line, base, chained, hint, net, sample, words


@pytest.fixture(scope="module")
def advanced(comfy: ModuleType) -> Any:
    """Its module of control; not the whole pack, which changes ComfyUI's samplers."""
    named = os.environ.get("ADVANCED_CONTROLNET_PATH")
    if not named:
        pytest.skip("set ADVANCED_CONTROLNET_PATH to a ComfyUI-Advanced-ControlNet")
    sys.path.insert(0, str(Path(named).resolve()))
    import adv_control.control

    return adv_control.control


def by_advanced(advanced: Any, strength: float, uncond: float) -> Tensor:
    from adv_control.utils import ControlWeights, TimestepKeyframe, TimestepKeyframeGroup

    soft = ControlWeights.universal(base_multiplier=0.825, uncond_multiplier=uncond)
    keyframes = TimestepKeyframeGroup.default(TimestepKeyframe(control_weights=soft))
    other = advanced.convert_to_advanced(net(5), keyframes)
    assert type(other) is advanced.ControlNetAdvanced
    lines = chained(words(11), words(12), Line(other, hint(5), strength))
    return sample(base(), *lines)


def by_us(strength: float, mode: str, *also: Factor) -> Tensor:
    control = Control(net(5), hint(5), strength=strength, mode=mode, also=also)
    return sample(patch(base(), (control,)))


@pytest.mark.parametrize(
    ("mode", "uncond"), [("prompt is more important", 1.0), ("control is more important", 0.0)]
)
def test_soft_weights_are_those_of_advanced_controlnet(
    advanced: Any, mode: str, uncond: float
) -> None:
    theirs, ours = by_advanced(advanced, 0.8, uncond), by_us(0.8, mode)
    plain, full = sample(base()), by_us(0.8, "balanced")
    size = theirs.abs().max()
    assert (theirs - plain).abs().max() > 0.01 * size
    assert (theirs - full).abs().max() > 0.01 * size
    assert (theirs - ours).abs().max() < 1e-5 * size
    if uncond == 1.0:
        assert torch.equal(by_us(0.8, "balanced", SoftWeights()), ours)


def through_the_node(advanced: Any, masked: bool, strength: float = 0.8) -> Tensor:
    """What its apply node does to two lines of the chain, the second with a mask."""
    masks = [None, small_mask() if masked else None]
    prompts = words(11), words(12)
    for seed, mask in zip((5, 6), masks, strict=True):
        other = advanced.convert_to_advanced(net(seed))
        if mask is not None:
            other.set_cond_hint_mask(mask.clone())
        prompts = chained(*prompts, Line(other, hint(seed), strength))
    return sample(base(), *prompts)


def small_mask() -> Tensor:
    mask = torch.zeros(1, 48, 48)
    mask[:, 8:30, :20] = torch.linspace(1, 0.2, 20)
    return mask


@pytest.mark.parametrize("masked", [False, True])
def test_its_apply_node_has_an_equal(advanced: Any, masked: bool) -> None:
    """What `conversion` takes for the same: a chain with, and without, mask_optional."""
    theirs = through_the_node(advanced, masked)
    stack = tuple(
        Control(
            net(seed), hint(seed), strength=0.8, mask=small_mask() if masked and seed == 6 else None
        )
        for seed in (5, 6)
    )
    ours = sample(base(), *apply_to_conditioning(stack, words(11), words(12)))
    assert torch.equal(theirs, ours) or masked
    # Its masks are resized before strengths are multiplied in: the same but for rounding.
    assert (theirs - ours).abs().max() < 1e-5 * theirs.abs().max()
