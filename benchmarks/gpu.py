"""What a stack costs on one GPU: time and memory of a step, beside the same U-Net without control.

Random weights of Stable Diffusion 1.5's shapes, this pack's embedded host, euler, guidance. For
each type of numbers, size, and way of running (as it is; `torch.compile`; compiled with CUDA
graphs): seconds of a step and the most memory, for none, one, two, three and five controls and for
two at each of Control Speed's entries, as ratios to no control by the same way. Rounds are taken in
turns; printed are medians, least and most. Nothing is downloaded.

`--device cpu` is a dry form, with small nets and few steps, by which the script itself is tried.

Run: python -m benchmarks.gpu [--device cuda] [--types fp16 bf16] [--edges 512 1024]
                              [--ways plain compile graphs] [--steps 20] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from controlstack.benchmarks.peers import GUIDANCE, SEED, WIDTH, Given, drawn
from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.sampling.base_model import BaseModel
from controlstack.headless.sampling.model import Model
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.sample import ksample
from controlstack.model_patch.patch import patch
from controlstack.model_patch.speed import EXACT, SPEEDS

TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
WAYS: dict[str, dict[str, str] | None] = {
    "plain": None,
    "compile": {},
    "graphs": {"mode": "reduce-overhead"},
}
DRY_WIDTH = 32
"""Channels at first, in the dry form."""

CELLS = [(number, EXACT) for number in (0, 1, 2, 3, 5)]
CELLS += [(2, speed) for speed in SPEEDS if speed != EXACT]


class Bench:
    """One type of numbers, one size, one way of running."""

    def __init__(self, device: str, kind: str, edge: int, way: str) -> None:
        unet, network = drawn(width=WIDTH if device == "cuda" else DRY_WIDTH)
        unet, network = (net.to(device, TYPES[kind]) for net in (unet, network))
        self.net = ControlNet(network, "net")
        settings = WAYS[way]
        if settings is not None:
            unet.compile(**settings)
            self.net.control_model.compile(**settings)
        base = BaseModel(unet, DiscreteSampling.from_betas(), latent_scale=0.18215)
        self.model, self.given, self.device = Model(base), Given(edge), device

    def run(self, steps: int, controls: int, speed: str) -> Any:
        """One picture's latent."""
        stack = self.given.stack(self.net, controls)
        patched = patch(self.model, tuple(replace(one, speed=speed) for one in stack))
        sides = [[[words, {}]] for words in self.given.words]
        latent = {"samples": self.given.latent}
        return ksample(patched, SEED, steps, GUIDANCE, "euler", "normal", *sides, latent)

    def measured(self, steps: int, controls: int, speed: str) -> tuple[float, float]:
        """Seconds a step, and the most memory in megabytes (0 without a GPU)."""
        gpu = self.device == "cuda"
        if gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        self.run(steps, controls, speed)
        if gpu:
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - began) / steps
        return seconds, torch.cuda.max_memory_allocated() / 1e6 if gpu else 0.0


def rows(bench: Bench, steps: int, rounds: int, say: Callable[[str], None]) -> None:
    """A line of the table a cell."""
    for controls, speed in CELLS:
        bench.run(steps, controls, speed)  # compiles, warms up
    took: dict[tuple[int, str], list[float]] = {cell: [] for cell in CELLS}
    most = dict.fromkeys(CELLS, 0.0)
    for turn in range(rounds):
        for cell in CELLS[:: 1 if turn % 2 else -1]:
            seconds, memory = bench.measured(steps, *cell)
            took[cell].append(seconds)
            most[cell] = max(most[cell], memory)
    for cell, seconds in took.items():
        ratios = [a / b for a, b in zip(seconds, took[CELLS[0]], strict=True)]
        spread = f"{statistics.median(ratios):.3f} | {min(ratios):.3f} to {max(ratios):.3f}"
        median = 1000 * statistics.median(seconds)
        say(f"{cell[0]} | {cell[1]} | {median:.1f} | {spread} | {most[cell]:.0f} |")


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--types", nargs="+", choices=list(TYPES), default=["fp16", "bf16"])
    parser.add_argument("--edges", nargs="+", type=int, default=[512, 1024])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(words)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU that torch can use; --device cpu is the dry form")
    titles = ("type", "px", "way", "controls", "speed", "a step, ms", "of none", "spread", "MB")
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}", flush=True)
    for kind in options.types:
        for edge in options.edges:
            for way in options.ways:
                torch._dynamo.reset()
                bench = Bench(options.device, kind, edge, way)
                where = f"| {kind} | {edge} | {way} | "
                rows(
                    *(bench, options.steps, options.rounds),
                    lambda line, where=where: print(where + line, flush=True),
                )


if __name__ == "__main__":
    main()
