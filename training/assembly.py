"""A training run put together from its parts, the same for the command and for nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ground.parameters import Value
from ..preprocessors.ready import HintMaker
from .base import Base
from .config import flat
from .data.check import Report
from .data.training_data import TrainingData
from .fidelity import fidelity_of
from .ldm_layout import no_single_file
from .run import Run
from .samples import Split, evenly, held_out, prompted, samples_of_files, samples_of_rows
from .settings import RunSettings
from .validation import Validator
from .without_effect import idle

NO_MATTER = ("base.device", "data.cache", "data.outside")
"""Settings that change nothing about what is learnt, so that a resumed run may have others."""


def matters(settings: RunSettings) -> dict[str, Value]:
    """The settings beside the training's own that a resumed run has to have the same, by name."""
    return {
        name: value
        for name, value in flat(settings, ("base", "data", "network")).items()
        if name not in NO_MATTER
    }


def split_of(settings: RunSettings, report: Report) -> Split:
    """Checked data without the rows that validations need.

    Raises UserError where there are too few rows to hold some out.
    """
    if settings.training.validate_every and not settings.validation.hints:
        return held_out(report, max(settings.validation.count, settings.validation.rows))
    return Split(report, ())


def run_of(
    settings: RunSettings,
    base: Base,
    network: Any,
    data: TrainingData,
    split: Split,
    maker: HintMaker | None,
    notes: Sequence[str] = (),
    first: bool = True,
) -> Run:
    """The run of `network` on `base`, ready to begin; `data` are the rows that `split` kept.

    `first`: this is the process that tells and writes. Raises UserError for hints to validate on
    that cannot be used.
    """
    held = len(split.held)
    about = {**matters(settings), "rows held out": held, "rows": data.fingerprint}
    if settings.data.buckets:  # which pictures meet in a batch hangs on it
        about["pictures of a batch"] = settings.training.batch
    said = [*notes, *data.notes, *idle(settings)]
    if held:
        said.append(f"{held} of the rows are held out, to validate on")
    if settings.network.kind == "control_lora":
        said.append(network.told)
    if settings.out.single_file and (why_not := no_single_file(network)):
        said.append(f"no single file will be written. {why_not.removesuffix('.')}")
    validator = _validator(settings, base, split, maker, said) if first else None
    return Run(settings, base, network, data, validator, first, about, said)


def _validator(
    settings: RunSettings, base: Base, split: Split, maker: HintMaker | None, notes: list[str]
) -> Validator | None:
    """What tries the network; None where that is off. `notes` gets what has no effect."""
    if not settings.training.validate_every:
        return None
    fidelity = fidelity_of(split.kept.condition, maker)
    if settings.validation.hints:
        samples = samples_of_files(settings.validation, notes)
        return Validator(base, samples, settings.validation, fidelity)
    held = samples_of_rows(split.held, split.kept, maker)
    drawn = evenly(held, settings.validation.count)
    samples = prompted(drawn, settings.validation, notes)
    return Validator(base, samples, settings.validation, fidelity, held)
