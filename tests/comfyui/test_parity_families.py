"""Every family, every kind of control file: our stack equals the core's chain in every bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.comfyui.models import Shelf
from tests.comfyui.parity import (
    Line,
    Parity,
    call,
    case_of,
    core,
    noise,
    on_prompts,
    ours,
    picture,
    prompt,
)

SMALL = ("sd15 ldm", "sd15 ldm shuffle", "sd15 control-lora", "sdxl ldm", "sdxl control-lora")
SD3 = ("sd3 diffusers", "sd3 stability")
# Of real widths, seconds a step: each once, with one step.
WIDE = (
    "sd15_full t2i",
    "sd15_wide diffusers",
    "sd15_wide union",
    "sdxl_wide diffusers",
    "sdxl_wide union",
    "sdxl_wide t2i",
)


@pytest.fixture(autouse=True, scope="module")
def little_memory(shelf: Shelf) -> Iterator[None]:
    yield
    for family in ("sd15_full", "sd15_wide", "sdxl_wide"):
        shelf.forget(family)


def line_of(shelf: Shelf, net: str, seed: int = 0, **changes: object) -> Line:
    vae = shelf.vae() if net.startswith("sd3") else None
    return replace(Line(shelf.net(net), picture(seed), vae=vae), **changes)


@pytest.mark.parametrize("net", [*SMALL, *WIDE, *SD3])
def test_one_control(shelf: Shelf, parity: Parity, net: str) -> None:
    case = case_of(shelf, net.split()[0], steps=1 if net in WIDE else 3)
    parity.check(case, [line_of(shelf, net, strength=0.8)])


@pytest.mark.parametrize("net", [*SMALL, *SD3])
def test_ranges_strength_and_batch(shelf: Shelf, parity: Parity, net: str) -> None:
    family = net.split()[0]
    case = case_of(shelf, family, sampler="dpmpp_2m", scheduler="karras", steps=4)
    two = {"samples": case.latent["samples"].repeat(2, 1, 1, 1)}
    parity.check(replace(case, latent=two), [line_of(shelf, net, strength=1.7, end=0.6)])


CHAINS = (
    ("sd15 ldm", "sd15 control-lora"),
    ("sd15 control-lora", "sd15 ldm", "sd15 ldm b"),
    ("sd15_full control-lora", "sd15_full t2i"),
    ("sd15_wide union", "sd15_wide diffusers"),
    ("sdxl ldm", "sdxl ldm b", "sdxl control-lora"),
    ("sdxl_wide t2i", "sdxl_wide union"),
    ("sd3 diffusers", "sd3 stability"),
    ("sd3 stability", "sd3 diffusers", "sd3 diffusers"),
)


@pytest.mark.parametrize("nets", CHAINS, ids=" + ".join)
def test_chains(shelf: Shelf, parity: Parity, nets: tuple[str, ...]) -> None:
    strengths, spans = (0.6, 1.3, 0.4), ((0.0, 0.8), (0.2, 1.0), (0.0, 1.0))
    lines = [
        line_of(shelf, net, seed=i, strength=strengths[i], start=spans[i][0], end=spans[i][1])
        for i, net in enumerate(nets)
    ]
    steps = 1 if set(nets) & set(WIDE) else 3
    parity.check(case_of(shelf, nets[0].split()[0], steps=steps), lines)


@pytest.mark.parametrize(
    ("family", "kinds"), [("sd15_wide", ("auto", "depth")), ("sdxl_wide", ("depth", "openpose"))]
)
def test_union_types(shelf: Shelf, parity: Parity, family: str, kinds: tuple[str, ...]) -> None:
    results: list[Tensor] = []
    for kind in kinds:
        net = call(
            "comfy_extras.nodes_controlnet",
            "SetUnionControlNetType",
            control_net=shelf.net(f"{family} union"),
            type=kind,
        )
        results.append(parity.check(case_of(shelf, family, steps=1), [Line(net, picture(3))]))
    first, *others = results
    assert all((result != first).any() for result in others), "the type changed nothing"


def test_a_union_type_chosen_on_the_line(shelf: Shelf, parity: Parity) -> None:
    """One loaded net with two types in one stack, each as the core's node sets it."""
    net = shelf.net("sd15_wide union")
    case = case_of(shelf, "sd15_wide", steps=1)
    kinds = ("depth", "canny/lineart/anime_lineart/mlsd")
    ours_too = [
        Line(net, picture(i), 0.7, union_type=kind.split("/")[0]) for i, kind in enumerate(kinds)
    ]
    theirs = [
        Line(
            call(
                "comfy_extras.nodes_controlnet",
                "SetUnionControlNetType",
                control_net=net,
                type=kind,
            ),
            picture(i),
            0.7,
        )
        for i, kind in enumerate(kinds)
    ]
    parity.same(case, core(case, theirs), ours(case, ours_too))
    parity.same(case, core(case, theirs), on_prompts(case, ours_too))


