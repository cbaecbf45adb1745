"""Control Sweep and Sweep Sheet: numbers as lists, and a sheet of what they made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless import folders, host
from controlstack.headless.graph.execute import Event, Executor
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.planning.plan import plan_of
from controlstack.headless.planning.walk import planning_registry
from controlstack.nodes import NODE_CLASS_MAPPINGS
from tests.comfyui import shipped
from tests.sweep_graph import with_sweep


def swept(values: str, second: str = "") -> tuple[Any, ...]:
    node: Any = NODE_CLASS_MAPPINGS["ControlStackSweep"]
    made: tuple[Any, ...] = node().sweep(
        name="strength", values=values, second_name="seed", second_values=second
    )
    return made


def sheet(images: list[Tensor], grid: Any, **others: Any) -> tuple[Tensor, str]:
    node: Any = NODE_CLASS_MAPPINGS["ControlStackSweepSheet"]
    made: tuple[Tensor, str] = node().draw(images=images, grid=[grid], title=["T"], **others)
    return made


def colours(*levels: float) -> list[Tensor]:
    return [torch.full((1, 16, 16, 3), level) for level in levels]


def test_lists_go_in_step_and_the_second_setting_changes_fastest() -> None:
    number, whole, second, second_whole, grid = swept("0.5, 1", "1..3")
    assert number == [0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    assert whole == [0, 0, 0, 1, 1, 1]
    assert second == [1.0, 2.0, 3.0] * 2
    assert second_whole == [1, 2, 3] * 2
    assert (grid[1].name, grid[1].values) == ("seed", (1.0, 2.0, 3.0))


def test_seeds_keep_every_digit() -> None:
    _, whole, *_ = swept("18446744073709551615, 9007199254740993")
    assert whole == [18446744073709551615, 9007199254740993]


def test_one_setting_alone() -> None:
    number, _, second, second_whole, _ = swept("0.3..1.0:3")
    assert number == [0.3, 0.65, 1.0]
    assert second == [0.0] * 3
    assert second_whole == [0] * 3


def test_pictures_stand_where_their_values_are() -> None:
    *_, grid = swept("1, 2, 3", "7, 8")
    drawn, best = sheet(colours(0.0, 0.2, 0.4, 0.6, 0.8, 1.0), grid)
    assert drawn.shape[0] == 1
    assert drawn.shape[3] == 3
    assert best == ""
    # The first setting goes across: 0.0, 0.4, 0.8 in the upper row, 0.2, 0.6, 1.0 in the lower.
    levels = [round(level * 255) for level in (0.0, 0.4, 0.8, 0.2, 0.6, 1.0)]
    grey = (drawn[0] * 255).round().int()
    flat = [
        level
        for row in grey.tolist()
        for level in [[pixel[0] for pixel in row if pixel[0] == pixel[1] == pixel[2]]]
    ]
    upper = next(row for row in flat if row.count(levels[1]) > 100)
    lower = next(row for row in flat if row.count(levels[4]) > 100)
    assert [one for one in dict.fromkeys(upper) if upper.count(one) > 100] == levels[:3]
    assert [one for one in dict.fromkeys(lower) if lower.count(one) > 100][:3] == levels[3:]


def test_the_best_is_the_mean_over_the_second_setting() -> None:
    *_, grid = swept("0.4, 0.8", "1, 2")
    figures = [0.9, 0.1, 0.6, 0.6]
    _, best = sheet(colours(0, 0, 0, 0), grid, figures=figures)
    assert best == "Best: strength 0.8, with 0.6, the mean of 2 seed."
    _, best = sheet(colours(0, 0, 0, 0), grid, figures=figures, lower_is_better=[True])
    assert best.startswith("Best: strength 0.4, with 0.5")


@pytest.mark.parametrize(
    ("values", "second", "words"),
    [
        ("", "", "values: it is empty"),
        ("a", "", "values: 'a' is no number"),
        ("0..1", "0.1..1", "second_values: the range '0.1..1' does not say how many"),
        ("1..100", "1..100", "this sweep has 10000 values, and a graph takes 400"),
    ],
)
def test_what_is_no_sweep(values: str, second: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        swept(values, second)
    node: Any = NODE_CLASS_MAPPINGS["ControlStackSweep"]
    assert words in node.VALIDATE_INPUTS(values=values, second_values=second)
    assert node.VALIDATE_INPUTS(values=None, second_values=None) is True


def test_pictures_of_another_sweep() -> None:
    *_, grid = swept("1, 2, 3")
    with pytest.raises(UserError, match="the sweep has 3 values and there are 2 pictures"):
        sheet(colours(0, 1), grid)
    with pytest.raises(UserError, match="the sweep has 3 values and there are 1 figures"):
        sheet(colours(0, 1, 1), grid, figures=[1.0])


def test_in_a_graph_models_and_hints_are_made_once(tmp_path: Path) -> None:
    shipped.write_files(tmp_path)
    graph, registry = with_sweep(shipped.small("canny")), default_registry()
    places = folders.Folders(
        models=(tmp_path / "models",),
        input=(shipped.WORKFLOWS / "input",),
        output=tmp_path / "out",
        temp=tmp_path / "temp",
    )
    heard: list[Event] = []
    with host.use(places):
        validate(graph, registry)
        results = Executor(registry).run(graph, heard.append)
        (timeline,) = plan_of(graph, planning_registry()).timelines
        (saved,) = results.files()
    assert saved.is_file()
    pictures = results.outputs[shipped.only(graph, "VAEDecode")][0]
    assert len(pictures) == 6
    assert not torch.equal(pictures[0], pictures[3])  # another strength
    assert not torch.equal(pictures[0], pictures[1])  # another seed
    assert len(results.outputs[shipped.only(graph, "ControlStackCanny")][0]) == 1
    assert timeline[1].lines[0].runs == 0  # the plan is that of the first value, strength 0
