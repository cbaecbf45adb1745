"""A stranger's workflow on the demo models: what is led through, and what stands in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controlstack.demo.fitting import fitted
from controlstack.demo.models import WEIGHTS, aliases, stand_ins
from controlstack.headless import folders, host
from controlstack.headless.graph.model import Graph, Json, Link, Node
from controlstack.headless.graph.registry import default_registry

REGISTRY = default_registry()
NET = "ControlNetLoader"


def graph_of(**nodes: tuple[str, dict[str, Json | Link]]) -> Graph:
    return Graph({key: Node(key, kind, inputs) for key, (kind, inputs) in nodes.items()})


def fit(graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with host.use(folders.Folders((tmp_path,), (tmp_path,), tmp_path, tmp_path)):
        return fitted(graph, REGISTRY)


def test_loras_in_a_row_are_bypassed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lora: dict[str, Json] = {"lora_name": "a.safetensors", "strength_model": 1.0}
    graph = graph_of(
        base=("CheckpointLoaderSimple", {"ckpt_name": "a"}),
        one=("LoraLoader", {**lora, "model": Link("base", 0), "clip": Link("base", 1)}),
        two=("LoraLoader", {**lora, "model": Link("one", 0), "clip": Link("one", 1)}),
        three=("LoraLoaderModelOnly", {**lora, "model": Link("two", 0)}),
        text=("CLIPTextEncode", {"clip": Link("two", 1), "text": "x"}),
        sampler=("KSampler", {"model": Link("three", 0)}),
    )
    made = fit(graph, tmp_path, monkeypatch)
    assert set(made.nodes) == {"base", "text", "sampler"}
    assert made.nodes["text"].inputs["clip"] == Link("base", 1)
    assert made.nodes["sampler"].inputs["model"] == Link("base", 0)
    assert made.notes == (
        "node one (LoraLoader) is bypassed: the demo has no LoRA",
        "node two (LoraLoader) is bypassed: the demo has no LoRA",
        "node three (LoraLoaderModelOnly) is bypassed: the demo has no LoRA",
    )


def test_the_canvas_shows_what_is_bypassed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Json] = [{"id": 7, "type": "LoraLoaderModelOnly", "mode": 0}, {"id": 8, "mode": 0}]
    nodes = {
        "7": Node("7", "LoraLoaderModelOnly", {"model": Link("8", 0)}),
        "8": Node("8", "CheckpointLoaderSimple", {}),
    }
    made = fit(Graph(nodes, {"nodes": drawn, "x": 1}), tmp_path, monkeypatch)
    assert made.workflow == {"nodes": [{**nodes_of(drawn)[0], "mode": 4}, drawn[1]], "x": 1}
    inner = {"1:7": Node("1:7", "LoraLoaderModelOnly", {"model": Link("8", 0)}), "8": nodes["8"]}
    assert fit(Graph(inner, {"nodes": drawn}), tmp_path, monkeypatch).workflow is None


def nodes_of(drawn: list[Json]) -> list[dict[str, Json]]:
    return [one for one in drawn if isinstance(one, dict)]


def test_an_upscale_model_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(
        net=("UpscaleModelLoader", {"model_name": "x4.pth"}),
        load=("LoadImage", {"image": "a.png"}),
        up=("ImageUpscaleWithModel", {"upscale_model": Link("net", 0), "image": Link("load", 0)}),
        save=("SaveImage", {"images": Link("up", 0)}),
    )
    made = fit(graph, tmp_path, monkeypatch)
    assert set(made.nodes) == {"load", "save"}
    assert made.notes == (
        "node up (ImageUpscaleWithModel) is bypassed: there is no upscale model 'x4.pth'",
    )
    (tmp_path / "upscale_models").mkdir()
    (tmp_path / "upscale_models" / "x4.pth").write_bytes(b"x")
    assert fit(graph, tmp_path, monkeypatch).nodes == graph.nodes


@pytest.mark.parametrize(
    ("kind", "becomes", "said"),
    [
        ("ControlStackHed", "ControlStackCanny", "Canny Hint stands in for node hint"),
        ("ControlStackPoseOpenpose", "ControlStackPoseBody", "Whole Body Pose Hint stands in for"),
        ("ControlStackDepth", None, "bypassed: its network is not here, and the picture itself"),
        ("ControlStackCanny", "ControlStackCanny", ""),
        ("ControlStackPoseBody", "ControlStackPoseBody", ""),
    ],
)
def test_hints_whose_network_is_not_here(
    kind: str, becomes: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(
        load=("LoadImage", {"image": "a.png"}),
        hint=(kind, {"image": Link("load", 0), "width": 512, "height": 512, "resolution": 512}),
        apply=("ControlNetApply", {"image": Link("hint", 0)}),
    )
    made = fit(graph, tmp_path, monkeypatch)
    if becomes is None:
        assert made.nodes["apply"].inputs["image"] == Link("load", 0)
    else:
        assert made.nodes["hint"].type == becomes
        assert made.nodes["hint"].inputs["width"] == 512
    assert (said in made.notes[0]) if said else made.notes == ()


@pytest.mark.parametrize(
    ("file", "kind", "why"),
    [
        ("control_v11p_sd15_canny_fp16.safetensors", "canny", ""),
        ("My-Pose.safetensors", "pose", ""),
        ("control_v11p_sd15_lineart.pth", "canny", "its name tells the kind of hint"),
        ("control_v11p_sd15_scribble.pth", "canny", "its name tells the kind of hint"),
        ("control_v11p_sd15_softedge.pth", "canny", "its name tells the kind of hint"),
        ("control_v11p_sd15_normalbae.pth", "depth", "its name tells the kind of hint"),
        ("control_v11p_sd15_seg.pth", "depth", "its name tells the kind of hint"),
        ("control_v11f1e_sd15_tile.pth", "depth", "its name tells the kind of hint"),
        ("mystery.pth", "canny", "neither its name nor its hint tells a kind"),
    ],
)
def test_a_net_by_its_name(file: str, kind: str, why: str) -> None:
    graph = graph_of(net=(NET, {"control_net_name": file}))
    found = stand_ins(graph, REGISTRY)[file]
    assert (found.kind, found.why) == (kind, why)
    assert aliases(graph, REGISTRY) == {"controlnet": {file: WEIGHTS / f"controlnet-{kind}"}}


@pytest.mark.parametrize(
    ("hint", "kind", "why"),
    [
        (("ControlStackDepth", {}), "depth", "its hint is made by node hint (ControlStackDepth)"),
        (("ControlStackDrawPose", {}), "pose", "its hint is made by node hint"),
        (("Canny", {}), "canny", "its hint comes from node hint (Canny)"),
        (("LoadImage", {"image": "my_depth_map.png"}), "depth", "its hint comes from node hint"),
        (("EmptyImage", {}), "canny", "neither its name"),
    ],
)
def test_a_net_by_its_hint(hint: tuple[str, dict[str, Any]], kind: str, why: str) -> None:
    graph = graph_of(
        net=(NET, {"control_net_name": "net.pth"}),
        hint=hint,
        scale=("ImageScale", {"image": Link("hint", 0)}),
        apply=("ControlNetApply", {"control_net": Link("net", 0), "image": Link("scale", 0)}),
    )
    found = stand_ins(graph, REGISTRY)["net.pth"]
    assert found.kind == kind
    assert found.why.startswith(why)


def test_a_union_net_is_a_net_of_each_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net: dict[str, Json | Link] = {"control_net": Link("net", 0)}
    row = {"on": True, "file": "union.pth", "union_type": "openpose"}
    graph = graph_of(
        net=(NET, {"control_net_name": "union.pth"}),
        typed=("SetUnionControlNetType", {**net, "type": "depth"}),
        free=("SetUnionControlNetType", {**net, "type": "auto"}),
        add=("ControlStackAdd", {**net, "union_type": "openpose", "inpaint_mask": Link("m", 0)}),
        rows=("ControlStackRows", {"controls": {"version": 1, "rows": [row]}}),
        one=("ControlNetApply", {"control_net": Link("typed", 0)}),
        two=("ControlNetApply", {"control_net": Link("free", 0)}),
    )
    made = fit(graph, tmp_path, monkeypatch)
    assert made.nodes["one"].inputs["control_net"] == Link("typed", 0)
    assert made.nodes["two"].inputs["control_net"] == Link("net", 0)
    added = made.nodes["add"].inputs
    assert added == {"control_net": Link("add-net", 0), "union_type": "auto"}
    kinds = {name: one.kind for name, one in stand_ins(made, REGISTRY).items()}
    assert kinds == {
        "union.pth": "canny",
        "depth of union.pth": "depth",
        "openpose of union.pth": "pose",
    }
    assert all("the demo has no" in note for note in made.notes)
    assert len(made.notes) == 5
    assert fit(made, tmp_path, monkeypatch).nodes == made.nodes
