"""Processes that work for another one end with it, and leave Ctrl-C to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlstack.ground.workers import workers

# Prints its workers' ids once all are at work, then waits for jobs that never end.
PARENT = """
import os, signal, sys, time
from concurrent.futures import wait
from controlstack.ground.workers import workers
from tests.ground.test_workers import linger

if __name__ == "__main__":
    with workers(2) as pool:
        jobs = [pool.submit(linger, sys.argv[1]) for _ in range(2)]
        wait(jobs)
"""


def linger(folder: str) -> None:
    """What a worker is at for ever, with a file of its id to tell so."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)


def test_jobs_come_back() -> None:
    with workers(1) as pool:
        assert pool.submit(os.getppid).result() == os.getpid()


def test_an_error_gives_up_what_they_are_at() -> None:
    def fail() -> None:
        with workers(1) as pool:
            pool.submit(time.sleep, 600)
            raise ZeroDivisionError

    began = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        fail()
    assert time.monotonic() - began < 60


@pytest.mark.skipif(os.name != "posix", reason="signals to a group of processes")
@pytest.mark.parametrize("how", ["Ctrl-C", "killed"])
def test_no_worker_outlives_its_parent(tmp_path: Path, how: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    marks = tmp_path / "marks"
    marks.mkdir()
    parent = subprocess.Popen(
        [sys.executable, script, marks],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        _until(lambda: len(list(marks.iterdir())) == 2)
        if how == "Ctrl-C":  # to all of them, as a terminal sends it
            os.killpg(parent.pid, signal.SIGINT)
        else:
            parent.kill()
        _, said = parent.communicate(timeout=60)
        _until(lambda: not any(_alive(int(mark.name)) for mark in marks.iterdir()))
    finally:
        parent.kill()
    assert said.count("KeyboardInterrupt") == (how == "Ctrl-C"), said


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
