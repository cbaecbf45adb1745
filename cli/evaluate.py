"""`controlstack evaluate PICTURES --hints DIR --preprocessor NAME`: do pictures obey?"""

from __future__ import annotations

from dataclasses import field, make_dataclass
from typing import TYPE_CHECKING, Any

from .cluster import RayOptions, pool_of
from .options import command_of
from .progress import shown_progress
from .say import note, readable, row, say, show, table

if TYPE_CHECKING:
    from ..evaluation.fidelity import Mean
    from ..evaluation.files.evaluate import EvaluateOptions
    from ..evaluation.report import Report


def evaluate_command() -> Any:
    """Extract the condition from pictures again, and compare it with the hints they were made from.

    Prints a table, and writes report.json and report.html: one page with all pictures, which needs
    no network.
    """
    from ..evaluation.files.evaluate import EvaluateOptions

    def run(asked: Any) -> None:
        _evaluate(asked.options, asked.cluster)

    run.__doc__ = evaluate_command.__doc__
    # Only here are both kinds of options known: those of evaluation take numpy along.
    parts = [
        ("options", EvaluateOptions, field()),
        ("cluster", RayOptions, field(default_factory=RayOptions)),
    ]
    return command_of(make_dataclass("Asked", parts, frozen=True, kw_only=True), run)


def _evaluate(options: EvaluateOptions, cluster: RayOptions) -> None:
    from ..evaluation.files.evaluate import evaluate, prepare, write_report
    from ..evaluation.files.measure import failed
    from ..ground.lock import working_in

    with shown_progress():
        ready = prepare(options)
    with pool_of(cluster) as pool, working_in(options.out, "evaluating"):
        with shown_progress():
            outcome = evaluate(ready, pool)
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
    from rich.text import Text

    from ..evaluation.html import number
    from ..evaluation.report import summary

    lines, chance = summary(report), "by chance"
    headings = [f"{group} ({len(report.of(group))})" for group in report.groups]
    if has_chance := any(line.shuffled for line in lines):
        headings.append(chance)
    made = table(f"{report.about['preprocessor']}, extracted again", [""], headings, dim=chance)
    for line in lines:
        cells = [_mean(line.by_group.get(group)) for group in report.groups]
        if has_chance:
            known = [line.shuffled.get(group) for group in report.groups if line.shuffled]
            cells.append(" ".join(number(m.value) if m else "–" for m in known))
        row(made, f"{line.name} {'↑' if line.higher_is_better else '↓'}", *cells)
    below = (
        "Mean ± standard deviation; ↑ higher, ↓ lower is better. By chance: each picture beside "
        "another picture's hint, group by group."
    )
    show(made, Text(readable(below), style="dim"))


def _mean(mean: Mean | None) -> str:
    from ..evaluation.html import number

    if mean is None:
        return ""
    spread = f" ± {number(mean.deviation)}" if mean.deviation == mean.deviation else ""
    return f"{number(mean.value)}{spread}"
