"""Workflow files of every form give the same graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from controlstack.ground.errors import UserError
from controlstack.ground.structured import read_json
from controlstack.headless.graph.png_texts import MAX_TEXT
from controlstack.headless.graph.registry import Registry
from controlstack.headless.graph.workflow import Link, load_workflow, read_workflow


def saved(folder: Path, document: object) -> Path:
    path = folder / "workflow.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def picture(folder: Path, **texts: object) -> Path:
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, value if isinstance(value, str) else json.dumps(value))
    Image.new("RGB", (4, 4)).save(folder / "saved.png", pnginfo=info)
    return folder / "saved.png"


def test_ui_and_api_give_the_same_prompt(
    tmp_path: Path, registry: Registry, api: dict[str, Any], ui: dict[str, Any]
) -> None:
    from_api = load_workflow(saved(tmp_path, api), registry)
    from_ui = load_workflow(saved(tmp_path, ui), registry)
    assert from_ui.prompt() == from_api.prompt()
    assert from_ui.workflow == ui
    assert from_api.workflow is None
    assert from_ui.nodes["3"].inputs["model"] == Link("1", 0)


def test_links_as_objects_are_schema_1(registry: Registry, ui: dict[str, Any]) -> None:
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    objects = [dict(zip(keys, link, strict=True)) for link in ui["links"]]
    newer = {**ui, "links": objects, "version": 1, "state": {"lastNodeId": 4}}
    assert read_workflow(newer, registry, "x").prompt() == read_workflow(ui, registry, "x").prompt()


def test_request_to_the_server_is_unwrapped(registry: Registry, api: dict[str, Any]) -> None:
    canvas = {"nodes": []}
    request = {"prompt": api, "extra_data": {"extra_pnginfo": {"workflow": canvas}}}
    graph = read_workflow(request, registry, "x")
    assert graph.prompt() == read_workflow(api, registry, "x").prompt()
    assert graph.workflow == canvas


def test_png_prefers_what_ran(
    tmp_path: Path, registry: Registry, api: dict[str, Any], ui: dict[str, Any]
) -> None:
    api["3"]["inputs"]["seed"] = 99
    graph = load_workflow(picture(tmp_path, prompt=api, workflow=ui), registry)
    assert graph.nodes["3"].inputs["seed"] == 99
    assert graph.workflow == ui


def test_png_with_only_a_canvas(tmp_path: Path, registry: Registry, ui: dict[str, Any]) -> None:
    graph = load_workflow(picture(tmp_path, workflow=ui), registry)
    assert graph.prompt() == read_workflow(ui, registry, "x").prompt()


def test_png_of_an_older_comfyui_holds_nan_marks(
    tmp_path: Path, registry: Registry, api: dict[str, Any]
) -> None:
    api["1"]["is_changed"] = [float("nan")]
    graph = load_workflow(picture(tmp_path, prompt=api), registry)
    assert graph.nodes["1"].inputs == {"name": "a.safetensors"}


def test_a_png_older_than_a_field_gets_its_default(
    tmp_path: Path, registry: Registry, api: dict[str, Any]
) -> None:
    del api["3"]["inputs"]["steps"], api["3"]["inputs"]["sampler"]
    graph = load_workflow(picture(tmp_path, prompt=api), registry)
    assert graph.nodes["3"].inputs["steps"] == 20
    assert "sampler" not in graph.nodes["3"].inputs
    assert "steps" not in read_workflow(api, registry, "x").nodes["3"].inputs


def test_a_list_value_survives_the_api_form(registry: Registry) -> None:
    document = {"1": {"class_type": "Sum", "inputs": {"numbers": {"__value__": ["3", 0]}}}}
    graph = read_workflow(document, registry, "x")
    assert graph.nodes["1"].inputs["numbers"] == ["3", 0]
    assert graph.prompt()["1"]["inputs"] == {"numbers": {"__value__": ["3", 0]}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("{", "line 1, column 2"),
        ('{"nodes": NaN}', "not finite"),
        ('{"nodes": [1e999]}', "not finite"),
        ('{"nodes": -Infinity}', "not finite"),
        ('{"a": 1, "b": 2, "a": 3}', "key 'a' stands twice"),
        ("[" * 100_000, "nested"),
        ("[" * 300 + "]" * 300, "nested"),
        ("1" * 5000, "too many digits"),
        ('{"nodes": "\\ud800"}', "surrogate"),
    ],
)
def test_json_that_no_workflow_can_hold(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        read_json(text, "wf.json")
    assert "wf.json" in str(raised.value)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "no workflow"),
        ({}, "no workflow"),
        (7, "no workflow"),
        ({"nodes": []}, "no node"),
        ({"prompt": {}}, "no workflow"),
        ({"1": {"class_type": 3, "inputs": {}}}, "class_type"),
        ({"1": {"class_type": "Sum", "inputs": []}}, "inputs of node '1'"),
        ({"1": {"class_type": "Sum", "inputs": {"numbers": ["1"]}}}, "a link is"),
        ({"1": {"class_type": "Sum", "inputs": {"numbers": ["1", 0.5]}}}, "a link is"),
        ({"nodes": [3]}, "a node is 3"),
        ({"nodes": [{"id": 1}]}, "has the type None"),
        ({"nodes": [{"type": "Sum"}]}, "has the id None"),
        ({"nodes": [{"id": 1, "type": "Sum"}, {"id": "1", "type": "Sum"}]}, "two nodes"),
        ({"nodes": [{"id": 1, "type": "Sum"}], "links": [[1]]}, "a link is"),
    ],
)
def test_documents_that_are_no_workflow(registry: Registry, document: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_workflow(document, registry, "wf.json")


def test_files_that_are_no_workflow(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(UserError, match="cannot read"):
        load_workflow(tmp_path / "none.json", registry)
    with pytest.raises(UserError, match="cannot read"):
        load_workflow(tmp_path, registry)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00garbage")
    with pytest.raises(UserError, match="neither JSON nor a PNG"):
        load_workflow(tmp_path / "bytes", registry)
    with pytest.raises(UserError, match="holds no workflow"):
        load_workflow(picture(tmp_path), registry)
    whole = picture(tmp_path, prompt={}).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:20])
    with pytest.raises(UserError, match="cannot be read"):
        load_workflow(tmp_path / "cut.png", registry)


@pytest.mark.parametrize("kind", ["text", "packed", "international"])
def test_all_kinds_of_texts_in_a_png(
    tmp_path: Path, registry: Registry, api: dict[str, Any], kind: str
) -> None:
    info = PngInfo()
    text = json.dumps(api)
    if kind == "international":
        info.add_itxt("prompt", text, "en", "prompt", zip=True)
    else:
        info.add_text("prompt", text, zip=kind == "packed")
    path = tmp_path / "saved.png"
    Image.new("RGB", (4, 4)).save(path, pnginfo=info)
    assert load_workflow(path, registry).prompt() == read_workflow(api, registry, "x").prompt()


def test_a_text_that_unpacks_without_end_is_refused(tmp_path: Path, registry: Registry) -> None:
    info = PngInfo()
    info.add_text("prompt", " " * (MAX_TEXT + 1), zip=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "bomb.png", pnginfo=info)
    with pytest.raises(UserError, match=r"bomb\.png: a text in it unpacks to more than 67\.1 MB"):
        load_workflow(tmp_path / "bomb.png", registry)


def test_the_picture_around_a_workflow_is_not_decoded(
    tmp_path: Path, registry: Registry, api: dict[str, Any]
) -> None:
    whole = picture(tmp_path, prompt=api).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: whole.index(b"IDAT") + 4])
    graph = load_workflow(tmp_path / "cut.png", registry)
    assert graph.prompt() == read_workflow(api, registry, "x").prompt()
