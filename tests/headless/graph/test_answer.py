"""What is said of node types that are not known: their packs, and what it would take."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless.graph.answer import lacking
from controlstack.headless.graph.downloads import address_of, downloads
from controlstack.headless.graph.packs import CORE, KNOWN, OURS, known_pack, pack_of
from controlstack.headless.graph.registry import Registry, default_registry
from controlstack.headless.graph.validate import problems_of, validate
from controlstack.headless.graph.without import way_without, without_onlookers
from controlstack.headless.graph.workflow import read_workflow

Prompt = dict[str, Any]


def node(kind: str, **inputs: Any) -> Prompt:
    return {"class_type": kind, "inputs": inputs}


@pytest.mark.parametrize(
    ("kind", "pack"),
    [
        ("FluxGuidance", CORE),
        ("CannyEdgePreprocessor", "comfyui_controlnet_aux"),
        ("IPAdapterAdvanced", "comfyui_ipadapter_plus"),
        ("Image Comparer (rgthree)", "rgthree-comfy"),
        ("KSampler (Efficient)", "efficiency-nodes-comfyui"),
        ("WD14Tagger|pysssss", "comfyui-wd14-tagger"),
        ("MathExpression|pysssss", "comfyui-custom-scripts"),
        ("ImageResize+", "comfyui_essentials"),
        ("Nothing that is known", ""),
    ],
)
def test_well_known_packs(kind: str, pack: str) -> None:
    assert known_pack(kind) == pack


@pytest.mark.parametrize(
    ("kind", "pack"),
    [
        ("KSampler", CORE),
        ("ControlStackAdd", OURS),
        ("ControlStackOfTomorrow", OURS),
        ("TimestepKeyframe", "comfyui-advanced-controlnet"),
        ("HEDPreprocessor", "comfyui_controlnet_aux"),
        ("easy controlnetStack", "comfyui-easy-use"),
        ("CR Apply ControlNet", "ComfyUI_Comfyroll_CustomNodes"),
        ("Apply ControlNet Stack", "efficiency-nodes-comfyui"),
        ("Any Switch (rgthree)", "rgthree-comfy"),
        ("ImageResize+", "told"),
        ("FluxGuidance", CORE),
        ("Nothing that is known", ""),
    ],
)
def test_the_pack_of_a_node_that_runs_here_is_its_class_s(kind: str, pack: str) -> None:
    told = {"ImageResize+": "told", "KSampler": "a fork"}
    assert pack_of(kind, default_registry(), told) == pack


def test_every_pack_whose_nodes_run_here_is_a_well_known_one() -> None:
    registry = default_registry()
    assert {pack_of(kind, registry, {}) for kind in registry} - {OURS} <= set(KNOWN)


def test_what_the_file_says_of_a_pack_wins(registry: Registry, make_node: Any) -> None:
    told = [{"cnr_id": "mine"}, {"aux_id": "Me/ComfyUI-Mine"}, {"cnr_id": 3, "aux_id": "a b\x1b"}]
    kinds = ["ImageResize+", "Other", "Third"]
    slots = [[], [("image", "IMAGE", 1)], [("image", "IMAGE", 2)]]
    nodes = [make_node(i, kinds[i], slots[i], ["IMAGE"], []) for i in range(3)]
    links = [[1, 0, 0, 1, 0, "IMAGE"], [2, 1, 0, 2, 0, "IMAGE"]]
    for one, properties in zip(nodes, told, strict=True):
        one["properties"] = properties
    graph = read_workflow({"nodes": nodes, "links": links}, registry, "wf.json")
    found = {one.pack: one.nodes for one in lacking(graph, registry, graph.nodes.values())}
    assert found == {
        "mine": {"ImageResize+": ["0"]},
        "Me/ComfyUI-Mine": {"Other": ["1"]},
        "": {"Third": ["2"]},
    }


def test_addresses_also_stand_in_notes() -> None:
    text = "get it [here](https://host/a%20b.safetensors?download=true) or http://host/readme.md"
    note = {"type": "MarkdownNote", "widgets_values": [text, 3]}
    loader = {"type": "L", "properties": {"models": [{"name": "x.pth", "url": "https://host/x"}]}}
    inner = {"subgraphs": [{"nodes": [loader]}]}
    found = downloads({"nodes": [note], "definitions": inner})
    assert found == {
        "a b.safetensors": "https://host/a%20b.safetensors?download=true",
        "x.pth": "https://host/x",
    }
    assert address_of("1.5\\x.pth", found) == "https://host/x"
    assert address_of("y.pth", found) == ""


def way_of(prompt: Prompt, registry: Registry) -> tuple[tuple[str, ...], ...] | None:
    way = way_without(read_workflow(prompt, registry, "wf.json"), registry)
    return None if way is None else (way.muted, way.bypassed, way.lost)


def test_what_muting_and_bypassing_would_leave(registry: Registry, api: Prompt) -> None:
    # A patch by an unknown node between loader and sampler, fed by an unknown loader.
    api["8"] = node("Style", style=["9", 0], model=["1", 0])
    api["9"] = node("StyleLoader")
    api["3"]["inputs"]["model"] = ["8", 0]
    assert way_of(api, registry) == (("9",), ("8",), ())
    # Two outputs, of which muting leaves one: bypassing leaves both, and is said.
    api["10"] = node("Sum", numbers=["11", 0])
    api["11"] = node("Numbers", count=3)
    assert way_of(api, registry) == (("9",), ("8",), ())
    # What cannot be led through takes its output along.
    api["3"]["inputs"]["positive"] = ["9", 0]
    assert way_of(api, registry) == (("8", "9"), (), ("4",))
    del api["10"]
    assert way_of(api, registry) is None
    with pytest.raises(UserError, match="no output would be left without these nodes"):
        validate(read_workflow(api, registry, "wf.json"), registry)


def test_the_way_that_is_said_leads_there(registry: Registry, make_node: Any, ui: Prompt) -> None:
    """On the canvas, done as it is said, nothing is wrong any more."""
    document = copy.deepcopy(ui)
    nodes = {one["id"]: one for one in document["nodes"]}
    sampler = next(one for one in nodes.values() if one["type"] == "Sampler")
    slot = next(one for one in sampler["inputs"] if one["name"] == "model")
    link = next(one for one in document["links"] if one[0] == slot["link"])
    style = make_node(90, "Style", [("style", "STYLE", 91), ("model", "MODEL", 92)], ["MODEL"], [])
    loader = make_node(93, "StyleLoader", [], ["STYLE"], [])
    document["nodes"] += [style, loader]
    document["links"] += [[91, 93, 0, 90, 0, "STYLE"], [92, link[1], link[2], 90, 1, "MODEL"]]
    link[1:3] = [90, 0]
    graph = read_workflow(document, registry, "wf.json")
    way = way_without(graph, registry)
    assert way is not None
    assert way.words == (
        "with node 90 bypassed and node 93 muted it would run here, with another picture"
    )
    style["mode"], loader["mode"] = 4, 2
    assert problems_of(read_workflow(document, registry, "wf.json"), registry) == []


def test_links_in_a_circle_have_no_way(registry: Registry, api: Prompt) -> None:
    api["8"] = node("Style", model=["7", 0])
    api["7"] = node("Patch", model=["8", 0], strength=1)
    api["3"]["inputs"]["model"] = ["8", 0]
    assert way_of(api, registry) is None


def test_a_long_chain_is_followed(registry: Registry, api: Prompt) -> None:
    before = ["1", 0]
    for number in range(3000):
        api[f"c{number}"] = node("Style" if number % 2 else "Patch", model=before, strength=1)
        before = [f"c{number}", 0]
    api["3"]["inputs"]["model"] = before
    muted, bypassed, lost = way_of(api, registry) or ((), (), ())
    assert (len(muted), len(bypassed), len(lost)) == (0, 1500, 0)


def test_who_only_looks_on_is_left_out(registry: Registry, api: Prompt) -> None:
    api["8"] = node("Compare", latent=["3", 0], other=["1", 0])
    api["9"] = node("Loose")
    graph = read_workflow(api, registry, "wf.json")
    left = without_onlookers(graph, registry)
    assert set(left.nodes) == set(graph.nodes) - {"8", "9"}
    assert left.notes == (
        "node 8 (Compare) is left out: its type is not known here, and no picture needs it",
        "node 9 (Loose) is left out: its type is not known here, and no picture needs it",
    )
    assert problems_of(left, registry) == []


def test_who_saves_what_nobody_else_does_stays(registry: Registry, api: Prompt) -> None:
    api["7"] = {**copy.deepcopy(api["3"]), "_meta": {"title": "Second pass"}}
    api["8"] = node("ImageSave", latent=["7", 0])
    graph = read_workflow(api, registry, "wf.json")
    assert without_onlookers(graph, registry) is graph
    # Nor is the only end of a graph an onlooker.
    del api["4"], api["7"]
    api["8"]["inputs"]["latent"] = ["3", 0]
    graph = read_workflow(api, registry, "wf.json")
    assert without_onlookers(graph, registry) is graph


def test_problems_are_values(registry: Registry, api: Prompt) -> None:
    """What other hosts of the same answer need: kind, node, input, and what stands there."""
    api["3"]["inputs"].update(seed=-1, model=["9", 0])
    del api["3"]["inputs"]["positive"]
    api["8"] = node("Fancy", latent=["3", 0])
    found = problems_of(read_workflow(api, registry, "wf.json"), registry)
    assert [one.json() for one in found] == [
        {
            "kind": "node_type",
            "words": "is of a type that is not known here",
            "node": "8",
            "type": "Fancy",
        },
        {
            "kind": "link",
            "words": "is linked to node '9', which is not there",
            "node": "3",
            "type": "Sampler",
            "input": "model",
            "value": ["9", 0],
        },
        {
            "kind": "value",
            "words": "is -1, but has to be from 0 to 18446744073709551615",
            "node": "3",
            "type": "Sampler",
            "input": "seed",
            "value": -1,
        },
        {
            "kind": "missing",
            "words": "(CONDITIONING) is missing; connect it or give it a value",
            "node": "3",
            "type": "Sampler",
            "input": "positive",
            "value": None,
        },
    ]
