"""The shipped workflows of families that only ComfyUI runs: whole, and true to their files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import load_workflow
from tests.workflows.names import FAMILIES, SINKS, WORKFLOWS

Node = dict[str, Any]

CORE: dict[str, Any] = json.loads(Path(__file__).with_name("core_nodes.json").read_text())
"""ComfyUI's own nodes that the embedded host lacks and these workflows use: sockets, outputs, and
how many widgets' values are saved. Inputs that only newer hosts have may be left out.
`tests/comfyui/test_families.py` asks a host about the same nodes."""

FOLDERS = {
    "CheckpointLoaderSimple": {"checkpoints"},
    "UNETLoader": {"diffusion_models"},
    "CLIPLoader": {"text_encoders"},
    "DualCLIPLoader": {"text_encoders"},
    "LTXAVTextEncoderLoader": {"text_encoders", "checkpoints"},
    "VAELoader": {"vae"},
    "LoraLoaderModelOnly": {"loras"},
    "ControlStackLoader": {"controlnet", "model_patches"},
}
"""The folders in ComfyUI's `models` whose files a loader lists."""

SIZED = {
    "wan_vace": ("EmptyHunyuanLatentVideo", "WanVaceToVideo"),
    "wan_fun_control": ("EmptyHunyuanLatentVideo", "WanFunControlToVideo"),
}
"""Where the hint's size is said twice: by the latent it is made for, and by the node it goes to."""

USERS_OWN = {"video.mp4"}
"""Files that a user puts in the place of what the workflow names."""


def _nodes(name: str) -> list[Node]:
    nodes: list[Node] = json.loads((WORKFLOWS / f"{name}.json").read_text())["nodes"]
    return nodes


def _of(name: str, *types: str) -> list[Node]:
    return [node for node in _nodes(name) if node["type"] in types]


def _hints(name: str) -> list[Node]:
    """The hint nodes: those of ours that give an IMAGE."""
    return [
        node
        for node in _nodes(name)
        if node["type"].startswith("ControlStack") and node["outputs"][0]["type"] == "IMAGE"
    ]


@pytest.mark.parametrize("name", FAMILIES)
def test_its_nodes_are_ours_or_the_core_s_with_their_sockets(name: str) -> None:
    registry = default_registry()
    for node in _nodes(name):
        if node["type"] == "MarkdownNote":
            continue
        sockets = [f"{entry['name']}:{entry['type']}" for entry in node["inputs"]]
        given = tuple(entry["type"] for entry in node["outputs"])
        if node["type"] in registry:
            spec = registry.spec(node["type"])
            fields = [field for field in spec.inputs.values() if not field.is_widget]
            expected = [f"{field.name}:{field.type}" for field in fields]
            outputs = spec.outputs
            count = len(spec.widgets) + sum(field.has_seed_control for field in spec.widgets)
            count += node["type"] in ("LoadImage", "LoadImageMask")  # the button to upload
        else:
            core = CORE[node["type"]]
            expected = [f"{socket}:{kind}" for socket, kind in core["inputs"].items()]
            outputs, count = tuple(core["outputs"]), core["widgets"]
        assert sockets == expected
        assert given == outputs or (node["type"] in SINKS and not given)
        assert len(node["widgets_values"]) == count, node["type"]


def test_the_list_of_core_nodes_holds_no_others() -> None:
    used = {node["type"] for name in FAMILIES for node in _nodes(name)}
    assert set(CORE) <= used


@pytest.mark.parametrize("name", FAMILIES)
def test_each_file_of_a_loader_is_named_with_its_folder_and_link(name: str) -> None:
    (note,) = (node["widgets_values"][0] for node in _of(name, "MarkdownNote"))
    loaders = _of(name, *FOLDERS)
    assert loaders
    for node in _nodes(name):
        models = node["properties"].get("models", [])
        files = {value for value in node["widgets_values"] if str(value).endswith(".safetensors")}
        assert {model["name"] for model in models} == files
        for model in models:
            assert model["directory"] in FOLDERS[node["type"]]
            where = r"https://huggingface\.co/[\w.-]+/[\w.-]+/resolve/main/(?:[\w.-]+/)*"
            assert re.fullmatch(where + re.escape(model["name"]), model["url"])
            assert f"models/{model['directory']}/{model['name']}" in note


@pytest.mark.parametrize("name", FAMILIES)
def test_its_pictures_are_shipped_and_named(name: str) -> None:
    (note,) = (node["widgets_values"][0] for node in _of(name, "MarkdownNote"))
    for node in _of(name, "LoadImage", "LoadImageMask", "LoadVideo"):
        file = node["widgets_values"][0]
        if file not in USERS_OWN:
            assert (WORKFLOWS / "input" / file).is_file()
            assert f"`{file}`" in note


@pytest.mark.parametrize("name", FAMILIES)
def test_its_hints_are_made_at_the_size_they_are_used_at(name: str) -> None:
    hints = _hints(name)
    assert hints
    for node in hints:
        (latent,) = (entry for entry in node["inputs"] if entry["name"] == "latent")
        assert latent["link"] is not None


@pytest.mark.parametrize("name", SIZED)
def test_two_sizes_of_one_video_are_the_same(name: str) -> None:
    (first,), (second,) = (_of(name, node_type) for node_type in SIZED[name])
    assert first["widgets_values"][:3] == second["widgets_values"][:3]
    (frames,) = _of(name, "ImageFromBatch")
    assert frames["widgets_values"][1] == first["widgets_values"][2]


def test_what_is_no_line_has_no_stack_and_the_others_have() -> None:
    with_lines = {name for name in FAMILIES if _of(name, "ControlStackAdd")}
    assert with_lines == {"sdxl_union_promax", "flux_union", "z_image_fun", "qwen_image_diffsynth"}
    for name in with_lines:
        assert _of(name, "ControlStackApply")
        assert not _of(name, "ControlNetApplyAdvanced", "QwenImageDiffsynthControlnet")


def test_two_types_of_one_union_are_told_apart() -> None:
    types = {
        name: [node["widgets_values"][6] for node in _of(name, "ControlStackAdd")]
        for name in ("sdxl_union_promax", "flux_union", "z_image_fun")
    }
    assert types == {
        "sdxl_union_promax": ["openpose", "depth"],
        "flux_union": ["pose", "depth"],
        "z_image_fun": ["auto", "auto"],
    }


def test_the_page_of_families_names_each_workflow_and_no_other() -> None:
    page = (WORKFLOWS.parent / "docs" / "families.md").read_text("utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall("`([a-z0-9_]+)`", row[-2])}
    assert named == {*FAMILIES, "stack_pose_depth"}


@pytest.mark.parametrize("name", FAMILIES)
def test_without_comfyui_the_nodes_that_are_missing_are_named(name: str) -> None:
    registry = default_registry()
    graph = load_workflow(WORKFLOWS / f"{name}.json", registry)
    missing = {node.type for node in graph.nodes.values() if node.type not in registry}
    assert missing == {node["type"] for node in _nodes(name)} & set(CORE)
    if missing:
        with pytest.raises(UserError, match="this host does not have ") as caught:
            validate(graph, registry)
        assert all(node_type in str(caught.value) for node_type in missing)
