"""Trains a ControlNet on a locked U-Net: half of the prompts dropped anew at each step, the base's
own prediction as the loss.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..ground.errors import UserError
from ..ground.parameters import Value
from .base import Base
from .batch import Batch, Batches
from .checkpoint import Checkpoints
from .copy import copied_weights, new_weights
from .curve import Curve
from .export import WEIGHTS, save_folder
from .locked import checkpointing, decoder, lent_decoder, locked, moved, predict, unlocked
from .loop import Loop, Records, Task
from .objective import Objective, weighted_loss
from .order import Order, Shares
from .processes import accelerator_for
from .resume import check_same, in_force, write_settings
from .settings import TrainingSettings
from .watch import Point, Validation, Watch

UNLOCKED = (
    "The base's decoder is trained, too: a small or uneven data set makes the base worse, and the "
    "ControlNet works with its own base alone. A low rate, such as 2e-6, is safer."
)
NETWORK, DECODER = "network", "unlocked-decoder.safetensors"
"""Parts of a checkpoint: a diffusers folder of the network, and what was trained of the base."""


@dataclass(frozen=True)
class Trained:
    """A trained `network`, its curve since the run began or was resumed, the last `step`, and
    whether the run was `stopped` before its end. `unet` is the base with the decoder that was
    trained with it, None where it stayed locked.
    """

    network: Any
    points: tuple[Point, ...]
    step: int
    stopped: bool
    unet: Any | None = None


def train_control_net(
    base: Base,
    network: Any,
    batches: Batches,
    settings: TrainingSettings,
    watch: Watch,
    folder: Path | None = None,
    about: Mapping[str, Value] | None = None,
    resume: bool = False,
) -> Trained:
    """Train `network` in place on the locked `base.unet`, whose weights stay as they are.

    `folder` gets `checkpoints/`, `curve.jsonl` and `tensorboard/`; `about`, all other settings of
    the run, is kept with each checkpoint. `resume` goes on from the newest one. Validations are
    made before the first step, too; in them and at the end the network holds the weights that are
    kept (the average, with `ema`), and in them the base's U-Net has its unlocked decoder.

    Each of several processes calls this; `watch` hears of the run in the first. Raises UserError
    for all that a user can mend.
    """
    if not len(batches):
        raise UserError("There is no picture to train on.")
    accelerator = accelerator_for(base.device, settings.precision)
    shares = Shares(
        settings.batch, settings.accumulate, accelerator.num_processes, accelerator.process_index
    )
    names = in_force(settings, about or {}, shares)
    start = _start(folder, settings, names, resume)
    accelerator.wait_for_everyone()  # so that all have seen the same checkpoints
    if settings.unlock_decoder:
        warnings.warn(UNLOCKED, stacklevel=2)
    unet = unlocked(base.unet) if settings.unlock_decoder else locked(base.unet, settings.precision)
    device = base.device
    network.to(device).requires_grad_(True)
    with ExitStack() as stack:
        if not settings.unlock_decoder and unet is not base.unet:
            # Its half-size copy trains in its place: a GPU need not hold both.
            stack.enter_context(moved(base.unet, "cpu"))
        stack.callback(network.zero_grad)
        stack.enter_context(checkpointing([network, unet], settings.gradient_checkpointing))
        if settings.only_middle:
            _without_skips(network)
            stack.callback(network.controlnet_down_blocks.requires_grad_)
        first = int(start.name.rpartition("-")[2]) if start else 0
        order = Order(len(batches), settings.seed, settings.prompt_dropout, shares)
        loaded = batches.load(order.picks(range(first, settings.steps)), settings.workers)
        task = Task(
            nn.ModuleList([network, decoder(unet)] if settings.unlock_decoder else [network]),
            _groups(network, unet, settings),
            _loss(base, unet, network, loaded, settings, shares, device),
            lambda step: _validation(base.unet, unet, network, watch, step, device),
        )
        # It refuses what cannot be: nothing is in the folder before.
        loop = Loop(task, settings, watch, accelerator)
        if folder:
            curve = Curve(folder, first) if accelerator.is_main_process else None
            if curve:
                stack.callback(curve.close)
            loop.records = _records(folder, network, unet, settings, names, curve)
        if start:
            loop.resume(start)
        outcome = loop.run()
    changed = unet if settings.unlock_decoder else None
    return Trained(network, outcome.points, outcome.step, outcome.stopped, changed)


def _start(
    folder: Path | None, settings: TrainingSettings, names: Mapping[str, Value], resume: bool
) -> Path | None:
    """The checkpoint to go on from; UserError where there is none, or one that is not meant."""
    newest = Checkpoints(folder / "checkpoints", settings.keep).newest() if folder else None
    if not resume:
        if newest:
            raise UserError(
                f"{folder} holds the checkpoint {newest.name} of an earlier run: resume it, or "
                "choose another folder."
            )
        return None
    if not newest:
        raise UserError(
            f"There is no checkpoint to resume from in {folder}; begin without resume, in an empty "
            "folder."
        )
    check_same(newest, names)
    return newest


@torch.no_grad()
def _without_skips(network: Any) -> None:
    """Freeze the connections to the skips at zero, also where they were trained before: the network
    that comes out then does wherever it is used what it did in its training.
    """
    for weight in network.controlnet_down_blocks.requires_grad_(False).parameters():
        weight.zero_()


def _groups(network: Any, unet: Any, settings: TrainingSettings) -> list[dict[str, Any]]:
    """AdamW's groups: the copied weights, the new ones, and an unlocked decoder."""
    sets = [
        (copied_weights(network), settings.rate),
        (new_weights(network), settings.new_rate or settings.rate),
        (decoder(unet).parameters(), settings.rate),
    ]
    trained = [([w for w in weights if w.requires_grad], rate) for weights, rate in sets]
    return [{"params": weights, "lr": rate} for weights, rate in trained if weights]


