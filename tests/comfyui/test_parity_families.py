"""Every family, every kind of control file: our stack equals the core's chain in every bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.comfyui.models import Shelf
from tests.comfyui.parity import Line, Parity, call, case_of, picture, prompt

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
