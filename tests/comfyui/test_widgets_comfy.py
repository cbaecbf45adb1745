"""Widgets in a real ComfyUI: their grids, what a prompt leaves out, and names of other systems."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import controlstack
from controlstack.ground.errors import UserError
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import read_workflow
from controlstack.hosts.comfy.host import ComfyHost
from controlstack.nodes.stack import ControlStackLoader
from tests import sd15_files
from tests.comfyui.conftest import comfyui_path
from tests.comfyui.server import Server, serving
from tests.grids import off_grid
from tests.tiny_depth import tiny_depth_anything

WINDOWS, LINUX = "mine\\a.safetensors", "mine/a.safetensors"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a picture, and a depth model in a folder of its user's own."""
    path = comfyui_path()
    assert path is not None, "a test asked for ComfyUI and was not skipped"
    pytest.importorskip("websocket", reason="install websocket-client to hear what it tells")
    base = tmp_path_factory.mktemp("widgets")
    (base / "input").mkdir()
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(photo).save(base / "input" / "photo.png")
    tiny_depth_anything(base / "models" / "controlstack" / "mine" / "tiny")
    with serving(path, base) as server:
        yield server


def test_every_number_lies_on_its_own_grid(running: Server) -> None:
    told = running.get("/object_info").json
    ours = told.keys() & controlstack.NODE_CLASS_MAPPINGS.keys()  # an older one lacks some
    found = {node: list(off_grid(told[node]["input"])) for node in ours}
    assert "ControlStackHint" in found
    assert {node: off for node, off in found.items() if off} == {}


@pytest.mark.parametrize("model", ["mine/tiny", "mine\\tiny"])
def test_required_inputs_alone_are_enough(running: Server, model: str) -> None:
    """Depth, Any Hint and Condition Fidelity without one optional widget, `download` too."""
    hint = {"image": ["photo", 0]}
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "photo": ("LoadImage", {"image": "photo.png"}),
        "own": ("ControlStackDepth", {**hint, "model": model}),
        "any": ("ControlStackHint", {**hint, "preprocessor": "depth"}),
        "told": (
            "ControlStackFidelity",
            {"images": ["photo", 0], "hint": ["own", 0], "preprocessor": "depth"},
        ),
        **{f"show {one}": ("PreviewImage", {"images": [one, 0]}) for one in ("own", "any")},
        "show told": ("PreviewImage", {"images": ["told", 2]}),
    }
    prompt = {key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in nodes.items()}
    run = running.run(read_workflow(json.loads(json.dumps(prompt)), default_registry(), "test"))
    hints = {"own", "any"}  # shown on their nodes
    assert run.outputs.keys() - hints == {"show own", "show any", "show told"}


@pytest.fixture
def control_nets(comfy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of ComfyUI's ControlNets that holds mine/a.safetensors, and a file beside it."""
    import folder_paths

    folder = tmp_path / "controlnet"
    sd15_files.write_control_net(folder / "mine" / "a.safetensors")
    (tmp_path / "secret.safetensors").write_bytes(b"x")
    known = folder_paths.folder_names_and_paths
    monkeypatch.setitem(known, "controlnet", ([str(folder)], known["controlnet"][1]))
    return folder


@pytest.mark.parametrize("name", [WINDOWS, LINUX])
def test_a_control_net_in_a_folder_is_found_from_either_system(
    control_nets: Path, name: str
) -> None:
    assert ComfyHost().find("controlnet", name) == control_nets / "mine" / "a.safetensors"
    assert ControlStackLoader.VALIDATE_INPUTS(name) is True
    (net,) = ControlStackLoader().load(name)
    assert net.get_models()


@pytest.mark.parametrize(
    "name",
    ["..\\secret.safetensors", "../secret.safetensors", "C:\\a.safetensors", "/a.safetensors", ""],
)
def test_no_name_leaves_its_folder(control_nets: Path, name: str) -> None:
    with pytest.raises(UserError):
        ComfyHost().find("controlnet", name)
    assert isinstance(ControlStackLoader.VALIDATE_INPUTS(name), str)
