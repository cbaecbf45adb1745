"""One run of the node Train ControlNet: the host's model and the wires' data, trained and shown."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..ground.errors import UserError
from ..ground.log import log
from ..ground.reading import require_regular
from ..hosts import host
from ..preprocessors.picture_files import first_frame
from ..preprocessors.ready import HintMaker, hint_maker
from ..training.assembly import run_of, split_of
from ..training.checkpoint import CHECKPOINTS, NETWORK, Checkpoints
from ..training.control_net import Trained
from ..training.curve import CURVE, read_curve
from ..training.data.check import Report
from ..training.data.condition import Condition
from ..training.data.training_data import training_data
from ..training.events import Begun, Note, Point, Saved, Stepped, Validation
from ..training.export import WEIGHTS, load_network
from ..training.manifest import check_manifest
from ..training.optimiser import require_possible
from ..training.run import Finished, RunEvents
from ..training.run_folder import BEST, require_free
from ..training.samples import samples_of_files
from ..training.settings import (
    BaseSettings,
    NetworkSettings,
    OutSettings,
    RunSettings,
    TrainingSettings,
    ValidationSettings,
)
from .train_values import LossCurve, Trainable


@dataclass(frozen=True)
class TrainRequest:
    """What is trained, on what, how, and the `folder` of the run, whose result is called `name`."""

    net: Trainable
    data: Report
    training: TrainingSettings
    validation: ValidationSettings
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


def state_of(folder: Path, take: str) -> str:
    """What changes when another network can be `taken` of the run in `folder`."""
    place = _left(folder, take)
    found = place / WEIGHTS if place is not None else None
    return f"{found} {found.stat().st_mtime_ns}" if found and found.is_file() else ""


def taken(request: TrainRequest, take: str) -> Done:
    """The network of the newest checkpoint, or the best one, in the folder of the request, which a
    training has left there; nothing is trained.

    Raises UserError where there is none, or it is damaged.
    """
    place = _left(request.folder, take)
    if place is None and take == BEST:
        raise UserError(
            f"{request.folder} has no best network: a training keeps one with save_best, at its "
            "validations."
        )
    if place is None:
        raise UserError(
            f"{request.folder} has no checkpoint: train first, or give the name of a run that is "
            "there."
        )
    if take != BEST:
        check_manifest(place.parent)
    with torch.inference_mode(False):  # or it could not be trained further
        network = load_network(place)
    steps = "best" if take == BEST else place.parent.name
    about = {**request.net.about, "base": request.base_name, "steps": steps}
    log.info("Train ControlNet: no training; the network of %s.", place)
    return _done(request, network, about)


def _left(folder: Path, take: str) -> Path | None:
    """Where the network is that is to be taken of a run, as a diffusers folder."""
    if take == BEST:
        return folder / BEST if (folder / BEST / WEIGHTS).is_file() else None
    newest = Checkpoints(folder / CHECKPOINTS, 1).newest()
    return newest / NETWORK if newest else None


def carry_out(request: TrainRequest, model: Any, clip: Any, vae: Any) -> Done:
    """Train a copy of the request's net on MODEL, CLIP and VAE.

    A run that the host's user stops saves a checkpoint; what the host raises then is passed on.
    """
    here = host.current()
    settings = RunSettings(
        base=BaseSettings(path=request.base_name),
        data=request.data.settings,
        network=NetworkSettings(**asdict(request.net.settings)),
        training=request.training,
        validation=request.validation,
        # Save ControlNet writes the single file.
        out=OutSettings(folder=str(request.folder), name=request.name, single_file=False),
    )
    require_possible(request.training)
    newest = Checkpoints(request.folder / CHECKPOINTS, 1).newest()
    if newest and not request.resume:
        raise UserError(
            f"{request.folder} holds the checkpoint {newest.name} of an earlier run: with resume "
            "it goes on, take = newest gives its network as it is, another name begins anew."
        )
    require_free(settings, request.resume)
    if request.training.validate_every and request.validation.hints:
        samples_of_files(request.validation)  # what is wrong with them is said before
    with here.training(), ExitStack() as stack:
        base = here.training_base(model, clip, vae, request.base_name)
        assert base.encoders is not None  # there is none without CLIP and VAE alone
        maker = _maker(request.data.condition)
        split = split_of(settings, request.data)
        data = training_data(settings.data, base.encoders, maker, here.steps, split.kept)
        if settings.data.cache:
            stack.enter_context(here.training())  # the encoders are done: the device is freed again
        network = copy.deepcopy(request.net.network).float().to(base.device)
        run = run_of(settings, base, network, data, split, maker)
        trained = _shown(stack.enter_context(closing(run.train(request.resume))), stack)
        about = {**request.net.about, "base": request.base_name, "steps": str(trained.step)}
        return _done(request, trained.network.cpu(), about)


def _done(request: TrainRequest, network: Any, about: dict[str, str]) -> Done:
    """What the node gives of a network, and of the run's folder."""
    result = Trainable(network, request.net.settings, about)
    control_net = host.current().control_net_of(network, request.name)
    points, validations = read_curve(request.folder / CURVE)
    curve = LossCurve(request.name, points, validations)
    return Done(control_net, result, curve, _last_sheet(validations))


def _shown(events: RunEvents, stack: ExitStack) -> Trained:
    """Show a run as the host's progress and preview, and in the log; what came out."""
    sheet: Image.Image | None = None
    for event in events:
        match event:
            case Begun():
                bar = stack.enter_context(host.steps(event.steps - event.step, "training"))
            case Stepped():
                bar.advance(sheet)  # here the host raises what stops its nodes
                sheet = None
            case Point():
                speed = event.images_per_second
                log.info("step %d: loss %.4g, %.3g images/s", event.step, event.loss, speed)
            case Validation():
                if event.sheet is not None:
                    sheet = Image.open(event.sheet).convert("RGB")
                figures = ", ".join(f"{name} {value:.3g}" for name, value in event.figures.items())
                log.info("step %d: %s", event.step, figures)
            case Saved():
                log.info("step %d: saved %s", event.step, event.folder)
            case Note():
                log.warning("Train ControlNet: %s.", event.text)
            case Finished() if not event.trained.stopped:
                return event.trained
    raise KeyboardInterrupt


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
