"""Load ControlNet on the embedded host: both folders, and what it says of a model patch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from controlstack.ground.errors import UserError
from controlstack.headless.graph.registry import Registry, default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow
from controlstack.nodes.stack import ControlStackLoader
from tests.headless.models.tiny_files import save_control_net


@pytest.fixture
def models(place: Path) -> Path:
    for kind in ("controlnet", "model_patches"):
        (place / "models" / kind).mkdir(parents=True)
    return place / "models"


def _patch(path: Path, name: str = "control_all_x_embedder.2-1.weight") -> None:
    save_file({name: torch.zeros(1)}, path)


@pytest.mark.parametrize("kind", ["controlnet", "model_patches"])
def test_a_net_is_loaded_from_either_folder(models: Path, kind: str) -> None:
    save_control_net(models / kind / "net")
    (names, _) = ControlStackLoader.INPUT_TYPES()["required"]["control_net_name"]
    assert names == ["net"]
    assert ControlStackLoader.VALIDATE_INPUTS("net") is True
    assert hasattr(ControlStackLoader().load("net")[0], "get_control")


@pytest.mark.parametrize("kind", ["controlnet", "model_patches"])
def test_a_model_patch_is_refused_with_its_family(models: Path, kind: str) -> None:
    path = models / kind / "a.safetensors"
    _patch(path)
    said = (
        f"{path} is a Z-Image Fun ControlNet: the embedded host has no Z-Image models; run the "
        "workflow in ComfyUI."
    )
    assert ControlStackLoader.VALIDATE_INPUTS("a.safetensors") == said
    with pytest.raises(UserError) as caught:
        ControlStackLoader().load("a.safetensors")
    assert str(caught.value) == said


class Show:
    """An output node that takes anything."""

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "show"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"value": ("*",)}}


@pytest.mark.parametrize(
    ("node_type", "field", "fits"),
    [
        ("ControlStackAdd", "control_net", True),
        ("ControlNetApplyAdvanced", "control_net", True),
        ("SetUnionControlNetType", "control_net", True),
        ("KSampler", "model", False),
    ],
)
def test_its_wire_fits_what_takes_either_type(
    models: Path, node_type: str, field: str, fits: bool
) -> None:
    """The other inputs are missing, which is said as well: so the node was looked at."""
    save_control_net(models / "controlnet" / "net")
    whole = default_registry()
    classes = {name: whole.spec(name).cls for name in ("ControlStackLoader", node_type)}
    registry = Registry({**classes, "Show": Show})
    document = {
        "1": {"class_type": "ControlStackLoader", "inputs": {"control_net_name": "net"}},
        "2": {"class_type": node_type, "inputs": {field: ["1", 0]}},
        "3": {"class_type": "Show", "inputs": {"value": ["2", 0]}},
    }
    with pytest.raises(UserError, match="is missing") as caught:
        validate(read_workflow(document, registry, "x"), registry)
    said = f"input {field} takes MODEL, but node 1 (ControlStackLoader) gives CONTROL_NET,MODEL_P"
    assert (said in str(caught.value)) is not fits
    assert (f"input {field} " in str(caught.value)) is not fits
