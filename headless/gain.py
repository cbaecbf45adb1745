"""The gain of finished networks on a data set: whether they use their hints, and how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..ground.errors import UserError
from ..ground.reporter import reporter
from ..training.base_fit import check_fits
from ..training.data.check import check, refuse_bad_rows
from ..training.data.file_names import typed
from ..training.gain import GainOf, Losses
from ..training.samples import evenly, held_out, samples_of_rows
from ..training.settings import RunSettings
from .train_prepare import base_named, device_named, maker_of
from .transfer import checked_existing, load_existing


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
    of_run: bool,
    bases: Mapping[str, Path],
) -> Iterator[Gained]:
    """What each of `networks` gains on the base and the data that `settings` name.

    The rows are those that the run of these settings held out (`of_run`), else `validation.rows` of
    all, spread evenly. Raises UserError for what a user can mend, before anything is loaded where
    that can be told.
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
    count = max(settings.validation.rows, settings.validation.count)
    rows = held_out(report, count).held if of_run else evenly(report.rows.good, count)
    reporter().stage(f"loading {settings.base.path}")
    base = base_named(settings.base, bases, device_named(settings.base.device))
    measure = GainOf(base, samples_of_rows(rows, report, maker), settings.validation.seed)
    for path in networks:
        network = load_existing(typed(str(path), "the ControlNet"))
        check_fits(network, base.unet, str(path), "the base")
        reporter().stage(f"measuring {path}")
        yield Gained(path, measure(network.float().to(base.device).eval()), len(rows))
