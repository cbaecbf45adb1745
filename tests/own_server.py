"""`controlstack serve` in a process of its own, spoken to as ComfyUI's server is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.comfyui.server import START_SECONDS, Server

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class OwnServer(Server):
    """A server of ours, and the process that it is."""

    process: subprocess.Popen[str]


def installed_front_end() -> Path | None:
    """The folder of the front end that is installed, or None."""
    from controlstack.ground.errors import UserError

    if find_spec("aiohttp") is None:
        return None
    from controlstack.headless.server import front_end

    try:
        return front_end.installed()
    except UserError:
        return None


def page_in(base: Path) -> Path:
    """A front end of one page, for tests that need none."""
    folder = base / "static"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text("<title>a page</title>")
    return folder


def command(base: Path, *options: str) -> list[str]:
    """The command that serves in `base`."""
    places = [
        *("--port", "0", "--out", str(base / "output"), "--user", str(base / "user")),
        *("--models", str(base / "models"), "--input", str(base / "input")),
    ]
    front_end = [] if "--front-end" in options else ["--front-end", str(page_in(base))]
    return [sys.executable, "-m", "controlstack.cli", "serve", *places, *front_end, *options]


@contextmanager
def serving(
    base: Path, *options: str, before: Sequence[str] = (), demo: bool = True
) -> Iterator[OwnServer]:
    """Start a server that works in `base`, and end it again; `before` stands before the command."""
    pytest.importorskip("aiohttp", reason="install controlstack[serve] to try the server")
    for folder in ("models", "input"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    log = base / "server.log"
    asked = [*before, *command(base, *(("--demo",) if demo else ()), *options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".build")}
    with log.open("w") as errors:
        process = subprocess.Popen(
            asked, cwd=base, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )
    try:
        yield OwnServer(base, _port(process, log), log, process=process)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=30)
        assert process.stdout is not None
        process.stdout.close()


def until(look: object, seconds: float = START_SECONDS) -> None:
    """Wait until `look()` is true."""
    assert callable(look)
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.05)


def _port(process: subprocess.Popen[str], log: Path) -> int:
    """The port that the server says on its first line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("http://"), f"{line!r}\n{log.read_text()}"
    return int(line.strip().rsplit(":", 1)[1])
