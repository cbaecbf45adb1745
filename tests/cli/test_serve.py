"""`controlstack serve` before it serves: what is missing or taken is one sentence."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.own_server import ROOT, command, serving

WITHOUT = """
import sys
sys.modules[{name!r}] = None
import importlib.util as u
find = u.find_spec
u.find_spec = lambda name, *a: None if name == {name!r} else find(name, *a)
sys.argv = ["controlstack", *sys.argv[1:]]
from controlstack.cli.main import main
main()
"""
"""The command in a process where a library is not installed."""


def ran(asked: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """What became of a command that shall not serve."""
    environment = {"PYTHONPATH": str(ROOT / ".build"), "PATH": "/usr/bin"}
    return subprocess.run(
        asked, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that it ended with."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = (one for one in done.stderr.splitlines() if not one.startswith("Note:"))
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize("name", ["aiohttp", "comfyui_frontend_package"])
def test_a_missing_library_is_named(tmp_path: Path, name: str) -> None:
    if name != "aiohttp":
        pytest.importorskip("aiohttp")
    done = ran([sys.executable, "-c", WITHOUT.format(name=name), "serve", "--port", "0"], tmp_path)
    assert "pip install 'controlstack[serve]'" in sentence(done)


def test_a_folder_without_front_end_is_named(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    done = ran(command(tmp_path, "--front-end", str(tmp_path / "none")), tmp_path)
    assert f"no front end in {tmp_path / 'none'}" in sentence(done)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = ran(command(tmp_path, "--port", str(port)), tmp_path)
    assert f"port {port} of 127.0.0.1 is in use" in sentence(done)


def test_a_device_that_is_none_is_named(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    done = ran(command(tmp_path, "--device", "tpu"), tmp_path)
    assert "--device tpu is no device" in sentence(done)


def test_an_address_that_is_none_is_named(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    done = ran(command(tmp_path, "--listen", "203.0.113.7"), tmp_path)
    assert "cannot listen on 203.0.113.7" in sentence(done)


def test_other_machines_are_warned_of(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    with serving(tmp_path, "--listen", "0.0.0.0", demo=False) as own:
        assert "Note: --listen 0.0.0.0 lets other machines" in own.log.read_text()
        assert own.get("/prompt").status == 200
