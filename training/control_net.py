"""Trains a ControlNet on a locked U-Net: half of the prompts dropped anew at each step, the base's
own prediction as the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ..ground.errors import UserError
from ..ground.parameters import Value
from ..ground.wording import listing
from .aside import Lend, aside
from .attention import few_keys_plain
from .base import Base
from .batch import Batch, Batches
from .checkpoint import CHECKPOINTS, NETWORK, Checkpoints
from .checkpoint_state import load_weights
from .compiled import compiled
from .curve import Curve
from .events import Event, Note, Validation
from .export import CONFIG, WEIGHTS, save_folder
from .locked_unet import (
    checkpointing,
    computes_in,
    decoder,
    lent_decoder,
    locked,
    moved,
    predict,
    unlocked,
)
from .loop import Loop, Records, Task
from .manifest import read_object
from .objective import Objective, weighted_loss
from .processes import accelerator_for
from .resume import go_on, in_force, write_settings
from .row_order import RowOrder, Shares
from .run_folder import beginning
from .sdxl import on
from .settings import TrainingSettings
from .trainable import copied_weights, new_weights

UNLOCKED = (
    "The base's decoder is trained, too: a small or uneven data set makes the base worse, and the "
    "ControlNet works with its own base alone. A low rate, such as 2e-6, is safer"
)
IN_MEMORY = (
    "the base's own weights stay in memory beside the smaller copy that trains, since they cannot "
    "be laid into a file of the run's folder meanwhile"
)
DECODER = "unlocked-decoder.safetensors"
"""The part of a checkpoint that is what was trained of the base."""


@dataclass(frozen=True)
class Trained:
    """The last event of a training: the trained `network`, the last `step`, and whether the run was
    `stopped` before its end. `unet` is the base with the decoder that was trained with it, None
    where it stayed locked.
    """

    network: Any
    step: int
    stopped: bool
    unet: Any | None = None


Validate: TypeAlias = Callable[[int, Any], Validation | None]
"""Tries a network, which holds the weights that would be kept, at a step."""


def train_control_net(
    base: Base,
    network: Any,
    batches: Batches,
    settings: TrainingSettings,
    folder: Path | None = None,
    about: Mapping[str, Value] | None = None,
    resume: bool = False,
    validate: Validate | None = None,
    groups: tuple[int, ...] = (),
) -> Generator[Event | Trained, None, None]:
    """Train `network` in place on the locked `base.unet`, whose weights stay as they are.

    `folder` gets `checkpoints/`, `curve.jsonl` and `tensorboard/`; `about`, all other settings of
    the run, is kept with each checkpoint. `resume` goes on from the newest that is whole, and from
    the beginning where a run ended before it had one; what is damaged is noted. Validations are
    made before the first step, too; in them and at the end the network holds the weights that are
    kept (the average, with `ema`), and in them the base's U-Net has its unlocked decoder.

    `groups` are the numbers of the rows' groups, where only rows of one group can share a batch.

    Each of several processes goes through events of its own; validations, notes and checkpoints are
    the first one's. Where nobody goes through them any more, the steps that were made are saved.
    Raises UserError for all that a user can mend.
    """
    if not len(batches):
        raise UserError("There is no picture to train on.")
    device = base.device  # it changes with the U-Net's place
    accelerator = accelerator_for(device, settings.precision)
    shares = Shares(
        settings.batch, settings.accumulate, accelerator.num_processes, accelerator.process_index
    )
    names = in_force(settings, about or {}, shares)
    checkpoints = Checkpoints(folder / CHECKPOINTS, settings.keep) if folder else None
    notes = [UNLOCKED] if settings.unlock_decoder else []
    notes += beginning(checkpoints, resume) if checkpoints else []
    accelerator.wait_for_everyone()  # so that all have seen the same checkpoints
    network.to(device).requires_grad_(True)
    with ExitStack() as stack:
        lend: Lend = partial(moved, base.unet)
        if settings.unlock_decoder:
            unet = unlocked(base.unet)
        else:
            if computes_in(settings.precision) != base.unet.dtype:
                # Its half-size copy trains in its place: it is needed for validations alone.
                try:
                    lend = stack.enter_context(aside(base.unet, folder))
                except OSError as error:
                    notes.append(f"{IN_MEMORY}: {error.strerror or error}")
                    stack.enter_context(moved(base.unet, "cpu"))
            with lend(base.device):  # where its weights lie now
                unet = locked(base.unet, settings.precision).to(device)
        stack.callback(network.zero_grad)
        stack.enter_context(checkpointing([network, unet], settings.gradient_checkpointing))
        halves_on_cpu = device.type == "cpu" and settings.precision == "bf16"
        stack.enter_context(few_keys_plain([network, unet], halves_on_cpu))
        if settings.only_middle:
            _without_skips(network)
            stack.callback(network.controlnet_down_blocks.requires_grad_)
        order = RowOrder(len(batches), settings.seed, settings.prompt_dropout, shares, groups)

        def load() -> Iterator[Batch]:  # begins with the first step, which may be a resumed one
            picks = order.picks(range(loop.step, settings.steps))
            yield from batches.load(picks, settings.workers)

        def tried(step: int) -> Validation | None:
            lent = lent_decoder(base.unet, unet) if settings.unlock_decoder else nullcontext()
            with lend(device), lent:
                return validate(step, network) if validate else None

        called = compiled(unet, network, settings.compile)
        task = Task(
            nn.ModuleList([network, decoder(unet)] if settings.unlock_decoder else [network]),
            _groups(network, unet, settings),
            _loss(base, *called, load(), settings, shares, device),
            tried,
        )
        loop = Loop(task, settings, accelerator)
        if folder and checkpoints:
            loop.records = _records(checkpoints, network, unet, settings, names)
            if resume and checkpoints.steps():
                notes += go_on(checkpoints, names, loop.resume)
            accelerator.wait_for_everyone()  # so that all have read what may now be changed
            if accelerator.is_main_process:
                checkpoints.tidy(loop.step)
                curve = Curve(folder, loop.step)
                stack.callback(curve.close)
                loop.records = replace(loop.records, curve=curve)
                notes += _lost(curve)
        if accelerator.is_main_process:
            yield from map(Note, notes)
        yield from loop.run()
    changed = unet if settings.unlock_decoder else None
    yield Trained(network, loop.step, loop.stopped, changed)


def _lost(curve: Curve) -> list[str]:
    if not curve.damaged:
        return []
    return [f"{curve.path}: lines that cannot be read are left out: {listing(curve.damaged)}"]


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
    alphas = base.alphas.to(device, torch.float32)
    objective = Objective(alphas, base.prediction, settings, shares)

    def loss_of(step: int, part: int) -> Tensor:
        batch = next(loaded)
        latents, words, hints = (
            given.to(device, non_blocking=True)
            for given in (batch.latents, batch.words, batch.hints)
        )
        seen = objective.noised(latents, step, part)
        added = on(batch.added, device)
        predicted = predict(unet, network, seen.noisy, seen.timesteps, words, hints, added)
        return weighted_loss(predicted, seen.wanted, seen.weights)

    return loss_of


def _records(
    checkpoints: Checkpoints,
    network: Any,
    unet: Any,
    settings: TrainingSettings,
    names: Mapping[str, Value],
) -> Records:
    """Checkpoints hold the network as a diffusers folder, ready for use, and all settings."""
    from safetensors.torch import save_file

    def save(target: Path) -> None:
        write_settings(target, names)
        save_folder(network, target / NETWORK)
        if settings.unlock_decoder:
            save_file(decoder(unet).state_dict(), target / DECODER)

    def load(source: Path) -> None:
        read_object(source / NETWORK / CONFIG)  # for others: here it has to be there, and whole
        load_weights(network, source / NETWORK / WEIGHTS)
        if settings.unlock_decoder:
            load_weights(decoder(unet), source / DECODER)

    return Records(checkpoints, None, save, load)
