"""The GPU's benchmark, in its dry form."""

from __future__ import annotations

import pytest

from controlstack.benchmarks import gpu


def test_the_dry_form_prints_a_line_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--device cpu --types fp32 --edges 64 --ways plain --steps 2 --rounds 1"
    gpu.main(words.split())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(gpu.CELLS)
    titles, _, *rows = [line.split("|") for line in lines]
    assert {len(row) for row in rows} == {len(titles)}
    assert [float(row[7]) > 0 for row in rows] == [True] * len(rows)
