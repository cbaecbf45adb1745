"""The one thread that runs prompts, one after the other, and keeps what the next one can use."""

from __future__ import annotations

import gc
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from ...ground.log import log
from ...ground.reporter import report_to
from .checking import graph_of
from .history import History
from .house import House
from .jobs import summary
from .queue import Job, JobQueue
from .stop import Stop, Stopped
from .telling import Listeners, Telling

if TYPE_CHECKING:
    from ..graph.execute import Executor

LEAVING = 5.0
"""Seconds that the server waits at its end for a run to stop."""


class Worker:
    """Takes jobs from the queue in a thread of its own until `end`.

    `around` is entered once in that thread, such as a number of threads for torch.
    """

    def __init__(
        self,
        queue: JobQueue,
        history: History,
        listeners: Listeners,
        house: House,
        around: AbstractContextManager[object] | None = None,
    ) -> None:
        self._queue, self._history, self._listeners = queue, history, listeners
        self._house, self._around = house, around or nullcontext()
        self._stop = Stop()
        self._lock = threading.Lock()
        self._forget = False
        self._telling: Telling | None = None
        self._thread = threading.Thread(target=self._work, name="controlstack runs", daemon=True)

    def start(self) -> None:
        """Begin to take jobs."""
        self._thread.start()

    def end(self) -> None:
        """Stop the run that is under way and take no more."""
        self._queue.close()
        self.interrupt()
        if self._thread.is_alive():
            self._thread.join(LEAVING)

    def interrupt(self, job_id: str | None = None) -> bool:
        """Stop the job that runs, if it is the one of this id; whether there was one to stop."""
        with self._lock:
            now = self._telling
            if now is None or (job_id is not None and now.job.id != job_id):
                return False
            self._stop.ask()
            return True

    def forget(self) -> None:
        """Let results and models of former runs go, when no run is under way."""
        self._forget = True
        self._queue.wake()

    @property
    def place(self) -> tuple[str | None, str | None]:
        """The client whose job runs, and the node that runs."""
        now = self._telling
        return (now.job.client, now.node) if now else (None, None)

    def _work(self) -> None:
        # Neither torch's networks nor their libraries are imported before there is work.
        executor: Executor | None = None
        with self._around:
            while not self._queue.is_closed:
                job = self._queue.take()
                if self._forget:
                    self._forget, executor = False, None
                    gc.collect()
                    log.info("results and models of former runs were let go")
                if job is not None:
                    executor = executor or self._new_executor()
                    self._run(job, executor)

    def _new_executor(self) -> Executor:
        from ..graph.execute import Executor

        return Executor(self._house.registry)

    def _run(self, job: Job, executor: Executor) -> None:
        telling = Telling(job, self._listeners, self._stop)
        with self._lock:
            self._telling = telling
            self._stop.begin()
        telling.started()
        began = time.perf_counter()
        try:
            self._execute(job, executor, telling)
            telling.succeeded()
            log.info("a run took %.1f s", time.perf_counter() - began)
        except Stopped:
            telling.interrupted()
            log.info("a run was stopped")
        except Exception as error:
            telling.failed(error)
            log.warning("%s", error)
        finally:
            with self._lock:
                self._telling = None
                self._stop.end()
        entry = telling.entry()
        self._history.add(job.id, summary(job, telling), entry)
        self._queue.done()
        telling.ended()

    def _execute(self, job: Job, executor: Executor, telling: Telling) -> None:
        from ..sampling.previews import shown_by

        house = self._house
        prompt, extra = job.sent()
        with house.open():
            graph = graph_of(prompt, extra, house)
        for note in graph.notes:
            log.info("%s", note)
        with house.open(), report_to(telling), shown_by(house.look):
            executor.run(
                graph,
                telling.event,
                outputs=job.outputs,
                on_begin=lambda kept: telling.plan(graph, kept),
            )
