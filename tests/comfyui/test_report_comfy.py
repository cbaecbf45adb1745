"""Control Report through the server: what a run in ComfyUI leaves on its MODEL."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from PIL import Image

from controlstack.headless.graph.model import Graph, Link, Node
from tests.comfyui import shipped
from tests.comfyui.server import Server

SHOWN = "900"


def graph_of(name: str, prefix: str, *, record: bool = True) -> Graph:
    """A shipped workflow, made small, with a Control Report at its sampler."""
    graph = shipped.with_values(shipped.small(name), "SaveImage", "filename_prefix", prefix)
    apply, sampler = (shipped.only(graph, kind) for kind in ("ControlStackApply", "KSampler"))
    decode = shipped.only(graph, "VAEDecode")
    wires = {"model": Link(apply, 0), "latent": Link(sampler, 0), "image": Link(decode, 0)}
    inputs = {**graph.nodes[apply].inputs, "record": record}
    nodes = {
        **graph.nodes,
        apply: replace(graph.nodes[apply], inputs=inputs),
        SHOWN: Node(SHOWN, "ControlStackReport", wires),
        "901": Node("901", "PreviewAny", {"source": Link(SHOWN, 1)}),
    }
    return replace(graph, nodes=nodes)


def figures(outputs: Mapping[str, Any]) -> Any:
    (text,) = outputs["901"]["text"]
    return json.loads(text)


def pixels(server: Server, outputs: Mapping[str, Any], node: str) -> bytes:
    (named,) = outputs[node]["images"]
    with Image.open(io.BytesIO(server.picture(named))) as picture:
        return picture.tobytes()


def test_a_run_is_reported(server: Server) -> None:
    name = "stack_pose_depth"
    graph = graph_of(name, "report")
    save = shipped.only(graph, "SaveImage")

    run = server.run(graph)

    (told,) = figures(run.outputs)["runs"]
    assert told["sizes_are"] == "shares of the features"
    assert told["steps"] == {"first": 0, "end": shipped.STEPS, "of": shipped.STEPS}
    assert [len(one["causes"]) for one in told["controls"]] == [0, 0]
    for control in told["controls"]:
        assert control["size"] > 0
        assert min(map(min, control["sizes"])) > 0
        assert all(control["size_by_side"].values())
        assert control["sentence"] in run.outputs[SHOWN]["text"]
    assert len(told["pairs"]) == 1
    assert pixels(server, run.outputs, SHOWN)

    plain = server.run(graph_of(name, "unreported", record=False))
    assert pixels(server, plain.outputs, save) == pixels(server, run.outputs, save)
    assert figures(plain.outputs)["runs"] == []
    assert "switch record on" in plain.outputs[SHOWN]["text"][0]


def test_a_sampler_that_was_cached_is_still_reported(server: Server) -> None:
    graph = graph_of("pose", "cached")
    first = server.run(graph)
    wires = dict(graph.nodes[SHOWN].inputs)
    del wires["image"]
    again = replace(graph, nodes={**graph.nodes, SHOWN: replace(graph.nodes[SHOWN], inputs=wires)})

    second = server.run(again)

    assert not second.of("progress")
    assert figures(second.outputs) == figures(first.outputs)
