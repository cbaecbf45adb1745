"""The same clients on ComfyUI's server and on ours: what both are asked, and what both say.

Every test here runs on either; what they said of the shipped workflows is compared at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlstack.headless.graph.model import Graph
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.pack_nodes import PACK_NODES
from tests.comfyui import shipped
from tests.comfyui.server import Run, Server
from tests.own_server import serving

COMFY = shutil.which("comfy") or str(Path(sys.executable).parent / "comfy")
WORKFLOWS = ("pose", "stack_pose_depth", "canny")

SHARED = {"input", "input_order", "output", "output_is_list", "output_name", "output_node"}
"""What `/object_info` says of a node that has to be the same; the rest are words and places."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of ours."""
    with serving(tmp_path_factory.mktemp("own")) as running:
        yield running


@pytest.fixture(params=["ComfyUI", "ours"])
def either(request: pytest.FixtureRequest) -> Server:
    """One of the two servers, with the demo models."""
    found: Server = request.getfixturevalue("demo_server" if request.param == "ComfyUI" else "own")
    return found


def new(graph: Graph, seed: int) -> Graph:
    """`graph` with this seed."""
    return shipped.with_values(graph, "KSampler", "seed", seed, default_registry())


def by_node(run: Run) -> dict[str | None, list[str]]:
    """The kinds of messages of each node in their order; None for those of the whole run.

    ComfyUI says twice that a node runs that first asks for its lazy inputs; that counts once.
    """
    found: dict[str | None, list[str]] = {}
    for kind, data in run.events:
        if kind != "progress_state":
            told = found.setdefault(data.get("node"), [])
            if (kind, told[-1:]) != ("executing", ["executing"]):
                told.append(kind)
    return found


def fields(value: Any) -> Any:
    """The names of the fields of a message and of those within it."""
    return {key: type(one).__name__ for key, one in value.items()}


def states(run: Run, node: str) -> list[str]:
    """The states that a node was told to be in, each once."""
    told = [one["nodes"][node] for one in run.of("progress_state") if node in one["nodes"]]
    return list(dict.fromkeys(one["state"] for one in told))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_both_tell_a_run_alike(demo_server: Server, own: Server, name: str) -> None:
    graph = new(shipped.small(name), 11)
    for again in (graph, graph, new(graph, 12), graph):
        theirs, ours = demo_server.run(again), own.run(again)
        assert by_node(ours) == by_node(theirs)
        for kind in {kind for kind, _ in theirs.events} - {"progress_state"}:
            assert [fields(one) for one in ours.of(kind)][:1] == [
                fields(one) for one in theirs.of(kind)
            ][:1], kind
        assert set(ours.of("execution_cached")[0]["nodes"]) == set(
            theirs.of("execution_cached")[0]["nodes"]
        )
        ran = [one["node"] for one in theirs.of("executing") if one["node"]]
        assert {node: states(ours, node) for node in ran} == {
            node: states(theirs, node) for node in ran
        }
        assert ours.kinds[:2] == theirs.kinds[:2]
        assert ours.kinds[-2:] == theirs.kinds[-2:]
        assert set(ours.outputs) == set(theirs.outputs)


def test_both_keep_the_same_fields(demo_server: Server, own: Server) -> None:
    graph = new(shipped.small("pose"), 21)
    past = []
    for server in (demo_server, own):
        job = server.run(graph).prompt_id
        entry = server.get(f"/history/{job}").json[job]
        jobs = server.get(f"/api/jobs/{job}").json
        listed = server.get("/api/jobs?limit=1&sort_order=desc").json
        past.append((entry, jobs, listed))
    (theirs, their_job, their_list), (ours, our_job, our_list) = past
    assert fields(ours) == fields(theirs)
    assert fields(ours["status"]) == fields(theirs["status"])
    assert [kind for kind, _ in ours["status"]["messages"]] == [
        kind for kind, _ in theirs["status"]["messages"]
    ]
    assert [type(one) for one in ours["prompt"]] == [type(one) for one in theirs["prompt"]]
    assert set(ours["prompt"][3]) <= set(theirs["prompt"][3])
    assert ours["meta"].keys() == theirs["meta"].keys()
    for node, meta in theirs["meta"].items():
        assert ours["meta"][node] == meta
    assert fields(our_job) == fields(their_job)
    assert fields(our_job["preview_output"]) == fields(their_job["preview_output"])
    assert fields(our_list["jobs"][0]) == fields(their_list["jobs"][0])
    assert fields(our_list["pagination"]) == fields(their_list["pagination"])


