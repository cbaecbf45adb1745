"""In the real front end: `stack` is the first socket, links stay right, blueprints open whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controlstack.headless.graph.model import Graph
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import load_workflow, read_workflow
from tests.comfyui.browser import MISSING, Page
from tests.comfyui.server import PACK, Server
from tests.workflows.names import WORKFLOWS
from tools.blueprints import BLUEPRINTS, path_of

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

ADD = "ControlStackAdd"
SHIPPED = WORKFLOWS / "stack_pose_depth.json"

_ENDS = """
const wrong = []
const look = (graph, where) => {
  for (const node of graph.nodes ?? graph._nodes) {
    (node.inputs ?? []).forEach((input, place) => {
      const link = input.link != null && (graph.links.get?.(input.link) ?? graph.links[input.link])
      if (link && link.target_slot !== place) wrong.push(`${where}${node.type}.${input.name}`)
    })
    if (node.subgraph) look(node.subgraph, `${where}${node.id}:`)
  }
}
look(app.graph, '')
return wrong
"""
"""Links that are drawn to another socket than the one they feed."""


def inputs(graph: Graph) -> list[tuple[str, dict[str, Any]]]:
    """What each node gets, whatever its id."""
    return [(node.type, dict(node.inputs)) for _, node in sorted(graph.nodes.items())]


def sockets(page: Page) -> list[list[str]]:
    """The names of each Add ControlNet's sockets from the top."""
    found: list[list[str]] = page.js(
        "return app.graph._nodes.filter(n => n.type === arguments[0])"
        ".map(n => n.inputs.filter(i => !i.widget).map(i => i.name))",
        ADD,
    )
    return found


def test_the_stack_is_the_first_socket_of_saved_graphs_too(page: Page, tmp_path: Path) -> None:
    document = json.loads(SHIPPED.read_text())
    for _ in range(2):  # as it is shipped, then as the page saved it
        page.open_graph(document)
        assert [names[:3] for names in sockets(page)] == [["stack", "control_net", "image"]] * 2
        assert page.js(_ENDS) == []
        document, api = page.saved()
        registry = default_registry()
        expected = inputs(load_workflow(SHIPPED, registry))
        assert inputs(read_workflow(document, registry, "saved")) == expected
        assert inputs(read_workflow(api, registry, "exported")) == expected
    page.screenshot(tmp_path / "slots.png")
    assert page.complaints(PACK) == []


def test_a_copy_keeps_its_wires(page: Page) -> None:
    page.open_graph(json.loads(SHIPPED.read_text()))
    page.js(
        "app.canvas.selectItems(app.graph._nodes.filter(n => n.type === arguments[0]));"
        "app.canvas.copyToClipboard(); app.canvas.pasteFromClipboard({connectInputs: true})",
        ADD,
    )
    page.until(lambda: len(sockets(page)) == 4, "two copies")
    assert page.js(_ENDS) == []
    fed = page.js(
        "return app.graph._nodes.filter(n => n.type === arguments[0])"
        ".map(n => n.getInputNode(n.findInputSlot('stack'))?.type ?? '')",
        ADD,
    )
    assert sorted(fed) == ["", "", ADD, ADD]


@pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=lambda one: one.title)
def test_a_blueprint_opens_whole(page: Page, blueprint: Any, tmp_path: Path) -> None:
    document = json.loads(path_of(blueprint).read_text())
    page.open_graph(document)
    page.screenshot(tmp_path / "blueprint.png")
    assert page.broken_nodes() == []
    assert page.js(_ENDS) == []
    registry = default_registry()
    expected = inputs(read_workflow(document, registry, "blueprint"))
    saved, api = page.saved()
    assert inputs(read_workflow(api, registry, "exported")) == expected
    assert inputs(read_workflow(saved, registry, "saved")) == expected
    assert page.complaints(PACK) == []
    page.js("app.canvas.setGraph(app.graph._nodes[0].subgraph)")
    page._settle()
    page.screenshot(tmp_path / "inside.png")
    page.js("app.canvas.setGraph(app.rootGraph ?? app.graph.rootGraph ?? app.graph)")
    page.complaints(PACK)  # an older front end's own, who is used to a double click


def test_blueprints_are_offered(server: Server) -> None:
    answer = server.get("/global_subgraphs")
    if answer.status == 404:
        pytest.skip("this ComfyUI has no blueprints")
    ours = {one["name"] for one in answer.json.values() if PACK in one["info"]["node_pack"]}
    assert ours == {blueprint.title for blueprint in BLUEPRINTS}
