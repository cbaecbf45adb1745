"""Factors in the real ComfyUI: steps over windows and split schedules, its own curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import load_workflow
from tests.comfyui.server import Server
from tests.comfyui.shipped import WORKFLOWS
from tests.comfyui.test_demo_models import Pixels, pictures, psnr

STEPS = 6
SAMPLING = {"cfg": 5.0, "sampler_name": "euler", "scheduler": "normal"}
Nodes = dict[str, dict[str, Any]]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node of a prompt in the API form."""
    return {"class_type": kind, "inputs": inputs}


def controlled(factor: Nodes, **add: Any) -> Nodes:
    """A pose on the demo model, with the node "factor" of `factor` at its line."""
    shipped = load_workflow(WORKFLOWS / "pose.json", default_registry())
    kinds = {one.type: one.inputs for one in shipped.nodes.values()}
    pose = kinds["ControlStackDrawPose"]
    return {
        "model": node("CheckpointLoaderSimple", **kinds["CheckpointLoaderSimple"]),
        "net": node("ControlStackLoader", **kinds["ControlStackLoader"]),
        "pose": node("ControlStackDrawPose", **{**pose, "width": 128, "height": 128}),
        "yes": node("CLIPTextEncode", text="a person", clip=["model", 1]),
        "no": node("CLIPTextEncode", text="", clip=["model", 1]),
        "empty": node("EmptyLatentImage", width=128, height=128, batch_size=1),
        **factor,
        "add": node(
            "ControlStackAdd",
            **{"control_net": ["net", 0], "image": ["pose", 0], "strength": 1.0},
            **{"start_percent": 0.0, "end_percent": 1.0},
            **({"factor": ["factor", 0]} if factor else {}),
            **add,
        ),
        "stack": node("ControlStackApply", model=["model", 0], stack=["add", 0]),
    }


def given(latent: str) -> dict[str, Any]:
    """What a sampler is wired to."""
    wired = {"positive": ["yes", 0], "negative": ["no", 0], "latent_image": [latent, 0]}
    return {"model": ["stack", 0], **wired}


def whole() -> Nodes:
    """All steps by one sampler."""
    return {
        "last": node("KSampler", seed=7, steps=STEPS, denoise=1.0, **SAMPLING, **given("empty"))
    }


def windows(cut: int) -> Nodes:
    """The same by two of the advanced kind."""

    def part(latent: str, first: int, last: int, begins: bool) -> dict[str, Any]:
        words = {True: "enable", False: "disable"}
        return node(
            "KSamplerAdvanced",
            **{"noise_seed": 7, "steps": STEPS, "start_at_step": first, "end_at_step": last},
            add_noise=words[begins],
            return_with_leftover_noise=words[begins],
            **SAMPLING,
            **given(latent),
        )

    return {"first": part("empty", 0, cut, True), "last": part("first", cut, STEPS, False)}


def split(cut: int) -> Nodes:
    """The same by two samplers that are given parts of a schedule."""

    def part(latent: str, slot: int, noise: str) -> dict[str, Any]:
        wired = {"guider": ["guider", 0], "sampler": ["euler", 0], "sigmas": ["parts", slot]}
        return node("SamplerCustomAdvanced", noise=[noise, 0], latent_image=[latent, 0], **wired)

    guided = {key: value for key, value in given("empty").items() if key != "latent_image"}
    return {
        "parts": node("SplitSigmas", sigmas=["sigmas", 0], step=cut),
        "noise": node("RandomNoise", noise_seed=7),
        "none": node("DisableNoise"),
        "euler": node("KSamplerSelect", sampler_name="euler"),
        "guider": node("CFGGuider", cfg=5.0, **guided),
        "first": part("empty", 0, "noise"),
        "last": part("first", 1, "none"),
    }


def sigmas() -> Nodes:
    """The whole schedule, as the host's node gives it."""
    return {
        "sigmas": node(
            "BasicScheduler", model=["model", 0], scheduler="normal", steps=STEPS, denoise=1.0
        )
    }


def steps(first: int, last: int, **more: Any) -> Nodes:
    """Control Steps."""
    return {"factor": node("ControlStackSteps", first=first, last=last, **more)}


def drawn(server: Server, graph: Nodes, folder: Path) -> Pixels:
    """The picture."""
    saved = {
        "decoded": node("VAEDecode", samples=["last", 0], vae=["model", 2]),
        "save": node("SaveImage", images=["decoded", 0], filename_prefix="factors"),
    }
    file = folder / "prompt.json"
    file.write_text(json.dumps({**graph, **saved}))
    return pictures(server, server.run(load_workflow(file, default_registry())))[-1]


@pytest.mark.parametrize("cut", [1, 3])
def test_steps_are_counted_over_windows_and_split_schedules(
    demo_server: Server, cut: int, tmp_path: Path
) -> None:
    one = drawn(demo_server, {**controlled(steps(0, 2)), **whole()}, tmp_path)
    two = drawn(demo_server, {**controlled(steps(0, 2)), **windows(cut)}, tmp_path)
    counted = {**sigmas(), **steps(0, 2, sigmas=["sigmas", 0])}
    three = drawn(demo_server, {**controlled(counted), **split(cut)}, tmp_path)
    wrong = drawn(demo_server, {**controlled(steps(0, 1)), **whole()}, tmp_path)
    found = [psnr(one, other) for other in (two, three, wrong)]
    print(found)  # shown by -s
    assert min(found[:2]) > 50
    assert found[2] < 35


def test_the_hosts_curve_is_a_curve_over_percent(demo_server: Server, tmp_path: Path) -> None:
    if "CurveEditor" not in demo_server.get("/object_info").json:
        pytest.skip("this ComfyUI has no Curve Editor")
    raw = {"points": [[0.0, 1.0], [1.0, 0.0]], "interpolation": "linear"}
    settings = {"preset": "fade out", "points": "", "between": "linear", "over": "percent"}
    own = {"factor": node("ControlStackCurve", **settings)}
    theirs = {
        "drawn": node("CurveEditor", curve=raw),
        "factor": node("ControlStackCurve", **{**settings, "preset": "points"}, curve=["drawn", 0]),
    }
    one, two = (drawn(demo_server, {**controlled(f), **whole()}, tmp_path) for f in (own, theirs))
    assert psnr(one, two) > 50
    plain = drawn(demo_server, {**controlled({}), **whole()}, tmp_path)
    assert not np.array_equal(one, plain)
