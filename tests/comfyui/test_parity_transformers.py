"""Flux, Chroma, Qwen-Image, HunyuanDiT and Stable Cascade: our stack equals the core's chain in
every bit, and masks and block weights lie where they are meant on what these nets add."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.model_patch.blocks import Blocks
from controlstack.model_patch.frames import FrameStrengths
from controlstack.model_patch.record import recordings
from controlstack.nodes.stack import ControlStackApply
from tests.comfyui import small_dits
from tests.comfyui.models import Shelf
from tests.comfyui.parity import (
    Case,
    Line,
    Parity,
    call,
    case_of,
    core,
    noise,
    on_prompts,
    ours,
    stack,
)
from tests.comfyui.parity import picture as hint

# Each net on its base; Chroma has the nets of Flux.
PAIRS = [
    *("flux instantx", "flux union", "flux xlabs", "flux mistoline", "flux inpaint"),
    *("qwen instantx", "qwen inpaint", "qwen fun", "hydit", "cascade"),
    *("chroma: flux instantx", "chroma: flux xlabs"),
]
CHAINS = [
    *("flux instantx + flux xlabs", "flux xlabs + flux union", "flux inpaint + flux instantx b"),
    *("flux mistoline + flux instantx", "qwen instantx + qwen fun", "qwen fun + qwen fun"),
    *("qwen inpaint + qwen instantx", "hydit + hydit", "cascade + cascade"),
    "chroma: flux instantx + flux instantx b",
]
# Nets of pixels, which their host does not pad to whole tokens.
EVEN = ("flux xlabs", "flux mistoline")
REAL = ["flux_real union", "flux_real xlabs", "qwen_real instantx", "hydit_real", "cascade_real"]
WAYS = pytest.mark.parametrize("way", [ours, on_prompts])


def split(pair: str) -> tuple[str, list[str]]:
    """The family of the base, and the nets; skips where this host has no such net."""
    family, _, nets = pair.rpartition(": ")
    names = nets.split(" + ")
    lacking = [name for name in names if not small_dits.NETS[name].there]
    if lacking:
        pytest.skip(f"this ComfyUI has no nets of the kind {lacking[0]}")
    return family or names[0].split()[0], names


def line_of(shelf: Shelf, name: str, seed: int = 0, **changes: object) -> Line:
    """A line with the VAE that the net wants, and a mask where it is an inpainting one."""
    net = shelf.net(name)
    vae = None if net.latent_format is None else shelf.vae(name.split()[0])
    line = Line(net, hint(seed), vae=vae)
    if net.concat_mask:
        line = replace(line, inpaint_mask=(noise(seed + 3, 1, 40, 70) > 0).float())
    return replace(line, **changes)


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    family, (net,) = split(request.param)
    return family, net


def test_strength_and_range(shelf: Shelf, parity: Parity, pair: tuple[str, str]) -> None:
    family, net = pair
    case = case_of(shelf, family)
    line = line_of(shelf, net, strength=0.8, start=0.1, end=0.7)
    result = parity.check(case, [line])
    whole = core(case, [replace(line, start=0.0, end=1.0)]).result
    assert not torch.equal(whole, result), "the range changed nothing"


def test_a_batch_of_two(shelf: Shelf, parity: Parity, pair: tuple[str, str]) -> None:
    family, net = pair
    case = case_of(shelf, family, steps=2, sampler="dpmpp_2m", scheduler="karras")
    two = {"samples": case.latent["samples"].repeat(2, 1, 1, 1)}
    parity.check(replace(case, latent=two), [line_of(shelf, net, strength=1.7)])


@pytest.mark.parametrize("chain", CHAINS)
def test_two_with_ranges(shelf: Shelf, parity: Parity, chain: str) -> None:
    family, nets = split(chain)
    settings = (
        {"strength": 0.6, "start": 0.0, "end": 0.7},
        {"strength": 1.3, "start": 0.2, "end": 1.0},
    )
    pairs = enumerate(zip(nets, settings, strict=True))
    lines = [line_of(shelf, net, seed=i, **given) for i, (net, given) in pairs]
    parity.check(case_of(shelf, family), lines)


@pytest.mark.parametrize("net", ["flux instantx", "flux xlabs", "hydit", "cascade"])
def test_one_hint_an_image(shelf: Shelf, parity: Parity, net: str) -> None:
    family, _ = split(net)
    case = two_pictures(shelf, family)
    parity.check(case, [line_of(shelf, net, image=hint(5, batch=2))])
    one, two = (line_of(shelf, net, image=hint(5, batch=2)[[0, i]]) for i in (0, 1))
    assert changed(ours(case, [one]), ours(case, [two])) == [1]


def test_union_types(shelf: Shelf, parity: Parity) -> None:
    """Flux's nets count types otherwise than the core's node, whose names are SDXL's: its depth is
    number 1, which Flux's call tile."""
    case, line = case_of(shelf, "flux", steps=2), line_of(shelf, "flux union")
    node = ("comfy_extras.nodes_controlnet", "SetUnionControlNetType")
    typed = replace(line, net=call(*node, control_net=line.net, type="depth"))
    result = parity.check(case, [typed])
    assert not torch.equal(result, core(case, [line]).result), "the type changed nothing"
    chosen = [replace(line, union_type="tile")]
    parity.same(case, core(case, [typed]), ours(case, chosen))
    parity.same(case, core(case, [typed]), on_prompts(case, chosen))
    two = [replace(line, union_type=kind, strength=0.6) for kind in ("tile", "canny")]
    other = call(*node, control_net=line.net, type="openpose")
    theirs = [replace(typed, strength=0.6), replace(line, net=other, strength=0.6)]
    parity.same(case, core(case, theirs), ours(case, two))


