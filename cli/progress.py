"""Progress bars on the terminal, for what `ground.reporter` hears of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..ground.wording import one_line

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.progress import Progress, TaskID

    from ..headless.graph.execute import Event


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, picture: Image | None = None) -> None:
        """One more step is done; a terminal shows no picture."""
        self._progress.advance(self._task)


class TerminalReporter:
    """A spinner for each stage and a bar for each run of steps, all gone at the end."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage: TaskID | None = None

    def stage(self, text: str) -> None:
        """Show that work of unknown length began; it lasts until the next report."""
        self._end_stage()
        self._stage = self._progress.add_task(one_line(text), total=None)

    @contextmanager
    def steps(self, total: int, text: str) -> Iterator[_Bar]:
        """Show a bar of `total` steps inside the `with` block."""
        self._end_stage()
        task = self._progress.add_task(one_line(text), total=total)
        try:
            yield _Bar(self._progress, task)
        finally:
            self._progress.remove_task(task)

    def _end_stage(self) -> None:
        if self._stage is not None:
            self._progress.remove_task(self._stage)
            self._stage = None


def report_node(event: Event) -> None:
    """For `Executor.run`: a stage for each node that starts."""
    from ..ground.reporter import reporter

    if event.kind == "start":
        name = one_line(event.node.title or event.node.type)
        reporter().stage(f"{name} ({event.index + 1}/{event.total})")


@contextmanager
def shown_progress() -> Iterator[None]:
    """Report the embedded host's work inside the block on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    from ..ground.reporter import report_to

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    hidden = not console.is_terminal
    with (
        Progress(*columns, console=console, transient=True, disable=hidden) as progress,
        report_to(TerminalReporter(progress)),
    ):
        yield
