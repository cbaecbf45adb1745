"""Control Timeline in the real ComfyUI: its noise levels are the core's, its table is the run's."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from controlstack.headless.graph.model import Link, Node
from controlstack.headless.sampling.flow_sampling import FlowSampling
from controlstack.headless.sampling.schedules import SCHEDULES, schedule
from controlstack.hosts.comfy.host import ComfyHost
from controlstack.inspection.timeline import Timeline
from controlstack.model_patch.call import Call
from controlstack.model_patch.curve import Curve
from controlstack.model_patch.factors import Sides, StepSpan
from controlstack.model_patch.patch import patch
from controlstack.model_patch.schedule import Schedule
from controlstack.model_patch.source import OfNet
from tests.comfyui import shipped, small
from tests.comfyui.parity import call
from tests.comfyui.server import Server

EXTRA = "comfy_extras.nodes_custom_sampler"
STEPS = 4


@pytest.mark.parametrize("denoise", [1.0, 0.55, 0.0])
def test_noise_levels_are_basic_scheduler_s(comfy: ModuleType, denoise: float) -> None:
    model, own = small.base(), ComfyHost()
    assert set(SCHEDULES) <= set(own.schedulers())
    for name in own.schedulers():
        given: Any = {"model": model, "scheduler": name, "steps": 7, "denoise": denoise}
        core = call(EXTRA, "BasicScheduler", **given)
        core = core[0] if isinstance(core, tuple) else core
        assert torch.equal(own.sigmas(**given), core), name


@pytest.mark.parametrize(
    ("kind", "shift", "ours"),
    [
        ("ModelSamplingDiscreteFlow", 3.0, FlowSampling(3.0)),
        ("ModelSamplingFlux", 1.15, FlowSampling(1.15, exponential=True)),
    ],
)
def test_schedules_of_flow_models_without_the_model(
    comfy: ModuleType, kind: str, shift: float, ours: Any
) -> None:
    """What `controlstack plan` takes for SD 3 and Flux."""
    import comfy.model_sampling
    import comfy.samplers

    core = getattr(comfy.model_sampling, kind)()
    core.set_parameters(shift=shift)
    for percent in (0.0, 0.2, 0.5, 0.9, 1.0):
        assert ours.percent_to_sigma(percent) == pytest.approx(core.percent_to_sigma(percent))
    for name in SCHEDULES:
        levels = comfy.samplers.calculate_sigmas(core, name, 9)
        torch.testing.assert_close(schedule(name, ours, 9), levels, atol=1e-5, rtol=1e-4)


def test_the_table_is_what_a_run_does(comfy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: Counter[tuple[str, float, int]] = Counter()
    real = OfNet.__call__

    def counting(self: OfNet, asked: Call, strength: float) -> Any:
        counted[self._control.name, round(asked.sigma, 4), len(asked.rows)] += 1
        return real(self, asked, strength)

    monkeypatch.setattr(OfNet, "__call__", counting)
    lines = [small.Line(small.net(1), small.hint(1), end=0.4)] + [
        small.Line(small.net(1), small.hint(i)) for i in (2, 3)
    ]
    first, second, third = small.stack(*lines)
    pulse = Curve(((0.0, 0.0), (1.0, 1.0), (2.0, 0.0)), "stepped", "steps")
    stack = (
        first,
        replace(second, also=(StepSpan(1, 3), Sides(1.0, 0.0))),
        replace(third, also=(pulse,)),
    )
    model = small.base()
    small.sample(patch(model, stack), steps=STEPS)

    levels = tuple(ComfyHost().sigmas(model, "normal", STEPS, 1.0).tolist())
    plan = Timeline.of(stack, Schedule(model.model.model_sampling, levels))
    assert set(counted) == {
        (line.name, round(level, 4), round(2 * line.rows))
        for line in plan.lines
        for strength, level in zip(line.strengths, levels, strict=False)
        if strength
    }
    assert set(counted.values()) == {1}


def test_the_node_in_a_graph(server: Server) -> None:
    """The picture on the node and among the outputs, the JSON as text."""
    graph = shipped.small("stack_pose_depth")
    model, apply = (shipped.only(graph, n) for n in ("CheckpointLoaderSimple", "ControlStackApply"))
    stack = graph.nodes[apply].inputs["stack"]
    sampler = graph.nodes[shipped.only(graph, "KSampler")].inputs
    given = {"model": Link(model, 0), "stack": stack, "denoise": 0.6}
    given |= {"steps": 9, "scheduler": sampler["scheduler"]}
    nodes = {
        **graph.nodes,
        "900": Node("900", "ControlStackTimeline", given),
        "901": Node("901", "PreviewAny", {"source": Link("900", 1)}),
        "902": Node("902", "PreviewImage", {"images": Link("900", 0)}),
    }
    outputs = {shipped.only(graph, "SaveImage")}  # the timeline samples nothing
    run = server.run(replace(graph, nodes={k: n for k, n in nodes.items() if k not in outputs}))

    assert shipped.only(graph, "KSampler") not in {told["node"] for told in run.of("executing")}
    (shown,), (previewed,) = (run.outputs[key]["images"] for key in ("900", "902"))
    with (
        Image.open(io.BytesIO(server.picture(shown))) as one,
        Image.open(io.BytesIO(server.picture(previewed))) as other,
    ):
        assert one.convert("RGB").tobytes() == other.convert("RGB").tobytes()
    told = json.loads("".join(run.outputs["901"]["text"]))
    assert told["steps"] == {"first": 0, "last": 9, "total": 9}
    assert [line["net"]["cost_by"] for line in told["controls"]] == ["weights"] * 2
    assert all(line["net"]["runs"] == 9 for line in told["controls"])
    assert all("safetensors" in line["name"] for line in told["controls"])
