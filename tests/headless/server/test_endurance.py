"""What a server lives through: it is killed, its disk is full, thousands wait, nobody reads."""

from __future__ import annotations

import json
import signal
import socket
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from controlstack.headless.graph.model import Graph
from tests.comfyui import shipped
from tests.headless.server.test_files import asked, png, upload
from tests.headless.server.test_prompts import ended, fresh, idle, sent
from tests.own_server import OwnServer, serving, until

MANY = 10_000
ROOM = 5 * 1024
"""Bytes that a file may have on a disk that is full soon: fewer than a picture of the demo has, and
more than its previews."""
FULL = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({ROOM}, {ROOM}))
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A program that runs another one, whose files cannot become larger: a real error of the system."""
TINY: dict[str, Any] = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0},
    },
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
}


def resident(own: OwnServer) -> float:
    """MiB that the server holds."""
    status = Path(f"/proc/{own.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def test_killed_in_mid_run_it_leaves_history_and_files_whole(tmp_path: Path, graph: Graph) -> None:
    with serving(tmp_path) as own:
        first = own.run(fresh(graph))
        own.post("/settings/Some.Thing", 1)
        second = sent(own, fresh(graph, steps=400)).json["prompt_id"]
        until(lambda: own.get("/queue").json["queue_running"])
        own.process.send_signal(signal.SIGKILL)
        own.process.wait(30)

    with serving(tmp_path) as again:
        history = again.get("/history").json
        assert list(history) == [first.prompt_id]
        assert history[first.prompt_id]["status"]["completed"] is True
        assert second not in history
        (shown,) = history[first.prompt_id]["outputs"][shipped.only(graph, "SaveImage")]["images"]
        assert again.picture(shown).startswith(b"\x89PNG")
        assert again.get("/settings/Some.Thing").json == 1
        assert again.get("/queue").json == {"queue_running": [], "queue_pending": []}
        assert again.run(fresh(graph)).kinds[-2] == "execution_success"


def test_a_full_disk_is_said_and_lived_through(tmp_path: Path, graph: Graph) -> None:
    before = (sys.executable, "-c", FULL)
    with serving(tmp_path, before=before) as own:
        large = png(size=(8, 8)) + bytes(4 * ROOM)
        answer = upload(own, "large.png", large)
        assert answer.status == 507, answer.body
        assert "large" in answer.json["error"]
        assert not list((tmp_path / "input").iterdir())
        written, _ = asked(own, "POST", "/userdata/large.json", bytes(4 * ROOM))
        assert written.status == 507
        assert not (tmp_path / "user" / "default" / "large.json").exists()
        job = sent(own, fresh(graph)).json["prompt_id"]
        status = ended(own, job)["status"]
        assert status["status_str"] == "error"
        assert "cannot write" in status["messages"][-1][1]["exception_message"]
        assert not list((tmp_path / "output").glob("*.png"))
        assert upload(own, "small.png", png()).status == 200


def test_ten_thousand_wait_and_one_client_never_reads(own: OwnServer, graph: Graph) -> None:
    idle(own)
    own.run(fresh(graph))
    deaf = socket.create_connection(("127.0.0.1", own.port))
    deaf.sendall(
        b"GET /ws?clientId=deaf HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    slow = sent(own, fresh(graph, steps=10_000), client_id="deaf").json["prompt_id"]
    until(lambda: own.get("/queue").json["queue_running"])
    memory = resident(own)
    connection = HTTPConnection("127.0.0.1", own.port, timeout=60)
    body = json.dumps({"prompt": TINY, "client_id": "deaf"})
    for _ in range(MANY):
        connection.request("POST", "/prompt", body)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    connection.close()

    assert own.get("/prompt").json["exec_info"]["queue_remaining"] == MANY + 1
    assert len(own.get("/queue").json["queue_pending"]) == MANY
    page = own.get("/api/jobs?status=pending&limit=3").json
    assert page["pagination"]["total"] == MANY
    assert resident(own) - memory < 150
    assert own.post("/queue", {"clear": True}).status == 200
    own.post("/interrupt", {"prompt_id": slow})
    idle(own)
    assert own.run(fresh(graph)).kinds[-2] == "execution_success"
    deaf.close()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_ends_when_it_is_told_to(tmp_path: Path, graph: Graph, name: str) -> None:
    with serving(tmp_path) as own:
        sent(own, fresh(graph, steps=400))
        until(lambda: own.get("/queue").json["queue_running"])
        own.process.send_signal(getattr(signal, name))
        code = own.process.wait(30)
    assert code == (130 if name == "SIGINT" else -signal.SIGTERM)
    if name == "SIGINT":
        assert own.log.read_text().splitlines()[-1] == "Stopped."
    assert "Traceback" not in own.log.read_text()
