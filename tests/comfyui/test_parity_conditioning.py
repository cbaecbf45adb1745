"""What the conditioning holds: prompts, areas, masks, ranges, control of the core's own; and how
the host shares its rows out among calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.comfyui.models import Shelf
from tests.comfyui.parity import (
    Case,
    Conditioning,
    Line,
    Parity,
    call,
    case_of,
    core,
    noise,
    ours,
    picture,
    prompt,
)

NETS = ("sd15 ldm", "sd15 ldm b", "sd15 control-lora")
SPANS = ((0.0, 0.7), (0.3, 1.0), (0.0, 1.0))


def lines_of(shelf: Shelf, count: int = 2) -> list[Line]:
    strengths = (0.8, 1.2, 0.5)
    return [Line(shelf.net(NETS[i]), picture(i), strengths[i], *SPANS[i]) for i in range(count)]


def combined(*conditionings: Conditioning) -> Conditioning:
    """Through the core's ConditioningCombine."""
    first, *others = conditionings
    for other in others:
        first = call("nodes", "ConditioningCombine", conditioning_1=first, conditioning_2=other)
    return first


def area(conditioning: Conditioning, x: int, y: int, width: int, height: int) -> Conditioning:
    """Restricted to an area, in pixels."""
    return call(
        "nodes",
        "ConditioningSetArea",
        conditioning=conditioning,
        x=x,
        y=y,
        width=width,
        height=height,
        strength=0.9,
    )


def masked(conditioning: Conditioning, bounds: str) -> Conditioning:
    """Restricted to a soft mask that covers the left."""
    mask = torch.zeros(1, 64, 96)
    mask[:, 8:56, :48] = torch.linspace(1, 0.2, 48)
    return call(
        "nodes",
        "ConditioningSetMask",
        conditioning=conditioning,
        mask=mask,
        strength=1.0,
        set_cond_area=bounds,
    )


def ranged(conditioning: Conditioning, start: float, end: float) -> Conditioning:
    return call(
        "nodes",
        "ConditioningSetTimestepRange",
        conditioning=conditioning,
        start=start,
        end=end,
    )


def wide(shelf: Shelf, **changes: Any) -> Case:
    """Two steps of 8 x 12 latents, 64 x 96 pixels."""
    latent = {"samples": torch.zeros(1, 4, 8, 12)}
    return case_of(shelf, "sd15", **{"latent": latent, "steps": 2, **changes})


A, B, EMPTY = (prompt("sd15", seed) for seed in (21, 22, 23))
POSITIVES = {
    "two prompts": combined,
    "left and right": lambda a, b: combined(area(a, 0, 0, 48, 64), area(b, 48, 0, 48, 64)),
    "area over all": lambda a, b: combined(a, area(b, 24, 8, 40, 40)),
    "overlapping areas": lambda a, b: combined(area(a, 0, 0, 64, 64), area(b, 32, 0, 64, 48), a),
    "mask": lambda a, b: combined(masked(a, "default"), b),
    "mask bounds": lambda a, b: combined(masked(a, "mask bounds"), b),
    "one after the other": lambda a, b: combined(ranged(a, 0.0, 0.5), ranged(b, 0.5, 1.0)),
    "range and area": lambda a, b: combined(ranged(area(a, 0, 0, 48, 64), 0.2, 1.0), b),
}


@pytest.mark.parametrize("positive", POSITIVES)
def test_positive(shelf: Shelf, parity: Parity, positive: str) -> None:
    case = wide(shelf, positive=POSITIVES[positive](A, B), negative=EMPTY)
    parity.check(case, lines_of(shelf))


@pytest.mark.parametrize("positive", ["overlapping areas", "mask"])
def test_positive_of_a_batch(shelf: Shelf, parity: Parity, positive: str) -> None:
    case = wide(shelf, positive=POSITIVES[positive](A, B), negative=EMPTY)
    latent = {"samples": torch.zeros(2, 4, 8, 12)}
    parity.check(replace(case, latent=latent), lines_of(shelf))


def test_area_on_the_negative_too(shelf: Shelf, parity: Parity) -> None:
    negative = combined(EMPTY, area(B, 48, 0, 48, 64))
    positive = combined(A, area(B, 0, 0, 48, 64))
    parity.check(wide(shelf, positive=positive, negative=negative), lines_of(shelf, 3))


def test_area_with_one_hint_an_image(shelf: Shelf, parity: Parity) -> None:
    positive = combined(A, area(B, 0, 0, 48, 64))
    case = wide(shelf, positive=positive, negative=EMPTY)
    line = replace(lines_of(shelf, 1)[0], image=picture(4, batch=2))
    parity.check(replace(case, latent={"samples": torch.zeros(2, 4, 8, 12)}), [line])


