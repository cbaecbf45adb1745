"""A real ComfyUI server with folders of its own, and a client that speaks as its front end does.

HTTP by urllib, events over the websocket: nothing of ComfyUI is imported here.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from controlstack.headless.graph.model import Graph

ROOT = Path(__file__).resolve().parents[2]
PACK = "controlstack"
START_SECONDS = 180
SILENCE_SECONDS = 120
"""How long a server may take to answer, and a run to say nothing, before a test gives up."""

JPEG = b"\xff\xd8"
_PREVIEW = 1  # the binary message that is a picture: its kind, the picture's format, the picture
_PREVIEW_HEADER = 8


@dataclass(frozen=True)
class Answer:
    """What the server said to one request."""

    status: int
    body: bytes
    kind: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Run:
    """All that the server told while one prompt ran."""

    prompt_id: str
    events: tuple[tuple[str, dict[str, Any]], ...]
    previews: tuple[bytes, ...]
    outputs: dict[str, Any]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind, in order."""
        return [data for name, data in self.events if name == kind]

    @property
    def kinds(self) -> list[str]:
        """The kinds of all events, in order."""
        return [name for name, _ in self.events]


@dataclass(frozen=True)
class Server:
    """A server that listens, and the folder that it works in."""

    base: Path
    port: int
    log: Path
    client: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> Answer:
        """The answer to a GET of `path`, errors included."""
        return _ask(Request(self.url + quote(path, safe="/?=&%")))

    def post(self, path: str, body: Any) -> Answer:
        """The answer to a POST of `body` as JSON."""
        data = json.dumps(body).encode()
        return _ask(Request(self.url + path, data, {"Content-Type": "application/json"}))

    def queue(self, graph: Graph) -> Answer:
        """What /prompt says to `graph`, sent with its canvas as the front end sends it."""
        extra = {"extra_pnginfo": {"workflow": graph.workflow}}
        return self.post(
            "/prompt", {"prompt": graph.prompt(), "client_id": self.client, "extra_data": extra}
        )

    def run(
        self, graph: Graph, on_event: Callable[[str, dict[str, Any]], None] | None = None
    ) -> Run:
        """Queue `graph` and listen until the server says that it is through with it."""
        # Imported here: a machine without ComfyUI collects these tests and has no need of it.
        from websocket import create_connection

        address = f"ws://127.0.0.1:{self.port}/ws?clientId={self.client}"
        connection = create_connection(address, timeout=SILENCE_SECONDS)
        try:
            answer = self.queue(graph)
            assert answer.status == 200, answer.body.decode()
            prompt_id: str = answer.json["prompt_id"]
            events: list[tuple[str, dict[str, Any]]] = []
            previews: list[bytes] = []
            for message in iter(connection.recv, None):
                if isinstance(message, bytes):
                    if int.from_bytes(message[:4], "big") == _PREVIEW:
                        previews.append(message[_PREVIEW_HEADER:])
                    continue
                event = json.loads(message)
                kind, data = event["type"], event.get("data") or {}
                if data.get("prompt_id") != prompt_id:
                    continue
                events.append((kind, data))
                if on_event:
                    on_event(kind, data)
                if kind == "executing" and data["node"] is None:
                    break
        finally:
            connection.close()
        history = self.get(f"/history/{prompt_id}").json[prompt_id]
        return Run(prompt_id, tuple(events), tuple(previews), history["outputs"])

    def picture(self, named: dict[str, str]) -> bytes:
        """The bytes of a picture that an event or the history names."""
        answer = self.get("/view?" + urlencode(named))
        assert answer.status == 200, answer.body.decode()
        return answer.body


@contextmanager
def serving(
    comfyui: Path, base: Path, folder: str = PACK, further: Sequence[Path] = ()
) -> Iterator[Server]:
    """Start the ComfyUI at `comfyui` with this checkout and `further` packs, and end it again.

    `base` holds `models`, `input` and so on; `custom_nodes/<folder>` is made here.
    """
    packs = base / "custom_nodes"
    packs.mkdir(parents=True)
    (packs / folder).symlink_to(ROOT, target_is_directory=True)
    for pack in further:
        (packs / pack.name).symlink_to(pack)
    server = Server(base, _free_port(), base / "server.log")
    with server.log.open("w") as log:
        process = subprocess.Popen(
            _command(comfyui, server), cwd=comfyui, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def _command(comfyui: Path, server: Server) -> list[str]:
    # Another front end than the one that is installed: the folder `static` of its wheel.
    front_end = os.environ.get("COMFYUI_FRONT_END")
    # The classic cache: the newer default forgets results when the machine is short of memory.
    # The database in memory: its file is shared by all servers of one ComfyUI, and locked.
    return [
        *(sys.executable, str(comfyui / "main.py"), "--cpu"),
        *("--listen", "127.0.0.1", "--port", str(server.port)),
        *("--base-directory", str(server.base), "--database-url", "sqlite:///:memory:"),
        *("--cache-classic", "--preview-method", "latent2rgb", "--disable-auto-launch"),
        *(("--front-end-root", front_end) if front_end else ()),
    ]


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            if server.get("/system_stats").status == 200:
                return
        except URLError:
            time.sleep(0.2)
    raise AssertionError(f"ComfyUI does not answer:\n{server.log.read_text()[-4000:]}")


def _ask(request: Request) -> Answer:
    try:
        with urlopen(request, timeout=SILENCE_SECONDS) as answer:
            return Answer(answer.status, answer.read(), answer.headers.get_content_type())
    except HTTPError as error:
        with error:
            return Answer(error.code, error.read(), error.headers.get_content_type())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
