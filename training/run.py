"""A training run from settings to files: the base, the network, the data and what is tried on them
put together, trained, and written.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image

from ..ground.atomic import write_atomic
from ..ground.errors import UserError
from ..ground.parameters import Value
from .base import Base
from .config import written
from .control_net import UNLOCKED, Trained, train_control_net
from .curve import read_curve
from .data.training_data import TrainingData
from .export import save_folder, save_single_file
from .ldm_layout import refusal, unread_by_comfyui
from .plots import draw_curve
from .run_settings import RunSettings
from .validation import Validator
from .watch import Validation, Watch

CONFIG, SHEETS, CURVE = "config.toml", "sheets", "curve.png"
"""What a run's folder has beside what the loop writes there."""
TAKEN = (CONFIG, SHEETS, CURVE, "curve.jsonl", "checkpoints", "tensorboard")
"""What a result cannot be called."""


class Audience(Watch, Protocol):
    """Whoever watches a run from outside: hears of validations, too, and of what else matters."""

    def validated(self, validation: Validation) -> None:
        """A validation was made."""
        ...

    def note(self, text: str) -> None:
        """Something that a person should know; a sentence without its full stop."""
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
        return Path(self.settings.out.folder)

    def train(self, audience: Audience, resume: bool) -> tuple[Trained, tuple[Path, ...]]:
        """Train to the end, or until someone stops it; what came out, and the files of the result,
        which a run that was stopped has none of.
        """
        if self.first:
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
        points, validations = read_curve(self.folder / "curve.jsonl")
        if latest is not None and latest.step not in [one.step for one in validations]:
            validations.append(latest)
        if not points:
            return
        try:
            write_atomic(
                self.folder / CURVE, draw_curve(points, validations, self.settings.out.name)
            )
        except UserError as error:
            audience.note(str(error).removesuffix("."))

    def _write(self, trained: Trained, audience: Audience) -> tuple[Path, ...]:
        out, about = self.settings.out, {"base": self.base.name, "steps": str(trained.step)}
        network, dtype = trained.network, torch.float16 if out.half else torch.float32
        files = [self.folder / out.name]
        save_folder(network, files[0], about, dtype)
        if out.single_file:
            # The layout says neither heads nor groups of norms: each loader would guess them wrong.
            why_not = refusal(network) or unread_by_comfyui(network)
            if why_not is None:
                files.append(self.folder / f"{out.name}.safetensors")
                save_single_file(network, files[-1], dtype, about)
            else:
                audience.note(f"no single file is written. {why_not.removesuffix('.')}")
        if trained.unet is not None:
            files.append(self.folder / f"{out.name}-unet")
            save_folder(trained.unet, files[-1], about, dtype)
        return tuple(files)


class _Watching:
    """Passes a run's news on to its audience, and makes its validations."""

    def __init__(self, run: Run, audience: Audience) -> None:
        self._run = run
        self._audience = audience
        self.step = audience.step
        self.point = audience.point
        self.saved = audience.saved

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