def test_both_refuse_alike(demo_server: Server, own: Server) -> None:
    graph = shipped.small("pose")
    node, saving = shipped.only(graph, "KSampler"), shipped.only(graph, "SaveImage")
    wrong: list[dict[str, Any]] = []
    for values in ({"steps": 0}, {"sampler_name": "none"}, {"cfg": "much"}, {"cfg": 1e9}):
        prompt: dict[str, Any] = graph.prompt()
        prompt[node]["inputs"] |= values
        wrong.append(prompt)
    prompt = graph.prompt()
    del prompt[node]["inputs"]["scheduler"]
    wrong.append(prompt)
    prompt = graph.prompt()
    prompt[node]["inputs"]["latent_image"] = prompt[node]["inputs"]["model"]
    wrong.append(prompt)
    prompt = graph.prompt()
    prompt["900"] = {"class_type": "Nowhere", "inputs": {}}
    wrong += [prompt, {}]
    for prompt in wrong:
        body = {"prompt": prompt, "partial_execution_targets": [saving]}
        theirs, ours = demo_server.post("/prompt", body), own.post("/prompt", body)
        assert ours.status == theirs.status == 400
        assert fields(ours.json) == fields(theirs.json)
        assert ours.json["error"]["type"] == theirs.json["error"]["type"]
        assert fields(ours.json["error"]) == fields(theirs.json["error"])
        assert ours.json["node_errors"].keys() == theirs.json["node_errors"].keys()
        for key, entry in theirs.json["node_errors"].items():
            other = ours.json["node_errors"][key]
            assert fields(other) == fields(entry)
            assert other["dependent_outputs"] == entry["dependent_outputs"]
            assert [one["type"] for one in other["errors"]] == [
                one["type"] for one in entry["errors"]
            ]
            for one, their in zip(other["errors"], entry["errors"], strict=True):
                assert one["extra_info"]["input_name"] == their["extra_info"]["input_name"]


def test_both_tell_a_cancelled_run_alike(demo_server: Server, own: Server) -> None:
    graph = shipped.with_values(new(shipped.small("pose"), 31), "KSampler", "steps", 200)
    told = []
    for server in (demo_server, own):

        def stop(kind: str, data: dict[str, Any], server: Server = server) -> None:
            if kind == "progress":
                server.post("/interrupt", {"prompt_id": data["prompt_id"]})

        run = server.run(graph, stop)
        (message,) = run.of("execution_interrupted")
        status = server.get(f"/history/{run.prompt_id}").json[run.prompt_id]["status"]
        kinds = [kind for kind, _ in status["messages"]]
        job = server.get(f"/api/jobs/{run.prompt_id}").json["status"]
        told.append((fields(message), status["status_str"], kinds, job, run.kinds[-2:]))
    assert told[0] == told[1]


def test_shared_nodes_are_declared_alike(demo_server: Server, own: Server) -> None:
    theirs, ours = demo_server.get("/object_info").json, own.get("/object_info").json
    shared = [name for name in ours if name in theirs]
    of_packs = set(PACK_NODES) - set(theirs)  # in ComfyUI those packs have them
    assert len(shared) > 0.85 * len(ours.keys() - of_packs), sorted(set(ours) - set(theirs))
    differing = {}
    for name in shared:
        assert fields(ours[name]).keys() >= SHARED
        one, other = (_comparable(info[name]) for info in (ours, theirs))
        if one != other:
            differing[name] = {key: (one[key], other[key]) for key in one if one[key] != other[key]}
    assert not differing, json.dumps(differing, indent=1)[:4000]
    for name in (name for name in shared if name.startswith("ControlStack")):
        assert ours[name]["display_name"] == theirs[name]["display_name"]
        assert ours[name]["description"] == theirs[name]["description"]
        assert ours[name]["category"] == theirs[name]["category"]
        assert ours[name]["python_module"] == theirs[name]["python_module"]


def _comparable(info: dict[str, Any]) -> dict[str, Any]:
    return {
        **{key: info[key] for key in SHARED - {"input"}},
        "output": [_type(kind) for kind in info["output"]],
        "input": {
            section: {name: _field(name, field) for name, field in declared.items()}
            for section, declared in info["input"].items()
            if section != "hidden"
        },
        "input_order": {
            section: names for section, names in info["input_order"].items() if section != "hidden"
        },
    }


