"""What becomes of a prompt, as clients hear of it."""

from __future__ import annotations

import json
import struct
import threading
import time
import uuid
from typing import Any

import pytest

from controlstack.headless.graph.model import Graph
from controlstack.headless.graph.registry import default_registry
from tests.comfyui import shipped
from tests.comfyui.server import JPEG, PACK, Answer
from tests.own_server import OwnServer, until

LET_GO = "results and models of former runs were let go"
SEED = iter(range(10_000, 20_000))


def fresh(graph: Graph, **values: object) -> Graph:
    """`graph` with a seed that nobody had, so that it is sampled anew."""
    for field, value in {"seed": next(SEED), **values}.items():
        graph = shipped.with_values(graph, "KSampler", field, value, default_registry())
    return graph


def sent(own: OwnServer, graph: Graph, **more: Any) -> Answer:
    """A prompt queued by nobody."""
    return own.post("/prompt", {"prompt": graph.prompt(), **more})


def ended(own: OwnServer, job: str) -> dict[str, Any]:
    """What the history says of a job, once it is there."""
    until(lambda: job in own.get(f"/history/{job}").json)
    return dict(own.get(f"/history/{job}").json[job])


def idle(own: OwnServer) -> None:
    """Wait until nothing waits or runs."""
    until(lambda: own.get("/prompt").json["exec_info"]["queue_remaining"] == 0)


def test_a_run_is_told_in_comfyui_s_order(own: OwnServer, graph: Graph) -> None:
    run = own.run(fresh(graph))

    kinds = run.kinds
    assert kinds[:2] == ["execution_start", "execution_cached"]
    assert kinds[-2:] == ["execution_success", "executing"]
    assert run.of("executing")[-1]["node"] is None
    sampler = shipped.only(graph, "KSampler")
    steps = [one for one in run.of("progress") if one["node"] == sampler]
    assert [one["value"] for one in steps] == [1, 2, 3]
    states = [one["nodes"][sampler] for one in run.of("progress_state") if sampler in one["nodes"]]
    assert [one["state"] for one in states][0 :: len(states) - 1] == ["running", "finished"]
    saving = shipped.only(graph, "SaveImage")
    (shown,) = (one for one in run.of("executed") if one["node"] == saving)
    picture = own.picture(shown["output"]["images"][0])
    assert picture.startswith(b"\x89PNG")
    assert run.previews
    assert all(one.startswith(JPEG) for one in run.previews)


def test_the_history_has_what_comfyui_s_has(own: OwnServer, graph: Graph) -> None:
    graph = fresh(graph)
    run = own.run(graph)

    past = own.get(f"/history/{run.prompt_id}").json[run.prompt_id]

    assert set(past) == {"prompt", "outputs", "status", "meta"}
    _, job, prompt, extra, outputs = past["prompt"]
    assert (job, prompt) == (run.prompt_id, graph.prompt())
    assert extra["client_id"] == own.client
    assert extra["create_time"] > 0
    assert set(outputs) >= {shipped.only(graph, "SaveImage")}
    assert past["status"]["status_str"] == "success"
    assert past["status"]["completed"] is True
    told = [kind for kind, _ in past["status"]["messages"]]
    assert told == ["execution_start", "execution_cached", "execution_success"]
    assert set(past["meta"]) == set(past["outputs"])


def test_only_what_changed_runs_again(own: OwnServer, graph: Graph) -> None:
    graph = fresh(graph)
    first = own.run(graph)
    again = own.run(graph)
    other = own.run(shipped.with_values(graph, "ControlStackAdd", "strength", 0.4))

    ran = [[one["node"] for one in run.of("executing")[:-1]] for run in (first, again, other)]
    assert shipped.only(graph, "KSampler") in ran[0]
    assert ran[1] == []
    assert shipped.only(graph, "ControlStackAdd") in ran[2]
    loader = shipped.only(graph, "CheckpointLoaderSimple")
    assert loader not in ran[2]
    assert loader in other.of("execution_cached")[0]["nodes"]
    assert again.outputs == first.outputs


