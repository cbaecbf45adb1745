"""How a stack's costs grow: with controls, batch, size and frames, beside the model's own.

In the ComfyUI at COMFYUI_PATH, small nets of random weights in Stable Diffusion 1.5's topology (32
channels where it has 320), two steps. For each size of a run, without control and with it:
multiply-adds, the most bytes of tensors that torch held at once beside the weights (each tensor's
storage counted as operations make it, until it is let go), and the processor's seconds of the
engine: all that is neither the model's nor the nets' own. Exponents are slopes over the upper half
of each axis, on logarithms: 1 is in proportion. Bytes and multiply-adds are the same on every
machine.

A size is in proportion to the model's work where the exponent is 1; of px, a picture's edge, it is
2. `--most` ends axes earlier and `--edge` makes the pictures of the others smaller, for a run that
has to fit a time.

Run: COMFYUI_PATH=... python -m benchmarks.growth [--axes controls ...] [--most px=512 frames=32]
     [--edge 128] [--draw PICTURE.png]
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch

from benchmarks.measured import Bytes, counting
from controlstack.model_patch import run as engine
from controlstack.model_patch.source import OfNet

STEPS, WINDOW = 2, 8
AXES: dict[str, tuple[int, ...]] = {
    "controls": (1, 2, 4, 8),
    "batch": (1, 2, 4, 8),
    "px": (128, 256, 512, 1024),
    "frames": (8, 16, 32, 64),
}
FIXED = {"controls": 2, "batch": 1, "frames": 0}
COLUMNS = ("GMAC", "MB", "CPU s")


@contextmanager
def engine_time() -> Iterator[list[float]]:
    """The processor's seconds of the engine inside the block, one entry each part; those of the
    model and the nets are taken out."""
    spent: list[float] = []

    def timed(plain: Any, sign: float) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return plain(*args, **kwargs)
            finally:
                spent.append(sign * (time.process_time() - began))

        return call

    apply, summed, net = engine.Session.apply, engine.DeviceRun._summed, OfNet.__call__

    def applied(self: Any, control: Any, given: Any, base: Any, model: Any) -> Any:
        return timed(apply, 1.0)(self, control, given, base, timed(model, -1.0))

    engine.Session.apply = applied  # type: ignore[method-assign]
    engine.DeviceRun._summed = timed(summed, 1.0)  # it runs inside the model
    OfNet.__call__ = timed(net, -1.0)  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        engine.Session.apply, engine.DeviceRun._summed = apply, summed  # type: ignore[method-assign]
        OfNet.__call__ = net  # type: ignore[method-assign]


@dataclass(frozen=True)
class Cost:
    """Of one run: multiply-adds (thousands of millions), megabytes, the engine's seconds."""

    values: tuple[float, float, float]


