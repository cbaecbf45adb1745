"""`controlstack demo-model data`."""

from __future__ import annotations

from pathlib import Path

from controlstack.cli.demo_model import Kind
from controlstack.demo.build_control import KINDS
from tests.cli.prompts import Run


def test_data_of_every_kind(run: Run, folder: Path) -> None:
    assert [kind.value for kind in Kind] == list(KINDS)
    for kind in KINDS:
        result = run("demo-model", "data", "--count", 2, "--kind", kind, "--out", kind)
        assert result.exit_code == 0, result.stderr
        assert result.stdout == f"{kind}\n"
        assert len(list((folder / kind / "source").iterdir())) == 2
    result = run("demo-model", "data", "--out", "canny")
    assert result.exit_code == 2
    assert result.stderr == "Error: canny is there already; name another, or move it away\n"
