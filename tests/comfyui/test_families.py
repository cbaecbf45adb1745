"""The workflows of other families as a real ComfyUI sees them: every node, socket and value.

Their models are tens of gigabytes, so none runs here: files that hold next to nothing have their
names, and the server is asked what it has and what it says to the whole prompt.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.comfyui.browser import MISSING, Page, browsing
from tests.comfyui.conftest import comfyui_path
from tests.comfyui.server import PACK, Server, serving
from tests.workflows.names import FAMILIES, WORKFLOWS

Told = dict[str, Any]

VALUES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
OURS = "custom_validation_failed"
"""What our hint nodes say where their network lacks, and our loader of a file that it refuses."""


@cache
def document(name: str) -> Told:
    """The workflow as it is saved."""
    found: Told = json.loads((WORKFLOWS / f"{name}.json").read_text())
    return found


def nodes(name: str) -> list[Told]:
    """The workflow's nodes, without notes."""
    return [node for node in document(name)["nodes"] if node["type"] != "MarkdownNote"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a file of each name, in the folder that the workflow says."""
    path = comfyui_path()
    assert path is not None
    base = tmp_path_factory.mktemp("families")
    shutil.copytree(WORKFLOWS / "input", base / "input")
    (base / "input" / "video.mp4").touch()
    for node in (node for name in FAMILIES for node in nodes(name)):
        for model in node["properties"].get("models", []):
            file = base / "models" / model["directory"] / model["name"]
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file({"stand_in": torch.zeros(1)}, file)
    with serving(path, base) as running:
        yield running


@pytest.fixture(scope="module")
def told(server: Server) -> Told:
    """All nodes that this ComfyUI has."""
    found: Told = server.get("/object_info").json
    return found


def skip_where_nodes_lack(name: str, told: Told) -> None:
    """Older hosts lack whole families."""
    lacking = sorted({node["type"] for node in nodes(name)} - set(told))
    assert not [node_type for node_type in lacking if node_type.startswith("ControlStack")]
    if lacking:
        pytest.skip(f"this ComfyUI has no {', '.join(lacking)}")


def inputs_of(entry: Told) -> Iterator[tuple[str, Any, Told, bool]]:
    """Name, type, options and whether it is required of each input of a node, in order."""
    for group in ("required", "optional"):
        for name, (kind, *options) in entry["input"].get(group, {}).items():
            yield name, kind, options[0] if options else {}, group == "required"


def is_value(kind: Any) -> bool:
    """Whether a host shows an input as a widget: a list is a menu of old."""
    return isinstance(kind, list) or kind in VALUES


@pytest.mark.parametrize("name", FAMILIES)
def test_its_sockets_are_those_of_this_host(told: Told, name: str) -> None:
    skip_where_nodes_lack(name, told)
    for node in nodes(name):
        entry = told[node["type"]]
        here = [(one, kind, must) for one, kind, _, must in inputs_of(entry) if not is_value(kind)]
        sockets = {one["name"]: one["type"] for one in node["inputs"]}
        # In order, since links count sockets. What newer hosts added comes last.
        known = [(one, kind) for one, kind, _ in here]
        assert list(sockets.items()) == known[: len(sockets)], node["type"]
        wired = {one["name"] for one in node["inputs"] if one["link"] is not None}
        assert {one for one, _, must in here if must} <= wired, node["type"]
        given = [one["type"] for one in node["outputs"]]
        assert given == entry["output"][: len(given)], node["type"]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_server_has_nothing_against_it(server: Server, told: Told, name: str) -> None:
    skip_where_nodes_lack(name, told)

    answer = server.post("/prompt", {"prompt": prompt_of(name, told)})

    found = [
        (node["class_type"], error)
        for node in answer.json["node_errors"].values()
        for error in node["errors"]
    ]
    for node_type, error in found:
        assert node_type.startswith("ControlStack"), error
        assert error["type"] == OURS, error


def test_a_value_out_of_range_would_be_seen(server: Server, told: Told) -> None:
    prompt = prompt_of("wan_vace", told)
    (key,) = (key for key, node in prompt.items() if node["class_type"] == "WanVaceToVideo")
    prompt[key]["inputs"]["strength"] = -1.0

    errors = server.post("/prompt", {"prompt": prompt}).json["node_errors"][key]["errors"]

    assert [error["type"] for error in errors] == ["value_smaller_than_min"]


def prompt_of(name: str, told: Told) -> dict[str, Told]:
    """The workflow in API form, its widgets named by what this host says of its nodes."""
    links = {link[0]: [str(link[1]), link[2]] for link in document(name)["links"]}
    prompt = {}
    for node in nodes(name):
        given: Told = {
            one["name"]: links[one["link"]] for one in node["inputs"] if one["link"] is not None
        }
        values = list(node["widgets_values"])
        fields = list(inputs_of(told[node["type"]]))
        for one, kind, options, must in fields:
            if is_value(kind) and not options.get("hidden") and (values or must):
                take(given, one, kind, options, values)
        uploads = any(o.get("image_upload") or o.get("video_upload") for _, _, o, _ in fields)
        assert values == ["image"] * uploads, f"{node['type']} has fewer widgets here"
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": given}
    return prompt


def take(given: Told, name: str, kind: Any, options: Told, values: list[Any]) -> None:
    """Put the next of `values` at `name`, and what becomes of a seed away."""
    given[name] = values.pop(0)
    if kind == DYNAMIC:  # a menu whose choice has widgets of its own
        (chosen,) = (one for one in options["options"] if one["key"] == given[name])
        for inner, inner_kind, inner_options, _ in inputs_of({"input": chosen["inputs"]}):
            take(given, f"{name}.{inner}", inner_kind, inner_options, values)
    if options.get("control_after_generate") or name in ("seed", "noise_seed"):
        values.pop(0)  # what happens to the seed


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Page]:
    """The server's page, as somebody sees it who has been here before."""
    assert server.post("/settings/Comfy.TutorialCompleted", True).status == 200
    with browsing() as opened:
        opened.open(server.url, "ControlStackApply")
        opened.complaints(PACK)
        yield opened


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.parametrize("name", FAMILIES)
def test_it_opens_whole_from_the_templates(page: Page, told: Told, name: str) -> None:
    skip_where_nodes_lack(name, told)

    page.open_template(PACK, name, len(document(name)["nodes"]))

    assert page.broken_nodes() == []
    assert page.overlaps() == []
    assert page.complaints(PACK) == []
    _, api = page.saved()
    for key, node in prompt_of(name, told).items():
        there = api[key]["inputs"]  # and what newer hosts have besides
        assert {one: there[one] for one in node["inputs"]} == node["inputs"], node["class_type"]
