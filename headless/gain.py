"""The gain of finished networks on a data set: whether they use their hints, and how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..ground.errors import UserError
from ..ground.reporter import reporter
from ..training.assembly import split_of
from ..training.base_fit import check_fits
from ..training.data.check import Report, check, refuse_bad_rows
from ..training.data.file_names import typed
from ..training.data.row import Row
from ..training.gain import GainOf, Losses
from ..training.samples import evenly, samples_of_rows
from ..training.settings import RunSettings
from .train_prepare import base_named, device_named, maker_of
from .transfer import checked_existing, load_existing

ROWS = 24
"""Rows that are measured unless told otherwise: chance is then a half, give or take a tenth."""


@dataclass(frozen=True)
class Gained:
    """What a network gains; `rows` is the number of pictures."""

    network: Path
    losses: Losses
    rows: int


def gains(
    networks: Sequence[Path],
    settings: RunSettings,
    models: Sequence[Path],
    bases: Mapping[str, Path],
    rows: int | None = None,
    run: RunSettings | None = None,
) -> Iterator[Gained]:
    """What each of `networks` gains on the base and the data that `settings` name.

    On a `run`'s own data all rows that it held out are measured, or `rows` of them, and no other:
    it has learnt from the rest. On other data it is `rows` (ROWS) of all. Both are spread evenly.
    Raises UserError for what a user can mend, before anything is loaded where that can be told.
    """
    if not settings.base.path or not settings.data.path:
        missing = "base model" if not settings.base.path else "data"
        flag = "--base" if not settings.base.path else "--data"
        raise UserError(f"No {missing} is named: give {flag}, or a run's config.toml.")
    for path in networks:
        checked_existing(typed(str(path), "the ControlNet"))
    report = check(settings.data, full=False, progress=reporter().steps)
    refuse_bad_rows(report)
    maker, _ = maker_of(report.condition, models, False)
    if run is None or run.data.path != settings.data.path:
        measured = evenly(report.rows.good, rows or ROWS)
    else:
        held = _held(run, report if run.data == settings.data else None)
        measured = evenly(held, rows or len(held))
    reporter().stage(f"loading {settings.base.path}")
    base = base_named(settings.base, bases, device_named(settings.base.device))
    measure = GainOf(base, samples_of_rows(measured, report, maker), settings.validation.seed)
    for path in networks:
        network = load_existing(typed(str(path), "the ControlNet"))
        check_fits(network, base.unet, str(path), "the base")
        reporter().stage(f"measuring {path}")
        yield Gained(path, measure(network.float().to(base.device).eval()), len(measured))


def _held(run: RunSettings, report: Report | None) -> tuple[Row, ...]:
    """The rows that a run held out of its data, of which `report` is a check."""
    held = split_of(run, report or check(run.data, full=False, progress=reporter().steps)).held
    if not held:
        raise UserError(
            "The run held out no rows: it was not validated, or on hints of your own. Name data "
            "that it has not seen with --data."
        )
    return held
