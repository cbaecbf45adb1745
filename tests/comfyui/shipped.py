"""The workflows of SD 1.5 made small, and files of random weights under their names."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from controlstack.headless.graph.model import Graph
from controlstack.headless.graph.override import override
from controlstack.headless.graph.registry import Registry, default_registry
from controlstack.headless.graph.workflow import load_workflow
from tests.sd15_files import write_checkpoint, write_control_net
from tests.workflows.names import DEMO, WORKFLOWS

NAMES = DEMO
STEPS = 3
SIDE = 64

SMALL: dict[str, dict[str, object]] = {
    "KSampler": {"steps": STEPS},
    "EmptyLatentImage": {"width": SIDE, "height": SIDE},
    "ImageScale": {"width": SIDE, "height": SIDE},
    "ControlStackDrawPose": {"width": SIDE, "height": SIDE},
}

LOADER_S_WIRES = (
    ("ControlStackAdd", "control_net", True),
    ("ControlNetApplyAdvanced", "control_net", True),
    ("QwenImageDiffsynthControlnet", "model_patch", True),
    ("ZImageFunControlnet", "model_patch", True),
    ("KSampler", "model", False),
)
"""Nodes and inputs, and whether what our loader gives goes there."""


def small(name: str) -> Graph:
    """The shipped workflow `name` with few steps and small pictures, its canvas changed too."""
    registry = default_registry()
    graph = load_workflow(WORKFLOWS / f"{name}.json", registry)
    for node_type, values in SMALL.items():
        for field, value in values.items():
            graph = with_values(graph, node_type, field, value, registry)
    return graph


def with_values(
    graph: Graph, node_type: str, field: str, value: object, registry: Registry | None = None
) -> Graph:
    """`graph` with `field` of every node of `node_type` set, on its canvas too."""
    registry = registry or default_registry()
    for node in graph.nodes.values():
        if node.type == node_type:
            graph = override(graph, registry, f"{node.id}.{field}", str(value))
    return graph


def only(graph: Graph, node_type: str) -> str:
    """The id of the one node of `node_type`."""
    (found,) = (node.id for node in graph.nodes.values() if node.type == node_type)
    return found


def control_net_names() -> list[str]:
    """Every ControlNet file that a shipped workflow names."""
    return sorted(_named("ControlStackLoader", "control_net_name"))


def write_files(base: Path) -> None:
    """All models that the shipped workflows name, into ComfyUI's folders in `base`; the pack puts
    their pictures there itself."""
    write_checkpoint(_checkpoint(base))
    for seed, path in enumerate(_control_nets(base), start=1):
        write_control_net(path, seed)


def write_stand_ins(base: Path) -> None:
    """The same, but the models hold next to nothing: for a server that loads the demo models."""
    for path in (_checkpoint(base), *_control_nets(base)):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"stand_in": torch.zeros(1)}, path)


def _checkpoint(base: Path) -> Path:
    (name,) = _named("CheckpointLoaderSimple", "ckpt_name")
    return base / "models" / "checkpoints" / name


def _control_nets(base: Path) -> list[Path]:
    return [base / "models" / "controlnet" / name for name in control_net_names()]


def _named(node_type: str, field: str) -> set[str]:
    graphs = [load_workflow(WORKFLOWS / f"{name}.json", default_registry()) for name in NAMES]
    nodes = [node for graph in graphs for node in graph.nodes.values() if node.type == node_type]
    return {str(node.inputs[field]) for node in nodes}
