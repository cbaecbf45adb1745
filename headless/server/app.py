"""All rooms of the server under one roof, and the loop that keeps it open."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from aiohttp import web

from ...ground.errors import UserError
from .answers import Route
from .clients import Clients
from .front_end import FrontEnd
from .guard import guard, headed, told
from .history import History
from .house import House
from .machine import Machine, features
from .model_files import ModelFiles
from .object_info import Nodes
from .pack import Pack
from .pictures import Pictures
from .prompts import Prompts
from .queue import JobQueue
from .user_files import UserFiles
from .worker import Worker


class Room(Protocol):
    """What answers at some addresses."""

    def routes(self) -> list[Route]:
        """All of them."""


HISTORY = "history.jsonl"
API = "/api"


class Server:
    """The embedded host behind ComfyUI's addresses; `around` is entered in the thread that runs."""

    def __init__(
        self,
        house: House,
        local_only: bool = True,
        around: AbstractContextManager[object] | None = None,
    ) -> None:
        self._clients = Clients(features(house))
        self._queue = JobQueue(self._changed)
        self._history = History(house.user / HISTORY)
        self._worker = Worker(self._queue, self._history, self._clients, house, around)
        self._machine = Machine(house, self._clients)
        self._prompts = Prompts(house, self._queue, self._history, self._worker, self._clients)
        front_end = FrontEnd(house.front_end)
        rooms: list[Room] = [
            self._prompts,
            self._machine,
            Nodes(house),
            ModelFiles(house),
            Pictures(house),
            UserFiles(house),
            Pack(house, front_end),
            front_end,
        ]
        middlewares = [guard(local_only), headed(), told()]
        self._app = web.Application(client_max_size=house.upload, middlewares=middlewares)
        for room in rooms:
            for method, path, answer in room.routes():
                self._app.router.add_route(method, path, answer)
                self._app.router.add_route(method, API + path, answer)
        self._app.add_routes([front_end.static()])

    async def run(self, address: str, port: int, ready: Callable[[int], None]) -> None:
        """Serve until the task is cancelled; `ready` is told the port, when all answer.

        Port 0 is any that is free. Raises UserError where the address or the port cannot be had.
        """
        self._clients.open()
        runner = web.AppRunner(self._app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            site = web.TCPSite(runner, address, port)
            try:
                await site.start()
            except OSError as error:
                raise UserError(_reason(error, address, port)) from error
            self._machine.listen()
            self._worker.start()
            ready(runner.addresses[0][1])
            await asyncio.Event().wait()
        finally:
            self._machine.leave()
            self._worker.end()
            await self._clients.close()
            await runner.cleanup()

    def _changed(self) -> None:
        self._clients.tell("status", {"status": self._prompts.status()})


def _reason(error: OSError, address: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {address} is in use: end what uses it, or name another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} needs rights that this process has not: name one above 1023"
    return f"cannot listen on {address}: {error.strerror or error}"
