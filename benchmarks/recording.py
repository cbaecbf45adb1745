"""What recording a run costs: the same run with and without, in turns, on one thread.

Two controls on both sides of the guidance: the demo model at 128 px, and a U-Net of SD 1.5's full
width with random weights. Printed are the processor's seconds of a run without (a busy machine
changes them less than the clock's), the median and the middle half of the ratios of neighbours, and
what share of a recorded run is spent inside the recorder, which is not told by chance. The aim is a
ratio under 1.03.

Run: python benchmarks/recording.py [--demo-only] [--edge 256]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from controlstack.demo.models import WEIGHTS
from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.models.loading import load_checkpoint, load_control_net
from controlstack.headless.sampling.base_model import BaseModel
from controlstack.headless.sampling.model import Model
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.sample import ksample
from controlstack.model_patch.control import Control, ControlStack
from controlstack.model_patch.patch import patch

DEMO_ROUNDS, DEMO_STEPS = 15, 20
FULL_ROUNDS, FULL_STEPS = 9, 2
Make = Callable[[], Any]


def demo() -> tuple[Model, ControlStack, Tensor, int]:
    """The demo model under pose and depth."""
    model, _, _ = load_checkpoint(WEIGHTS / "base")
    nets = [load_control_net(WEIGHTS / f"controlnet-{kind}") for kind in ("pose", "depth")]
    return model, _stack(nets, 128), torch.randn(1, 77, _width(model)), 128


def full(edge: int) -> tuple[Model, ControlStack, Tensor, int]:
    """SD 1.5's widths and depths; two controls that share one net's weights, for memory's sake."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    unet = UNet2DConditionModel(cross_attention_dim=768).eval().requires_grad_(False)
    network = ControlNetModel.from_unet(unet).eval().requires_grad_(False)
    for layer in (*network.controlnet_down_blocks, network.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.02)
    model = Model(BaseModel(unet, DiscreteSampling.from_betas(), latent_scale=0.18215))
    nets = [ControlNet(network, name) for name in ("one", "other")]
    return model, _stack(nets, edge), torch.randn(1, 77, 768), edge


def ratios(
    model: Model, stack: ControlStack, text: Tensor, edge: int, steps: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of runs without, and those of their neighbours with, over them."""

    def run(controlled: Model) -> float:
        latent = {"samples": torch.zeros(1, 4, edge // 8, edge // 8)}
        sides = [[text, {}]], [[text * 0.5, {}]]
        began = time.process_time()
        ksample(controlled, 1, steps, 3.0, "euler", "normal", *sides, latent)
        return time.process_time() - began

    models = [patch(model, stack), patch(model, stack, record=True)]
    for warm in models:
        run(warm)
    pairs = []
    for turn in range(rounds):  # who goes first changes, for a machine that slows down or heats up
        seconds = [run(one) for one in (models if turn % 2 else models[::-1])]
        pairs.append(seconds if turn % 2 else seconds[::-1])
    return [plain for plain, _ in pairs], [recorded / plain for plain, recorded in pairs]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo-only", action="store_true")
    parser.add_argument("--edge", type=int, default=128, help="pixels, for the full width")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    _tell("demo model, 128 px", *ratios(*demo(), DEMO_STEPS, DEMO_ROUNDS))
    if not options.demo_only:
        name = f"SD 1.5's width, {options.edge} px"
        _tell(name, *ratios(*full(options.edge), FULL_STEPS, FULL_ROUNDS))


def _tell(name: str, seconds: list[float], shares: list[float]) -> None:
    low, middle, high = statistics.quantiles(shares, n=4)
    print(
        f"{name}: {statistics.median(seconds):.2f} s a run without; with / without "
        f"{middle:.3f} (middle half {low:.3f} to {high:.3f}, {len(shares)} rounds)"
    )


def _stack(nets: list[Any], edge: int) -> ControlStack:
    return tuple(
        Control(net, torch.rand(1, 3, edge, edge), f"net {i}") for i, net in enumerate(nets)
    )


def _width(model: Model) -> int:
    return int(model.model.unet_config["cross_attention_dim"])


if __name__ == "__main__":
    main()