@pytest.mark.parametrize("cfg", [1.0, 7.5])
@pytest.mark.parametrize("tokens", [(77, 154), (154, 77), (154, 231)], ids=str)
def test_prompts_of_different_length(
    shelf: Shelf, parity: Parity, tokens: tuple[int, int], cfg: float
) -> None:
    positive, negative = (prompt("sd15", i, length) for i, length in enumerate(tokens))
    case = case_of(shelf, "sd15", positive=positive, negative=negative, cfg=cfg)
    parity.check(case, lines_of(shelf, 3))


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "lcm"])
@pytest.mark.parametrize("denoise", [1.0, 0.6])
def test_noise_mask(shelf: Shelf, parity: Parity, denoise: float, sampler: str) -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 8:] = 1.0
    latent = call(
        "nodes", "SetLatentNoiseMask", samples={"samples": noise(6, 2, 4, 6, 6)}, mask=mask
    )
    case = case_of(shelf, "sd15", latent=latent, denoise=denoise, sampler=sampler)
    parity.check(case, lines_of(shelf))


def test_some_images_of_a_batch(shelf: Shelf, parity: Parity) -> None:
    latent = call(
        "nodes",
        "LatentFromBatch",
        samples={"samples": noise(6, 3, 4, 6, 6)},
        batch_index=1,
        length=2,
    )
    parity.check(case_of(shelf, "sd15", latent=latent, denoise=0.7), lines_of(shelf, 1))


def with_the_old_node(conditioning: Conditioning, lines: Sequence[Line]) -> Conditioning:
    """Through ControlNetApply, which knows no range and one conditioning only."""
    for line in lines:
        conditioning = call(
            "nodes",
            "ControlNetApply",
            conditioning=conditioning,
            control_net=line.net,
            image=line.image,
            strength=line.strength,
        )
    return conditioning


def test_the_old_apply_node(shelf: Shelf, parity: Parity) -> None:
    """ControlNetApply on the positive prompt alone acts on both sides, as our stack does."""
    case = case_of(shelf, "sd15")
    lines = [replace(line, start=0.0, end=1.0) for line in lines_of(shelf)]
    positive = with_the_old_node(case.positive, lines)
    parity.same(case, replace(case, positive=positive), ours(case, lines))


@pytest.mark.parametrize("of_the_core", [1, 2])
def test_control_of_the_core_and_a_stack(shelf: Shelf, parity: Parity, of_the_core: int) -> None:
    """They add up in the order of one chain: what is on the conditioning comes first."""
    case, lines = case_of(shelf, "sd15"), lines_of(shelf, 3)
    mine = ours(core(case, lines[:of_the_core]), lines[of_the_core:])
    parity.same(case, core(case, lines), mine)


def test_control_of_the_core_with_areas_and_a_stack(shelf: Shelf, parity: Parity) -> None:
    positive = combined(A, area(B, 0, 0, 48, 64))
    case, lines = wide(shelf, positive=positive, negative=EMPTY), lines_of(shelf, 3)
    parity.same(case, core(case, lines), ours(core(case, lines[:1]), lines[1:]))


@pytest.mark.parametrize("cut", [1, 2])
def test_two_stacks_in_a_row(shelf: Shelf, parity: Parity, cut: int) -> None:
    case, lines = case_of(shelf, "sd15"), lines_of(shelf, 3)
    parity.same(case, core(case, lines), ours(ours(case, lines[:cut]), lines[cut:]))


def test_three_stacks_and_the_core(shelf: Shelf, parity: Parity) -> None:
    case, lines = case_of(shelf, "sd15"), lines_of(shelf, 3)
    lines = [*lines, replace(lines[0], image=picture(9), strength=0.3)]
    mine = core(case, lines[:1])
    for line in lines[1:]:
        mine = ours(mine, [line])
    parity.same(case, core(case, lines), mine)


