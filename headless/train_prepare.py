"""What a training run needs, made of its settings: everything that can be wrong is said here,
before a step is made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from ..ground.errors import UserError
from ..ground.reporter import reporter
from ..preprocessors.ready import HintMaker, InFolders, hint_maker
from ..training.assembly import run_of, split_of
from ..training.base import Base
from ..training.data.check import check, refuse_bad_rows
from ..training.data.condition import Condition
from ..training.data.file_names import typed
from ..training.data.training_data import training_data
from ..training.optimiser import require_possible
from ..training.processes import accelerator_for
from ..training.run import Run
from ..training.run_folder import require_free
from ..training.samples import samples_of_files
from ..training.settings import BaseSettings, NetworkSettings, RunSettings
from ..training.step_memory import require_room
from ..training.trainable import control_net_from
from ..training.transfer import begun_from
from .training_base import check_unet, load_base, load_unet
from .transfer import checked_existing, load_existing


def prepare(
    settings: RunSettings,
    models: Sequence[Path],
    resume: bool,
    bases: Mapping[str, Path] | None = None,
    download: bool = False,
) -> Run:
    """The run that `settings` describe, ready to begin.

    Hint networks are looked for in the folders `models`, and where `download` is on brought to the
    first of them; `bases` are base models by names that stand for them where there is no such file.
    Raises UserError for all that a user can mend: a base that is none, data that cannot be used, a
    folder that holds something already.
    """
    if not settings.base.path:
        raise UserError("No base model is named: give --base, or path under [base] in the file.")
    if not settings.data.path:
        raise UserError("No data is named: give --data, or path under [data] in the file.")
    _check_network(settings.network, bases or {})
    require_possible(settings.training)
    device = device_named(settings.base.device)
    require_room(settings, device.type == "cpu")
    processes = accelerator_for(device, settings.training.precision)
    if processes.is_main_process:
        require_free(settings, resume)
    report = check(settings.data, full=False, progress=reporter().steps)
    refuse_bad_rows(report)
    # The others find what the first one downloaded.
    with processes.local_main_process_first() if download else nullcontext():
        maker, notes = maker_of(report.condition, models, download)
    split = split_of(settings, report)
    if settings.training.validate_every and settings.validation.hints:
        samples_of_files(settings.validation)  # what is wrong with them is said before
    reporter().stage(f"loading {settings.base.path}")
    base = base_named(settings.base, bases or {}, device)
    network = _network(settings.network, base, settings.training.seed, bases or {})
    assert base.encoders is not None  # load_base has none without
    data = training_data(settings.data, base.encoders, maker, reporter().steps, split.kept)
    first = processes.is_main_process
    notes = [*report.warnings, *notes]
    return run_of(settings, base, network, data, split, maker, notes, first)


def _check_network(settings: NetworkSettings, bases: Mapping[str, Path]) -> None:
    """Raise UserError for networks to start from that are none; they are not loaded yet."""
    if settings.transfer_from and not settings.start_from:
        raise UserError(
            "transfer_from names the base of an existing ControlNet; name that with start_from."
        )
    if settings.start_from:
        checked_existing(typed(settings.start_from, "start_from"))
    if settings.transfer_from:
        check_unet(typed(settings.transfer_from, "transfer_from", bases))


def base_named(settings: BaseSettings, bases: Mapping[str, Path], device: torch.device) -> Base:
    """The locked model that the settings name; `bases` are models by names that stand for them."""

    def path(text: str, what: str) -> Path | None:
        return typed(text, what) if text else None

    encoder = path(settings.text_encoder, "text_encoder")
    place = typed(settings.path, "the base", bases)
    return load_base(place, encoder, path(settings.vae, "vae"), device)


def device_named(asked: str) -> torch.device:
    """The device of this process: `accelerate launch` says which, by the variables it sets."""
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "on")
    if asked == "cpu" or on_cpu:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _network(settings: NetworkSettings, base: Base, seed: int, bases: Mapping[str, Path]) -> Any:
    """The network to train: a new one, one to go on with, or one moved from another base."""
    if not settings.start_from:
        return control_net_from(base.unet, settings, seed)
    network = load_existing(typed(settings.start_from, "start_from"))
    old = None
    if settings.transfer_from:
        old = load_unet(typed(settings.transfer_from, "transfer_from", bases))
    return begun_from(network, settings.kind, settings.start_from, base.unet, old)


def maker_of(
    condition: Condition, models: Sequence[Path], download: bool
) -> tuple[HintMaker | None, list[str]]:
    """The condition's network, and what is to be said where it is missing and can be done without:
    it makes hints of pictures, and finds them again in what is drawn.
    """
    entry = condition.entry
    idle = download and (entry is None or not entry.downloads)
    notes = ["download has no effect: no weights are fetched"] if idle else []
    if entry is None or entry.learning is None:
        return None, notes
    try:
        reporter().stage(f"loading {entry.name}")
        return hint_maker(entry, InFolders(models), download), notes
    except UserError as error:
        if condition.by_network or download:
            raise
        return None, [f"no fidelity is measured: {str(error).removesuffix('.')}"]
