"""A small Hugging Face hub on this machine: metadata on HEAD, files behind a redirect, as the real
one answers, and the ways in which it can fail.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Files by "publisher/model/path", and what the server shall do wrong.

    Large files (`lfs`) have their sha256 in X-Linked-Etag and lie behind a redirect, others their
    git sum in ETag, as on the hub. `lies` replaces a sum. Of files in `cut` only half is sent, as
    often as the number says; then all that is asked for, or nothing ever with `dies_after_cuts`.
    `states` replaces the size that a file is said to have; files that `stall` are sent up to
    their half, and then nothing until the server ends.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    lfs: set[str] = field(default_factory=set)
    lies: dict[str, str] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    dies_after_cuts: bool = False
    states: dict[str, int] = field(default_factory=dict)
    stall: set[str] = field(default_factory=set)
    ends: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def put(self, name: str, data: bytes, lfs: bool = True) -> str:
        """Publish a file; returns its sha256."""
        self.files[name] = data
        if lfs:
            self.lfs.add(name)
        return hashlib.sha256(data).hexdigest()

    def etag(self, name: str) -> str:
        """The sum that the hub states."""
        data = self.files[name]
        if name in self.lfs:
            return self.lies.get(name) or hashlib.sha256(data).hexdigest()
        git = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        return self.lies.get(name) or git

    def size(self, name: str) -> int:
        """The size that the hub states."""
        return self.states.get(name) or len(self.files[name])


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub at `Hub.url` inside the block."""
    hub = Hub()

    class Answer(_Answer):
        answers_for = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        hub.ends.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Answer(BaseHTTPRequestHandler):
    answers_for: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        return None

    def _answer(self, with_body: bool) -> None:
        hub = self.answers_for
        hub.asked.append(f"{self.command} {self.path}")
        on_cdn = self.path.startswith("/cdn/")
        name = self.path.removeprefix("/cdn/")
        if not on_cdn:
            repo, _, rest = self.path.strip("/").partition("/resolve/")
            name = f"{repo}/{rest.partition('/')[2]}"
        if name not in hub.files:
            self._head(404, {"X-Error-Code": "EntryNotFound", "Content-Length": "0"})
        elif name in hub.lfs and not on_cdn:
            self._head(
                302,
                {
                    "Location": f"{hub.url}/cdn/{name}",
                    "X-Linked-Etag": f'"{hub.etag(name)}"',
                    "X-Linked-Size": str(hub.size(name)),
                    "X-Repo-Commit": COMMIT,
                    "Content-Length": "0",
                },
            )
        else:
            self._file(name, with_body)

    def _file(self, name: str, with_body: bool) -> None:
        hub, data, start = self.answers_for, self.answers_for.files[name], 0
        asked = self.headers.get("Range", "")
        if asked:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
        stated = {
            "ETag": f'"{hub.etag(name)}"',
            "X-Repo-Commit": COMMIT,
            "Content-Length": str(len(data) - start if with_body else hub.size(name)),
        }
        if asked:
            stated["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if with_body and hub.cut.get(name) == 0 and hub.dies_after_cuts:
            self.close_connection = True  # hangs up without a word
            return
        self._head(206 if asked else 200, stated)
        if not with_body:
            return
        if name in hub.stall:
            self.wfile.write(data[: len(data) // 2])
            hub.ends.wait()
            self.close_connection = True
        elif hub.cut.get(name):
            hub.cut[name] -= 1
            self.wfile.write(data[start : start + (len(data) - start) // 2])
            self.close_connection = True
        else:
            self.wfile.write(data[start:])

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
