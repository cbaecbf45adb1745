"""The websockets: each client has its messages waiting, and none waits for another."""

from __future__ import annotations

import asyncio
import io
import struct
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...ground.errors import UserError
from ...ground.structured import read_json
from .packed import text_of

if TYPE_CHECKING:
    from PIL.Image import Image

MANY = 200
"""Messages that wait for a client before those that only the last of counts are left out."""
MOST = 20_000
"""Messages that wait for a client before it is let go: it does not read."""
FLEETING = frozenset({"status", "progress", "progress_state", "preview"})
PREVIEW, PREVIEW_WITH_METADATA = 1, 4
"""ComfyUI's kinds of binary messages (`protocol.py`)."""
JPEG = 1
PREVIEW_SIDE = 1024
"""Pixels of the longer edge of a picture that is sent, at most."""

Waiting = tuple[str, "str | bytes"]


class Client:
    """One websocket: its id, what it said that it can do, and the messages that wait for it."""

    def __init__(self, client_id: str, socket: Any, transport: Any) -> None:
        self.id = client_id
        self.socket, self._transport = socket, transport
        self.metadata = False
        self.is_gone = False
        self._waiting: deque[Waiting] = deque()
        self._news = asyncio.Event()

    def put(self, kind: str, message: str | bytes) -> None:
        """Let a message wait for its turn."""
        if self.is_gone:
            return
        if len(self._waiting) >= MOST:
            self.leave()
        elif len(self._waiting) >= MANY and kind in FLEETING:
            self._replace(kind, message)
        else:
            self._waiting.append((kind, message))
        self._news.set()

    def leave(self) -> None:
        """Nothing more is sent, not even what is on its way."""
        self.is_gone = True
        self._waiting.clear()
        self._news.set()
        if self._transport is not None:
            self._transport.abort()

    async def send(self) -> None:
        """Send what waits, for as long as the client is there."""
        while not self.is_gone and not self.socket.closed:
            self._news.clear()
            while self._waiting and not self.is_gone:
                _, message = self._waiting.popleft()
                if isinstance(message, str):
                    await self.socket.send_str(message)
                else:
                    await self.socket.send_bytes(message)
            await self._news.wait()

    def _replace(self, kind: str, message: str | bytes) -> None:
        """In the place of the last one of this kind, if that still waits: it is out of date."""
        for index in range(len(self._waiting) - 1, max(-1, len(self._waiting) - MANY), -1):
            if self._waiting[index][0] == kind:
                del self._waiting[index]
                break
        self._waiting.append((kind, message))


class Clients:
    """All websockets by their clients' ids. `tell` and `show` may be called from every thread."""

    def __init__(self, features: Mapping[str, Any]) -> None:
        self._features = features
        self._clients: dict[str, Client] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """From now on messages go out, through the loop that runs."""
        self._loop = asyncio.get_running_loop()

    def tell(self, kind: str, data: Mapping[str, Any], client: str | None = None) -> None:
        """Send a message; to everybody where `client` is None."""
        message = text_of({"type": kind, "data": data})
        self._soon(lambda: self._put(kind, message, client))

    def show(self, picture: Image, where: Mapping[str, Any], client: str | None = None) -> None:
        """Send a picture of work under way; `where` names the prompt and the node."""
        data = _jpeg(picture)

        def put() -> None:
            told = text_of({**where, "image_type": "image/jpeg"}).encode()
            plain = struct.pack(">II", PREVIEW, JPEG) + data
            whole = struct.pack(">II", PREVIEW_WITH_METADATA, len(told)) + told + data
            for one in self._of(client):
                one.put("preview", whole if one.metadata else plain)

        self._soon(put)

    async def serve(
        self,
        socket: Any,
        transport: Any,
        client_id: str,
        greet: Callable[[str], list[tuple[str, dict[str, Any]]]],
    ) -> None:
        """Speak with a client until it leaves; `greet` gives its first messages, for its id. One of
        the same id that was there before is not told any more.
        """
        client = Client(client_id or uuid.uuid4().hex, socket, transport)
        self._clients[client.id] = client
        for kind, data in greet(client.id):
            client.put(kind, text_of({"type": kind, "data": data}))
        sender = asyncio.create_task(self._send(client))
        try:
            first = True
            async for message in socket:
                if first and isinstance(message.data, str):
                    self._hear(client, message.data)
                first = False
        finally:
            client.is_gone = True
            sender.cancel()
            self._forget(client)

    async def close(self) -> None:
        """Say goodbye to all."""
        for client in list(self._clients.values()):
            await client.socket.close(code=1001, message=b"the server ends")

    async def _send(self, client: Client) -> None:
        with suppress(ConnectionError, RuntimeError):  # it has left
            await client.send()
        client.leave()
        self._forget(client)

    def _forget(self, client: Client) -> None:
        if self._clients.get(client.id) is client:
            del self._clients[client.id]

    def _hear(self, client: Client, text: str) -> None:
        """The first message may say what the client can do; others mean nothing."""
        try:
            said = read_json(text, "a client's message", "message")
        except UserError:
            return
        if isinstance(said, dict) and said.get("type") == "feature_flags":
            flags = said.get("data")
            told = isinstance(flags, dict) and flags.get("supports_preview_metadata")
            client.metadata = told is True
            answer = {"type": "feature_flags", "data": self._features}
            client.put("feature_flags", text_of(answer))

    def _put(self, kind: str, message: str | bytes, client: str | None) -> None:
        for one in self._of(client):
            one.put(kind, message)

    def _of(self, client: str | None) -> list[Client]:
        if client is None:
            return list(self._clients.values())
        return [self._clients[client]] if client in self._clients else []

    def _soon(self, call: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(call)


def _jpeg(picture: Image) -> bytes:
    if max(picture.size) > PREVIEW_SIDE:
        picture = picture.copy()
        picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, format="JPEG", quality=90)
    return stream.getvalue()
