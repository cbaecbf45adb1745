"""What `controlstack train` does once its flags are read."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import typer

from ..ground.parameters import Value
from ..training.config import read_config, run_settings, written
from ..training.settings import RunSettings
from .exit_codes import USER_ERROR
from .interrupt import STOPPED
from .progress import shown_progress
from .say import note, say, tell
from .train_use import DEMO, how_to_use
from .train_watch import bar_of_steps, show


@dataclass(frozen=True)
class TrainRequest:
    """What a user asked for: the settings of the file `config`, `given` flags over them."""

    config: Path | None
    given: Mapping[str, Mapping[str, Value]]
    resume: bool
    dry_run: bool
    write_config: Path | None
    models: tuple[Path, ...]
    download: bool


def carry_out(request: TrainRequest) -> None:
    """Write the settings, check the data, or train; print the names of what was made.

    Raises UserError for what a user can mend; typer.Exit with 130 where a run was stopped, and
    with 2 where the data has bad rows.
    """
    settings = run_settings(
        *([read_config(request.config)] if request.config else []), request.given
    )
    _note_idle(request)
    if request.write_config is not None:
        _write(request.write_config, settings)
    elif request.dry_run:
        _check(settings)
    else:
        _train(settings, request)


def _note_idle(request: TrainRequest) -> None:
    """Say which flags have no effect beside others; of settings, the run itself says it."""
    if request.write_config is not None:
        alone = "--write-config"
    elif request.dry_run:
        alone = "--dry-run"
    else:
        return
    given = {
        "--dry-run": request.dry_run,
        "--resume": request.resume,
        "--download": request.download,
    }
    idle = ", ".join(flag for flag, there in given.items() if there and flag != alone)
    if idle:
        note(f"{alone} trains nothing; without effect: {idle}")


def _write(path: Path, settings: RunSettings) -> None:
    from ..ground.atomic import write_free
    from ..ground.places import require_place

    require_place(path, "the settings")
    path.parent.mkdir(parents=True, exist_ok=True)
    say(write_free([path], written(settings).encode()))


def _check(settings: RunSettings) -> None:
    from ..demo.models import BASE
    from ..ground.reporter import reporter
    from ..headless.caption_room import caption_room
    from ..training.data.check import check
    from ..training.data.file_names import typed

    base = settings.base.path
    place = typed(base, "the base", {DEMO: BASE})
    with shown_progress():
        report = check(
            settings.data, progress=reporter().steps, room=caption_room(place if base else None)
        )
    for line in report.text.splitlines():
        say(line)
    if report.rows.bad:
        raise typer.Exit(USER_ERROR)


def _train(settings: RunSettings, request: TrainRequest) -> None:
    from ..demo.models import BASE
    from ..headless.train_prepare import prepare

    # Of several processes that share a terminal, the first one draws bars.
    alone = int(os.environ.get("RANK", "0")) == 0
    with shown_progress() if alone else nullcontext():
        run = prepare(settings, request.models, request.resume, {DEMO: BASE}, request.download)
    with bar_of_steps(alone) as bar, closing(run.train(request.resume)) as events:
        finished = show(events, bar)
    if finished is None:  # another process tells
        return
    if finished.trained.stopped:
        tell(
            f"Stopped at step {finished.trained.step}, saved; go on with: controlstack train "
            f"{shlex.quote(str(run.folder / 'config.toml'))} --resume"
        )
        raise typer.Exit(STOPPED)
    for file in finished.files:
        say(file)
    words, line = how_to_use(settings, finished.files, request.models)
    note(words)
    if line:
        tell(line)
