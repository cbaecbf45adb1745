"""What a sweep says in words: the best setting, and when there is none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from controlstack.evaluation.spread import spread
from controlstack.sweeps.record import Record
from controlstack.sweeps.sheets import laid_out
from controlstack.sweeps.summary import best_in_words, measures, settings_of, unmeasured


def row(strength: float, seed: int, value: float | None, **more: Any) -> Record:
    figures = {"found by": "canny", "lower is better": [], "edge F1": value}
    settings = {"strength": strength, "seed": seed}
    return Record(f"{strength}{seed}", settings, fidelity={"edges": figures, **more})


def words(*rows: Record) -> str:
    return best_in_words(settings_of(rows, ["strength"]))


def test_the_best_is_the_mean_over_seeds_and_not_one_lucky_row() -> None:
    rows = [row(0.4, 1, 0.95), row(0.4, 2, 0.1), row(1.0, 1, 0.8), row(1.0, 2, 0.82)]
    assert words(*rows).startswith("Best: strength 1.0 (edges: edge F1 0.81 ± 0.01), over 2 rows.")


def test_what_is_within_the_spread_is_said() -> None:
    near = [row(0.4, 1, 0.7), row(0.4, 2, 0.9), row(1.0, 1, 0.75), row(1.0, 2, 0.9)]
    assert words(*near).endswith("no further apart than rows of one setting are.")
    apart = [row(0.4, 1, 0.2), row(0.4, 2, 0.22), row(1.0, 1, 0.8), row(1.0, 2, 0.81)]
    assert words(*apart).endswith("Next: strength 0.4 (edges: edge F1 0.21 ± 0.01).")
    assert words(row(0.4, 1, 0.2), row(1.0, 1, 0.8)).endswith("chance may decide: add seeds.")


def test_where_nothing_is_better_nothing_is_best() -> None:
    same = [row(0.4, 1, 0.0), row(1.0, 1, 0.0)]
    assert words(*same) == "No setting is better than another: edges: edge F1 0.00 for each."
    assert words(row(0.4, 1, None), row(1.0, 1, None)) == ""


def test_a_smaller_figure_may_be_the_better_one() -> None:
    def far(strength: float, value: float) -> Record:
        found = {"found by": "x", "lower is better": ["RMSE"], "RMSE": value}
        return Record(str(strength), {"strength": strength}, fidelity={"depth": found})

    rows = [far(0.4, 0.9), far(1.0, 0.1)]
    assert not measures(rows)[0].higher_is_better
    assert words(*rows).startswith("Best: strength 1.0")


def test_controls_count_alike() -> None:
    """Each figure is scaled from its worst to its best row: a small range weighs as a large one."""

    def both(strength: float, one: float, other: float) -> Record:
        def kind(value: float) -> dict[str, Any]:
            return {"found by": "x", "lower is better": [], "F": value}

        fidelity = {"a": kind(one), "b": kind(other)}
        return Record(str(strength), {"strength": strength}, fidelity=fidelity)

    rows = [both(0.1, 0.50, 0.0), both(0.5, 0.52, 0.9), both(0.9, 0.51, 1.0)]
    assert words(*rows).startswith("Best: strength 0.5")


def test_why_there_is_no_figure() -> None:
    rows = [row(0.4, 1, 0.5, depth={"why": "no weights"})]
    assert unmeasured(rows) == {"depth": "no weights"}


def test_spread_leaves_out_what_is_no_number() -> None:
    found = spread([1.0, math.nan, 3.0])
    assert (found.mean, found.count) == (2.0, 2)
    assert found.deviation == pytest.approx(math.sqrt(2))
    assert math.isnan(spread([]).mean)


def test_settings_stand_before_seeds_on_sheets() -> None:
    values = {"seed": [1, 2], "strength": [0.1, 0.2, 0.3], "cfg": [4, 5], "mode": ["a"]}
    sheets = laid_out(values, ["seed"])
    assert (sheets.across, sheets.down) == ("strength", "cfg")
    assert [dict(page) for page in sheets.pages] == [
        {"seed": 1, "mode": "a"},
        {"seed": 2, "mode": "a"},
    ]
    many = laid_out({"strength": list(range(20)), "seed": list(range(30)), "b": [1, 2]}, ["seed"])
    assert len(many.pages) == 24
    assert many.notes == (
        "6 of 30 sheets are left out",
        "4 of 20 values of strength are left out of sheets",
    )