def two_pictures(shelf: Shelf, family: str, height: int = 6, width: int = 6) -> Case:
    """Two pictures of different noise."""
    channels = case_of(shelf, family).latent["samples"].shape[1]
    return case_of(
        shelf, family, latent={"samples": torch.zeros(2, channels, height, width)}, steps=2
    )


def changed(one: Case, two: Case) -> list[int]:
    """Which of the pictures differ."""
    return [
        i for i, (a, b) in enumerate(zip(one.result, two.result, strict=True)) if (a != b).any()
    ]


def residuals(case: Case) -> list[tuple[str, int, Tensor]]:
    """What the model of a case is given at its first call: group, block and residual."""
    seen: list[list[tuple[str, int, Tensor]]] = []

    def watch(executor: Any, *args: Any, **kwargs: Any) -> Any:
        given = (*args, *kwargs.values())
        control = next(a for a in given if isinstance(a, dict) and "output" in a)
        seen.append([(g, i, r) for g in control for i, r in enumerate(control[g]) if r is not None])
        return executor(*args, **kwargs)

    model = case.model.clone()
    model.add_wrapper_with_key("apply_model", "watch", watch)
    assert case.sample(replace(case, model=model)).isfinite().all()
    assert seen[0]
    return seen[0]


def grids(found: list[tuple[str, int, Tensor]], rows: int, columns: int) -> Iterator[Tensor]:
    """Residuals (B, rows, columns, C) of feature maps or tokens."""
    for _, _, residual in found:
        map_ = residual.movedim(1, -1) if residual.ndim == 4 else residual
        yield map_.reshape(len(residual), rows, columns, -1)


