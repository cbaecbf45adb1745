"""Over the wire: every shipped workflow, what the server says of our nodes, and bad input."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from controlstack import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from controlstack.headless.graph.model import Graph
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import load_workflow, read_workflow
from controlstack.hosts import host
from controlstack.nodes import preset_nodes
from controlstack.nodes.hints import NODE_CLASS_MAPPINGS as HINTS
from tests.comfyui import shipped
from tests.comfyui.server import JPEG, PACK, Answer, Run, Server
from tests.workflows.names import ALL


@pytest.mark.parametrize("node_type", NODE_CLASS_MAPPINGS)
def test_a_node_is_told_as_its_class_says(
    server: Server, node_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"controlnet": shipped.control_net_names(), "model_patches": []}
    monkeypatch.setattr(host, "names", files.__getitem__)
    monkeypatch.setattr(host, "is_running", lambda: False)  # there are no weights for hints
    sampler = server.get("/object_info/KSampler").json["KSampler"]["input"]["required"]
    monkeypatch.setattr(host, "schedulers", lambda: sampler["scheduler"][0])
    saved = (server.base / "output" / "controlstack" / "presets").glob("*.json")
    monkeypatch.setattr(preset_nodes, "_files", lambda: sorted(path.name for path in saved))
    cls: Any = NODE_CLASS_MAPPINGS[node_type]

    told = server.get(f"/object_info/{node_type}").json[node_type]

    assert told["input"] == json.loads(json.dumps(cls.INPUT_TYPES()))
    assert told["output"] == list(cls.RETURN_TYPES)
    assert told["output_name"] == list(cls.RETURN_NAMES)
    assert told["output_tooltips"] == list(cls.OUTPUT_TOOLTIPS)
    assert told["display_name"] == NODE_DISPLAY_NAME_MAPPINGS[node_type]
    assert told["description"] == cls.DESCRIPTION
    assert told["category"] == cls.CATEGORY
    if "search_aliases" in told:  # newer hosts
        assert told["search_aliases"] == list(cls.SEARCH_ALIASES)
    assert told["python_module"] == f"custom_nodes.{PACK}"


@pytest.mark.parametrize(("node_type", "field", "fits"), shipped.LOADER_S_WIRES)
def test_a_loader_s_output_is_of_either_type(
    server: Server, node_type: str, field: str, fits: bool
) -> None:
    if not server.get(f"/object_info/{node_type}").json:
        pytest.skip(f"this ComfyUI has no {node_type}")
    net = {"control_net_name": shipped.control_net_names()[0]}
    prompt = {
        "1": {"class_type": "ControlStackLoader", "inputs": net},
        "2": {"class_type": node_type, "inputs": {field: ["1", 0]}},
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}},
    }
    errors = server.post("/prompt", {"prompt": prompt}).json["node_errors"]
    assert "1" not in errors
    found = {e["extra_info"]["input_name"]: e["type"] for e in errors["2"]["errors"]}
    assert "required_input_missing" in found.values()  # it was looked at
    assert found.get(field) == (None if fits else "return_type_mismatch")


def test_the_templates_are_our_workflows_with_their_pictures(server: Server) -> None:
    listed = server.get("/workflow_templates").json

    assert sorted(listed[PACK]) == ALL
    for name in ALL:
        for suffix, kind in ((".json", "application/json"), (".jpg", "image/jpeg")):
            path = shipped.WORKFLOWS / f"{name}{suffix}"
            served = server.get(f"/api/workflow_templates/{PACK}/{path.name}")
            assert (served.status, served.kind) == (200, kind)
            assert served.body == path.read_bytes()


@pytest.mark.parametrize("name", shipped.NAMES)
def test_a_shipped_workflow_runs(server: Server, name: str, tmp_path: Path) -> None:
    graph = shipped.small(name)

    run = server.run(fresh(graph, name))

    assert run.kinds[0] == "execution_start"
    assert run.kinds[-2:] == ["execution_success", "executing"]
    times = 6 if name == "control_sweep" else 1
    for sampler in of_type(graph, "KSampler"):
        told = [event for event in run.of("progress") if event["node"] == sampler]
        assert [event["value"] for event in told] == [*range(1, shipped.STEPS + 1)] * times
        assert {event["max"] for event in told} == {shipped.STEPS}
    assert len(run.previews) == shipped.STEPS * len(of_type(graph, "KSampler")) * times
    assert all(preview.startswith(JPEG) for preview in run.previews)
    shown = {event["node"] for event in run.of("executed")}
    registry = default_registry()
    outputs = {
        node.id
        for node in graph.nodes.values()
        if getattr(registry.spec(node.type).cls, "OUTPUT_NODE", False)
    }
    assert outputs <= shown
    assert {graph.nodes[node].type for node in shown - outputs} <= {*HINTS, "ControlStackRows"}
    for node in of_type(graph, "SaveImage"):
        check_picture(server, run, node, fresh(graph, name), tmp_path)


def check_picture(server: Server, run: Run, node: str, sent: Graph, folder: Path) -> None:
    """The saved picture is one, and both workflows in it are the one that was sent."""
    (named,) = run.outputs[node]["images"]
    path = folder / named["filename"]
    path.write_bytes(server.picture(named))
    with Image.open(path) as picture:
        sheet = "ControlStackSweepSheet" in {one.type for one in sent.nodes.values()}
        assert picture.size == ((892, 871) if sheet else (shipped.SIDE, shipped.SIDE))
        assert max(high - low for low, high in picture.getextrema()) > 0
        canvas = json.loads(picture.info["workflow"])
    assert canvas == sent.workflow
    assert load_workflow(path, default_registry()).nodes == sent.nodes
    again = read_workflow(canvas, default_registry(), "canvas")
    assert {key: held.inputs for key, held in again.nodes.items()} == {
        key: held.inputs for key, held in sent.nodes.items()
    }


def test_the_same_again_is_not_computed_again(server: Server) -> None:
    graph = fresh(shipped.small("pose"), "the same again")
    server.run(graph)

    again = server.run(graph)

    assert set(again.of("execution_cached")[0]["nodes"]) == set(graph.nodes)
    assert not again.of("progress")
    assert [event["node"] for event in again.of("executing")] == [None]


def test_another_strength_computes_only_what_follows_it(server: Server) -> None:
    graph = fresh(shipped.small("pose"), "another strength")
    server.run(graph)

    again = server.run(shipped.with_values(graph, "ControlStackAdd", "strength", 0.5))

    computed = {event["node"] for event in again.of("executing")} - {None}
    assert {graph.nodes[node].type for node in computed} == {
        *("ControlStackAdd", "ControlStackApply", "KSampler", "VAEDecode", "SaveImage")
    }


def test_after_an_interrupted_run_the_next_one_is_right(server: Server) -> None:
    graph = fresh(shipped.small("stack_pose_depth"), "interrupt")
    sampler = shipped.only(graph, "KSampler")
    before = pixels(server, server.run(graph))

    long = shipped.with_values(graph, "KSampler", "steps", 1000)
    stopped = server.run(
        long, lambda kind, _: kind == "progress" and server.post("/interrupt", {}) and None
    )
    after = server.run(graph)

    (told,) = stopped.of("execution_interrupted")
    assert told["node_id"] == sampler
    assert 1 <= len(stopped.of("progress")) < 1000
    assert sampler not in after.of("execution_cached")[0]["nodes"]
    assert pixels(server, after) == before


REFUSED = [
    ("pose", "ControlStackLoader", "control_net_name", "none.safetensors", "none.safetensors is"),
    ("pose", "ControlStackLoader", "control_net_name", "../../x.safetensors", "leaves its folder"),
    ("pose", "ControlStackAdd", "strength", 11, "bigger than max"),
    ("pose", "ControlStackAdd", "strength", -0.1, "smaller than min"),
    ("pose", "ControlStackAdd", "strength", "strong", "convert"),
    ("pose", "ControlStackAdd", "end_percent", 1.5, "bigger than max"),
    ("pose", "ControlStackAdd", "mode", "loudest", "not in list"),
    ("pose", "ControlStackAdd", "control_net", ["1", 0], "mismatch"),
    ("pose", "ControlStackApply", "model", None, "missing"),
    ("pose", "ControlStackDrawPose", "pose_json", "{", "JSON"),
    ("pose", "ControlStackDrawPose", "width", 0, "smaller than min"),
    ("canny", "ControlStackCanny", "low_threshold", 201, "threshold"),
]


@pytest.mark.parametrize(("name", "node_type", "field", "value", "sentence"), REFUSED)
def test_bad_input_is_refused_with_its_node(
    server: Server, name: str, node_type: str, field: str, value: object, sentence: str
) -> None:
    graph = shipped.small(name)
    node = shipped.only(graph, node_type)

    answer = refused(server, graph, node, field, value)

    assert answer.status == 400
    told = answer.json["node_errors"]
    assert list(told) == [node]
    assert told[node]["class_type"] == node_type
    # More than one where a node judges fields together: the server repeats it for each of them.
    for error in told[node]["errors"]:
        assert sentence in f"{error['message']} {error['details']}"


def refused(server: Server, graph: Graph, node: str, field: str, value: object) -> Answer:
    """What /prompt says when `field` of `node` is `value`, None for not given.

    Without previews: the server would run those that do not need the bad node.
    """
    prompt: dict[str, Any] = graph.prompt()
    prompt = {key: held for key, held in prompt.items() if held["class_type"] != "PreviewImage"}
    if value is None:
        del prompt[node]["inputs"][field]
    else:
        prompt[node]["inputs"][field] = value
    return server.post("/prompt", {"prompt": prompt, "client_id": server.client})


def test_a_checkpoint_among_the_control_nets_is_refused(server: Server) -> None:
    graph = shipped.small("pose")
    node = shipped.only(graph, "ControlStackLoader")
    (checkpoint,) = (server.base / "models" / "checkpoints").iterdir()
    wrong = server.base / "models" / "controlnet" / "wrong.safetensors"
    wrong.symlink_to(checkpoint)
    try:
        answer = refused(server, graph, node, "control_net_name", wrong.name)
    finally:
        wrong.unlink()

    assert answer.status == 400
    (error,) = answer.json["node_errors"][node]["errors"]
    assert f"{wrong.name} is a whole checkpoint, not a ControlNet" in error["details"]


def fresh(graph: Graph, name: str) -> Graph:
    """`graph` with a seed of its own, so that no other test's result is in the cache."""
    seed = sum(name.encode())
    if of_type(graph, "ControlStackSweep"):  # the sampler's are wired to it
        two = f"{seed}..{seed + 1}"
        return shipped.with_values(graph, "ControlStackSweep", "second_values", two)
    return shipped.with_values(graph, "KSampler", "seed", seed)


def of_type(graph: Graph, node_type: str) -> list[str]:
    """The ids of all nodes of one type."""
    return [node.id for node in graph.nodes.values() if node.type == node_type]


def pixels(server: Server, run: Run) -> bytes:
    """The one saved picture of a run, decoded."""
    (named,) = (
        image
        for output in run.outputs.values()
        for image in output["images"]
        if image["type"] == "output"
    )
    with Image.open(io.BytesIO(server.picture(named))) as picture:
        return picture.tobytes()