def _loss(
    base: Base,
    unet: Any,
    network: Any,
    loaded: Iterator[Batch],
    settings: TrainingSettings,
    shares: Shares,
    device: torch.device,
) -> Callable[[int, int], Tensor]:
    """The loss of the next batch that was `loaded`."""
    alphas = base.alphas.to(device, torch.float32)
    objective = Objective(alphas, base.prediction, settings, shares)

    def loss_of(step: int, part: int) -> Tensor:
        batch = next(loaded)
        latents, words, hints = (
            given.to(device, non_blocking=True)
            for given in (batch.latents, batch.words, batch.hints)
        )
        seen = objective.noised(latents, step, part)
        predicted = predict(unet, network, seen.noisy, seen.timesteps, words, hints)
        return weighted_loss(predicted, seen.wanted, seen.weights)

    return loss_of


def _validation(
    locked_unet: Any, unet: Any, network: Any, watch: Watch, step: int, device: torch.device
) -> Validation | None:
    """What `watch` finds, with the base on its `device`, and the unlocked decoder in its place if
    there is one.
    """
    trained = any(weight.requires_grad for weight in unet.parameters())
    lent = lent_decoder(locked_unet, unet) if trained else nullcontext()
    with moved(locked_unet, device), lent:
        return watch.validate(step, network)


def _records(
    folder: Path,
    network: Any,
    unet: Any,
    settings: TrainingSettings,
    names: Mapping[str, Value],
    curve: Curve | None,
) -> Records:
    """Checkpoints hold the network as a diffusers folder, ready for use, and all settings."""
    from safetensors.torch import load_file, save_file

    def save(target: Path) -> None:
        write_settings(target, names)
        save_folder(network, target / NETWORK)
        if settings.unlock_decoder:
            save_file(decoder(unet).state_dict(), target / DECODER)

    def load(source: Path) -> None:
        network.load_state_dict(load_file(source / NETWORK / WEIGHTS))
        if settings.unlock_decoder:
            decoder(unet).load_state_dict(load_file(source / DECODER))

    return Records(Checkpoints(folder / "checkpoints", settings.keep), curve, save, load)
