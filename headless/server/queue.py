"""The prompts that wait and the one that runs; whoever sent them may leave."""

from __future__ import annotations

import heapq
import itertools
import json
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from .packed import pack, text_of, unpack


@dataclass(frozen=True)
class Job:
    """A prompt that was accepted: what was sent, packed, and which of its output nodes shall run.

    `number` is its place, lower ones first; `created` is in milliseconds since 1970; `workflow` is
    the id of the canvas that it was made on.
    """

    number: float
    id: str
    prompt: bytes
    extra: bytes
    outputs: tuple[str, ...]
    client: str | None
    created: int
    workflow: str | None

    @staticmethod
    def of(
        number: float,
        job_id: str,
        prompt: dict[str, Any],
        extra: dict[str, Any],
        outputs: Collection[str],
        created: int,
    ) -> Job:
        """The job of a request; `extra` is its `extra_data` with the client's id."""
        canvas = (extra.get("extra_pnginfo") or {}).get("workflow")
        workflow = canvas.get("id") if isinstance(canvas, dict) else None
        client = extra.get("client_id")
        return Job(
            number,
            job_id,
            pack(text_of(prompt)),
            pack(text_of({**extra, "create_time": created})),
            tuple(outputs),
            client if isinstance(client, str) else None,
            created,
            workflow if isinstance(workflow, str) else None,
        )

    def told(self) -> str:
        """The JSON by which ComfyUI tells of a job: number, id, prompt, extra data, outputs."""
        start = f"{text_of(self.number)},{text_of(self.id)}"
        return f"[{start},{unpack(self.prompt)},{unpack(self.extra)},{text_of(self.outputs)}]"

    def sent(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The prompt and the extra data, as values."""
        return json.loads(unpack(self.prompt)), json.loads(unpack(self.extra))


class JobQueue:
    """Jobs by number, then in the order they came. `changed` is called after each change, from
    whichever thread made it.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._waiting: list[tuple[float, int, Job]] = []
        self._arrivals = itertools.count()
        self._running: Job | None = None
        self._closed = self._woken = False
        self._news = threading.Condition()

    def put(self, job: Job) -> None:
        """Let `job` wait for its turn."""
        with self._news:
            heapq.heappush(self._waiting, (job.number, next(self._arrivals), job))
            self._news.notify()
        self._changed()

    def take(self, seconds: float | None = None) -> Job | None:
        """The next job, which runs from now on; None where none came, or the queue was woken or is
        closed."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._closed or self._woken, seconds)
            self._woken = False
            if self._closed or not self._waiting:
                return None
            self._running = heapq.heappop(self._waiting)[2]
            job = self._running
        self._changed()
        return job

    def done(self) -> None:
        """The job that ran has ended."""
        with self._news:
            self._running = None
        self._changed()

    def wake(self) -> None:
        """Let `take` return, if only with None: the one that waits, or else the next one."""
        with self._news:
            self._woken = True
            self._news.notify()

    def close(self) -> None:
        """No further job is taken."""
        with self._news:
            self._closed = True
            self._news.notify()

    def clear(self) -> None:
        """Forget all that wait."""
        with self._news:
            self._waiting.clear()
        self._changed()

    def remove(self, ids: Collection[str]) -> set[str]:
        """Forget those of `ids` that wait; which they were."""
        wanted = set(ids)
        with self._news:
            gone = {entry[2].id for entry in self._waiting} & wanted
            if gone:
                self._waiting = [entry for entry in self._waiting if entry[2].id not in gone]
                heapq.heapify(self._waiting)
        if gone:
            self._changed()
        return gone

    def look(self) -> tuple[Job | None, list[Job]]:
        """The job that runs, and those that wait, in their order."""
        with self._news:
            return self._running, [entry[2] for entry in sorted(self._waiting)]

    @property
    def is_closed(self) -> bool:
        """Whether no further job is taken."""
        return self._closed

    @property
    def remaining(self) -> int:
        """How many wait or run."""
        with self._news:
            return len(self._waiting) + (self._running is not None)
