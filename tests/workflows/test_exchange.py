"""A shipped workflow rewired with the core's own nodes gives the same picture to the last bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from controlstack.cli.app import app
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import load_workflow

WORKFLOWS = Path(__file__).parents[2] / "workflows"
SHIPPED = WORKFLOWS / "stack_pose_depth.json"

Prompt = dict[str, dict[str, Any]]


def _ids(prompt: Prompt, class_type: str) -> list[str]:
    return [key for key, node in prompt.items() if node["class_type"] == class_type]


def _split_loaders(prompt: Prompt) -> None:
    """UNETLoader, CLIPLoader and VAELoader in the place of the checkpoint's."""
    (whole,) = _ids(prompt, "CheckpointLoaderSimple")
    del prompt[whole]
    parts: list[tuple[str, dict[str, str]]] = [
        ("UNETLoader", {"unet_name": "unet.safetensors", "weight_dtype": "default"}),
        ("CLIPLoader", {"clip_name": "clip.safetensors", "type": "stable_diffusion"}),
        ("VAELoader", {"vae_name": "vae.safetensors"}),
    ]
    for node in prompt.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] == whole:
                node["inputs"][name] = [parts[value[1]][0], 0]
    for class_type, inputs in parts:
        prompt[class_type] = {"class_type": class_type, "inputs": inputs}


def _core_apply_nodes(prompt: Prompt) -> None:
    """ControlNetApplyAdvanced, chained, in the place of the stack; the core's ControlNetLoader."""
    (sampler,), (apply,) = _ids(prompt, "KSampler"), _ids(prompt, "ControlStackApply")
    inputs = prompt[sampler]["inputs"]
    inputs["model"] = prompt.pop(apply)["inputs"]["model"]
    for key in _ids(prompt, "ControlStackAdd"):
        add = prompt.pop(key)["inputs"]
        taken = ("control_net", "image", "strength", "start_percent", "end_percent")
        prompt[f"core {key}"] = {
            "class_type": "ControlNetApplyAdvanced",
            "inputs": {
                "positive": inputs["positive"],
                "negative": inputs["negative"],
                **{name: add[name] for name in taken},
            },
        }
        inputs["positive"], inputs["negative"] = [f"core {key}", 0], [f"core {key}", 1]
    for key in _ids(prompt, "ControlStackLoader"):
        prompt[key]["class_type"] = "ControlNetLoader"


def _picture(workflow: Path, out: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    arguments = ["run", str(workflow), "--demo", "--out", str(out)]
    arguments += ["--input", str(WORKFLOWS / "input"), "--set", "KSampler.steps=2"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    with Image.open(result.stdout.strip()) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The picture of the workflow as it is."""
    return _picture(SHIPPED, tmp_path_factory.mktemp("shipped"))


@pytest.mark.parametrize("rewire", [_split_loaders, _core_apply_nodes])
def test_the_cores_nodes_give_the_same_picture(
    rewire: Callable[[Prompt], None],
    shipped: np.ndarray[Any, np.dtype[np.uint8]],
    tmp_path: Path,
) -> None:
    prompt: Prompt = json.loads(json.dumps(load_workflow(SHIPPED, default_registry()).prompt()))
    rewire(prompt)
    rewired = tmp_path / "rewired.json"
    rewired.write_text(json.dumps(prompt))
    assert np.array_equal(_picture(rewired, tmp_path), shipped)