def test_a_wrong_value_is_told_at_its_node(own: OwnServer, graph: Graph) -> None:
    node = shipped.only(graph, "KSampler")
    prompt: dict[str, Any] = graph.prompt()
    prompt[node]["inputs"] |= {"steps": 0, "sampler_name": "none", "cfg": "much"}
    del prompt[node]["inputs"]["scheduler"]
    prompt[node]["inputs"]["latent_image"] = prompt[node]["inputs"]["model"]

    saving = shipped.only(graph, "SaveImage")
    answer = own.post("/prompt", {"prompt": prompt, "partial_execution_targets": [saving]})

    assert answer.status == 400
    assert answer.json["error"]["type"] == "prompt_outputs_failed_validation"
    entry = answer.json["node_errors"][node]
    assert entry["class_type"] == "KSampler"
    assert entry["dependent_outputs"] == [saving]
    found = {one["extra_info"]["input_name"]: one["type"] for one in entry["errors"]}
    assert found == {
        "steps": "value_smaller_than_min",
        "sampler_name": "value_not_in_list",
        "cfg": "invalid_input_type",
        "scheduler": "required_input_missing",
        "latent_image": "return_type_mismatch",
    }


def test_what_can_run_runs_beside_what_cannot(own: OwnServer, graph: Graph) -> None:
    prompt: dict[str, Any] = fresh(graph).prompt()
    saving = shipped.only(graph, "SaveImage")
    prompt["900"] = {"class_type": "PreviewImage", "inputs": {}}

    answer = own.post("/prompt", {"prompt": prompt})

    assert answer.status == 200
    assert answer.json["node_errors"]["900"]["dependent_outputs"] == ["900"]
    past = ended(own, answer.json["prompt_id"])
    assert saving in past["outputs"]
    assert "900" not in past["prompt"][4]


def test_a_part_of_a_prompt_runs_alone(own: OwnServer, graph: Graph) -> None:
    graph = fresh(graph)
    prompt: dict[str, Any] = graph.prompt()
    drawing = shipped.only(graph, "ControlStackDrawPose")
    prompt["900"] = {"class_type": "PreviewImage", "inputs": {"images": [drawing, 0]}}

    answer = own.post("/prompt", {"prompt": prompt, "partial_execution_targets": ["900"]})

    past = ended(own, answer.json["prompt_id"])
    assert "900" in past["outputs"]
    assert shipped.only(graph, "SaveImage") not in past["outputs"]


def test_a_moving_picture_is_told_and_sent_as_such(own: OwnServer) -> None:
    saved = {"images": ["1", 0], "filename_prefix": uuid.uuid4().hex, "fps": 8.0}
    webp = {"lossless": True, "quality": 80, "method": "fastest"}
    grey = {"width": 8, "height": 8, "batch_size": 2, "color": 0x808080}
    prompt = {
        "1": {"class_type": "EmptyImage", "inputs": grey},
        "2": {"class_type": "SaveAnimatedWEBP", "inputs": {**saved, **webp}},
    }

    past = ended(own, own.post("/prompt", {"prompt": prompt}).json["prompt_id"])

    shown = past["outputs"]["2"]
    assert shown["animated"] == [True]
    (file,) = shown["images"]
    answer = own.get(f"/view?filename={file['filename']}&type=output")
    assert answer.kind == "image/webp"
    assert answer.body.startswith(b"RIFF")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, "no_prompt"),
        ({"prompt": []}, "no_prompt"),
        ({"prompt": {}}, "prompt_no_outputs"),
        ({"prompt": {"1": 3}}, "missing_node_type"),
        ({"prompt": {"1": {"class_type": "Nowhere", "inputs": {}}}}, "missing_node_type"),
        ({"prompt": {}, "prompt_id": "one"}, "invalid_request"),
        ({"prompt": {}, "extra_data": 3}, "invalid_request"),
        ({"prompt": {}, "number": "first"}, "invalid_request"),
        ({"prompt": {}, "number": float("nan")}, "invalid_request"),
        ({"prompt": {}, "partial_execution_targets": 3}, "invalid_request"),
        ([], "invalid_request"),
    ],
)
def test_a_prompt_that_is_none_is_refused_in_a_sentence(
    own: OwnServer, body: Any, kind: str
) -> None:
    answer = own.post("/prompt", body)

    assert answer.status == 400
    assert answer.json["error"]["type"] == kind
    assert answer.json["error"]["message"]
    assert answer.json["node_errors"] == {}


