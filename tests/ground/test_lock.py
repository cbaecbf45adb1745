"""One process at a time works in a folder, and a dead one is in nobody's way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from controlstack.ground.errors import UserError
from controlstack.ground.lock import working_in

HOLDER = """
import sys
from pathlib import Path
from controlstack.ground.lock import working_in
with working_in(Path(sys.argv[1]), "training"):
    print("mine", flush=True)
    sys.stdin.readline()
"""


def test_the_second_is_told_and_a_dead_one_forgotten(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "mine\n"
    with pytest.raises(UserError, match="another process is training in"):
        working_in(tmp_path / "run", "training").__enter__()
    holder.kill()
    holder.wait()
    for _ in range(2):
        with working_in(tmp_path / "run", "training"):
            pass


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write in"):
        working_in(tmp_path / "file", "at work").__enter__()