@pytest.mark.parametrize("size", [(6, 10), (7, 9)])
def test_what_is_black_in_a_mask_gets_nothing(
    shelf: Shelf, parity: Parity, pair: tuple[str, str], size: tuple[int, int]
) -> None:
    """Exactly 0 in every residual; and a mask of ones is none."""
    family, net = pair
    latent = torch.zeros(1, case_of(shelf, family).latent["samples"].shape[1], *size)
    case = case_of(shelf, family, steps=1, latent={"samples": latent})
    line = line_of(shelf, net)
    if size == (7, 9) and net in EVEN:
        for way in (ours, on_prompts):
            with pytest.raises(UserError, match="a latent whose edges it can divide"):
                _ = way(case, [line]).result
        return
    parity.same(case, core(case, [line]), ours(case, [replace(line, mask=torch.ones(1, 48, 80))]))
    left = torch.zeros(1, 48, 80)
    left[..., :40] = 1.0
    patch = 1 if family == "cascade" else 2
    rows, columns = (-(-edge // patch) for edge in size)
    for way in (ours, on_prompts):
        for grid in grids(residuals(way(case, [replace(line, mask=left)])), rows, columns):
            assert not grid[:, :, columns // 2 + 1 :].any()
            assert grid[:, :, : columns // 2 - 1].any(dim=-1).all()


def test_block_weights(shelf: Shelf, pair: tuple[str, str]) -> None:
    """The block that is named is multiplied, all others are as they were."""
    family, net = pair
    case, line = case_of(shelf, family, steps=1), line_of(shelf, net)
    before = residuals(ours(case, [line]))
    for name, weight in ((f"{before[0][0]} {before[0][1]}", 0.0), ("second half", 0.5)):
        factor = (Blocks(((name, weight),)),)
        after = residuals(ours(case, [replace(line, factor=factor)]))
        assert [one[:2] for one in after] == [one[:2] for one in before]
        scales = [
            weight if torch.equal(new, old * weight) else float(torch.equal(new, old))
            for (_, _, new), (_, _, old) in zip(after, before, strict=True)
        ]
        assert set(scales) == {weight, 1.0}
        if weight == 0.0:
            assert scales == [0.0] + [1.0] * (len(scales) - 1)
        else:
            assert scales.count(weight) in (len(scales) // 2, (len(scales) + 1) // 2)


@WAYS
@pytest.mark.parametrize("net", ["flux instantx", "qwen instantx", "qwen fun", "hydit", "cascade"])
def test_each_picture_has_its_own_mask(shelf: Shelf, way: Callable[..., Case], net: str) -> None:
    family, _ = split(net)
    case, line = two_pictures(shelf, family), line_of(shelf, net)
    masks = torch.ones(2, 48, 48)
    masks[1] = 0.0
    mine = way(case, [replace(line, mask=masks)])
    assert changed(mine, case) == [0]
    assert changed(mine, way(case, [line])) == [1]


@WAYS
@pytest.mark.parametrize("net", ["flux instantx", "qwen instantx", "qwen fun", "hydit", "cascade"])
def test_each_picture_has_its_own_strength(
    shelf: Shelf, way: Callable[..., Case], net: str
) -> None:
    """Qwen-Image's latents have frames, one for each picture: a batch is no film."""
    family, _ = split(net)
    case, line = two_pictures(shelf, family), line_of(shelf, net)
    factor = FrameStrengths(((0.0, 1.0), (1.0, 0.0)), listed=True)
    mine = way(case, [replace(line, factor=(factor,))])
    assert changed(mine, case) == [0]
    whole = way(case, [line]).result[0]
    assert (mine.result[0] - whole).abs().max() < 3e-3 * whole.abs().max()


@pytest.mark.parametrize("net", ["flux instantx", "qwen instantx"])
def test_a_list_of_strengths_is_one_for_each_picture(shelf: Shelf, net: str) -> None:
    case, line = two_pictures(shelf, net.split()[0]), line_of(shelf, net)
    factor = FrameStrengths(((0.0, 1.0),), listed=True)
    with pytest.raises(UserError, match="1 strengths for 2 pictures"):
        _ = ours(case, [replace(line, factor=(factor,))]).result


def test_hints_of_qwen_images_are_a_film_to_its_vae(shelf: Shelf, parity: Parity) -> None:
    """Known: the host's net hands all hints to the VAE at once, which takes them for the frames of
    one film; two make one latent frame, that of the first."""
    case = two_pictures(shelf, "qwen")
    line = line_of(shelf, "qwen instantx", image=hint(5, batch=2))
    parity.check(case, [line])
    first = replace(line, image=line.image[:1])
    assert torch.equal(core(case, [line]).result, core(case, [first]).result)


@pytest.mark.parametrize("net", ["flux union", "qwen instantx", "qwen fun", "hydit", "cascade"])
def test_a_recorded_run_is_the_same_and_tells_of_each_picture(shelf: Shelf, net: str) -> None:
    family, _ = split(net)
    case, lines = two_pictures(shelf, family), [line_of(shelf, net)]
    (model,) = ControlStackApply().apply(case.model, stack(lines), record=True)
    assert torch.equal(replace(case, model=model).result, ours(case, lines).result)
    (recording,) = recordings(model)
    assert recording.last is not None
    assert (recording.last.added > 0.0).all()
    assert recording.last.maps.shape[:2] == (1, 2)
    assert (recording.last.maps > 0.0).all()


@pytest.mark.parametrize("net", REAL)
def test_files_as_wide_as_the_loader_wants(shelf: Shelf, parity: Parity, net: str) -> None:
    """Gigabytes and some ten seconds each: one step, and one family at a time."""
    family, _ = split(net)
    forget(shelf, *(other for other in REAL if other.split()[0] != family))
    parity.check(case_of(shelf, family, steps=1), [line_of(shelf, net, strength=0.8)])


def forget(shelf: Shelf, *nets: str) -> None:
    for family in {net.split()[0] for net in nets}:
        shelf.forget(family)


@pytest.fixture(autouse=True, scope="module")
def little_memory(shelf: Shelf) -> Iterator[None]:
    yield
    forget(shelf, *REAL)
