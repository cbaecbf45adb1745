"""The routes of what runs: prompts, the queue, the history, jobs, and the websocket."""

from __future__ import annotations

import asyncio
import json
import math
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from aiohttp import web

from ...ground.errors import UserError
from ...ground.structured import Json, JsonObject
from .answers import (
    Route,
    aside,
    json_of,
    json_text,
    nothing,
    object_of,
    refused,
    texts_of,
)
from .checking import check, error_of
from .clients import Clients
from .history import History, Past
from .house import House
from .jobs import page, waiting, whole, whole_number
from .packed import text_of
from .queue import Job, JobQueue
from .worker import Worker

SECRET = ("auth_token_comfy_org", "api_key_comfy_org")
"""What the front end sends for nodes that are paid for: never kept, and of no use here."""


class Prompts:
    """Answers for the queue and what becomes of it."""

    def __init__(
        self, house: House, queue: JobQueue, history: History, worker: Worker, clients: Clients
    ) -> None:
        self._house, self._queue, self._history = house, queue, history
        self._worker, self._clients = worker, clients
        self._count = 0
        # One thread: prompts are queued in the order in which they came.
        self._checks = ThreadPoolExecutor(1, "controlstack checks")

    def routes(self) -> list[Route]:
        """All addresses of this room."""
        return [
            ("GET", "/ws", self.websocket),
            ("GET", "/prompt", self.state),
            ("POST", "/prompt", self.queue),
            ("GET", "/queue", self.queued),
            ("POST", "/queue", self.change_queue),
            ("POST", "/interrupt", self.interrupt),
            ("POST", "/free", self.free),
            ("GET", "/history", self.history),
            ("POST", "/history", self.change_history),
            ("GET", "/history/{job_id}", self.one_of_history),
            ("GET", "/jobs", self.jobs),
            ("GET", "/jobs/{job_id}", self.job),
            ("POST", "/jobs/cancel", self.cancel_many),
            ("POST", "/jobs/{job_id}/cancel", self.cancel),
        ]

    def status(self) -> dict[str, Any]:
        """How much waits, in the form of a "status" message."""
        return {"exec_info": {"queue_remaining": self._queue.remaining}}

    async def websocket(self, request: Any) -> Any:
        """A client listens."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)

        def greet(client: str) -> list[tuple[str, dict[str, Any]]]:
            first = [("status", {"status": self.status(), "sid": client})]
            owner, node = self._worker.place
            again = owner == client and node is not None
            return first + ([("executing", {"node": node})] if again else [])

        client_id = request.query.get("clientId", "")
        await self._clients.serve(socket, request.transport, client_id, greet)
        return socket

    async def state(self, request: Any) -> Any:
        """How much waits."""
        return json_of(self.status())

    async def queue(self, request: Any) -> Any:
        """A prompt is checked, and waits for its turn."""
        try:
            asked = await object_of(request)
            number, job_id, targets, extra = self._asked(asked)
        except UserError as error:
            return _refused(error_of("invalid_request", str(error), str(error)))
        prompt = asked.get("prompt")
        if prompt is None:
            return _refused(error_of("no_prompt", "No prompt provided", "No prompt provided"))
        call = copy_context().run
        verdict = await asyncio.get_running_loop().run_in_executor(
            self._checks, call, check, prompt, extra, targets, self._house
        )
        if verdict.error is not None or not isinstance(prompt, dict):
            return _refused(verdict.error, verdict.node_errors)
        now = int(time.time() * 1000)
        self._queue.put(Job.of(number, job_id, prompt, extra, verdict.outputs, now))
        errors = verdict.node_errors
        return json_of({"prompt_id": job_id, "number": number, "node_errors": errors})

    def _asked(self, asked: JsonObject) -> tuple[float, str, list[str] | None, dict[str, Any]]:
        """A request's number, id, targets and extra data. Raises UserError for what is none."""
        extra = asked.get("extra_data") or {}
        if not isinstance(extra, dict) or not isinstance(extra.get("extra_pnginfo") or {}, dict):
            raise UserError("extra_data and extra_pnginfo must be objects")
        extra = {key: value for key, value in extra.items() if key not in SECRET}
        if "client_id" in asked:
            extra["client_id"] = asked["client_id"]
        targets = asked.get("partial_execution_targets")
        chosen = None if targets is None else texts_of(targets, "partial_execution_targets")
        return self._number(asked), _job_id(asked.get("prompt_id")), chosen, extra

    def _number(self, asked: JsonObject) -> float:
        if "number" in asked:
            try:
                number = float(str(asked["number"]))
            except ValueError as error:
                raise UserError(f"number must be a number, and is {asked['number']!r}") from error
            if not math.isfinite(number):
                raise UserError(f"number must be finite, and is {number}")
            return number
        number = -self._count if asked.get("front") else self._count
        self._count += 1
        return number

    async def queued(self, request: Any) -> Any:
        """What runs, and what waits."""
        running, queued = self._queue.look()

        def told() -> str:
            now = [running.told()] if running else []
            return (
                f'{{"queue_running":[{",".join(now)}],'
                f'"queue_pending":[{",".join(job.told() for job in queued)}]}}'
            )

        return json_text(await aside(told))

    async def change_queue(self, request: Any) -> Any:
        """Some that wait, or all, are forgotten."""
        asked = await object_of(request)
        if asked.get("clear"):
            self._queue.clear()
        if "delete" in asked:
            self._queue.remove(texts_of(asked["delete"], "delete"))
        return nothing()

    async def interrupt(self, request: Any) -> Any:
        """What runs is stopped, or only if it is the one that is named."""
        try:
            asked = await object_of(request, empty=True)
        except UserError:  # ComfyUI takes a body that is no JSON for an empty one
            asked = {}
        named = asked.get("prompt_id")
        self._worker.interrupt(str(named) if named else None)
        return nothing()

    async def free(self, request: Any) -> Any:
        """Models and results are let go."""
        asked = await object_of(request)
        if asked.get("unload_models") or asked.get("free_memory"):
            self._worker.forget()
        return nothing()

    async def history(self, request: Any) -> Any:
        """What became of prompts, oldest first."""
        most = whole_number(request.query, "max_items", None)
        offset = whole_number(request.query, "offset", None)
        found = self._history.page(most, -1 if offset is None else offset)
        return json_text(await aside(_entries, found))

    async def one_of_history(self, request: Any) -> Any:
        """What became of one."""
        past = self._history.get(request.match_info["job_id"])
        return json_text(_entries([past] if past else []))

    async def change_history(self, request: Any) -> Any:
        """Some, or all, are forgotten."""
        asked = await object_of(request)
        if asked.get("clear"):
            self._history.clear()
        if "delete" in asked:
            self._history.forget(texts_of(asked["delete"], "delete"))
        return nothing()

    async def jobs(self, request: Any) -> Any:
        """A page of all jobs, whatever their state."""
        running, queued = self._queue.look()
        return json_of(await aside(page, running, queued, self._history.all(), request.query))

    async def job(self, request: Any) -> Any:
        """One job."""
        job_id = request.match_info["job_id"]
        if (past := self._history.get(job_id)) is not None:
            return json_of(await aside(lambda: whole(past, json.loads(past.told))))
        running, queued = self._queue.look()
        if running is not None and running.id == job_id:
            return json_of(waiting(running, "in_progress"))
        found = next((job for job in queued if job.id == job_id), None)
        return json_of(waiting(found, "pending")) if found else refused("Job not found", 404)

    async def cancel(self, request: Any) -> Any:
        """One job is stopped or forgotten; one that has ended stays as it is."""
        return json_of({"cancelled": self._cancel([request.match_info["job_id"]])})

    async def cancel_many(self, request: Any) -> Any:
        """So are several."""
        asked = await object_of(request)
        ids = texts_of(asked.get("job_ids"), "job_ids")
        if wrong := [one for one in ids if not _is_id(one)]:
            return json_of({"error": "job_ids contains invalid id(s)", "invalid_ids": wrong}, 400)
        return json_of({"cancelled": self._cancel(ids)})

    def _cancel(self, ids: list[str]) -> bool:
        gone = self._queue.remove(ids)
        stopped = [one for one in ids if one not in gone and self._worker.interrupt(one)]
        return bool(gone or stopped)


def _refused(error: Any, node_errors: Any = None) -> Any:
    return json_of({"error": error, "node_errors": node_errors or {}}, 400)


def _job_id(given: Json) -> str:
    if given is None:
        return str(uuid.uuid4())
    if not isinstance(given, str) or not _is_id(given):
        raise UserError("prompt_id must be a UUID in lower case, with hyphens; or leave it out")
    return given


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _entries(found: Iterable[Past]) -> str:
    return "{" + ",".join(f"{text_of(past.id)}:{past.told}" for past in found) + "}"
