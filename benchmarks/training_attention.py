"""What plain attention over few keys brings a step of training in bf16 on a CPU: CPU seconds of a
step with `training.attention.few_keys_plain` and without, in turns in one process.

The model has Stable Diffusion 1.5's topology with a share of its channels, and random weights.

Run: python -m benchmarks.training_attention [--share 4] [--edge 128 256] [--rounds 7] [--batch 4]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch

from controlstack.training.attention import few_keys_plain
from controlstack.training.locked_unet import locked, predict
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import control_net_from

WIDTH, TOKENS = 768, 77


def parts(share: int, precision: str) -> tuple[Any, Any]:
    """The locked U-Net in the numbers of a precision, and a network of it."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    channels = tuple(width // share for width in (320, 640, 1280, 1280))
    unet = UNet2DConditionModel(
        block_out_channels=channels,
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        norm_num_groups=32 // share,
    )
    network = control_net_from(unet, NetSettings(), 0)
    return locked(unet, precision), network


def step(unet: Any, network: Any, edge: int, batch: int) -> float:
    """The CPU seconds of a forward and backward pass."""
    drawing = torch.Generator().manual_seed(1)
    noisy = torch.randn(batch, 4, edge // 8, edge // 8, generator=drawing)
    words = torch.randn(batch, TOKENS, WIDTH, generator=drawing)
    hints = torch.rand(batch, 3, edge, edge, generator=drawing)
    times = torch.full((batch,), 500)
    began = time.process_time()
    with torch.autocast("cpu", torch.bfloat16):
        loss = (predict(unet, network, noisy, times, words, hints).float() ** 2).mean()
    loss.backward()
    return time.process_time() - began


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=int, default=4, help="channels are divided by it")
    parser.add_argument("--edge", type=int, nargs="+", default=[128, 256], help="pixels")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    unet, network = parts(options.share, "bf16")
    print("| px | fused, s | few keys plain, s | ratio | least to most |\n|---|---|---|---|---|")
    for edge in options.edge:
        took: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(options.rounds + 1):
            for plain in (False, True) if turn % 2 else (True, False):
                with few_keys_plain([network, unet], plain):
                    seconds = step(unet, network, edge, options.batch)
                if turn:  # the first round warms up
                    took[plain].append(seconds)
        ratios = [new / old for new, old in zip(took[True], took[False], strict=True)]
        fused, plain_ = (statistics.median(took[way]) for way in (False, True))
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        print(
            f"| {edge} | {fused:.3f} | {plain_:.3f} | {statistics.median(ratios):.3f} | {spread} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
