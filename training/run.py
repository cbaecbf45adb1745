"""A training run from settings to files: the base, the network, the data and what is tried on them
put together, trained, and written.
"""

from __future__ import annotations

import re
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image

from ..ground.atomic import write_atomic
from ..ground.errors import UserError
from ..ground.lock import working_in
from ..ground.memory import is_out_of_memory, out_of_memory
from ..ground.parameters import Value
from .base import Base
from .config import written
from .control_net import UNLOCKED, Trained, train_control_net
from .curve import CURVE, read_curve
from .data.training_data import TrainingData
from .export import beyond, save_folder, save_single_file
from .ldm_layout import no_single_file
from .places import CONFIG, PLOT, SHEETS, TRAINING, result_places, tidy
from .plots import draw_curve
from .run_settings import RunSettings
from .validation import Validator
from .watch import Validation, Watch


class Audience(Watch, Protocol):
    """Whoever watches a run from outside: hears of validations, too."""

    def validated(self, validation: Validation) -> None:
        """A validation was made."""
        ...


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

    def train(self, audience: Audience, resume: bool) -> tuple[Trained, tuple[Path, ...]]:
        """Train to the end, or until someone stops it; what came out, and the files of the result,
        which a run that was stopped has none of.

        The folder is this run's alone meanwhile. Raises UserError where another process has it, and
        where memory runs out.
        """
        try:
            with working_in(self.folder, TRAINING) if self.first else nullcontext():
                return self._train(audience, resume)
        except Exception as error:
            if is_out_of_memory(error):
                raise out_of_memory(error, "the training") from error
            raise

    def _train(self, audience: Audience, resume: bool) -> tuple[Trained, tuple[Path, ...]]:
        if self.first:
            tidy(self.folder)
            for note in self.notes:
                audience.note(note)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", re.escape(UNLOCKED))  # it is among the notes
            trained = train_control_net(
                self.base,
                self.network,
                self.data,
                self.settings.training,
                _Watching(self, audience),
                self.folder,
                self.about,
                resume,
            )
        if not self.first:
            return trained, ()
        self.draw(audience)
        return trained, () if trained.stopped else self._write(trained, audience)

    def tried(self, step: int, network: Any, audience: Audience) -> Validation | None:
        """A sheet of `network` in the run's folder, and its figures; the curve drawn anew."""
        if self.validator is None:
            return None
        result = self.validator(step, network)
        sheet = self.folder / SHEETS / f"step-{step:08}.png"
        sheet.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(sheet, _png(result.sheet))
        validation = Validation(step, result.figures, sheet)
        self.draw(audience, validation)
        audience.validated(validation)
        return validation

    def draw(self, audience: Audience, latest: Validation | None = None) -> None:
        """Draw the curve; without matplotlib it is said that there is none."""
        try:
            points, validations = read_curve(self.folder / CURVE)
            if latest is not None and latest.step not in [one.step for one in validations]:
                validations.append(latest)
            if points:
                drawn = draw_curve(points, validations, self.settings.out.name)
                write_atomic(self.folder / PLOT, drawn)
        except UserError as error:
            audience.note(str(error).removesuffix("."))

    def _write(self, trained: Trained, audience: Audience) -> tuple[Path, ...]:
        about = {"base": self.base.name, "steps": str(trained.step)}
        network, dtype = trained.network, self._dtype(trained, audience)
        places = result_places(self.settings)
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

    def _dtype(self, trained: Trained, audience: Audience) -> torch.dtype:
        """What the result is written in: not in halves that would not be what was trained."""
        if not self.settings.out.half:
            return torch.float32
        for module in (trained.network, trained.unet):
            if module is not None and (name := beyond(module, torch.float16)):
                audience.note(
                    f"the result is written in fp32, though half is set: {name} holds numbers "
                    f"beyond {torch.finfo(torch.float16).max:g}, the most that fp16 holds"
                )
                return torch.float32
        return torch.float16


class _Watching:
    """Passes a run's news on to its audience, and makes its validations."""

    def __init__(self, run: Run, audience: Audience) -> None:
        self._run = run
        self._audience = audience
        self.step = audience.step
        self.point = audience.point
        self.saved = audience.saved
        self.note = audience.note

    def begin(self, step: int, steps: int) -> None:
        """See `Watch.begin`. Settings that a resumed run refuses are not written."""
        write_atomic(self._run.folder / CONFIG, written(self._run.settings).encode())
        self._audience.begin(step, steps)

    def validate(self, step: int, network: Any) -> Validation | None:
        """See `Watch.validate`."""
        return self._run.tried(step, network, self._audience)


def _png(picture: Image.Image) -> bytes:
    png = BytesIO()
    picture.save(png, "PNG", optimize=True)
    return png.getvalue()
