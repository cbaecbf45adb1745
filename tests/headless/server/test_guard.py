"""Whose requests are answered: a page of another origin can do nothing here."""

from __future__ import annotations

from http.client import HTTPConnection
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="install controlstack[serve] to try the server")

from controlstack.headless.graph.model import Graph
from controlstack.headless.server.guard import foreign
from tests.own_server import OwnServer

LOCAL = "127.0.0.1:8188"


@pytest.mark.parametrize(
    ("headers", "answered"),
    [
        ({"Host": LOCAL}, True),  # no browser: curl, comfy run
        ({"Host": LOCAL, "Origin": "http://127.0.0.1:8188"}, True),
        ({"Host": "localhost:8188", "Origin": "http://LOCALHOST:8188"}, True),
        ({"Host": "[::1]:8188", "Origin": "http://[::1]:8188"}, True),
        ({"Host": LOCAL, "Sec-Fetch-Site": "same-origin"}, True),
        ({"Host": LOCAL, "Sec-Fetch-Site": "none"}, True),
        ({"Host": LOCAL, "Sec-Fetch-Site": "cross-site"}, False),
        ({"Host": LOCAL, "Origin": "https://example.com"}, False),
        ({"Host": LOCAL, "Origin": "http://localhost:8188"}, False),
        ({"Host": LOCAL, "Origin": "http://127.0.0.1:9000"}, False),
        ({"Host": LOCAL, "Origin": "null"}, False),
        ({"Host": LOCAL, "Origin": "http://[broken"}, False),
        ({"Host": LOCAL, "Origin": "http://127.0.0.1.example.com:8188"}, False),
    ],
)
def test_the_origin_is_the_host_s(headers: dict[str, str], answered: bool) -> None:
    for local_only in (True, False):
        assert (foreign(headers, local_only) is None) == answered


def test_a_foreign_name_for_this_machine_is_refused() -> None:
    """DNS rebinding: the page and the server have one origin, by a name that the page chose."""
    rebound = {"Host": "example.com:8188", "Origin": "http://example.com:8188"}
    assert foreign(rebound, local_only=True) is not None
    assert foreign(rebound, local_only=False) is None


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/prompt"), ("POST", "/api/prompt"), ("GET", "/ws"), ("POST", "/upload/image")],
)
def test_a_foreign_page_reaches_nothing(
    own: OwnServer, graph: Graph, method: str, path: str
) -> None:
    socket: dict[str, Any] = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    connection = HTTPConnection("127.0.0.1", own.port, timeout=20)
    headers = {"Origin": "https://example.com", **(socket if path == "/ws" else {})}
    connection.request(method, path, b'{"prompt": {}}', headers)
    answer = connection.getresponse()
    assert answer.status == 403
    assert b"error" in answer.read()
    connection.close()


def test_no_answer_invites_other_origins(own: OwnServer) -> None:
    connection = HTTPConnection("127.0.0.1", own.port, timeout=20)
    for method in ("GET", "OPTIONS"):
        connection.request(method, "/prompt")
        answer = connection.getresponse()
        answer.read()
        assert answer.getheader("Access-Control-Allow-Origin") is None
        assert answer.getheader("X-Content-Type-Options") == "nosniff" or method == "OPTIONS"
    connection.close()
