"""What a stack of controls costs beside its peers (`peers.py`): counted, and timed in turns.

Counted, the same on every machine: multiply-adds of a step and of what comes once (from a run of
one step and one of two), what a control adds to a step, and the most bytes of tensors held at once
beside the weights. With --cache also under ComfyUI's EasyCache. With --time the processor's seconds
of a step and of a run of one step (all that comes before, and the first step), in rounds taken in
turns, as ratios to no control by the same peer in the same round.

ComfyUI is the one at COMFYUI_PATH, whose Python runs this; without it only this pack's embedded
host and diffusers are there. ADVANCED_CONTROLNET_PATH names a ComfyUI-Advanced-ControlNet.

Run: COMFYUI_PATH=... [ADVANCED_CONTROLNET_PATH=...] python -m benchmarks.control
     [--family sd15|sdxl] [--width 320] [--controls 1 2 3 5] [--edge 128] [--steps 20]
     [--cache] [--time ROUNDS] [--no-count]
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch

from benchmarks.measured import Bytes, counting, seconds
from benchmarks.peers import (
    CACHE_THRESHOLD,
    FAMILIES,
    WIDTH,
    Comfy,
    Given,
    Run,
    drawn,
    embedded,
    pipeline,
)

CACHE_STEPS = 10
LONG = 3
"""Steps of the longer of two timed runs; the shorter has one."""


def counted(run: Run, steps: int, controls: int) -> tuple[float, float]:
    """The multiply-adds of a run, in thousands of millions, and the most megabytes held at once."""
    with Bytes() as held, counting() as total:
        run(steps, controls)
        return total(), held.most / 1e6


def table(runs: dict[str, Run], counts: Sequence[int], steps: int) -> None:
    """Print what a step and a whole run compute and hold."""
    titles = ("controls", "by", "a step, GMAC", "once, GMAC", f"{steps} steps, GMAC", "of none")
    titles = (*titles, "a control adds to a step", "MB beside the weights")
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|", flush=True)
    plain: dict[str, tuple[float, float]] = {}
    for controls in (0, *counts):
        for name, run in runs.items():
            (one, _), (two, most) = (counted(run, number, controls) for number in (1, 2))
            step, once = two - one, 2 * one - two
            total = once + steps * step
            whole, bare = plain.setdefault(name, (total, step))
            adds = f"{(step - bare) / bare / controls:.3f}" if controls else ""
            figures = f"{step:.2f} | {once:.2f} | {total:.1f} | {total / whole:.3f} | {adds}"
            print(f"| {controls} | {name} | {figures} | {most:.1f} |", flush=True)


def under_cache(comfy: Comfy, controls: int) -> None:
    """Print what runs under EasyCache compute, and in how many steps the model runs."""
    ran: list[int] = []
    network = comfy.model.model.diffusion_model
    hook = network.time_embed.register_forward_pre_hook(lambda *_: ran.append(1))
    print(f"\n{CACHE_STEPS} steps under EasyCache (threshold {CACHE_THRESHOLD:g})", flush=True)
    print("| controls | by | steps of the model | GMAC |\n|---|---|---|---|")
    for number in (0, controls):
        for name, run in {"core": comfy.core(True), "ControlStack": comfy.ours(True)}.items():
            ran.clear()
            total, _ = counted(run, CACHE_STEPS, number)
            print(f"| {number} | {name} | {len(ran)} | {total:.1f} |", flush=True)
    hook.remove()


def timed(runs: dict[str, Run], counts: Sequence[int], rounds: int) -> None:
    """Print ratios of the processor's seconds to those of no control by the same, in rounds of
    which each has every run once, forwards and backwards in turn."""
    print(f"\nprocessor's seconds, of none: median (least to most) of {rounds} rounds in turns")
    print("| controls | by | a step | a control adds | to the end of the first step |")
    print("|---|---|---|---|---|", flush=True)
    for run in runs.values():
        run(1, 1)  # warms up
    cells = [(controls, name) for controls in (0, *counts) for name in runs]
    first: dict[tuple[int, str], list[float]] = {cell: [] for cell in cells}
    step: dict[tuple[int, str], list[float]] = {cell: [] for cell in cells}
    for turn in range(rounds):
        for controls, name in cells[:: 1 if turn % 2 else -1]:
            short, long = (seconds(runs[name], steps, controls) for steps in (1, LONG))
            first[controls, name].append(short)
            step[controls, name].append((long - short) / (LONG - 1))

    def ratios(of: dict[tuple[int, str], list[float]], controls: int, name: str) -> list[float]:
        return [a / b for a, b in zip(of[controls, name], of[0, name], strict=True)]

    for controls, name in cells[len(runs) :]:
        steps = ratios(step, controls, name)
        adds = (statistics.median(steps) - 1) / controls
        print(
            f"| {controls} | {name} | {_spread(steps)} | {adds:.3f} | "
            f"{_spread(ratios(first, controls, name))} |"
        )
    bare = ", ".join(f"{name} {statistics.median(step[0, name]):.2f}" for name in runs)
    print(f"\na step of none, processor's seconds: {bare}")


def _spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def main() -> None:
    """Count, and measure where that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--family", choices=list(FAMILIES), default="sd15")
    parser.add_argument("--width", type=int, default=WIDTH, help="channels at first")
    parser.add_argument("--controls", type=int, nargs="+", default=[1, 2, 3, 5])
    parser.add_argument("--edge", type=int, default=128, help="pixels of the picture")
    parser.add_argument("--steps", type=int, default=20, help="of a run")
    parser.add_argument("--cache", action="store_true", help="also under EasyCache, two controls")
    parser.add_argument("--time", type=int, default=0, metavar="ROUNDS", help="also seconds")
    parser.add_argument("--no-count", action="store_true", help="seconds alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    family = FAMILIES[options.family]
    given, (unet, network) = Given(options.edge, family), drawn(family, options.width)
    path = os.environ.get("COMFYUI_PATH")
    comfy = Comfy(path, unet, network, given) if path else None
    runs: dict[str, Run] = {}
    if comfy is not None:
        runs |= {"ComfyUI's nodes": comfy.core()}
        if advanced := os.environ.get("ADVANCED_CONTROLNET_PATH"):
            runs |= {"Advanced-ControlNet": comfy.advanced(advanced)}
        runs |= {"ControlStack in ComfyUI": comfy.ours()}
        latents = [run(1, 2) for run in runs.values()]
        same = all(torch.equal(latent, latents[0]) for latent in latents)
        print(f"two controls, one step, in ComfyUI: {'one picture' if same else 'PICTURES DIFFER'}")
    runs |= {"ControlStack embedded": embedded(unet, network, given)}
    runs |= {"diffusers": pipeline(unet, network, given)}
    shape = f"{options.family} shapes, {options.width} channels at first (full: {WIDTH})"
    print(f"{shape}, {options.edge} px, batch 1 with guidance; GMAC: 1e9 multiply-adds\n")
    if not options.no_count:
        table(runs, options.controls, options.steps)
    if options.cache and comfy is not None:
        under_cache(comfy, 2)
    if options.time:
        timed(runs, options.controls, options.time)


if __name__ == "__main__":
    main()
