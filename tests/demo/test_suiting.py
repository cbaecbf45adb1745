"""What `--demo` makes of a graph, wherever it is asked for."""

from __future__ import annotations

from pathlib import Path

from controlstack.demo.models import BASE, CONTROL_NETS
from controlstack.demo.suiting import sized, standing, suited
from controlstack.headless import folders, host
from controlstack.headless.graph.model import Graph, Node
from controlstack.headless.graph.registry import default_registry

REGISTRY = default_registry()


def graph_of(net: str, width: int = 512) -> Graph:
    nodes = (
        Node("1", "CheckpointLoaderSimple", {"ckpt_name": "base.ckpt"}),
        Node("2", "ControlNetLoader", {"control_net_name": net}),
        Node("3", "EmptyLatentImage", {"width": width, "height": 512, "batch_size": 1}),
    )
    return Graph({node.id: node for node in nodes})


def use(tmp_path: Path) -> folders.Folders:
    return folders.Folders((tmp_path,), (), tmp_path, tmp_path)


def test_what_stands_in_for_several_graphs_is_said_once(tmp_path: Path) -> None:
    with host.use(use(tmp_path)):
        graph, factor = sized(graph_of("x_lineart.pth"), REGISTRY)
        found = standing([suited(graph, REGISTRY), graph_of("y_depth.pth")], REGISTRY)
    assert (graph.nodes["3"].inputs["width"], factor) == (128, 0.25)
    assert found.aliases == {
        "checkpoints": {"base.ckpt": BASE},
        "controlnet": {
            "x_lineart.pth": CONTROL_NETS["canny"],
            "y_depth.pth": CONTROL_NETS["depth"],
        },
    }
    assert found.notes(factor) == [
        "demo models stand in for base.ckpt, x_lineart.pth, y_depth.pth, and sizes are scaled by "
        "0.25 to suit them",
        "the demo's canny net stands in for x_lineart.pth: its name tells the kind of hint",
    ]


def test_a_net_that_was_given_stays_whether_it_fits_or_not(tmp_path: Path) -> None:
    for place in (CONTROL_NETS["pose"], tmp_path / "no net"):
        with host.use(use(tmp_path)):
            found = standing([graph_of("mine")], REGISTRY, {"mine": place})
        assert found.aliases["controlnet"] == {"mine": place}
        assert found.notes(1.0) == ["demo models stand in for base.ckpt"]


def test_without_graphs_only_what_was_given_stands(tmp_path: Path) -> None:
    found = standing([], REGISTRY, {"mine": tmp_path})
    assert (found.aliases, found.notes(1.0)) == ({"controlnet": {"mine": tmp_path}}, [])
    assert standing([], REGISTRY).aliases == {}