def _type(kind: Any) -> Any:
    """A type; one that only V3 can tell, that of whatever else is wired, is V1's "any"."""
    return "*" if kind == "COMFY_MATCHTYPE_V3" else kind


def _field(name: str, field: list[Any]) -> Any:
    """A field without its words; of a menu of files, samplers and the like only that it is one."""
    kind, options = field[0], field[1] if len(field) > 1 else {}
    menu = kind if isinstance(kind, list) else options.get("options")
    numbers = {key: options[key] for key in ("default", "min", "max", "step") if key in options}
    return (
        ("COMBO", numbers if menu is None else {}) if menu is not None else (_type(kind), numbers)
    )


def test_comfy_run_works_unchanged(either: Server, tmp_path: Path) -> None:
    """comfy-cli's own command, with a canvas and with the API's form."""
    if not Path(COMFY).is_file():
        pytest.skip("install comfy-cli to run this with it")
    own_home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "DO_NOT_TRACK": "1"}
    graph = new(shipped.small("pose"), 41)
    for document in (graph.workflow, new(graph, 42).prompt()):
        file = tmp_path / "workflow.json"
        file.write_text(json.dumps(document))
        place = ("--host", "127.0.0.1", "--port", str(either.port))
        done = subprocess.run(
            [COMFY, "run", "--workflow", str(file), *place, "--wait"],
            env={**os.environ, **own_home},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads(done.stdout.splitlines()[-1])["data"]
        assert told["status"] == "completed"
        (url,) = told["outputs_by_node"][shipped.only(graph, "SaveImage")]
        assert either.get(url.removeprefix(either.url)).kind == "image/png"


def test_a_plain_websocket_client_works_unchanged(either: Server) -> None:
    """As ComfyUI's own example does it: queue by HTTP, listen, and fetch what the history names."""
    import websocket

    address = f"127.0.0.1:{either.port}"
    client = str(uuid.uuid4())
    graph = new(shipped.small("pose"), 51)
    listening = websocket.WebSocket()
    listening.connect(f"ws://{address}/ws?clientId={client}")
    body = json.dumps({"prompt": graph.prompt(), "client_id": client}).encode()
    with urllib.request.urlopen(f"http://{address}/prompt", data=body) as answer:
        job = json.loads(answer.read())["prompt_id"]
    while True:
        message = listening.recv()
        if isinstance(message, str):
            said = json.loads(message)
            if said["type"] == "executing":
                data = said["data"]
                if data["node"] is None and data["prompt_id"] == job:
                    break
    listening.close()
    with urllib.request.urlopen(f"http://{address}/history/{job}") as answer:
        history = json.loads(answer.read())[job]
    pictures = {}
    for node, output in history["outputs"].items():
        for image in output.get("images", []):
            query = urllib.parse.urlencode(image)
            with urllib.request.urlopen(f"http://{address}/view?{query}") as answer:
                pictures[node] = answer.read()
    assert pictures[shipped.only(graph, "SaveImage")].startswith(b"\x89PNG")


def test_a_third_party_s_client_works_unchanged(either: Server, tmp_path: Path) -> None:
    """comfy-api-simplified 1.6.0 of PyPI: uploads, queues, waits and fetches."""
    pytest.importorskip("comfy_api_simplified", reason="install comfy-api-simplified to try it")
    from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper

    graph = new(shipped.small("canny"), 61)
    titles = {node["id"]: node.get("title", node["type"]) for node in graph.workflow["nodes"]}
    prompt = graph.prompt()
    for node, sent in prompt.items():
        sent["_meta"] = {"title": titles[int(node)]}
    file = tmp_path / "workflow.json"
    file.write_text(json.dumps(prompt))
    client = ComfyApiWrapper(either.url)
    workflow = ComfyWorkflowWrapper(str(file))

    told = client.upload_image(str(shipped.WORKFLOWS / "input" / "controlstack_depth.png"))
    shown = titles[int(shipped.only(graph, "LoadImage"))]
    workflow.set_node_param(shown, "image", told["name"])
    job, _ = asyncio.run(client.queue_prompt_and_wait(workflow))
    saved = client.get_history(job)[job]["outputs"][shipped.only(graph, "SaveImage")]
    (named,) = saved["images"]

    # Its `queue_and_wait_images` takes the first previews for the pictures, of either server.
    picture = client.get_image(named["filename"], named["subfolder"], named["type"])
    assert picture.startswith(b"\x89PNG")