class Growing:
    """The model and nets."""

    def __init__(self) -> None:
        self.small = import_module("tests.comfyui.small")  # before ComfyUI's own "tests"
        sys.path.insert(0, os.environ["COMFYUI_PATH"])
        args = import_module("comfy.cli_args").args
        args.cpu = args.use_pytorch_cross_attention = True  # as on a GPU: no matrix of all pairs
        self.windows = import_module("tests.comfyui.test_windows")
        self.model = self.small.base()
        self.nets = [self.small.net(5 + number) for number in range(max(AXES["controls"]))]

    def cost(self, controls: int, batch: int, px: int, frames: int) -> Cost:
        """What a run takes; with `frames` it is of so many pictures, in windows."""
        pictures = frames or batch
        model = self.model
        if frames:
            model = self.windows.windowed(model, context_length=WINDOW, context_overlap=2)
        lines = [
            self.small.Line(net, self.small.hint(number, pictures if frames else 1, px, px), 0.5)
            for number, net in enumerate(self.nets[:controls])
        ]
        if lines:
            model = import_module("controlstack.model_patch.patch").patch(
                model, self.small.stack(*lines)
            )

        def run() -> None:
            with torch.inference_mode():
                self.small.sample(model, steps=STEPS, batch=pictures, side=px // 8)

        with Bytes() as held, counting() as total:
            run()
            computed = total()
        with engine_time() as spent:
            run()
        return Cost((computed, held.most / 1e6, sum(spent)))


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The slope between the middle and the end of an axis, on logarithms; NaN of nothing."""
    middle = (len(sizes) - 1) // 2
    if min(values[middle], values[-1]) <= 0:
        return math.nan
    return math.log(values[-1] / values[middle]) / math.log(sizes[-1] / sizes[middle])


def shortened(given: str) -> tuple[str, int]:
    """The axis and the largest of its sizes, of "px=512"."""
    axis, _, most = given.partition("=")
    if axis not in AXES or not most.isdigit() or int(most) < AXES[axis][1]:
        least = ", ".join(f"{name}={sizes[1]}" for name, sizes in AXES.items())
        raise argparse.ArgumentTypeError(f"{given} is none of {least} or more")
    return axis, int(most)


def draw(axes: dict[str, list[tuple[Cost, Cost]]], path: Path) -> None:
    """A column an axis, a row a cost; the model alone and what control adds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(len(COLUMNS), len(axes), squeeze=False, sharex="col")
    for column, (axis, costs) in enumerate(axes.items()):
        for row, name in enumerate(COLUMNS):
            panel, sizes = panels[row][column], AXES[axis][: len(costs)]
            alone = [one.values[row] for one, _ in costs]
            whole = [one.values[row] for _, one in costs]
            if row < 2:
                panel.loglog(sizes, alone, "o-", color="0.6", label="model alone")
            panel.loglog(sizes, whole, "s-", color="tab:blue", label="with control")
            panel.set_title(f"{name} over {axis}", fontsize=9)
            panel.set_xticks(sizes, [str(size) for size in sizes])
            shown = sorted({value for value in (whole[0], whole[-1]) if value > 0})
            panel.set_yticks(shown, [f"{value:.3g}" for value in shown])
            panel.minorticks_off()
    panels[0][0].legend(fontsize=8)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw", type=Path, metavar="PICTURE")
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    parser.add_argument("--most", nargs="+", type=shortened, default=[], metavar="AXIS=SIZE")
    parser.add_argument("--edge", type=int, default=128, help="pixels, where the axis is not px")
    options = parser.parse_args()
    torch.set_num_threads(1)
    most, fixed = dict(options.most), {**FIXED, "px": options.edge}
    growing, axes = Growing(), dict[str, list[tuple[Cost, Cost]]]()
    growing.cost(**fixed)  # warms up
    titles = ("axis", "size", "GMAC alone", "with", "MB alone", "with", "engine, CPU s")
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    exponents = []
    for axis in options.axes:
        sizes = [size for size in AXES[axis] if size <= most.get(axis, size)]
        for size in sizes:
            settings = {**fixed, axis: size}
            alone = growing.cost(**{**settings, "controls": 0})
            whole = growing.cost(**settings)
            axes.setdefault(axis, []).append((alone, whole))
            pairs = [f"{alone.values[i]:.2f} | {whole.values[i]:.2f}" for i in range(2)]
            print(f"| {axis} | {size} | {' | '.join(pairs)} | {whole.values[2]:.3f} |", flush=True)
        slopes = []
        for which in (0, 1):
            for row in range(3):
                values = [pair[which].values[row] for pair in axes[axis]]
                slopes.append(exponent(sizes, values))
        exponents.append((axis, slopes))
    print("\n| exponent over | GMAC alone | with | MB alone | with | engine |")
    print("|---|---|---|---|---|---|")
    for axis, s in exponents:
        print(f"| {axis} | {s[0]:.2f} | {s[3]:.2f} | {s[1]:.2f} | {s[4]:.2f} | {s[5]:.2f} |")
    if options.draw:
        draw(axes, options.draw)


if __name__ == "__main__":
    main()
