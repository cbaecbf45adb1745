"""What waits for a client that does not read, and when it is let go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from controlstack.headless.server import clients
from controlstack.headless.server.clients import MANY, MOST, Client


class Socket:
    """A connection whose other end reads once it is let."""

    def __init__(self) -> None:
        self.closed = False
        self.reads = asyncio.Event()
        self.read: list[str] = []

    async def send_str(self, message: str) -> None:
        """Wait for the reader."""
        await self.reads.wait()
        self.read.append(message)


class Transport:
    """What lies below a socket."""

    aborted = False

    def abort(self) -> None:
        """Nothing is sent any more."""
        self.aborted = True


def within(test: Callable[[], Awaitable[None]]) -> None:
    """Run `test` in a loop."""

    async def run() -> None:
        await asyncio.wait_for(test(), 20)

    asyncio.run(run())


def test_what_is_out_of_date_is_left_out_and_the_rest_comes_in_order() -> None:
    async def test() -> None:
        socket = Socket()
        client = Client("me", socket, Transport())
        sending = asyncio.create_task(client.send())
        for number in range(5000):
            client.put("progress", json.dumps(["progress", number]))
            if number % 100 == 0:
                client.put("executed", json.dumps(["executed", number]))
        socket.reads.set()
        while len(socket.read) < 60 or json.loads(socket.read[-1])[1] < 4999:
            await asyncio.sleep(0.01)
        read = [json.loads(message) for message in socket.read]
        assert [number for kind, number in read if kind == "executed"] == list(range(0, 5000, 100))
        progress = [number for kind, number in read if kind == "progress"]
        assert progress == sorted(progress)
        assert progress[-1] == 4999
        assert len(read) <= MANY + 100
        sending.cancel()

    within(test)


def test_who_never_reads_is_let_go_and_holds_no_memory() -> None:
    async def test() -> None:
        transport = Transport()
        client = Client("me", Socket(), transport)
        sending = asyncio.create_task(client.send())
        for number in range(MOST + 10):
            client.put("executed", str(number))
        assert transport.aborted
        assert client.is_gone
        assert not client._waiting
        client.put("executed", "late")
        assert not client._waiting
        sending.cancel()

    within(test)


def test_large_pictures_are_sent_smaller() -> None:
    from io import BytesIO

    from PIL import Image

    data: Any = clients._jpeg(Image.new("RGBA", (3000, 1500), (255, 0, 0, 0)))
    with Image.open(BytesIO(data)) as sent:
        assert sent.size == (1024, 512)
