"""Everything wrong with a graph is said at once, with node, input, value and limits."""

from __future__ import annotations

from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless.graph.registry import Registry, types_fit
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow


def check(document: dict[str, Any], registry: Registry) -> None:
    validate(read_workflow(document, registry, "wf.json"), registry)


def complaint(document: dict[str, Any], registry: Registry) -> str:
    with pytest.raises(UserError) as raised:
        check(document, registry)
    return str(raised.value)


def test_a_sound_graph_passes(registry: Registry, api: dict[str, Any]) -> None:
    check(api, registry)


def test_every_unknown_type_is_listed(registry: Registry, api: dict[str, Any]) -> None:
    api["8"] = {"class_type": "FaceDetailer", "inputs": {}}
    api["9"] = {"class_type": "Upscaler", "inputs": {}, "_meta": {"title": "Big"}}
    assert complaint(api, registry).splitlines() == [
        "this host does not have 2 node types of the workflow:",
        "  comfyui-impact-pack: FaceDetailer (node 8)",
        "  of packs that the file does not name: Upscaler (node 9)",
        "  it would run in ComfyUI with comfyui-impact-pack and those that have the others",
        "  with nodes 8, 9 muted it would run here",
    ]
    api["10"] = api["9"]
    assert "Upscaler (nodes 9, 10)" in complaint(api, registry)


def test_preprocessors_of_another_pack_are_answered_with_our_node(
    registry: Registry, api: dict[str, Any]
) -> None:
    api["8"] = {"class_type": "TEED_Preprocessor", "inputs": {}}
    api["9"] = {"class_type": "LeReS-DepthMapPreprocessor", "inputs": {}}
    assert "  there is TEED Soft Edge Hint for TEED_Preprocessor\n" in complaint(api, registry)


def test_unknown_types_on_the_canvas_and_in_a_subgraph(
    registry: Registry, nested: dict[str, Any]
) -> None:
    inner = nested["definitions"]["subgraphs"][0]["nodes"]
    inner[0]["type"] = "FancyEncode"
    nested["nodes"][0]["type"] = "FancyLoader"
    said = complaint(nested, registry)
    assert "2 node types of the workflow:" in said
    assert "FancyLoader (node 1), FancyEncode (node 12:" in said
    inner[0]["mode"] = 4  # a bypassed node does not run, whatever it is
    said = complaint(nested, registry)
    assert "a node type of the workflow:\n" in said
    assert "FancyLoader (node 1)\n" in said


def test_a_group_node_is_told_apart(registry: Registry, api: dict[str, Any]) -> None:
    api["8"] = {"class_type": "workflow>My group", "inputs": {}}
    assert "converted them to subgraphs" in complaint(api, registry)


def test_no_output_node(registry: Registry, api: dict[str, Any]) -> None:
    del api["4"]
    assert "no output node" in complaint(api, registry)


def test_all_problems_at_once(registry: Registry, api: dict[str, Any]) -> None:
    api["3"]["inputs"].update(seed=-1, steps="many", sampler="foo", model=["9", 0])
    del api["3"]["inputs"]["positive"]
    said = complaint(api, registry).splitlines()
    assert said == [
        "the workflow cannot run, 5 things are wrong:",
        "  node 3 'First pass' (Sampler): input model is linked to node '9', which is not there",
        "  node 3 'First pass' (Sampler): input seed is -1, but has to be from 0 to "
        "18446744073709551615",
        "  node 3 'First pass' (Sampler): input steps is 'many', but has to be a whole number",
        "  node 3 'First pass' (Sampler): input sampler is 'foo', but has to be one of: euler, "
        "heun",
        "  node 3 'First pass' (Sampler): input positive (CONDITIONING) is missing; connect it "
        "or give it a value",
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("steps", 0, "is 0, but has to be from 1 to 100"),
        ("steps", 101, "is 101, but has to be from 1 to 100"),
        ("steps", None, "is None, but has to be a whole number"),
        ("steps", [["3", 0]], "a link is a node id"),
        ("steps", {"a": 1}, "but has to be a whole number"),
        ("seed", 2**64, "from 0 to 18446744073709551615"),
        ("seed", 10**400, "a number of more than 77 digits"),
        ("sampler", 3, "is 3, but has to be one of its choices"),
        ("model", "a.safetensors", "takes a link of type MODEL"),
        ("model", ["1", 1], r"takes MODEL, but node 1 (Loader) gives CLIP at its output 1"),
        ("model", ["1", 2], "output 2 of node 1 (Loader), which has 2 outputs"),
        ("model", None, "is missing"),
    ],
)
def test_one_wrong_input(
    registry: Registry, api: dict[str, Any], name: str, value: Any, said: str
) -> None:
    api["3"]["inputs"][name] = value
    line = complaint(api, registry)
    assert said in line
    assert name in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("name", "value"), [("steps", "20"), ("steps", 20.0), ("seed", True), ("seed", 2**64 - 1)]
)
def test_values_the_core_converts(
    registry: Registry, api: dict[str, Any], name: str, value: Any
) -> None:
    api["3"]["inputs"][name] = value
    check(api, registry)