@pytest.mark.parametrize("masks", [1, 2])
def test_inpainting_nets(shelf: Shelf, parity: Parity, masks: int) -> None:
    """As ControlNetInpaintingAliMamaApply gives them hint and mask."""
    case = case_of(shelf, "sd3", steps=2, latent={"samples": torch.zeros(masks, 16, 6, 10)})
    mask = (noise(3, masks, 40, 70) > 0).float()
    line = line_of(shelf, "sd3 inpaint", image=picture(4, batch=masks), strength=0.8, end=0.7)
    result = parity.check(case, [replace(line, inpaint_mask=mask)])
    assert not torch.equal(ours(case, [line]).result, result), "the mask changed nothing"


@pytest.mark.parametrize("net", SD3)
@pytest.mark.parametrize("size", [(6, 10), (7, 9)])
def test_masks_lie_on_a_transformers_tokens(
    shelf: Shelf, parity: Parity, net: str, size: tuple[int, int]
) -> None:
    """A mask of ones is none, and what is black in it is exactly 0 in every block's residuals."""
    case = case_of(shelf, "sd3", steps=2, latent={"samples": torch.zeros(1, 16, *size)})
    line = line_of(shelf, net)
    ones = replace(line, mask=torch.ones(1, 48, 80))
    parity.same(case, core(case, [line]), ours(case, [ones]))
    left = torch.zeros(1, 48, 80)
    left[..., :40] = 1.0
    seen: list[Tensor] = []

    def watch(executor: Any, *args: Any, **kwargs: Any) -> Any:
        control = next(
            a for a in (*args, *kwargs.values()) if isinstance(a, dict) and "output" in a
        )
        seen.extend(r for r in control["output"] if r is not None)
        return executor(*args, **kwargs)

    under = ours(case, [replace(line, mask=left)])
    under.model.add_wrapper_with_key("apply_model", "watch", watch)
    assert not torch.equal(under.result, case.result)
    rows, columns = -(-size[0] // 2), -(-size[1] // 2)
    assert seen
    for residual in seen:
        grid = residual.view(residual.shape[0], rows, columns, -1)
        assert not grid[:, :, columns // 2 + 1 :].any()
        assert grid[:, :, : columns // 2 - 1].any()


@pytest.mark.parametrize("cfg", [1.0, 4.0])
@pytest.mark.parametrize("family", ["sdxl", "sd3"])
def test_prompts_of_different_length(shelf: Shelf, parity: Parity, family: str, cfg: float) -> None:
    """SDXL's share a call, repeated to one length; SD 3's never do."""
    net = "sd3 stability" if family == "sd3" else "sdxl ldm"
    case = case_of(shelf, family, cfg=cfg, positive=prompt(family, 3, tokens=154), steps=2)
    lines = [line_of(shelf, net, strength=0.7), line_of(shelf, net, seed=1, start=0.2)]
    parity.check(case, lines)


@pytest.mark.parametrize("net", ["sdxl ldm", "sdxl control-lora", "sd3 diffusers"])
def test_one_hint_an_image(shelf: Shelf, parity: Parity, net: str) -> None:
    family = net.split()[0]
    channels = 16 if family == "sd3" else 4
    case = case_of(shelf, family, latent={"samples": torch.zeros(2, channels, 6, 10)}, steps=2)
    parity.check(case, [line_of(shelf, net, image=picture(5, batch=2))])