@pytest.fixture
def one_row_a_call(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> list[Sequence[int]]:
    """The host believes that no two rows fit into memory. Gives which rows every call had."""
    base = shelf.model("sd15").model
    monkeypatch.setattr(base, "memory_required", lambda *args, **kwargs: 1e30)
    seen: list[Sequence[int]] = []
    apply_model = base.apply_model

    def spy(x: Any, t: Any, **kwargs: Any) -> Any:
        seen.append(tuple(kwargs["transformer_options"]["cond_or_uncond"]))
        return apply_model(x, t, **kwargs)

    monkeypatch.setattr(base, "apply_model", spy)
    return seen


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m_sde"])
def test_cond_and_uncond_apart(
    shelf: Shelf, parity: Parity, one_row_a_call: list[Sequence[int]], sampler: str, batch: int
) -> None:
    case = case_of(shelf, "sd15", sampler=sampler, latent={"samples": torch.zeros(batch, 4, 6, 6)})
    lines = lines_of(shelf, 3)
    hints = [replace(lines[0], image=picture(4, batch=batch)), *lines[1:]]
    parity.check(case, hints)
    assert set(one_row_a_call) == {(0,), (1,)}


def test_areas_apart(shelf: Shelf, parity: Parity, one_row_a_call: list[Sequence[int]]) -> None:
    positive = combined(A, B, area(B, 0, 0, 48, 64), area(A, 48, 0, 48, 64))
    parity.check(wide(shelf, positive=positive, negative=EMPTY), lines_of(shelf))
    assert set(one_row_a_call) == {(0,), (1,)}


def test_the_old_apply_node_on_two_prompts(
    shelf: Shelf, parity: Parity, one_row_a_call: list[Sequence[int]]
) -> None:
    """It gives each prompt a control of its own, so that the core calls the model for each alone.
    We call it for all at once where memory allows: then the same but for rounding."""
    case = case_of(shelf, "sd15", positive=combined(A, B))
    lines = [replace(line, start=0.0, end=1.0) for line in lines_of(shelf)]
    theirs = replace(case, positive=with_the_old_node(case.positive, lines))
    parity.same(case, theirs, ours(case, lines))


def test_prompts_that_share_calls(shelf: Shelf, parity: Parity) -> None:
    """Three positive prompts and two negative ones, five rows of a call."""
    positive, negative = combined(A, B, prompt("sd15", 24)), combined(EMPTY, prompt("sd15", 25))
    parity.check(case_of(shelf, "sd15", positive=positive, negative=negative), lines_of(shelf))


Box = tuple[int, int, int, int]  # x, y, width, height in pixels
LEFT: Box = (0, 0, 48, 64)
RIGHT: Box = (48, 0, 48, 64)
MIDDLE: Box = (24, 8, 40, 40)
CORNER: Box = (64, 16, 32, 48)


def cut(line: Line, box: Box) -> Line:
    x, y, width, height = box
    return replace(line, image=line.image[:, y : y + height, x : x + width])


def under(conditioning: Conditioning, case: Case, lines: Sequence[Line]) -> Conditioning:
    """The core's chain on one conditioning alone."""
    return core(replace(case, positive=conditioning, negative=[]), lines).positive


def hints_cut_beforehand(case: Case, prompts: Sequence[Conditioning], lines: list[Line],
                         boxes: Sequence[Box]) -> Case:  # fmt: skip
    """In the core's way: a chain for each area, with the hint that belongs there."""
    whole = core(replace(case, positive=prompts[-1]), lines)
    pieces = [
        under(area(prompt, *box), case, [cut(line, box) for line in lines])
        for prompt, box in zip(prompts, boxes, strict=False)
    ]
    return replace(whole, positive=combined(*pieces, whole.positive))


BOXES: dict[str, Sequence[Box]] = {
    "left": [LEFT],
    "middle and corner": [MIDDLE, CORNER],
    "left and right": [LEFT, RIGHT],
}


@pytest.mark.parametrize("hints", [1, 2])
@pytest.mark.parametrize("boxes", BOXES)
def test_hints_cropped_to_areas(
    shelf: Shelf, parity: Parity, one_row_a_call: list[Sequence[int]], boxes: str, hints: int
) -> None:
    """Where we differ from the core when asked to: equal to its chain with hints cut beforehand.

    In calls of one row, since the core never lets controls of its own share a call, and we do.
    """
    prompts = [A, B, prompt("sd15", 24)][-len(BOXES[boxes]) - 1 :]
    case = wide(shelf, negative=EMPTY)
    case = replace(case, latent={"samples": torch.zeros(hints, 4, 8, 12)})
    lines = [replace(line, image=picture(4, hints, 64, 96)) for line in lines_of(shelf)]
    areas = [area(p, *box) for p, box in zip(prompts, BOXES[boxes], strict=False)]
    plain = replace(case, positive=combined(*areas, prompts[-1]))
    cropped = ours(plain, [replace(line, area_hint="crop") for line in lines])
    expected = hints_cut_beforehand(case, prompts, lines, BOXES[boxes])
    result = parity.same(plain, expected, cropped)
    whole = parity.check(plain, lines)
    assert not torch.equal(result, whole), "the switch changed nothing"


def test_hints_cropped_to_areas_in_shared_calls(shelf: Shelf, comfy: object) -> None:
    """Areas of one size share a call with us; what they add stays the same but for rounding, which
    is measured against the largest value (one step: later ones multiply it)."""
    prompts, boxes = [A, B, prompt("sd15", 24)], [LEFT, RIGHT]
    case = wide(shelf, negative=EMPTY, steps=1)
    lines = [replace(line, image=picture(4, 1, 64, 96)) for line in lines_of(shelf)]
    areas = [area(p, *box) for p, box in zip(prompts, boxes, strict=False)]
    plain = replace(case, positive=combined(*areas, prompts[-1]))
    result = ours(plain, [replace(line, area_hint="crop") for line in lines]).result
    expected = hints_cut_beforehand(case, prompts, lines, boxes).result
    assert (result - expected).abs().max() < 1e-5 * expected.abs().max()