@pytest.mark.parametrize(
    ("value", "fits"),
    [(True, True), (0, True), ("False", True), ("maybe", False), (None, False)],
)
def test_booleans(registry: Registry, value: Any, fits: bool) -> None:
    document = {
        "1": {"class_type": "Mask", "inputs": {"soft": value}},
        "2": {"class_type": "Sum", "inputs": {"numbers": ["1", 0]}},
    }
    if fits:
        check(document, registry)
    else:
        assert "has to be true or false" in complaint(document, registry)


def test_a_circle_names_its_nodes(registry: Registry) -> None:
    document = {
        "1": {"class_type": "Patch", "inputs": {"model": ["2", 0], "strength": 1}},
        "2": {"class_type": "Patch", "inputs": {"model": ["1", 0], "strength": 1}},
        "3": {"class_type": "Sum", "inputs": {"numbers": ["2", 0]}},
    }
    said = complaint(document, registry)
    assert "go in a circle" in said
    assert "node 1 (Patch)" in said
    assert "node 2 (Patch)" in said


def test_a_node_that_no_output_needs_is_not_judged(registry: Registry, api: dict[str, Any]) -> None:
    api["7"] = {"class_type": "Patch", "inputs": {}}
    check(api, registry)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("unlisted", None),
        ("refused", "node 1 (Picky): the file is refused"),
        ("raises", "node 1 (Picky): the file 'raises' is truncated"),
    ],
)
def test_a_nodes_own_check_stands_for_the_choices(
    registry: Registry, file: str, said: str | None
) -> None:
    document = {"1": {"class_type": "Picky", "inputs": {"file": file}}}
    if said is None:
        check(document, registry)
    else:
        assert complaint(document, registry) == said


def test_where_the_author_got_the_file(registry: Registry, make_node: Any) -> None:
    node = make_node(1, "Picky", [], ["MODEL"], ["raises"])
    node["properties"] = {
        "models": [{"name": "raises", "url": "https://host/raises"}, {"name": 3}, 4]
    }
    said = complaint({"nodes": [node], "links": []}, registry)
    assert said.endswith("is truncated; the workflow's author got it from https://host/raises")
    node["properties"]["models"][0]["url"] = "https://host/\x1b[31m"
    assert complaint({"nodes": [node], "links": []}, registry).endswith("is truncated")


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("IMAGE", "*", True),
        ("*", "IMAGE", True),
        ("INT", "FLOAT,INT", True),
        ("IMAGE,MASK", "MASK", True),
        ("IMAGE, MASK", "LATENT,VAE", False),
        ("CONTROL_NET,MODEL_PATCH", "CONTROL_NET", True),
        ("CONTROL_NET,MODEL_PATCH", "MODEL_PATCH", True),
        ("MODEL_PATCH", "CONTROL_NET,MODEL_PATCH", True),
        ("CONTROL_NET,MODEL_PATCH", "MODEL", False),
    ],
)
def test_types_of_links(given: str, wanted: str, fits: bool) -> None:
    assert types_fit(given, wanted) is fits
