"""Recorded runs on the host of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from controlstack.model_patch.control import ControlStack
from controlstack.model_patch.record import Record
from controlstack.model_patch.recorder import Recorder
from controlstack.model_patch.run import Session
from controlstack.model_patch.schedule import Window
from tests.model_patch.recording import BASE, SIZE

SIGMAS = (10.0, 7.5, 5.0, 2.5, 0.0)


def measured(
    stack: ControlStack,
    sigmas: Sequence[float] = SIGMAS,
    features: Tensor | None = None,
    window: Window = Window(),  # noqa: B008
    **options: Any,
) -> Record:
    """A run on the host of numbers: a call a step with both sides of two pictures. Its model has
    two blocks, and shows `features` in both where they are given."""
    options = {"sample_sigmas": torch.tensor(sigmas), "cond_or_uncond": [0, 1], **options}
    rows = 2 * len(options["cond_or_uncond"])
    recorder = Recorder(sigmas, window)

    def model(control: Any, given: Any) -> None:
        _ = [list(control[group]) for group in control or ()]
        for block in (0, 1) if features is not None else ():
            for hear in given.get("patches", {}).get("input_block_patch", ()):
                hear(features, {"block": ("input", block)})

    with Session(stack, set(), window, recorder) as session:
        for sigma in sigmas[:-1]:
            x = torch.zeros(rows, 4, SIZE, SIZE)
            session.apply(None, (x, torch.full((rows,), sigma), {}, options), BASE, model)
    return recorder.record(stack, BASE.model_sampling, 2)
