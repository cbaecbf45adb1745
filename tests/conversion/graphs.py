"""Small workflows in both forms, and what two of them have to share to be the same graph."""

from __future__ import annotations

import copy
from typing import Any

from controlstack.conversion.known import FIELDS
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import read_workflow

Prompt = dict[str, dict[str, Any]]
REGISTRY = default_registry()


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def applied(count: int = 2, kind: str = "ControlNetApplyAdvanced", **changes: Any) -> Prompt:
    """A sampler (9) whose prompts are under `count` apply nodes (20, 21 ...), each with a loader
    (30 ...) and a picture (40 ...) of its own; `changes` are further inputs of each."""
    graph: Prompt = {
        "1": node("CheckpointLoaderSimple", ckpt_name="base.safetensors"),
        "2": node("CLIPTextEncode", text="a ball", clip=["1", 1]),
        "3": node("CLIPTextEncode", text="blurry", clip=["1", 1]),
        "4": node("EmptyLatentImage", width=64, height=64, batch_size=1),
    }
    prompts: dict[str, Any] = {"positive": ["2", 0], "negative": ["3", 0]}
    for index in range(count):
        apply, loader, picture = str(20 + index), str(30 + index), str(40 + index)
        graph[loader] = node("ControlNetLoader", control_net_name=f"net{index}.safetensors")
        graph[picture] = node("LoadImage", image=f"hint{index}.png")
        graph[apply] = node(
            kind,
            **prompts,
            control_net=[loader, 0],
            image=[picture, 0],
            strength=0.5 + index / 10,
            start_percent=0.1 * index,
            end_percent=0.9,
            **changes,
        )
        prompts = {"positive": [apply, 0], "negative": [apply, 1]}
    graph["9"] = node(
        "KSampler",
        model=["1", 0],
        **prompts,
        latent_image=["4", 0],
        seed=1,
        steps=2,
        cfg=7.0,
        sampler_name="euler",
        scheduler="normal",
        denoise=1.0,
    )
    graph["10"] = node("VAEDecode", samples=["9", 0], vae=["1", 2])
    graph["11"] = node("SaveImage", images=["10", 0], filename_prefix="x")
    return graph


def single(count: int = 1, kind: str = "ControlNetApply") -> Prompt:
    """The same under apply nodes of one conditioning, which act on the positive prompt's chain."""
    graph = applied(count, kind)
    for index in range(count):
        inputs = graph[str(20 + index)]["inputs"]
        inputs["conditioning"] = inputs.pop("positive")
        del inputs["negative"]
        if kind == "ControlNetApply":
            del inputs["start_percent"], inputs["end_percent"]
    graph["9"]["inputs"]["negative"] = ["3", 0]
    return graph


def added(count: int = 2, **changes: Any) -> Prompt:
    """The same through Add ControlNet (20 ...) and an Apply (8) on the model."""
    graph = applied(count)
    before: dict[str, Any] = {}
    for index in range(count):
        graph[str(30 + index)]["class_type"] = "ControlStackLoader"
        add = graph[str(20 + index)]
        for name in ("positive", "negative"):
            del add["inputs"][name]
        add["class_type"] = "ControlStackAdd"
        add["inputs"] |= {**before, **changes}
        before = {"stack": [str(20 + index), 0]}
    graph["8"] = node("ControlStackApply", model=["1", 0], record=False, **before)
    graph["9"]["inputs"] |= {"model": ["8", 0], "positive": ["2", 0], "negative": ["3", 0]}
    return graph


