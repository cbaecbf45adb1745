"""Control Sweep in the real ComfyUI: one run, a picture a value, the embedded host's sheet."""

from __future__ import annotations

from pathlib import Path

from controlstack.demo.models import scale_factor, scaled
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import load_workflow
from tests.comfyui import shipped
from tests.comfyui.server import Server
from tests.comfyui.test_demo_models import SAME_DECIBELS, embedded, pictures, psnr
from tests.sweep_graph import with_sweep

STEPS = 4


def test_both_hosts_draw_the_same_sheet(demo_server: Server, tmp_path: Path) -> None:
    registry = default_registry()
    graph = load_workflow(shipped.WORKFLOWS / "canny.json", registry)
    graph = with_sweep(shipped.with_values(graph, "KSampler", "steps", STEPS, registry))

    run = demo_server.run(scaled(graph, registry, scale_factor(graph)))

    (theirs,), (ours,) = pictures(demo_server, run), embedded(graph, tmp_path)
    assert theirs.shape == ours.shape
    assert ours.shape[0] > 1.5 * ours.shape[1], "two across, three down"
    decibels = psnr(theirs, ours)
    print(f"{decibels:.1f} dB")  # shown by -s
    assert decibels > SAME_DECIBELS
    # The sampler ran once in the queue, and drew six pictures.
    sampler = shipped.only(graph, "KSampler")
    assert [told["node"] for told in run.of("executing")].count(sampler) == 1
