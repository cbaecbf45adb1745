"""A training that is killed, at whatever moment, can be gone on with or begun again, and ends as if
nobody had touched it, bit for bit. CONTROLSTACK_KILLS is how many kills are tried (3), and
CONTROLSTACK_SEED which (1).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = int(os.environ.get("CONTROLSTACK_KILLS", "3"))
SEED = os.environ.get("CONTROLSTACK_SEED", "1")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="its processes are forked")
def test_a_killed_training_ends_as_if_nobody_had_touched_it(tmp_path: Path) -> None:
    script = Path(__file__).parent / "killed.py"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, tmp_path, SEED, str(KILLS)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["killed"] == KILLS
    assert told["ends"] >= 1
