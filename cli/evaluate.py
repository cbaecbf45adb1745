"""`controlstack evaluate PICTURES --hints DIR --preprocessor NAME`: do pictures obey?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .letters import readable
from .options import command_of
from .progress import shown_progress
from .say import literal, note, say, show

if TYPE_CHECKING:
    from ..evaluation.files.evaluate import EvaluateOptions
    from ..evaluation.report import Report


def evaluate_command() -> Any:
    """Extract the condition from pictures again, and compare it with the hints they were made from.

    Prints a table, and writes report.json and report.html: one page with all pictures, which needs
    no network.
    """
    from ..evaluation.files.evaluate import EvaluateOptions

    return command_of(EvaluateOptions, _evaluate)


def _evaluate(options: EvaluateOptions) -> None:
    from ..evaluation.files.evaluate import evaluate, prepare, write_report
    from ..evaluation.files.measure import failed
    from ..ground.lock import working_in

    with shown_progress():
        ready = prepare(options)
    with working_in(options.out, "evaluating"):
        with shown_progress():
            outcome = evaluate(ready)
        # What was measured is not lost where it cannot be written.
        _print_table(outcome.report)
        for words in outcome.report.notes:
            if words not in outcome.failures:
                note(words)
        written = write_report(outcome, ready)
    if ready.results.replaced:
        note(f"an earlier report in {options.out} is replaced")
    for file in written:
        say(file)
    if outcome.failures:
        raise failed(outcome.failures)


def _print_table(report: Report) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from ..evaluation.html import number
    from ..evaluation.report import summary

    title = literal(f"{report.about['preprocessor']}, extracted again")
    table = Table("", box=box.SIMPLE_HEAD, title=title)
    for group in report.groups:
        heading = literal(readable(f"{group} ({len(report.of(group))})"))
        table.add_column(heading, justify="right", overflow="fold")
    lines = summary(report)
    has_chance = any(line.shuffled for line in lines)
    if has_chance:
        table.add_column("by chance", justify="right", style="dim")
    for line in lines:
        cells = []
        for group in report.groups:
            mean = line.by_group.get(group)
            words = "" if mean is None else number(mean.value)
            if mean is not None and mean.deviation == mean.deviation:
                words += f" ± {number(mean.deviation)}"
            cells.append(readable(words))
        if has_chance:
            known = [line.shuffled.get(group) for group in report.groups if line.shuffled]
            cells.append(readable(" ".join(number(m.value) if m else "–" for m in known)))
        table.add_row(readable(f"{line.name} {'↑' if line.higher_is_better else '↓'}"), *cells)
    below = (
        "Mean ± standard deviation; ↑ higher, ↓ lower is better. By chance: each picture beside "
        "another picture's hint, group by group."
    )
    show(table, Text(readable(below), style="dim"))
