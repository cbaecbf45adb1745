"""Reports go to the reporter of the context, and nowhere without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controlstack.ground.reporter import report_to, reporter


class Diary:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def steps(self, total: int, text: str) -> Iterator[Diary]:
        self.lines.append(f"{text}: {total}")
        try:
            yield self
        finally:
            self.lines.append("end")

    def advance(self) -> None:
        self.lines.append("step")


def work() -> None:
    reporter().stage("loading")
    with reporter().steps(2, "sampling") as bar:
        bar.advance()
        bar.advance()


def test_silent_by_default() -> None:
    work()


def test_a_reporter_hears_all_and_is_gone_after() -> None:
    diary = Diary()
    with report_to(diary):
        work()
    work()
    assert diary.lines == ["loading", "sampling: 2", "step", "step", "end"]


def test_a_reporter_is_gone_after_an_error() -> None:
    diary = Diary()
    with pytest.raises(KeyboardInterrupt), report_to(diary):
        raise KeyboardInterrupt
    work()
    assert diary.lines == []
