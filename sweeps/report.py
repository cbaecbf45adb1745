"""What comes out of a sweep beside its pictures: a table, sheets, a plot, a page, and words."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from ..evaluation.html import render
from ..ground.atomic import write_atomic
from ..ground.ours import SOFTWARE, made_here
from ..ground.structured import Json
from .plan import SweepPlan
from .plot import draw_plot
from .record import JSONL, PAGE, PARQUET, PLOT, Record, Store, write_parquet
from .sheets import draw_sheets, laid_out
from .summary import Setting, best_in_words, measures, settings_of, unmeasured
from .sweep import Swept, in_words

MOST_ROWS = 2000
"""Rows on the page."""
MOST_SETTINGS = 50
"""Settings in its table."""
SHEET = "sheet"
NO_PARQUET = (
    f'{PARQUET} is left out, as pyarrow is not installed: pip install "controlstack[sweep]"'
)


@dataclass(frozen=True)
class Written:
    """The files that were written, the best setting in words ("" where nothing is measured), and
    what else a person should know."""

    files: tuple[Path, ...]
    best: str
    notes: tuple[str, ...]


def write_report(plan: SweepPlan, swept: Swept, store: Store, title: str) -> Written:
    """Write what shows the rows of a sweep into its folder; what an earlier one left goes."""
    records, folder = swept.records, store.folder
    repeats = plan.repeats
    values: dict[str, Sequence[Json]] = {name: plan.values(name) for name in plan.columns}
    sheets = laid_out(values, repeats)
    notes = [*sheets.notes]
    notes += [f"no fidelity for {name}: {why}" for name, why in unmeasured(records).items()]
    files = [folder / JSONL]
    if write_parquet(folder / PARQUET, records):
        files.append(folder / PARQUET)
    else:
        notes.append(NO_PARQUET)
    drawn: list[Path] = []
    for number, sheet in enumerate(draw_sheets(records, values, sheets, folder, title), 1):
        name = f"{SHEET}.png" if len(sheets.pages) == 1 else f"{SHEET}_{number:02}.png"
        png, mark = io.BytesIO(), PngInfo()
        mark.add_text("Software", SOFTWARE)
        sheet.save(png, format="PNG", pnginfo=mark)
        write_atomic(folder / name, png.getvalue())
        drawn.append(folder / name)
    plot = draw_plot(records, plan.settings_names or plan.columns, title)
    plots = [folder / PLOT] if plot is not None else []
    if plot is not None:
        write_atomic(folder / PLOT, plot)
    _tidy(folder, {*drawn, *plots})
    settings = settings_of(records, plan.settings_names)
    best = best_in_words(settings)
    page = _page(plan, swept, title, best, notes, settings, [p.name for p in drawn], bool(plots))
    write_atomic(folder / PAGE, page)
    return Written((*files, *drawn, *plots, folder / PAGE), best, tuple(notes))


def said(swept: Swept) -> str:
    """How the rows came about, in a sentence."""
    new = len(swept.records) - swept.before
    known = f", {swept.before} of them known before" if swept.before else ""
    failed = f", {len(swept.failed)} failed" if swept.failed else ""
    each, once = swept.executions.each, swept.executions.once
    if not new or not each:
        return f"{len(swept.records)} rows{known}{failed}; no node ran."
    saved = f"{each - once} of {each} executions of nodes were saved ({(each - once) / each:.0%})"
    return f"{len(swept.records)} rows{known}{failed}; {saved}."


def _tidy(folder: Path, kept: set[Path]) -> None:
    """Take away sheets and plots of an earlier sweep, which are ours and show other rows."""
    for path in (*folder.glob(f"{SHEET}*.png"), folder / PLOT):
        if path not in kept and made_here(path):
            path.unlink()


def _page(
    plan: SweepPlan,
    swept: Swept,
    title: str,
    best: str,
    notes: Sequence[str],
    settings: Sequence[Setting],
    sheets: Sequence[str],
    plot: bool,
) -> bytes:
    records = swept.records
    found = measures(records)
    places = {
        name: {repr(value): at for at, value in enumerate(plan.values(name))}
        for name in plan.columns
    }

    def row(record: Record) -> Mapping[str, object]:
        figures = [one.of(record) for one in found]
        known = [None if math.isnan(value) else value for value in figures]
        measured = [(one.title, v) for one, v in zip(found, figures, strict=True) if v == v]
        at = [places[n].get(repr(record.settings.get(n)), -1) for n in plan.columns]
        return {
            "places": json.dumps(at),
            "figures": json.dumps(known),
            "pictures": record.pictures,
            "words": in_words(record.settings),
            "settings": [(name, str(value)) for name, value in record.settings.items()],
            "measured": measured,
            "seconds": record.seconds,
            "error": record.error,
        }

    return render(
        "sweep.html",
        title=title,
        summary=said(swept),
        best=best,
        notes=[f"Note: {one}." for one in notes],
        settings=settings[:MOST_SETTINGS],
        more=max(0, len(settings) - MOST_SETTINGS),
        names=plan.settings_names,
        headings=[one.title for one in found],
        figures=found,
        plot=PLOT if plot else "",
        sheets=sheets,
        columns=plan.columns,
        choices={name: [str(v) for v in plan.values(name)[:MOST_ROWS]] for name in plan.columns},
        rows=[row(record) for record in records[:MOST_ROWS]],
        left=max(0, len(records) - MOST_ROWS),
    )
