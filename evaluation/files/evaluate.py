"""What `controlstack evaluate` was asked for -> a report in two files."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...ground.errors import UserError
from ...ground.ours import MARKED, Results
from ...ground.parameters import Value
from ...ground.places import require_place
from ...ground.reporter import reporter
from ...ground.wording import shown
from ...preprocessors.registry import PREPROCESSORS
from ...preprocessors.sizing import Fit
from ...preprocessors.spec import Preprocessor
from ..report import Report, to_json
from ..report_page import PageRow, report_page
from .extraction import Extractor, check_extracts
from .measure import measure, versions
from .pairing import Group, Pairing, pair
from .quality import Quality, QualityOrder, load_quality

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
        raise UserError(f"There is no preprocessor {shown(name)}; {hint}")
    check_extracts(entry)
    return entry


@dataclass(frozen=True)
class Ready:
    """An order that is known to be right, with its networks loaded and `results` for its files."""

    order: Order
    out: Path
    results: Results
    pairing: Pairing
    extractor: Extractor
    quality: Quality
    notes: tuple[str, ...]


def prepare(order: Order, out: Path, overwrite: bool = False) -> Ready:
    """Make everything ready to measure, and to write the report to the folder `out`.

    Raises UserError for what is wrong with the order, and for what cannot be written there or is in
    the way (`ground.ours`), before anything long is begun.
    """
    require_place(out, "the folder", folder=True)
    results = Results(_inputs(order), overwrite)
    for name in (JSON_NAME, PAGE_NAME):
        results.expect(out / name)
    settings = order.entry.settings_in_words(order.settings)
    _check_model_options(order)
    check_extracts(order.entry)
    pairing = pair(order.groups, order.hints, (order.entry.name,))
    quality = load_quality(order.quality)
    quality.require_prompts([path for row in pairing.rows for path in row.pictures if path])
    loaded = None
    if order.entry.learning is not None:
        from ...preprocessors.ready import InFolders, load  # torch with it

        reporter().stage(f"loading {order.entry.name}")
        loaded = load(order.entry, order.model, InFolders(order.models), order.download)
    extractor = Extractor(order.entry, settings, order.resolution, loaded)
    notes = tuple(f"{flag} does nothing without {needs}" for flag, needs in _idle(order.quality))
    return Ready(order, out, results, pairing, extractor, quality, notes)


def evaluate(ready: Ready) -> Outcome:
    """Measure all pictures. Raises UserError where none could be measured; where only a figure of
    quality fails, that is among the failures.
    """
    order, quality = ready.order, ready.quality
    groups = [group.name for group in order.groups]
    measured = measure(groups, ready.pairing, ready.extractor, order.originals, order.fit)
    entries, sets, failures = measured.entries, dict(measured.sets), measured.failures
    notes: tuple[str, ...] = ()
    try:
        entries = quality.of_pictures(entries)
        found, notes = quality.of_sets(entries)
        sets = {group: (*sets.get(group, ()), *found.get(group, ())) for group in groups}
    except UserError as error:
        failures = (*failures, str(error))
    report = Report(
        about=_about(order, ready.extractor.settings),
        groups=tuple(groups),
        entries=entries,
        quality=sets,
        versions=versions(),
        notes=(*ready.notes, *measured.notes, *notes, *failures),
    )
    return Outcome(report, _with_figures(measured.rows, report), failures)


def write_report(outcome: Outcome, ready: Ready) -> tuple[Path, Path]:
    """Write report.json and report.html to the order's folder, which is made if need be."""
    data, page = ready.out / JSON_NAME, ready.out / PAGE_NAME
    text = json.dumps(MARKED | to_json(outcome.report), indent=1, allow_nan=False)
    ready.results.write(data, text.encode())
    ready.results.write(page, report_page(outcome.report, outcome.rows))
    return data, page


def _inputs(order: Order) -> Iterator[Path]:
    for group in order.groups:
        yield from group.files
    yield from (*order.hints, *order.quality.real)
    quality = order.quality
    named = (quality.prompts, quality.inception, quality.predictor)
    yield from (path for path in named if path is not None)


def _idle(quality: QualityOrder) -> Iterator[tuple[str, str]]:
    """Options that were given and have nothing to do, and what they need."""
    if quality.inception is not None and not quality.real:
        yield "--inception", "--real"
    if quality.clip is not None and quality.prompts is None and not quality.aesthetic:
        yield "--clip", "--prompts or --aesthetic"
    if quality.predictor is not None and not quality.aesthetic:
        yield "--aesthetic-weights", "--aesthetic"


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
