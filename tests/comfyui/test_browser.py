"""In the real front end: the shipped workflows from the templates, run, saved, run elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from controlstack.cli.app import app
from controlstack.headless.graph.model import Graph
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import load_workflow, read_workflow
from tests.comfyui import shipped
from tests.comfyui.browser import MISSING, VUE_NODES, Page, browsing
from tests.comfyui.server import PACK, Server

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Page]:
    """The server's page, as somebody sees it who has been here before: no dialog greets."""
    assert server.post("/settings/Comfy.TutorialCompleted", True).status == 200
    with browsing() as opened:
        opened.open(server.url, "ControlStackApply")
        opened.complaints(PACK)  # the front end's own while it starts
        yield opened


@pytest.mark.parametrize("name", shipped.NAMES)
def test_a_template_opens_whole_and_runs(
    server: Server, page: Page, name: str, tmp_path: Path
) -> None:
    path = shipped.WORKFLOWS / f"{name}.json"
    graph = load_workflow(path, default_registry())

    page.open_template(PACK, name, len(json.loads(path.read_text())["nodes"]))

    check_canvas(page, graph)
    for node_type, values in shipped.SMALL.items():
        if node_type in types(graph):
            for field, value in values.items():
                page.fill(node_type, field, value)
    nodes = [n.id for n in graph.nodes.values() if n.type in ("SaveImage", "PreviewImage")]
    for address in page.run(nodes):
        answer = server.get(address.removeprefix(server.url))
        assert (answer.status, answer.kind.split("/")[0]) == (200, "image")
    page.screenshot(tmp_path / f"{name}.png")
    assert page.broken_nodes() == []
    assert page.complaints(PACK) == []


def check_canvas(page: Page, graph: Graph) -> None:
    """Every node known and whole, nothing over another, nothing missing; and read as we read it."""
    registry = default_registry()
    canvas, api = page.saved()

    assert page.broken_nodes() == []
    assert page.overlaps() == []
    assert "missing" not in page.text().lower()
    for node_type, names in page.fields():
        if node_type in registry:
            expected = {field.name for field in registry.spec(node_type).widgets}
            assert expected <= set(names), node_type
    assert inputs(read_workflow(api, registry, "exported")) == inputs(graph)
    assert inputs(read_workflow(canvas, registry, "saved")) == inputs(graph)


def test_a_graph_saved_from_the_page_runs_without_comfyui(page: Page, tmp_path: Path) -> None:
    shipped_file = shipped.WORKFLOWS / "stack_pose_depth.json"
    page.open_graph(json.loads(shipped_file.read_text()))
    canvas, api = page.saved()
    for name, document in (("canvas", canvas), ("api", api)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))

    expected = picture(shipped_file, tmp_path)

    assert np.array_equal(picture(tmp_path / "canvas.json", tmp_path), expected)
    assert np.array_equal(picture(tmp_path / "api.json", tmp_path), expected)


def test_a_model_that_is_not_there_is_named(server: Server) -> None:
    text = (shipped.WORKFLOWS / "pose.json").read_text()
    named = shipped.control_net_names()[-1]

    with browsing() as page:  # of its own: what says it may lie over the page
        page.open(server.url, "ControlStackApply")
        page.open_graph(json.loads(text.replace(named, "not_there.safetensors")))
        page.until(lambda: "missing" in page.text().lower(), "word of the missing model")
        assert "not_there.safetensors" in page.text()


def test_nodes_drawn_by_vue_have_room(server: Server) -> None:
    server.post(f"/settings/{VUE_NODES}", True)
    try:
        with browsing() as page:
            page.open(server.url, "ControlStackApply")
            for name in shipped.NAMES:
                document = json.loads((shipped.WORKFLOWS / f"{name}.json").read_text())
                page.open_graph(document)
                (core, *_) = (node for node in document["nodes"] if node["type"] == "KSampler")
                if not page.drawn_by_vue() or page.width(core["id"]) != core["size"][0]:
                    pytest.skip("no nodes by Vue here yet, or not of the size that is saved")
                assert page.broken_nodes() == []
                assert page.overlaps() == []
    finally:
        server.post(f"/settings/{VUE_NODES}", False)


@pytest.mark.parametrize(("node_type", "field", "fits"), shipped.LOADER_S_WIRES)
def test_a_loader_s_wire_goes_to_either_kind_of_node(
    page: Page, node_type: str, field: str, fits: bool
) -> None:
    if not page.js("return arguments[0] in LiteGraph.registered_node_types", node_type):
        pytest.skip(f"this ComfyUI has no {node_type}")
    page.js(
        "app.graph.clear();"
        "const made = ['ControlStackLoader', arguments[0]].map(t => LiteGraph.createNode(t));"
        "made.forEach(n => app.graph.add(n));"
        "made[0].connect(0, made[1], made[1].inputs.findIndex(i => i.name === arguments[1]))",
        *(node_type, field),
    )
    _, api = page.saved()
    loader, node = sorted(api, key=lambda key: api[key]["class_type"] != "ControlStackLoader")
    assert (api[node]["inputs"].get(field) == [loader, 0]) is fits


def picture(workflow: Path, out: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """What the embedded host makes of `workflow` with the demo models."""
    arguments = ["run", str(workflow), "--demo", "--out", str(out), "--set", "KSampler.steps=3"]
    arguments += ["--input", str(shipped.WORKFLOWS / "input")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    with Image.open(result.stdout.strip()) as image:
        return np.asarray(image)


def inputs(graph: Graph) -> dict[str, Any]:
    """What each node is given, without what only people read."""
    return {key: (node.type, dict(node.inputs)) for key, node in graph.nodes.items()}


def types(graph: Graph) -> set[str]:
    """The types of a graph's nodes."""
    return {node.type for node in graph.nodes.values()}
