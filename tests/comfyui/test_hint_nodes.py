"""The hint nodes in a real ComfyUI: listed, run, cached and refused by its own executor.

Its saved hints are compared with the embedded host's, pixel for pixel.
"""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from controlstack.headless import folders
from controlstack.headless import host as embedded_host
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.model import Graph, Link, Node
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow
from controlstack.hosts.comfy import memory as host_memory
from controlstack.nodes.hints import NODE_CLASS_MAPPINGS as NODES
from controlstack.nodes.hints import WITH_SETTINGS
from controlstack.preprocessors.model_choice import Choice
from controlstack.preprocessors.registry import EXACT, LEARNED, PREPROCESSORS
from tests.comfyui.conftest import comfyui_path, has_dynamic_combos
from tests.comfyui.server import Run, Server, serving
from tests.tiny_depth import tiny_depth_anything

WIDTH, HEIGHT = 96, 64
DEPTH_MODEL = "mine/tiny"
"""A user's own depth model in models/controlstack."""

LATENT = {"class_type": "EmptyLatentImage", "inputs": {"width": 80, "height": 112, "batch_size": 1}}
LOADERS: dict[str, dict[str, Any]] = {
    "photo": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
    "labels": {"class_type": "LoadImage", "inputs": {"image": "labels.png"}},
    "latent": LATENT,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pictures, one of them partly transparent, and a tiny depth model."""
    base = tmp_path_factory.mktemp("hints")
    (base / "input").mkdir()
    noise = np.random.default_rng(0)
    photo = noise.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    picture = Image.fromarray(photo).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    mask = Image.new("L", (WIDTH, HEIGHT), 255)
    mask.paste(0, (20, 10, 60, 40))
    picture.putalpha(mask)
    picture.save(base / "input" / "photo.png")
    labels = noise.integers(0, 150, (HEIGHT, WIDTH), np.uint8)
    # RGB: the Load Image of ComfyUI 0.33.0 makes half of a grey picture's levels darker by one.
    Image.fromarray(labels).convert("RGB").save(base / "input" / "labels.png")
    torch.manual_seed(0)
    tiny_depth_anything(base / "models" / "controlstack" / DEPTH_MODEL)
    return base


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[Server]:
    path = comfyui_path()
    assert path is not None, "a test asked for ComfyUI and was not skipped"
    pytest.importorskip("websocket", reason="install websocket-client to hear what it tells")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(base / "hub"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        with serving(path, base) as running:
            yield running


def graph_of(nodes: Mapping[str, dict[str, Any]]) -> Graph:
    """Hint nodes by their names in the graph, with what they load and where they are saved."""
    saves = {
        f"save {name}": {
            "class_type": "SaveImage",
            "inputs": {"images": [name, 0], "filename_prefix": name},
        }
        for name in nodes
    }
    prompt = {**LOADERS, **nodes, **saves}
    linked = {value[0] for node in prompt.values() for value in links(node)}
    prompt = {key: node for key, node in prompt.items() if key in linked or key in saves}
    return read_workflow(json.loads(json.dumps(prompt)), default_registry(), "test")


def links(node: dict[str, Any]) -> list[list[Any]]:
    return [value for value in node["inputs"].values() if isinstance(value, list)]


def exact_nodes(**further: Any) -> dict[str, dict[str, Any]]:
    """Each exact preprocessor's node, by its name."""
    nodes = {}
    for entry in EXACT:
        inputs: dict[str, Any] = dict(further)
        if entry.takes == "pose":
            words = NODES[entry.node].INPUT_TYPES()["required"]
            inputs |= {name: words[name][1]["default"] for name in ("pose_json", "width", "height")}
        else:
            inputs["image"] = ["labels" if entry.takes == "labels" else "photo", 0]
        if entry.takes == "masked picture":
            inputs["mask"] = ["photo", 1]
        nodes[entry.name] = {"class_type": entry.node, "inputs": inputs}
    return nodes


def saved(server: Server, run: Run) -> dict[str, np.ndarray]:
    """The saved pictures by the name of the node that made them."""
    found = {}
    for node, output in run.outputs.items():
        if not node.startswith("save "):
            continue  # a hint, shown on its node
        for named in output["images"]:
            path = server.base / "output" / named["subfolder"] / named["filename"]
            found[node.removeprefix("save ")] = np.asarray(Image.open(path))
    return found


def embedded(base: Path, graph: Graph, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The same on the embedded host."""
    places = folders.Folders(
        (base / "models",), (base / "input",), base / "embedded", base / "embedded temp"
    )
    registry = default_registry()
    with embedded_host.use(places):
        validate(graph, registry)
        results = Executor(registry).run(graph)
    return {
        node.removeprefix("save "): np.asarray(
            Image.open(base / "embedded" / shown["images"][0]["filename"])
        )
        for node, shown in results.ui.items()
        if node.startswith("save ")
    }


def executed(run: Run) -> set[str]:
    """The nodes that were computed in a run."""
    return {event["node"] for event in run.of("executing")} - {None}


def test_every_hint_node_is_offered_and_knows_the_models_that_are_there(server: Server) -> None:
    told = server.get("/object_info").json
    assert NODES.keys() - told.keys() <= (set() if has_dynamic_combos() else {WITH_SETTINGS})
    choices = told["ControlStackDepth"]["input"]["required"]["model"][0]
    assert choices[0] == DEPTH_MODEL, "what is there comes before what would be downloaded"
    assert len(choices) == 1 + len(PREPROCESSORS["depth"].learning.models)


@pytest.mark.parametrize("sized", ["its picture's size", "the latent's size"])
def test_exact_hints_have_the_embedded_host_s_pixels(
    sized: str, server: Server, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latent = {"latent": ["latent", 0], "fit": "fit"} if sized == "the latent's size" else {}
    graph = graph_of(exact_nodes(**latent))
    theirs = saved(server, server.run(graph))
    ours = embedded(base, graph, monkeypatch)
    assert theirs.keys() == ours.keys() == {entry.name for entry in EXACT}
    for name, hint in theirs.items():
        size = (112, 80) if latent else (512, 512) if name == "pose" else (HEIGHT, WIDTH)
        assert hint.shape == (*size, 3), name
        assert hint.std() > 0, name
        assert np.array_equal(hint, ours[name]), name


def test_a_learned_hint_is_the_embedded_host_s(
    server: Server, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"image": ["photo", 0], "model": DEPTH_MODEL, "latent": ["latent", 0]}
    everywhere = {"image": ["photo", 0], "preprocessor": "depth", "latent": ["latent", 0]}
    graph = graph_of(
        {
            "own": {"class_type": "ControlStackDepth", "inputs": inputs},
            "any": {"class_type": "ControlStackHint", "inputs": everywhere},
        }
    )
    theirs, ours = saved(server, server.run(graph)), embedded(base, graph, monkeypatch)
    assert theirs["own"].shape == (112, 80, 3)
    assert theirs["own"].max() == 255
    assert np.array_equal(theirs["own"], theirs["any"])
    # Another number of threads sums in another order: by a level at most.
    assert np.abs(theirs["own"].astype(int) - ours["own"]).max() <= 1


def test_the_same_hints_again_are_not_made_again(server: Server) -> None:
    nodes = exact_nodes(fit="stretch")
    nodes["depth"] = {
        "class_type": "ControlStackDepth",
        "inputs": {"image": ["photo", 0], "model": DEPTH_MODEL, "fit": "stretch"},
    }
    graph = graph_of(nodes)
    assert set(nodes) <= executed(server.run(graph))
    assert executed(server.run(graph)) == set()
    changed = {**nodes, "canny": {**nodes["canny"], "inputs": dict(nodes["canny"]["inputs"])}}
    changed["canny"]["inputs"]["low_threshold"] = 50
    assert executed(server.run(graph_of(changed))) == {"canny", "save canny"}


def test_every_hint_is_seen_on_its_node(server: Server) -> None:
    run = server.run(graph_of(exact_nodes(fit="fit")))
    for name, picture in saved(server, run).items():
        (named,) = run.outputs[name]["images"]
        assert named["type"] == "temp"
        shown = np.asarray(Image.open(BytesIO(server.picture(named))).convert("RGB"))
        assert np.array_equal(shown, picture), name


def test_a_hint_that_is_not_needed_is_not_made(server: Server) -> None:
    """It is no output node: what is wired to nothing, or to a line that is off, is left out."""
    graph = graph_of(exact_nodes(fit="stretch"))
    spare = Node("spare", "ControlStackTile", {"image": Link("photo", 0), "width": 40})
    run = server.run(Graph({**graph.nodes, "spare": spare}))
    assert "spare" not in executed(run) | run.outputs.keys()


def test_each_picture_of_a_batch_moves_the_bar(server: Server) -> None:
    graph = graph_of(
        {"tile": {"class_type": "ControlStackTile", "inputs": {"image": ["photo", 0]}}}
    )
    # A node that the embedded host does not have.
    three = Node("three", "RepeatImageBatch", {"image": Link("photo", 0), "amount": 3})
    tile = replace(graph.nodes["tile"], inputs={"image": Link("three", 0)})
    answer = server.run(Graph({**graph.nodes, "three": three, "tile": tile}))
    told = [event for event in answer.of("progress") if event["node"] == "tile"]
    steps = [event["value"] for event in told]  # newer hosts leave out what comes too fast
    assert steps[-1] == 3
    assert steps == sorted(set(steps))
    assert {event["max"] for event in told} == {3}


def refusal(server: Server, node_type: str, **inputs: Any) -> str:
    """What /prompt says about a hint node that it refuses."""
    node = {"class_type": node_type, "inputs": {"image": ["photo", 0], **inputs}}
    prompt = {
        "photo": LOADERS["photo"],
        "hint": node,
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["hint", 0], "filename_prefix": "x"},
        },
    }
    answer = server.post("/prompt", {"prompt": prompt, "client_id": server.client})
    assert answer.status == 400, answer.body.decode()
    (error, *_) = answer.json["node_errors"]["hint"]["errors"]
    return f"{error['message']}: {error['details']}"


@pytest.mark.parametrize("entry", LEARNED, ids=lambda entry: entry.name)
def test_missing_weights_are_refused_before_anything_runs(entry: Any, server: Server) -> None:
    model = entry.learning.models[0]
    widgets = NODES[entry.node].INPUT_TYPES()["required"]
    picked = {"model": model.name} if "model" in widgets else {}
    # ComfyUI tells a refusal by the input it is about, and all widgets are sent by its front end.
    told = refusal(server, entry.node, download=False, **picked)
    assert f"https://huggingface.co/{model.repo}" in told
    assert str(server.base / "models" / "controlstack" / model.name) in told
    assert all(file in told for file in model.files)


def test_the_node_for_all_and_unknown_models_are_refused_too(server: Server) -> None:
    assert "7_model.pth" in refusal(server, "ControlStackHint", preprocessor="teed")
    assert "teapot" in refusal(server, "ControlStackHint", preprocessor="teapot")
    assert "has no model teapot" in refusal(server, "ControlStackDepth", model="teapot")


def test_a_broken_model_folder_is_refused_before_anything_runs(server: Server) -> None:
    folder = server.base / "models" / "controlstack" / "broken"
    folder.mkdir()
    try:
        (folder / "config.json").write_text('{"model_type": "depth_anything"}')
        told = refusal(server, "ControlStackDepth", model="broken")
    finally:
        (folder / "config.json").unlink()
        folder.rmdir()
    assert "broken has no preprocessor_config.json" in told


def test_a_network_is_kept_by_its_node_and_goes_with_it(
    comfy: ModuleType, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, where the memory manager and the node can be seen."""
    import comfy.model_management as manager
    import folder_paths

    manager.unload_all_models()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(base / "hub"))
    monkeypatch.setattr(folder_paths, "models_dir", str(base / "models"))
    monkeypatch.delitem(folder_paths.folder_names_and_paths, "controlstack", raising=False)
    loads = []
    load = Choice.load
    monkeypatch.setattr(Choice, "load", lambda choice: loads.append(choice) or load(choice))
    node = NODES["ControlStackDepth"]()
    image = torch.rand(2, 40, 56, 3)
    (first,) = node.make(image=image, model=DEPTH_MODEL)["result"]
    manager.unload_all_models()
    (again,) = node.make(image=image, model=DEPTH_MODEL)["result"]
    assert torch.equal(first, again)
    assert len(loads) == 1
    assert len(manager.current_loaded_models) == 1
    network = weakref.ref(node._model._annotator.networks[0])
    assert network() in host_memory._patchers
    manager.unload_all_models()
    del node
    gc.collect()
    assert network() is None
