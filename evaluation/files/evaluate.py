"""What `controlstack evaluate` was asked for -> a report in two files."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...ground.atomic import write_atomic
from ...ground.errors import UserError
from ...ground.parameters import Value
from ...ground.reporter import reporter
from ...preprocessors.registry import PREPROCESSORS
from ...preprocessors.sizing import Fit
from ...preprocessors.spec import Preprocessor
from ..report import Report, to_json
from ..report_page import PageRow, report_page
from .extraction import Extractor, check_extracts
from .measure import measure, versions
from .pairing import Group
from .quality import QualityOrder, load_quality

JSON_NAME, PAGE_NAME = "report.json", "report.html"


@dataclass(frozen=True)
class Order:
    """Pictures in groups, the files they are measured by, and the preprocessor that extracts.

    `originals`: `hints` are the pictures that the hints were made of. `settings` are the
    preprocessor's, as words. `model` is "" for the first that is in the folders `models`, which are
    laid out as ComfyUI's.
    """

    entry: Preprocessor
    groups: tuple[Group, ...]
    hints: tuple[Path, ...]
    originals: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    fit: Fit | None = None
    resolution: int = 0
    model: str = ""
    models: tuple[Path, ...] = (Path("models"),)
    download: bool = False
    quality: QualityOrder = field(default_factory=QualityOrder)


@dataclass(frozen=True)
class Outcome:
    """A report, the rows of its page, and a sentence for each file that gave nothing."""

    report: Report
    rows: tuple[PageRow, ...]
    failures: tuple[str, ...]


def entry_of(name: str) -> Preprocessor:
    """The preprocessor of a name, which may have dashes. Raises UserError, with the nearest name,
    for one that is none, and for one that finds nothing in pictures.
    """
    entry = PREPROCESSORS.get(name.replace("-", "_"))
    if entry is None:
        near = difflib.get_close_matches(name.replace("-", "_"), PREPROCESSORS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(PREPROCESSORS)}."
        raise UserError(f"There is no preprocessor {name!r}; {hint}")
    check_extracts(entry)
    return entry


def evaluate(order: Order) -> Outcome:
    """Measure all pictures. Raises UserError for what is wrong with the order, before anything
    long is begun, and where no picture could be measured.
    """
    settings = order.entry.settings_in_words(order.settings)
    _check_model_options(order)
    quality = load_quality(order.quality)
    loaded = None
    if order.entry.learning is not None:
        from ...preprocessors.ready import InFolders, load  # torch with it

        reporter().stage(f"loading {order.entry.name}")
        loaded = load(order.entry, order.model, InFolders(order.models), order.download)
    extractor = Extractor(order.entry, settings, order.resolution, loaded)
    measured = measure(order.groups, order.hints, extractor, order.originals, order.fit)
    entries = quality.of_pictures(measured.entries)
    sets, notes = quality.of_sets(entries)
    report = Report(
        about=_about(order, settings),
        groups=tuple(group.name for group in order.groups),
        entries=entries,
        quality={
            group.name: (*measured.sets.get(group.name, ()), *sets.get(group.name, ()))
            for group in order.groups
        },
        versions=versions(),
        notes=(*measured.notes, *notes, *measured.failures),
    )
    return Outcome(report, _with_figures(measured.rows, report), measured.failures)


def write_report(outcome: Outcome, out: Path) -> tuple[Path, Path]:
    """Write report.json and report.html to the folder `out`, which is made if need be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {out} cannot be made: {error.strerror}.") from error
    data, page = out / JSON_NAME, out / PAGE_NAME
    text = json.dumps(to_json(outcome.report), indent=1, allow_nan=False)
    write_atomic(data, text.encode())
    write_atomic(page, report_page(outcome.report, outcome.rows).encode())
    return data, page


def _check_model_options(order: Order) -> None:
    learning = order.entry.learning
    if learning is None and (order.resolution or order.model or order.download):
        raise UserError(
            f"{order.entry.name} has no network; leave out --resolution, --model and --download."
        )
    if learning is not None and order.resolution and not learning.any_size:
        raise UserError(
            f"{order.entry.name}'s network looks at one size only; leave out --resolution."
        )


def _about(order: Order, settings: Mapping[str, Value]) -> dict[str, Value | Mapping[str, Value]]:
    about: dict[str, Value | Mapping[str, Value]] = {
        "preprocessor": order.entry.name,
        "settings": dict(settings),
        "compared as": order.entry.shows,
        "hints": "made of the originals" if order.originals else "given",
        "pictures of another size": order.fit or "refused",
    }
    if order.entry.learning is not None:
        about |= {"model": order.model or "the first found", "resolution": order.resolution}
    return about


def _with_figures(rows: tuple[PageRow, ...], report: Report) -> tuple[PageRow, ...]:
    """The rows with all figures of their pictures."""
    by_picture = {(entry.group, entry.picture): entry for entry in report.entries}
    return tuple(
        replace(
            row,
            cells={
                group: replace(cell, entry=by_picture[group, cell.entry.picture])
                for group, cell in row.cells.items()
            },
        )
        for row in rows
    )
