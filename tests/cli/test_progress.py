"""What a person sees while the embedded host works."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console
from rich.progress import Progress

from controlstack.cli.progress import TerminalReporter, report_node, shown_progress
from controlstack.ground.reporter import report_to, reporter
from controlstack.headless.graph.execute import Event
from controlstack.headless.graph.model import Node


@pytest.fixture
def progress() -> Progress:
    return Progress(console=Console(file=StringIO()), disable=True)


def test_a_stage_lasts_until_the_next_report(progress: Progress) -> None:
    terminal = TerminalReporter(progress)
    terminal.stage("loading")
    terminal.stage("encoding")
    assert [(task.description, task.total) for task in progress.tasks] == [("encoding", None)]
    with terminal.steps(3, "sampling") as steps:
        steps.advance()
        (task,) = progress.tasks
        assert (task.description, task.completed, task.total) == ("sampling", 1, 3)
    assert progress.tasks == []


def test_steps_within_steps(progress: Progress) -> None:
    terminal = TerminalReporter(progress)
    with terminal.steps(2, "pictures") as pictures, terminal.steps(20, "sampling"):
        pictures.advance()
        assert [task.description for task in progress.tasks] == ["pictures", "sampling"]


def test_a_bar_goes_away_on_an_error(progress: Progress) -> None:
    with pytest.raises(KeyboardInterrupt), TerminalReporter(progress).steps(3, "sampling"):
        raise KeyboardInterrupt
    assert progress.tasks == []


def test_each_node_that_starts_is_a_stage(progress: Progress) -> None:
    node = Node("3", "CheckpointLoaderSimple", {}, "Load it")
    with report_to(TerminalReporter(progress)):
        report_node(Event("start", node, 0.0, 1, 12))
        report_node(Event("done", node, 0.5, 1, 12))
        report_node(Event("cached", Node("4", "KSampler", {}), 0.0, 2, 12))
    assert [task.description for task in progress.tasks] == ["Load it (2/12)"]


def test_nothing_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress():
        reporter().stage("loading")
        with reporter().steps(2, "sampling") as steps:
            steps.advance()
    assert capsys.readouterr() == ("", "")