def test_a_circle_is_told_at_its_nodes(own: OwnServer) -> None:
    prompt = {
        "1": {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    answer = own.post("/prompt", {"prompt": prompt})
    errors = answer.json["node_errors"]
    assert {node: entry["errors"][0]["type"] for node, entry in errors.items()} == dict.fromkeys(
        ("1", "2"), "dependency_cycle"
    )


def test_a_net_that_nobody_knows_has_a_stand_in(own: OwnServer, graph: Graph) -> None:
    node = shipped.only(graph, "ControlStackLoader")
    prompt: dict[str, Any] = fresh(graph).prompt()
    prompt[node]["inputs"]["control_net_name"] = "something.safetensors"

    answer = own.post("/prompt", {"prompt": prompt})

    assert answer.status == 200, answer.body
    assert ended(own, answer.json["prompt_id"])["status"]["completed"] is True


def test_every_template_that_is_listed_runs(own: OwnServer) -> None:
    listed = own.get("/workflow_templates").json[PACK]
    assert {"pose", "stack_pose_depth", "sdxl_union_promax"} <= set(listed)
    for name in sorted(set(listed) - {"train"}):  # a training is no matter of seconds
        sent_as = shipped.small(name)
        status = ended(own, sent(own, sent_as).json["prompt_id"])["status"]
        assert status["completed"] is True, (name, status["messages"][-1])


def test_a_run_is_stopped_within_a_step(own: OwnServer, graph: Graph) -> None:
    idle(own)
    began = threading.Event()
    heard: list[str] = []

    def hear(kind: str, data: dict[str, Any]) -> None:
        heard.append(kind)
        if kind == "progress" and not began.is_set():
            began.set()
            assert own.post("/interrupt", {}).status == 200

    run = own.run(fresh(graph, steps=400), hear)

    (told,) = run.of("execution_interrupted")
    assert told["node_id"] == shipped.only(graph, "KSampler")
    assert len(run.of("progress")) < 50
    past = own.get(f"/history/{run.prompt_id}").json[run.prompt_id]
    assert past["status"]["status_str"] == "error"
    assert own.get(f"/api/jobs/{run.prompt_id}").json["status"] == "cancelled"
    assert own.run(fresh(graph)).kinds[-2] == "execution_success"


def test_another_job_s_id_stops_nothing(own: OwnServer, graph: Graph) -> None:
    def hear(kind: str, data: dict[str, Any]) -> None:
        if kind == "progress":
            own.post("/interrupt", {"prompt_id": str(uuid.uuid4())})

    assert own.run(fresh(graph), hear).kinds[-2] == "execution_success"


def test_what_waits_can_be_looked_at_moved_and_forgotten(own: OwnServer, graph: Graph) -> None:
    idle(own)
    slow = sent(own, fresh(graph, steps=400)).json["prompt_id"]
    until(lambda: own.get("/queue").json["queue_running"])
    last, first = (
        sent(own, fresh(graph), **more).json["prompt_id"] for more in ({}, {"front": True})
    )

    waiting = own.get("/api/queue").json
    assert [item[1] for item in waiting["queue_running"]] == [slow]
    assert [item[1] for item in waiting["queue_pending"]] == [first, last]
    jobs = own.get("/api/jobs?status=pending,in_progress&sort_order=asc").json
    assert {job["id"]: job["status"] for job in jobs["jobs"]} == {
        slow: "in_progress",
        first: "pending",
        last: "pending",
    }
    assert own.post("/queue", {"delete": [last]}).status == 200
    assert own.post(f"/api/jobs/{first}/cancel", {}).json == {"cancelled": True}
    assert own.get("/queue").json["queue_pending"] == []
    assert own.post("/api/jobs/cancel", {"job_ids": [slow, last]}).json == {"cancelled": True}
    idle(own)
    assert own.post(f"/api/jobs/{slow}/cancel", {}).json == {"cancelled": False}


def test_the_queue_survives_its_client(own: OwnServer, graph: Graph) -> None:
    from websocket import create_connection

    graph = fresh(graph)
    client = uuid.uuid4().hex
    connection = create_connection(f"ws://127.0.0.1:{own.port}/ws?clientId={client}")
    job = sent(own, graph, client_id=client).json["prompt_id"]
    connection.close()

    assert ended(own, job)["status"]["status_str"] == "success"


def test_who_comes_again_hears_which_node_runs(own: OwnServer, graph: Graph) -> None:
    from websocket import create_connection

    idle(own)
    client = uuid.uuid4().hex
    address = f"ws://127.0.0.1:{own.port}/ws?clientId={client}"
    job = sent(own, fresh(graph, steps=400), client_id=client).json["prompt_id"]
    sampler = shipped.only(graph, "KSampler")
    deadline = time.monotonic() + 60
    told: dict[str, Any] = {}
    while told.get("node") != sampler and time.monotonic() < deadline:
        connection = create_connection(address, timeout=10)
        first = json.loads(connection.recv())
        assert first["type"] == "status"
        assert first["data"]["sid"] == client
        second = connection.recv()
        told = json.loads(second)["data"] if isinstance(second, str) else {}
        connection.close()
    own.post("/interrupt", {"prompt_id": job})
    assert told["node"] == sampler


def test_who_can_read_them_gets_previews_with_their_node(own: OwnServer, graph: Graph) -> None:
    from websocket import create_connection

    client = uuid.uuid4().hex
    address = f"ws://127.0.0.1:{own.port}/ws?clientId={client}"
    connection = create_connection(address, timeout=60)
    flags = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
    connection.send(json.dumps(flags))
    job = sent(own, fresh(graph), client_id=client).json["prompt_id"]
    answered, pictures = False, []
    while True:
        message = connection.recv()
        if isinstance(message, bytes):
            pictures.append(message)
            continue
        said = json.loads(message)
        answered = answered or said["type"] == "feature_flags"
        if said["type"] == "executing" and said["data"]["node"] is None:
            break
    connection.close()
    assert answered
    kind, length = struct.unpack(">II", pictures[0][:8])
    about = json.loads(pictures[0][8 : 8 + length])
    assert kind == 4
    assert about["node_id"] == shipped.only(graph, "KSampler")
    assert about["prompt_id"] == job
    assert pictures[0][8 + length :].startswith(JPEG)


def test_a_node_that_fails_is_named(own: OwnServer, graph: Graph) -> None:
    """Sizes that come through a link are seen only when the node runs. This one is of terabytes:
    a size that some machine could hold would be made there.
    """
    prompt: dict[str, Any] = fresh(graph).prompt()
    latent = shipped.only(graph, "EmptyLatentImage")
    prompt["900"] = {"class_type": "PrimitiveInt", "inputs": {"value": 10**12}}
    prompt[latent]["inputs"]["width"] = ["900", 0]

    answer = own.post("/prompt", {"prompt": prompt})

    past = ended(own, answer.json["prompt_id"])
    assert past["status"]["status_str"] == "error"
    kind, told = past["status"]["messages"][-1]
    assert kind == "execution_error"
    assert (told["node_id"], told["node_type"]) == (latent, "EmptyLatentImage")
    assert told["exception_type"] == "controlstack.ground.errors.UserError"
    assert "memory" in told["exception_message"]
    assert own.get(f"/api/jobs/{answer.json['prompt_id']}").json["status"] == "failed"


def test_memory_and_models_are_let_go(own: OwnServer, graph: Graph) -> None:
    graph = fresh(graph)
    own.run(graph)
    idle(own)
    before = own.get("/internal/logs").json.count(LET_GO)
    assert own.post("/free", {}).status == 200  # asks for nothing
    assert own.post("/free", {"unload_models": True, "free_memory": True}).status == 200
    # At once: an idle server waits for no prompt to do it.
    until(lambda: own.get("/internal/logs").json.count(LET_GO) == before + 1, 10)
    run = own.run(graph)
    assert run.of("execution_cached")[0]["nodes"] == []
    assert shipped.only(graph, "CheckpointLoaderSimple") in [
        one["node"] for one in run.of("executing")
    ]


def test_history_is_paged_and_forgotten(own: OwnServer, graph: Graph) -> None:
    for _ in range(2):
        ended(own, sent(own, graph).json["prompt_id"])
    every = list(own.get("/history").json)
    assert list(own.get("/history?max_items=2").json) == every[-2:]
    assert list(own.get("/history?max_items=2&offset=0").json) == every[:2]
    assert list(own.get("/history?offset=1").json) == every[1:]
    assert own.get("/history?max_items=many").status == 400
    assert own.get("/history/nothing").json == {}
    assert own.post("/history", {"delete": [every[0]]}).status == 200
    assert list(own.get("/history").json) == every[1:]
    page = own.get("/api/jobs?limit=1&offset=1&sort_order=asc").json
    assert [job["id"] for job in page["jobs"]] == [every[2]]
    assert page["pagination"] == {
        "offset": 1,
        "limit": 1,
        "total": len(every) - 1,
        "has_more": len(every) > 3,
    }
    assert own.get("/api/jobs?status=odd").status == 400
    whole = own.get(f"/api/jobs/{every[-1]}").json
    assert whole["status"] == "completed"
    assert whole["preview_output"]["filename"]
    assert whole["workflow"]["prompt"] == graph.prompt()
    assert own.get(f"/api/jobs/{uuid.uuid4()}").status == 404
