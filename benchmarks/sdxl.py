"""Seconds a step of SDXL's U-Net on the embedded host, beside diffusers' own pipeline.

One set of random weights in SDXL's shape (attention 0, 2 and 10 blocks deep, texts 2048 wide, the
vector of 2816), the same texts, sizes, seed and sampler (euler, guidance), without control and
under one ControlNet. Processor's seconds on one thread, in rounds taken in turns in one process, as
ratios of the same round. `--width 320` is SDXL itself, 10 GB.

Run: python -m benchmarks.sdxl [--width 128] [--edge 256] [--steps 4] [--rounds 7]
"""

from __future__ import annotations

import argparse
import os
import statistics

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch

from benchmarks.measured import seconds
from benchmarks.peers import FAMILIES, Given, drawn, embedded, pipeline


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=128, help="channels at first; SDXL has 320")
    parser.add_argument("--edge", type=int, default=256, help="pixels of the picture")
    parser.add_argument("--steps", type=int, default=4, help="of a run")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    family = FAMILIES["sdxl"]
    given, (unet, network) = Given(options.edge, family), drawn(family, options.width)
    runs = {
        "embedded": embedded(unet, network, given),
        "diffusers": pipeline(unet, network, given),
    }
    print(f"SDXL's shape, {options.width} channels at first, {options.edge} px, guidance")
    print("| controls | embedded, s a step | diffusers, s a step | ratio | least to most |")
    print("|---|---|---|---|---|", flush=True)
    for controls in range(2):
        took: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(options.rounds + 1):
            for name in list(runs)[:: 1 if turn % 2 else -1]:
                took[name].append(seconds(runs[name], options.steps, controls) / options.steps)
        pairs = list(zip(*took.values(), strict=True))[1:]  # the first round warms up
        ratios = [ours / theirs for ours, theirs in pairs]
        a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        print(f"| {controls} | {a:.2f} | {b:.2f} | {statistics.median(ratios):.3f} | {spread} |")


if __name__ == "__main__":
    main()
