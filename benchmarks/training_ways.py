"""What `torch.compile` and channels last bring a step of training: seconds of a step as it is, with
each and with both, in turns in one process, and what compiling takes at first.

The model has Stable Diffusion 1.5's topology with a share of its channels, and random weights. On a
CPU the seconds are the processor's; on a GPU they are the clock's, after the device is done.

Run: python -m benchmarks.training_ways [--share 4] [--edge 128 256] [--precision fp32 bf16]
     [--rounds 7] [--batch 4] [--ways "as it is" compiled] [--device cpu|cuda]
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch

from benchmarks.training_attention import TOKENS, WIDTH, parts
from controlstack.training.attention import few_keys_plain
from controlstack.training.compiled import compiled
from controlstack.training.locked_unet import HALVES, predict

WAYS = {
    "as it is": (False, False),
    "channels last": (True, False),
    "compiled": (False, True),
    "both": (True, True),
}
"""A way -> whether its weights lie channels last, and whether torch compiles its networks."""


def step_of(
    unet: Any, network: Any, options: argparse.Namespace, precision: str, edge: int
) -> Callable[[], None]:
    """A forward and backward pass of one batch."""
    drawing = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=drawing).to(options.device)

    n, half = options.batch, HALVES.get(precision)
    noisy, words = drawn(n, 4, edge // 8, edge // 8), drawn(n, TOKENS, WIDTH)
    hints, times = drawn(n, 3, edge, edge), torch.full((n,), 500, device=options.device)

    def step() -> None:
        with torch.autocast(options.device, half) if half else nullcontext():
            loss = (predict(unet, network, noisy, times, words, hints).float() ** 2).mean()
        loss.backward()
        network.zero_grad()

    return step


def seconds(step: Callable[[], None], device: str) -> float:
    """The processor's seconds of a step, or a GPU's on the clock."""
    if device == "cpu":
        began = time.process_time()
        step()
        return time.process_time() - began
    torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def measured(
    options: argparse.Namespace, precision: str, edge: int
) -> dict[str, tuple[float, list[float]]]:
    """Of each way: the first step's seconds, and those of each round."""
    unet, network = (one.to(options.device) for one in parts(options.share, precision))
    steps, first = {}, {}
    torch._dynamo.reset()
    halves = options.device == "cpu" and precision == "bf16"
    took: dict[str, list[float]] = {way: [] for way in options.ways}
    with ExitStack() as stack:
        for way in options.ways:
            last, wanted = WAYS[way]
            pair = [copy.deepcopy(one) for one in (unet, network)]
            if last:
                pair = [one.to(memory_format=torch.channels_last) for one in pair]
            stack.enter_context(few_keys_plain(pair, halves))  # as a run of training does
            steps[way] = step_of(*compiled(*pair, wanted), options, precision, edge)
            first[way] = seconds(steps[way], options.device)
        for turn in range(options.rounds + 1):
            for way in options.ways[:: 1 if turn % 2 else -1]:
                spent = seconds(steps[way], options.device)
                if turn:  # the first round warms up
                    took[way].append(spent)
    return {way: (first[way], took[way]) for way in options.ways}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=int, default=4, help="channels are divided by it")
    parser.add_argument("--edge", type=int, nargs="+", default=[128, 256], help="pixels")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| numbers | px | way | a step, s | of the first way | least to most | first step, s |")
    print("|---|---|---|---|---|---|---|")
    for precision in options.precision:
        for edge in options.edge:
            found = measured(options, precision, edge)
            plain = next(iter(found.values()))[1]
            for way, (first, took) in found.items():
                print(f"| {precision} | {edge} | {way} | {row(first, took, plain)} |")


def row(first: float, took: Sequence[float], plain: Sequence[float]) -> str:
    """The cells of one way."""
    ratios = [new / old for new, old in zip(took, plain, strict=True)]
    spread = f"{statistics.median(ratios):.3f} | {min(ratios):.3f} to {max(ratios):.3f}"
    return f"{statistics.median(took):.3f} | {spread} | {first:.1f}"


if __name__ == "__main__":
    main()
