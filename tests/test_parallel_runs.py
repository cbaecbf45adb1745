"""Many commands in one folder at once: each has its pictures, and says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

RUNS, SAVES = 20, 3

# Forked after a first run, since imports are most of the work of so light a graph.
PROGRAM = """
import os, sys
from contextlib import suppress
from controlstack.cli.app import app
with suppress(SystemExit):
    app(["run", "graph.json", "--out", "first"])  # imports all that the others need
children = []
for number in range(int(sys.argv[1])):
    if child := os.fork():
        children.append(child)
        continue
    told = os.open(f"told-{number}", os.O_CREAT | os.O_WRONLY)
    os.dup2(told, 1)
    code = 1
    try:
        app(["run", "graph.json", "--out", "o"])
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(code)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_twenty_runs_give_twenty_pictures(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    Image.new("RGB", (32, 32), "red").save(tmp_path / "input" / "photo.png")
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
        **{
            str(node): {
                "class_type": "SaveImage",
                "inputs": {"images": ["1", 0], "filename_prefix": f"deep/{node}"},
            }
            for node in range(2, 2 + SAVES)
        },
    }
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    command = [sys.executable, "-c", PROGRAM, str(RUNS)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == [0] * RUNS, run.stderr
    told = [(tmp_path / f"told-{number}").read_text().split() for number in range(RUNS)]
    names = [name for one in told for name in one]
    assert all(len(one) == SAVES for one in told)
    assert len(set(names)) == RUNS * SAVES
    on_disk = sorted(path.name for path in (tmp_path / "o" / "deep").iterdir())
    assert on_disk == sorted(Path(name).name for name in names)
