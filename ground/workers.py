"""Processes that work for this one: they leave Ctrl-C to it, and end with it, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TypeVar

Result = TypeVar("Result")

# Forked children would inherit the locks of OpenCV's threads, and wait for ever.
_FRESH = multiprocessing.get_context("spawn")


@contextmanager
def lifeline() -> Iterator[Connection]:
    """What processes hold (`hold`) that shall end when the block is left: also by an error, and
    when this process is killed.
    """
    theirs, ours = _FRESH.Pipe(duplex=False)
    with theirs, ours:
        yield theirs


def hold(line: Connection) -> None:
    """To be called first in such a process: it ends at once when nobody holds the other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()


@contextmanager
def deaf_births() -> Iterator[None]:
    """Processes that begin inside never hear Ctrl-C, which a terminal sends to them, too; this one
    hears it after the block. Windows has no such thing: there, they hear it until they `hold`.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # which begins with the first process, and lets Ctrl-C in
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Workers:
    """Processes that wait for jobs."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def submit(self, job: Callable[..., Result], *arguments: object) -> Future[Result]:
        """Begin `job(*arguments)`, which other processes can import, in one that is idle."""
        with deaf_births():
            return self._pool.submit(job, *arguments)


@contextmanager
def workers(count: int, begin: Callable[[], None] | None = None) -> Iterator[Workers]:
    """`count` processes, each of which calls `begin` first. The block ends when all jobs are done;
    on an error, what they are at is given up.
    """
    theirs, ours = _FRESH.Pipe(duplex=False)
    with theirs, ours, ProcessPoolExecutor(count, _FRESH, _begin, (theirs, begin)) as pool:
        try:
            yield Workers(pool)
        except BaseException:
            ours.close()  # before the pool waits for them
            raise


def _begin(line: Connection, begin: Callable[[], None] | None) -> None:
    hold(line)
    if begin is not None:
        begin()


def _end_with(line: Connection) -> None:
    with suppress(EOFError, OSError):
        line.recv_bytes()
    os._exit(1)
