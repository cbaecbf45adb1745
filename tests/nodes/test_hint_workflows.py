"""The hint nodes in workflows: checked before anything runs, run by the embedded host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.headless import folders, host
from controlstack.headless.core_nodes import CORE_NODES as CORE
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.registry import Registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow
from controlstack.nodes.hints import NODE_CLASS_MAPPINGS as HINTS
from controlstack.preprocessors.canny import canny
from tests.tiny_depth import tiny_depth_anything

NOBODY = '{"people": []}'

REGISTRY = Registry({**CORE, **HINTS})
PICTURE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[folders.Folders]:
    found = folders.Folders(
        (tmp_path / "models",), (tmp_path / "input",), tmp_path / "output", tmp_path / "temp"
    )
    (tmp_path / "input").mkdir()
    Image.fromarray(PICTURE).save(tmp_path / "input" / "photo.png")
    with host.use(found):
        yield found


def _run(node_type: str, **inputs: Any) -> torch.Tensor:
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
        "2": {"class_type": node_type, "inputs": inputs},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }
    graph = read_workflow(json.loads(json.dumps(prompt)), REGISTRY, "test")
    validate(graph, REGISTRY)
    result: torch.Tensor = Executor(REGISTRY).run(graph).value("2")
    return result


@pytest.mark.usefixtures("places")
def test_a_loaded_picture_keeps_its_bytes_on_the_way_to_canny() -> None:
    edges = _run("ControlStackCanny", image=["1", 0], low_threshold=50, high_threshold=150)
    assert torch.equal(edges[0] * 255, torch.from_numpy(canny(PICTURE, 50, 150)).float())


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    ("node_type", "inputs", "says"),
    [
        ("ControlStackCanny", {"low_threshold": 200, "high_threshold": 100}, "200 .* 100"),
        ("ControlStackCanny", {"low_threshold": 0, "high_threshold": 256}, "256.* 0 to 255"),
        ("ControlStackDrawPose", {"pose_json": "{", "width": 64, "height": 64}, "not JSON"),
        ("ControlStackDrawPose", {"pose_json": "[]", "width": 64, "height": 64}, "empty list"),
        (
            "ControlStackDrawPose",
            {"pose_json": NOBODY, "width": 0, "height": 64},
            "width",
        ),
        ("ControlStackDepth", {"model": "nowhere"}, "nowhere"),
        ("ControlStackDepth", {"model": "../../etc"}, r"\.\./\.\./etc"),
    ],
)
def test_bad_values_are_refused_by_node_before_anything_runs(
    node_type: str, inputs: dict[str, Any], says: str
) -> None:
    picture = {} if node_type == "ControlStackDrawPose" else {"image": ["1", 0]}
    with pytest.raises(UserError, match=says) as caught:
        _run(node_type, **picture, **inputs)
    assert node_type in str(caught.value)


@pytest.mark.usefixtures("places")
def test_a_wire_of_people_goes_before_the_text_and_draws_the_same_batch() -> None:
    """As Draw Pose Hint gives it; comfyui_controlnet_aux and SDPose give lists of the same form."""
    joints = [[10.0 + 3 * i, 8.0 + 2 * i, 1] for i in range(18)]
    blank = [[0.0, 0.0, 0.0]] * 18
    bodies = [[n for joint in joints[:k] + blank[k:] for n in joint] for k in (18, 9)]
    frames = [{"people": [{"pose_keypoints_2d": body}]} for body in bodies]
    size = {"width": 72, "height": 64}
    prompt = {
        "1": {
            "class_type": "ControlStackDrawPose",
            "inputs": {"pose_json": json.dumps(frames), **size},
        },
        "2": {
            "class_type": "ControlStackDrawPose",
            "inputs": {"pose_json": "no pose", "pose_keypoint": ["1", 1], **size},
        },
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }
    graph = read_workflow(prompt, REGISTRY, "test")
    validate(graph, REGISTRY)
    run = Executor(REGISTRY).run(graph)
    first, second = run.value("1"), run.value("2")
    assert first.shape == (2, 64, 72, 3)
    assert torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_a_depth_model_in_the_models_folder_is_offered_checked_and_run(
    places: folders.Folders,
) -> None:
    folder = tiny_depth_anything(places.models[0] / "depth" / "tiny")
    assert HINTS["ControlStackDepth"].INPUT_TYPES()["required"]["model"][0][0] == "tiny"
    near = _run("ControlStackDepth", image=["1", 0], model="tiny")
    assert near.shape == (1, 24, 40, 3)
    assert (near.min(), near.max()) == (0, 1)
    (folder / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(UserError, match="whole safetensors file"):
        _run("ControlStackDepth", image=["1", 0], model="tiny")


def test_a_damaged_model_is_refused_before_anything_runs(places: folders.Folders) -> None:
    folder = tiny_depth_anything(places.models[0] / "controlstack" / "tiny")
    check = HINTS["ControlStackDepth"].VALIDATE_INPUTS
    assert check(model="tiny") is True
    (folder / "model.safetensors").write_bytes(b"cut off")
    assert "whole safetensors file" in str(check(model="tiny"))


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("name", ["mine/tiny", "mine\\tiny"])
def test_a_model_in_a_folder_is_found_from_either_system(
    places: folders.Folders, name: str
) -> None:
    tiny_depth_anything(places.models[0] / "controlstack" / "mine" / "tiny")
    assert _run("ControlStackDepth", image=["1", 0], model=name).shape == (1, 24, 40, 3)
