"""The frame around the command: Ctrl-C at any moment, and streams of any kind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals, pipes and /dev/full")

_PNG = BytesIO()
_HALVES = Image.new("RGB", (8, 8), "red")
_HALVES.paste("white", (0, 0, 4, 8))
_HALVES.save(_PNG, "PNG")
PICTURE = _PNG.getvalue()
MOMENTS = int(os.environ.get("CTRL_C_MOMENTS", "12"))
"""How many moments are tried; set more for a search."""
PROGRAM = (
    "import os; from controlstack.cli.main import interrupts, main; "
    "interrupts.listen(); os.write(1, b'.'); main()"
)
"""Tells when our first line listens: before it, Python's own start has the signal."""
SWALLOWS = (
    "import os, signal, sys, time\n"
    "from controlstack.cli import app, main\n"
    "def swallow():\n"
    "    try:\n"
    "        signal.raise_signal(signal.SIGINT)\n"
    "    except BaseException:\n"
    "        print('swallowed', flush=True)\n"
    "    {then}\n"
    "app.app = swallow\n"
    "main.main()\n"
)


def run(*command: object, **more: object) -> subprocess.CompletedProcess[str]:
    """`controlstack ...` in a process of its own that hears Ctrl-C, as a terminal's does."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        **{"capture_output": True, "text": True, "preexec_fn": _hears, "timeout": 120, **more},
    )


def _hears() -> None:
    # A shell's background job, as a test run may be, has its children ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


COMMANDS = (("--help",), ("--version",), ("nodes",), ("hint", "canny", "{picture}"))


@pytest.mark.parametrize("number", range(MOMENTS))
def test_ctrl_c_at_any_moment(number: int, tmp_path: Path) -> None:
    rng = random.Random(number)
    picture = tmp_path / "a.png"
    picture.write_bytes(PICTURE)
    arguments = [word.format(picture=picture) for word in COMMANDS[number % len(COMMANDS)]]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, preexec_fn=_hears,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 1) == b"."
        time.sleep(rng.uniform(0, 1) ** 2)
        for _ in range(rng.choice([1, 1, 3])):
            process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, said) in [(0, b""), (130, b"Stopped.\n")], (arguments, said)
    assert b"Traceback" not in out
    assert list(tmp_path.rglob("*.part")) == []


def test_ctrl_c_in_python_m(tmp_path: Path) -> None:
    """Where an interrupt in compiled text would make Python end by the signal."""
    script = tmp_path / "sitecustomize.py"
    script.write_text(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer':\n"
        "            exec('import signal; signal.raise_signal(signal.SIGINT)')\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    found = run("-m", "controlstack.cli", "--help", env={**os.environ, "PYTHONPATH": path})
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "Stopped.\n")


@pytest.mark.parametrize("then", ["time.sleep(60)", "pass", "raise ImportError('broken by it')"])
def test_an_interrupt_that_was_swallowed_is_not_lost(then: str) -> None:
    began = time.monotonic()
    found = run("-c", SWALLOWS.format(then=then))
    assert (found.returncode, found.stderr) == (130, "Stopped.\n")
    assert time.monotonic() - began < 30


def test_a_finaliser_that_cannot_pass_it_on_says_nothing() -> None:
    then = (
        "X = type('X', (), {'__del__': lambda self: signal.raise_signal(2)}); X(); time.sleep(60)"
    )
    found = run("-c", SWALLOWS.format(then=then))
    assert (found.returncode, found.stderr) == (130, "Stopped.\n")


def test_another_ctrl_c_later_ends_at_once_what_does_not_end() -> None:
    then = (
        "os.write(1, b'!')\n"
        "    try: signal.raise_signal(2)\n"
        "    finally:\n"
        "        time.sleep(1.2)\n"
        "        signal.raise_signal(2)\n"
        "        time.sleep(60)"
    )
    began = time.monotonic()
    found = run("-c", SWALLOWS.format(then=then))
    assert (found.returncode, found.stderr) == (130, "Stopped.\n")
    assert time.monotonic() - began < 30


def test_a_background_job_goes_on() -> None:
    """A shell's `command &` ignores Ctrl-C, which is for the command in front."""
    ignores = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    found = run("-c", "import signal; signal.raise_signal(2)\n" + PROGRAM, "--version", **ignores)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize(
    ("encoding", "command"),
    [
        ("ascii", "train --help"),
        ("ascii", "hint canny aé↑.png --out o"),
        ("cp1252", "hint canny aé↑.png --out o"),
        ("cp1252:strict", "run nö↑.json"),
    ],
)
def test_no_letter_is_too_much_for_a_stream(tmp_path: Path, encoding: str, command: str) -> None:
    (tmp_path / "aé↑.png").write_bytes(PICTURE)
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    words = ["-m", "controlstack.cli", *command.split()]
    found = run(*words, cwd=tmp_path, env=environment, text=False)
    assert found.returncode == (2 if command.startswith("run") else 0), found.stderr
    assert b"Traceback" not in found.stderr
    if command.startswith("hint"):
        name = "o/aé↑_canny.png".encode(encoding.partition(":")[0], "backslashreplace")
        assert found.stdout.strip() == name
        assert (tmp_path / "o" / "aé↑_canny.png").exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8")
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_name_that_is_no_utf_8(tmp_path: Path, locale: str) -> None:
    name = b"a\xff.png"
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(PICTURE)
    environment = {**os.environ, "LC_ALL": locale}
    command = ["-m", "controlstack.cli", "hint", "canny", os.fsdecode(name), "--out", "o"]
    found = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True
    )
    assert (found.returncode, found.stderr) == (0, b"")
    assert found.stdout == b"o/a\\udcff_canny.png\n"


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_a_reader_may_go_and_a_disk_may_be_full(command: str) -> None:
    into = f"{sys.executable} -m controlstack.cli {command}"
    gone = subprocess.run(
        ["bash", "-c", f"{into} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True
    )
    assert (gone.stdout, gone.stderr) == ("0\n", "")
    with Path("/dev/full").open("w") as full:
        streams = {"capture_output": False, "stdout": full, "stderr": subprocess.PIPE}
        found = run("-m", "controlstack.cli", command, **streams)
    assert found.returncode == 2
    assert found.stderr == "Error: standard output: No space left on device.\n"


def test_closed_streams(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    command = f"{sys.executable} -m controlstack.cli hint canny a.png --out o >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path).returncode == 0
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["a_canny.png"]


def test_the_frame_imports_nothing_but_pythons_own() -> None:
    found = run("-c", "import sys; import controlstack.cli.main; print('typer' in sys.modules)")
    assert found.stdout == "False\n"
