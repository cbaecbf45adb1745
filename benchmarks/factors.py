"""What factors cost: two controls with five factors each, beside none, and beside a step of SD 1.5.

The engine's own work in one call of the model is timed, with nets that answer at once; both kinds
of stack in turns, in seconds of CPU, on one thread. A step is one call of a U-Net of SD 1.5's shape
and random weights, for prompt and negative prompt. Aims: five factors at most 1 % of a step; a
stack without factors costs what it did in an older commit.

Run: python benchmarks/factors.py [--edge 512] [--beside FOLDER that holds an older controlstack/]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.model_patch.control import Control
from controlstack.model_patch.run import Session

CALLS, ROUNDS, STEP_ROUNDS, PAIRS = 10, 15, 3, 8
AIM = 0.01
SKIPS = (
    *((320, 1), (320, 1), (320, 1), (320, 2), (640, 2), (640, 2)),
    *((640, 4), (1280, 4), (1280, 4), (1280, 8), (1280, 8), (1280, 8)),
)
"""Channels of SD 1.5's skips, and what divides the latent's height; the middle is as the last."""


class Ready:
    """A net whose residuals are there already."""

    def __init__(self, latent: int) -> None:
        self.strength = 1.0
        self.concat_mask = False
        maps = [torch.randn(2, width, latent // by, latent // by) for width, by in SKIPS]
        self.residuals = {"input": [], "middle": [torch.randn_like(maps[-1])], "output": maps}

    def copy(self) -> Ready:
        """Itself: nothing is kept for a run."""
        return self

    def set_cond_hint(self, *_: Any, **__: Any) -> Ready:
        """Hints change nothing."""
        return self

    def get_control(self, *_: Any) -> Any:
        """The same tensors at every call."""
        return self.residuals

    def pre_run(self, *_: Any) -> None:
        """Nothing to prepare."""

    def cleanup(self) -> None:
        """Nothing to drop."""


class Base:
    """What the engine asks of a model."""

    model_sampling = DiscreteSampling.from_betas()
    diffusion_model = torch.nn.Identity()


def five(latent: int) -> tuple[Any, ...]:
    """A factor of each kind: of the run's steps, its course, of sides, blocks, and the picture."""
    from controlstack.model_patch.blocks import SoftWeights
    from controlstack.model_patch.curve import PRESETS, Curve
    from controlstack.model_patch.factors import Sides, StepSpan
    from controlstack.model_patch.mask import Mask

    mask = torch.linspace(0.0, 1.0, 8 * latent).expand(1, 8 * latent, -1)
    curve = Curve(PRESETS["fade out"], "cosine")
    return (StepSpan(0, 18), curve, Sides(1.0, 0.5), SoftWeights(), Mask(mask))


def caller(latent: int, also: tuple[Any, ...]) -> Callable[[], None]:
    """One call of the model under two controls, at the next of twenty steps each time."""
    stack = tuple(
        Control(net, torch.rand(1, 3, 64, 64), "control", also=also)
        for net in (Ready(latent), Ready(latent))  # type: ignore[arg-type]
    )
    sampling = Base.model_sampling
    sigmas = [sampling.percent_to_sigma(0.01 + 0.99 * i / 20) for i in range(20)] + [0.0]
    options = {"cond_or_uncond": [0, 1], "sample_sigmas": torch.tensor(sigmas)}
    x = torch.zeros(2, 4, latent, latent)
    session = Session(stack, set())
    calls = 0

    def read(control: Any, _: Any) -> None:
        for group in control or ():
            list(control[group])

    def call() -> None:
        nonlocal calls
        sigma = sigmas[calls % 15]
        calls += 1
        session.apply(None, (x, torch.full((2,), sigma), {}, options), Base(), read)  # type: ignore[arg-type]

    return call


def cpu_seconds(call: Callable[[], Any], times: int) -> float:
    """Of one call, on the average of `times`."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def step(latent: int) -> Callable[[], Tensor]:
    """One call of a U-Net of SD 1.5's shape, for prompt and negative prompt."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    unet.eval().requires_grad_(False)
    x, words = torch.randn(2, 4, latent, latent), torch.randn(2, 77, 768)

    def call() -> Tensor:
        out: Tensor = unet(x, torch.tensor(500), words, return_dict=False)[0]
        return out

    return call


def beside(folder: Path, latent: int) -> float:
    """CPU seconds of a call without factors by the package in `folder`, in a process of its own."""
    command = [sys.executable, __file__, "--edge", str(8 * latent), "--plain"]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return float(
        subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
    )


def plain(latent: int) -> float:
    """The median of a stack without factors, in this process."""
    call = caller(latent, ())
    cpu_seconds(call, CALLS)
    return statistics.median(cpu_seconds(call, CALLS) for _ in range(ROUNDS))


def row(name: str, seconds: list[float], factor: float = 1e3, unit: str = "ms") -> None:
    """Print a median with its spread."""
    low, middle, high = (factor * f(seconds) for f in (min, statistics.median, max))
    print(f"  {name:34} {middle:9.3f} {unit}  ({low:.3f} to {high:.3f})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=512, help="pixels of the picture")
    parser.add_argument("--beside", type=Path, help="a folder with an older controlstack in it")
    parser.add_argument("--plain", action="store_true", help="print one number: without factors")
    options = parser.parse_args()
    torch.set_num_threads(1)
    latent = options.edge // 8
    if options.plain:
        print(plain(latent))
        return
    without, with_five = caller(latent, ()), caller(latent, five(latent))
    for call in (without, with_five):
        cpu_seconds(call, CALLS)  # the first calls warm up
    rounds = [(cpu_seconds(without, CALLS), cpu_seconds(with_five, CALLS)) for _ in range(ROUNDS)]
    whole = step(latent)
    whole()
    steps = [cpu_seconds(whole, 1) for _ in range(STEP_ROUNDS)]
    added = [more - less for less, more in rounds]
    print(f"{options.edge} px, two controls, one thread; {ROUNDS} rounds of {CALLS} calls in turns")
    row("a step of the U-Net", steps)
    row("the engine, no factors", [less for less, _ in rounds])
    row("the engine, five factors each", [more for _, more in rounds])
    row("what the factors add", added)
    shares = [share / statistics.median(steps) for share in added]
    row(f"of a step (aim {100 * AIM:g} % at most)", shares, 100, "% ")
    if options.beside:
        own = Path(os.environ.get("PYTHONPATH", "").split(os.pathsep)[0])
        here, there = [], []
        for number in range(PAIRS):  # now one first, now the other
            for folder in (own, options.beside)[:: 1 if number % 2 else -1]:
                (here if folder == own else there).append(beside(folder, latent))
        row("no factors, here", here)
        row("no factors, there", there)
        row("ratio", [now / then for now, then in zip(here, there, strict=True)], 1, "  ")


if __name__ == "__main__":
    main()
