"""What recording a run costs: the same run with and without, in turns, on one thread.

Two controls on both sides of the guidance: the demo model at 128 px, and a U-Net of SD 1.5's full
width with random weights. Printed are the processor's seconds of a run without (a busy machine
changes them less than the clock's); the median and the middle half of the ratios of neighbours; and
the share of a recorded run that is spent in what only a recorded run does, on which others on the
machine have no influence. The aim is under 3 %.

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
from controlstack.model_patch.recorder import Recorder

DEMO_ROUNDS, DEMO_STEPS = 40, 20
FULL_ROUNDS, FULL_STEPS = 12, 2
Made = tuple[Model, ControlStack, Tensor, int]
"""A model, its stack, its text, and the edge of its pictures in pixels."""


def demo() -> Made:
    """The demo model under pose and depth."""
    model, _, _ = load_checkpoint(WEIGHTS / "base")
    nets = [load_control_net(WEIGHTS / f"controlnet-{kind}") for kind in ("pose", "depth")]
    return model, _stack(nets, 128), torch.randn(1, 77, _width(model)), 128


def full(edge: int) -> Made:
    """SD 1.5's widths and depths; two controls that share one net's weights, for memory's sake."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    unet = UNet2DConditionModel(cross_attention_dim=768).eval().requires_grad_(False)
    network = ControlNetModel.from_unet(unet).eval().requires_grad_(False)
    for layer in (*network.controlnet_down_blocks, network.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.02)
    model = Model(BaseModel(unet, DiscreteSampling.from_betas(), latent_scale=0.18215))
    nets = [ControlNet(network, name) for name in ("one", "other")]
    return model, _stack(nets, edge), torch.randn(1, 77, 768), edge


def seconds_of(model: Model, text: Tensor, edge: int, steps: int) -> float:
    """The processor's seconds of one run."""
    latent = {"samples": torch.zeros(1, 4, edge // 8, edge // 8)}
    sides = [[text, {}]], [[text * 0.5, {}]]
    began = time.process_time()
    ksample(model, 1, steps, 3.0, "euler", "normal", *sides, latent)
    return time.process_time() - began


def in_turns(
    model: Model, stack: ControlStack, text: Tensor, edge: int, steps: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of runs without, and of their neighbours with."""

    def run(controlled: Model) -> float:
        return seconds_of(controlled, text, edge, steps)

    models = [patch(model, stack), patch(model, stack, record=True)]
    for warm in models:
        run(warm)
    pairs = []
    for turn in range(rounds):  # who goes first changes, for a machine that slows down or heats up
        seconds = [run(one) for one in (models if turn % 2 else models[::-1])]
        pairs.append(seconds if turn % 2 else seconds[::-1])
    return [plain for plain, _ in pairs], [recorded for _, recorded in pairs]


def inside(model: Model, stack: ControlStack, text: Tensor, edge: int, steps: int) -> float:
    """The share of a recorded run that is spent in what only a recorded run does."""
    spent = [0.0]

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def timing(*given: Any) -> Any:
            began = time.process_time()
            try:
                return call(*given)
            finally:
                spent[0] += time.process_time() - began

        return timing

    def listening(self: Recorder, model: Callable[..., Any], given: Any) -> Callable[..., Any]:
        def bare(control: Any, options: Any) -> Any:
            hears = options["patches"]["input_block_patch"]
            return model(
                control, {**options, "patches": {"input_block_patch": [*map(timed, hears)]}}
            )

        return plain["listening"](self, bare, given)

    plain = {name: getattr(Recorder, name) for name in ("saw", "added", "record", "listening")}
    for name in ("saw", "added", "record"):
        setattr(Recorder, name, timed(plain[name]))
    Recorder.listening = listening  # type: ignore[method-assign]
    try:
        controlled = patch(model, stack, record=True)
        seconds_of(controlled, text, edge, steps)
        spent[0] = 0.0
        whole = seconds_of(controlled, text, edge, steps)
        return spent[0] / whole
    finally:
        for name, method in plain.items():
            setattr(Recorder, name, method)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo-only", action="store_true")
    parser.add_argument("--edge", type=int, default=128, help="pixels, for the full width")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    _measure("demo model, 128 px", demo(), DEMO_STEPS, DEMO_ROUNDS)
    if not options.demo_only:
        name = f"SD 1.5's width, {options.edge} px"
        _measure(name, full(options.edge), FULL_STEPS, FULL_ROUNDS)


def _measure(name: str, what: Made, steps: int, rounds: int) -> None:
    share = inside(*what, steps)
    plain, recorded = in_turns(*what, steps, rounds)
    shares = [one / other for one, other in zip(recorded, plain, strict=True)]
    low, middle, high = statistics.quantiles(shares, n=4)
    print(
        f"{name}: {statistics.median(plain):.2f} s a run without; with / without {middle:.3f} "
        f"(middle half {low:.3f} to {high:.3f}, {rounds} rounds); inside the recorder {share:.1%}"
    )


def _stack(nets: list[Any], edge: int) -> ControlStack:
    return tuple(
        Control(net, torch.rand(1, 3, edge, edge), f"net {i}") for i, net in enumerate(nets)
    )


def _width(model: Model) -> int:
    return int(model.model.unet_config["cross_attention_dim"])


if __name__ == "__main__":
    main()
