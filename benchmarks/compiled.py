"""A stack on a model that ComfyUI's TorchCompileModel compiles, with torch's own compiler.

In the ComfyUI at COMFYUI_PATH, a small U-Net of one level and two nets of random weights. By the
core's chain, by a stack and, with ADVANCED_CONTROLNET_PATH, by Advanced-ControlNet's nodes: how far
the picture is from that of a model which is not compiled, the graphs compiled until it is there and
by each stack that follows, and the processor's seconds of a run beside those without compiling, in
turns. What torch has compiled it keeps for the next call of this.

Run: COMFYUI_PATH=... [ADVANCED_CONTROLNET_PATH=...] python -m benchmarks.compiled [--rounds 5]
     [--backend inductor]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch
from torch import Tensor

from benchmarks.measured import seconds
from benchmarks.peers import advanced_apply

STACKS = {"two": (0.5, 0.7), "weaker": (0.3, 0.9), "one": (0.5,), "none": (), "again": (0.5, 0.7)}
SIDE = 16  # latents
STEPS = 4


def ways(small: Any, model: Any, nets: Sequence[Any]) -> dict[str, Callable[..., Tensor]]:
    """Each peer's run of a stack of these strengths on `model`, or on it after `compiled`."""
    patch = import_module("controlstack.model_patch.patch").patch
    sides = [small.words(seed, small.ONE_LEVEL) for seed in (11, 12)]

    def lines(strengths: Sequence[float]) -> list[Any]:
        pairs = enumerate(zip(nets, strengths, strict=False), 1)
        return [small.Line(net, small.hint(seed), strength) for seed, (net, strength) in pairs]

    def sampled(model: Any, given: Sequence[Any]) -> Tensor:
        with torch.inference_mode():
            made: Tensor = small.sample(model, *given, steps=STEPS, side=SIDE)
        return made

    def chain(apply: Callable[..., Any] | None) -> Callable[..., Tensor]:
        def run(compiled: Callable[[Any], Any], strengths: Sequence[float]) -> Tensor:
            return sampled(compiled(model), small.chained(*sides, *lines(strengths), apply=apply))

        return run

    def ours(compiled: Callable[[Any], Any], strengths: Sequence[float]) -> Tensor:
        return sampled(compiled(patch(model, small.stack(*lines(strengths)))), sides)

    found: dict[str, Callable[..., Tensor]] = {"ComfyUI's nodes": chain(None), "ControlStack": ours}
    if path := os.environ.get("ADVANCED_CONTROLNET_PATH"):
        found["Advanced-ControlNet"] = chain(advanced_apply(path))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", default="inductor", help="torch's name of a compiler")
    options = parser.parse_args()
    torch.set_num_threads(1)
    small = import_module("tests.comfyui.small")  # before ComfyUI's own "tests"
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    import_module("comfy.cli_args").args.cpu = True
    node = import_module("comfy_extras.nodes_torch_compile").TorchCompileModel
    one = small.ONE_LEVEL
    model, nets = small.base(one), [small.net(seed, one) for seed in (5, 6)]

    def compiled(model: Any) -> Any:
        return node.execute(model, options.backend).result[0]

    def plain(model: Any) -> Any:
        return model

    def graphs() -> int:
        return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])

    titles = ("by", "graphs", "first, CPU s", *(f"{name}: off by" for name in STACKS), "a run")
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|", flush=True)
    for name, run in ways(small, model, nets).items():
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        first = seconds(run, compiled, STACKS["two"])
        made, off = [], []
        for strengths in STACKS.values():
            exact, got = run(plain, strengths), run(compiled, strengths)
            off.append(float((got - exact).abs().max() / exact.abs().max()))
            made.append(graphs())
        turns = range(options.rounds)
        pairs = [[seconds(run, how, STACKS["two"]) for how in (compiled, plain)] for _ in turns]
        ratios = sorted(a / b for a, b in pairs)
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        figures = " | ".join(f"{one:.1e}" for one in off)
        counts = ", ".join(map(str, made))
        print(f"| {name} | {counts} | {first:.0f} | {figures} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
