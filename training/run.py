"""A training run from settings to files: the base, the network, the data and what is tried on them
put together, trained, and written.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import torch
from PIL import Image

from ..ground.atomic import write_atomic
from ..ground.errors import UserError
from ..ground.lock import working_in
from ..ground.memory import is_out_of_memory, out_of_memory
from ..ground.parameters import Value
from .base import Base
from .config import written
from .control_net import Trained, train_control_net
from .curve import CURVE, read_curve
from .data.training_data import TrainingData
from .events import GAIN, Begun, Event, Note, Validation
from .export import beyond, save_folder, save_single_file
from .ldm_layout import no_single_file
from .plots import draw_curve
from .run_folder import (
    BEST,
    CONFIG,
    PLOT,
    SHEETS,
    TRAINING,
    forget_best,
    kept_best,
    result_places,
    tidy,
)
from .settings import RunSettings
from .validation import Validator


@dataclass(frozen=True)
class Finished:
    """The last event of a run: what came out, and the `files` of the result, of which a run that
    was stopped has none.
    """

    trained: Trained
    files: tuple[Path, ...]


RunEvents: TypeAlias = Generator[Event | Finished, None, None]


@dataclass
class Run:
    """A run that is ready to begin. `first` is the process that tells and writes."""

    settings: RunSettings
    base: Base
    network: Any
    data: TrainingData
    validator: Validator | None
    first: bool
    about: dict[str, Value]
    notes: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.settings.out.place

    def train(self, resume: bool) -> RunEvents:
        """Train to the end, or until someone stops it, and write the result; the last event is
        Finished. Only the first of several processes tells of it.

        The folder is this run's alone meanwhile; where nobody goes through the events any more, the
        steps that were made are saved. Raises UserError where another process has the folder, and
        where memory runs out.
        """
        try:
            with working_in(self.folder, TRAINING) if self.first else nullcontext():
                yield from self._train(resume)
        except Exception as error:
            if is_out_of_memory(error):
                raise out_of_memory(error, "the training") from error
            raise

    def _train(self, resume: bool) -> RunEvents:
        training = train_control_net(
            self.base,
            self.network,
            self.data,
            self.settings.training,
            self.folder,
            self.about,
            resume,
            self._tried if self.validator else None,
            self.data.groups,
        )
        if not self.first:
            list(training)
            return
        tidy(self.folder)
        yield from map(Note, self.notes)
        try:
            with closing(training):
                for event in training:
                    if isinstance(event, Trained):
                        trained = event
                        continue
                    if isinstance(event, Begun):  # settings that a resumed run refuses are not kept
                        write_atomic(self.folder / CONFIG, written(self.settings).encode())
                        if event.step == 0:  # of a run that ended before its first checkpoint
                            forget_best(self.folder)
                    if isinstance(event, Validation):
                        yield from self._draw()
                    yield event
        except GeneratorExit:
            list(self._draw())
            raise
        yield from self._draw()
        if trained.stopped:
            yield Finished(trained, ())
            return
        dtype, why = self._dtype(trained)
        if why:
            yield Note(why)
        yield from self._tell_best()
        yield Finished(trained, self._write(trained, dtype))

    def _tried(self, step: int, network: Any) -> Validation:
        """A sheet of `network` in the run's folder, and its figures."""
        assert self.validator
        result = self.validator(step, network)
        if self.settings.training.save_best:
            self._keep_best(step, network, Validation(step, result.figures).gain)
        sheet = self.folder / SHEETS / f"step-{step:08}.png"
        sheet.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(sheet, _png(result.sheet))
        return Validation(step, result.figures, sheet)

    def _keep_best(self, step: int, network: Any, gain: float) -> None:
        """Write `network` as the best so far, if its gain is higher than that of the one that is
        kept.
        """
        kept = kept_best(self.folder)
        if math.isnan(gain) or (kept is not None and kept[1] >= gain):
            return
        about = {"base": self.base.name, "step": str(step), GAIN: repr(gain)}
        save_folder(network, self.folder / BEST, about)
        if self.settings.training.unlock_decoder:  # which the base has while a network is tried
            save_folder(self.base.unet, self.folder / f"{BEST}-unet", about)

    def _tell_best(self) -> Iterator[Note]:
        """Where the best network is, and from which step."""
        if self.settings.training.save_best and (kept := kept_best(self.folder)) is not None:
            step, gain = kept
            yield Note(
                f"the highest gain, {gain:.3g}, was that of step {step}; its network is "
                f"{self.folder / BEST}"
            )

    def _draw(self) -> Iterator[Note]:
        """Draw the curve; without matplotlib it is said that there is none."""
        try:
            points, validations = read_curve(self.folder / CURVE)
            if points:
                drawn = draw_curve(points, validations, self.settings.out.name)
                write_atomic(self.folder / PLOT, drawn)
        except UserError as error:
            yield Note(str(error).removesuffix("."))

    def _write(self, trained: Trained, dtype: torch.dtype) -> tuple[Path, ...]:
        about = {"base": self.base.name, "steps": str(trained.step)}
        network, places = trained.network, result_places(self.settings)
        if no_single_file(network):  # it is among the notes
            places.pop("single file", None)
        try:
            save_folder(network, places["folder"], about, dtype)
            if "single file" in places:
                save_single_file(network, places["single file"], dtype, about)
            if trained.unet is not None:
                save_folder(trained.unet, places["base"], about, dtype)
        except UserError as error:
            raise UserError(
                f"{error.sentence} The training is kept in its last checkpoint: make room, and "
                "resume it to have the result written",
                error.details,
            ) from error
        return tuple(places.values())

    def _dtype(self, trained: Trained) -> tuple[torch.dtype, str]:
        """What the result is written in, and why not in halves where these are asked for and would
        not be what was trained.
        """
        if not self.settings.out.half:
            return torch.float32, ""
        for module in (trained.network, trained.unet):
            if module is not None and (name := beyond(module, torch.float16)):
                return torch.float32, (
                    f"the result is written in fp32, though half is set: {name} holds numbers "
                    f"beyond {torch.finfo(torch.float16).max:g}, the most that fp16 holds"
                )
        return torch.float16, ""


def _png(picture: Image.Image) -> bytes:
    png = BytesIO()
    picture.save(png, "PNG", optimize=True)
    return png.getvalue()
