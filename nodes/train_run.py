"""One run of the node Train ControlNet: the host's model and the wires' data, trained and shown."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..ground.errors import UserError
from ..ground.log import log
from ..ground.progress import Steps
from ..ground.reading import require_regular
from ..hosts import host
from ..preprocessors.picture_files import first_frame
from ..preprocessors.ready import HintMaker, hint_maker
from ..training.assembly import run_of, split_of
from ..training.beginning import require_free
from ..training.curve import CURVE, read_curve
from ..training.data.check import Report
from ..training.data.condition import Condition
from ..training.data.training_data import training_data
from ..training.optimiser import require_possible
from ..training.run_settings import BaseSettings, NetworkSettings, OutSettings, RunSettings
from ..training.settings import TrainingSettings
from ..training.watch import Point, Validation
from .train_values import LossCurve, Trainable


@dataclass(frozen=True)
class Order:
    """What is trained, on what, how, and the `folder` of the run, whose result is called `name`."""

    net: Trainable
    data: Report
    training: TrainingSettings
    folder: Path
    name: str
    base_name: str
    resume: bool


@dataclass(frozen=True)
class Done:
    """What came out; `sheet` is the last validation's, black where there was none."""

    control_net: Any
    net: Trainable
    curve: LossCurve
    sheet: Image.Image


def carry_out(order: Order, model: Any, clip: Any, vae: Any) -> Done:
    """Train a copy of the order's net on MODEL, CLIP and VAE.

    A run that the host's user stops saves a checkpoint; what the host raises then is passed on.
    """
    here = host.current()
    settings = RunSettings(
        base=BaseSettings(path=order.base_name),
        data=order.data.settings,
        network=NetworkSettings(**asdict(order.net.settings)),
        training=order.training,
        # Save ControlNet writes the single file.
        out=OutSettings(folder=str(order.folder), name=order.name, single_file=False),
    )
    require_possible(order.training)
    require_free(settings, order.resume)
    with here.training(), ExitStack() as stack:
        base = here.training_base(model, clip, vae, order.base_name)
        assert base.encoders is not None  # there is none without CLIP and VAE alone
        maker = _maker(order.data.condition)
        split = split_of(settings, order.data)
        data = training_data(settings.data, base.encoders, maker, here.steps, split.kept)
        if settings.data.cache:
            stack.enter_context(here.training())  # the encoders are done: the device is freed again
        network = copy.deepcopy(order.net.network).float().to(base.device)
        run = run_of(settings, base, network, data, split, maker)
        watch = _Watch(stack)
        trained, _ = run.train(watch, order.resume)
        if trained.stopped:
            raise watch.stopped or KeyboardInterrupt
        about = {**order.net.about, "base": order.base_name, "steps": str(trained.step)}
        result = Trainable(trained.network.cpu(), order.net.settings, about)
        control_net = here.control_net_of(result.network, order.name)
    points, validations = read_curve(order.folder / CURVE)
    curve = LossCurve(order.name, points, validations)
    return Done(control_net, result, curve, _last_sheet(validations))


class _Watch:
    """Hears of a run (`training.run.Audience`) and shows it as the host's progress and preview."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._bar: Steps | None = None
        self._sheet: Image.Image | None = None
        self.stopped: BaseException | None = None

    def begin(self, step: int, steps: int) -> None:
        """See `Watch.begin`."""
        self._bar = self._stack.enter_context(host.steps(steps - step, "training"))

    def step(self, step: int, loss: float) -> None:
        """See `Watch.step`. The host raises what stops its nodes: the run is told its own way."""
        assert self._bar is not None
        sheet, self._sheet = self._sheet, None
        try:
            self._bar.advance(sheet)
        except BaseException as error:
            self.stopped = error
            raise KeyboardInterrupt from error

    def point(self, point: Point) -> None:
        """See `Watch.point`."""
        log.info(
            "step %d: loss %.4g, %.3g images/s", point.step, point.loss, point.images_per_second
        )

    def validate(self, step: int, network: Any) -> Validation | None:
        """See `Watch.validate`: made by the run, which tells of it by `validated`."""
        return None

    def validated(self, validation: Validation) -> None:
        """Keep the sheet for the next step's progress."""
        if validation.sheet is not None:
            self._sheet = Image.open(validation.sheet).convert("RGB")
        figures = ", ".join(f"{name} {value:.3g}" for name, value in validation.figures.items())
        log.info("step %d: %s", validation.step, figures)

    def saved(self, step: int, folder: Path) -> None:
        """See `Watch.saved`."""
        log.info("step %d: saved %s", step, folder)

    def note(self, text: str) -> None:
        """Something that a person should know."""
        log.warning("Train ControlNet: %s.", text)


def _last_sheet(validations: Sequence[Validation]) -> Image.Image:
    """The last validation's sheet; black where there is none that can be read any more."""
    sheets = [one.sheet for one in validations if one.sheet is not None]
    try:
        if sheets:
            require_regular(sheets[-1], "the sheet")
            return first_frame(sheets[-1])[0].convert("RGB")
    except UserError as error:
        log.warning("Train ControlNet: %s", error)
    return Image.new("RGB", (512, 512))


def _maker(condition: Condition) -> HintMaker | None:
    """The condition's network where it needs one to make hints."""
    entry = condition.entry
    if entry is None or not condition.by_network:
        return None
    return hint_maker(entry, host.current())