def drawn(prompt: Prompt, **modes: int) -> dict[str, Any]:
    """The prompt as the canvas saves it (schema 0.4); `modes` are those of nodes, as `n7=4`."""
    nodes: dict[str, Any] = {}
    links: list[Any] = []
    used: dict[str, int] = {}
    for one in prompt.values():
        for value in one["inputs"].values():
            if is_link(value):
                used[value[0]] = max(used.get(value[0], 0), value[1] + 1)
    for place, (key, one) in enumerate(prompt.items()):
        kind, given = one["class_type"], one["inputs"]
        spec = REGISTRY.get(kind)
        fields = FIELDS.get(kind, {name: v for name, v in given.items() if not is_link(v)})
        defaults = {each.name: each.default for each in spec.widgets} if spec else fields
        names = list(defaults)
        sockets = [name for name in given if name not in names or is_link(given[name])]
        outputs = list(spec.outputs) if spec else ["*"] * used.get(key, 0)
        nodes[key] = {
            "id": int(key),
            "type": kind,
            "pos": [100 * place, 50],
            "size": [200, 100],
            "flags": {},
            "order": place,
            "mode": modes.get(f"n{key}", 0),
            "inputs": [
                {"name": name, "type": "*", "link": None}
                | ({"widget": {"name": name}} if name in names else {})
                for name in sockets
            ],
            "outputs": [{"name": each, "type": each, "links": []} for each in outputs],
            "properties": {},
            "widgets_values": [],
        }
        for name in names:
            value = defaults[name] if name in sockets else given.get(name, defaults[name])
            nodes[key]["widgets_values"].append(value)
            if name in ("seed", "noise_seed"):
                nodes[key]["widgets_values"].append("fixed")
    for key, one in prompt.items():
        for slot, item in enumerate(nodes[key]["inputs"]):
            origin, number = one["inputs"][item["name"]]
            links.append([len(links) + 1, int(origin), number, int(key), slot, "*"])
            item["link"] = len(links)
            nodes[origin]["outputs"][number]["links"].append(len(links))
    return {
        "last_node_id": max(map(int, prompt)),
        "last_link_id": len(links),
        "nodes": list(nodes.values()),
        "links": links,
        "groups": [{"title": "mine", "bounding": [0, 0, 10, 10]}],
        "version": 0.4,
    }


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def same(prompt: Any, key: str = "11") -> Any:
    """What node `key` makes, as one value without ids: equal for graphs that do the same."""

    def of(name: str) -> Any:
        one = prompt[name]
        inputs = {
            field: (of(str(value[0])), value[1]) if is_link(value) else value
            for field, value in one["inputs"].items()
        }
        return one["class_type"], inputs

    return copy.deepcopy(of(key))


def meant(document: Any) -> Any:
    """The API form that a drawn document means, and every link of it is looked at."""
    check_links(document)
    for inner in document.get("definitions", {}).get("subgraphs", []):
        check_links(inner)
    return read_workflow(document, REGISTRY, "test").prompt()


def check_links(graph: Any) -> None:
    """Both ends of each link name it, and nothing names a link that is not there."""
    rows = [
        [one[k] for k in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
        if isinstance(one, dict)
        else one[:5]
        for one in graph["links"]
    ]
    ids = [row[0] for row in rows]
    assert len(set(ids)) == len(ids)
    assert max(ids, default=0) <= graph.get("last_link_id", 10**6)
    nodes = {one["id"]: one for one in graph["nodes"]}
    assert len(nodes) == len(graph["nodes"])
    ends, starts = set(), set()
    for number, origin, slot, target, target_slot in rows:
        if origin != -10:
            assert number in nodes[origin]["outputs"][slot]["links"]
            starts.add((origin, slot, number))
        else:
            assert number in graph["inputs"][slot]["linkIds"]
        if target != -20:
            assert nodes[target]["inputs"][target_slot]["link"] == number
            ends.add(number)
        else:
            assert number in graph["outputs"][target_slot]["linkIds"]
    for one in nodes.values():
        named = [item["link"] for item in one.get("inputs", []) if item.get("link") is not None]
        assert set(named) <= ends
        for slot, item in enumerate(one.get("outputs", [])):
            assert {(one["id"], slot, number) for number in item.get("links") or []} <= starts
