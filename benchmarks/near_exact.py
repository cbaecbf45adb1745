"""Near-exact control on the demo model: what each way of running nets seldom costs and loses.

For each sampler and number of steps: the exact stack, reuse of every k-th step's residuals (the
baseline), a first-order forecast between every k-th step, and the entries of Control Speed. Printed
are the nets' runs (of all rows, a control), the multiply-adds of a run beside those without control
(counted by `torch.utils.flop_counter` on one row each), PSNR of the pictures against the exact
stack's, mean and worst, and how well they follow: edge F1, silhouette IoU and joints of the scene.
All of that is the same on every machine. Held-out scenes with a person; pose and depth, or five.

Run: python benchmarks/near_exact.py [--scenes 12] [--steps 12,20,30,50] [--every 2,4,7] [--five]
         [--json FILE]
     python benchmarks/near_exact.py --time ROUNDS [--scenes 1] [--steps 20]
         CPU seconds beside a run without control, of alternating runs: median, least and most
     python benchmarks/near_exact.py --draw FILE.json PICTURE.png
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from controlstack.demo import score
from controlstack.demo.models import WEIGHTS
from controlstack.headless.models.loading import load_checkpoint, load_control_net
from controlstack.headless.sampling.sample import ksample
from controlstack.headless.sampling.schedules import schedule
from controlstack.model_patch import forecast
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch
from controlstack.model_patch.schedule import Schedule
from controlstack.model_patch.source import OfNet
from controlstack.model_patch.speed import EXACT, SPEEDS, Refresh

SAMPLERS = (("ddim", "sgm_uniform"), ("dpmpp_2m", "karras"), ("euler_ancestral", "normal"))
TWO = (("pose", 1.0), ("depth", 1.0))
FIVE = (("pose", 0.5), ("depth", 0.4), ("canny", 0.3), ("pose", 0.3), ("depth", 0.3))
FIRST_SCENE, CFG, SEED = 1_000_300, 3.0, 5
# Other scenes and noise than those on which the speeds were found (1_000_200, 11).


class Bench:
    """The models and scenes, loaded once."""

    def __init__(self, scenes: int, kinds: tuple[tuple[str, float], ...]) -> None:
        self.tasks = score.tasks(True, range(FIRST_SCENE, FIRST_SCENE + scenes))
        self.model, clip, self.vae = load_checkpoint(WEIGHTS / "base")
        self.nets = {kind: load_control_net(WEIGHTS / f"controlnet-{kind}") for kind in dict(kinds)}
        self.kinds = kinds
        self.reader = score.load_reader(score.READER)

        def texts(words: list[str]) -> list[Any]:
            encoded = [clip.encode(one)[0] for one in words]
            return [[torch.cat([one[0] for one in encoded]), dict(encoded[0][1])]]

        self.words = texts([task.prompt for task in self.tasks]), texts([""] * scenes)
        self.unet_flops, self.net_flops = self._flops()

    def pictures(
        self, speed: str, steps: int, sampler: tuple[str, str], controlled: bool = True
    ) -> tuple[np.ndarray[Any, Any], float]:
        """uint8 pictures (scenes, 128, 128, 3), and the multiply-adds beside a plain run's."""
        stack = tuple(self._control(*kind, i, speed) for i, kind in enumerate(self.kinds))
        latent = {"samples": torch.zeros(len(self.tasks), 4, score.SIZE // 8, score.SIZE // 8)}
        model = patch(self.model, stack) if controlled else self.model
        with rows_run() as rows:
            made = ksample(model, SEED, steps, CFG, *sampler, *self.words, latent)["samples"]
        with torch.inference_mode():
            pictures = (self.vae.decode(made).clamp(0, 1) * 255).round().byte().numpy()
        plain = self.unet_flops * steps * 2 * len(self.tasks)
        return pictures, sum(rows) * self.net_flops / plain

    def follows(self, pictures: np.ndarray[Any, Any]) -> tuple[float, float, float]:
        """Means of edge F1, silhouette IoU and joints."""
        rows = [
            score.measured(task, picture, self.reader)[:3]
            for task, picture in zip(self.tasks, pictures, strict=True)
        ]
        f1, areas, joints = np.array(rows).mean(0).tolist()
        return f1, areas, joints

    def levels(self, steps: int, sampler: tuple[str, str]) -> Schedule:
        """The noise levels of a run."""
        sampling = self.model.get_model_object("model_sampling")
        return Schedule(sampling, tuple(schedule(sampler[1], sampling, steps).tolist()))

    def _control(self, kind: str, strength: float, number: int, speed: str) -> Control:
        hints = np.stack([task.hints[kind] for task in self.tasks])
        hint = torch.from_numpy(hints).movedim(-1, 1).float() / 255
        name = f"{kind} {number}"
        return Control(self.nets[kind], hint, name, strength=strength, speed=speed)

    def _flops(self) -> tuple[int, int]:
        """Of one row: the U-Net's, and a net's without its hint encoder, which runs once."""
        x, t = torch.zeros(1, 4, score.SIZE // 8, score.SIZE // 8), torch.ones(1)
        text = self.words[0][0][0][:1]
        control = self._control(*self.kinds[0], 0, EXACT)
        net = control.net.copy()
        net.set_cond_hint(control.hint[:1], 1.0, (0.0, 1.0))
        net.pre_run(self.model.model, self.model.model.model_sampling.percent_to_sigma)
        counted = []
        with torch.inference_mode():
            for call in (
                lambda: self.model.model.apply_model(x, t, None, text, None, {}),
                lambda: net.get_control(x, t, {"c_crossattn": text}, 1, {}),
            ):
                call()  # the hint is encoded at the first
                with FlopCounterMode(display=False) as counter:
                    call()
                counted.append(counter.get_total_flops())
        net.cleanup()
        return counted[0], counted[1]


@contextmanager
def rows_run() -> Iterator[list[int]]:
    """Counts the rows that nets run for."""
    rows: list[int] = []
    plain = OfNet.__call__

    def counted(self: OfNet, call: Any, strength: float) -> Any:
        rows.append(len(call.rows))
        return plain(self, call, strength)

    OfNet.__call__ = counted  # type: ignore[method-assign]
    try:
        yield rows
    finally:
        OfNet.__call__ = plain  # type: ignore[method-assign]


@contextmanager
def every(number: int, levels: Schedule, far: float) -> Iterator[str]:
    """A speed that runs nets at every `number`-th step, and goes so far between."""
    name, before = f"every {number}", forecast.FARTHEST
    shares = [levels.percent(levels.sigmas[step]) for step in range(0, levels.steps, number)]
    SPEEDS[name] = (tuple(Refresh(share, True) for share in shares),) * 2
    forecast.FARTHEST = far
    try:
        yield name
    finally:
        forecast.FARTHEST = before
        del SPEEDS[name]


def psnr(exact: np.ndarray[Any, Any], made: np.ndarray[Any, Any]) -> list[float]:
    """Decibels a picture; 99 for equal ones."""
    errors = ((exact.astype(float) - made) ** 2).mean((1, 2, 3))
    return [10 * math.log10(255**2 / error) if error else 99.0 for error in errors]


def measured(
    bench: Bench, steps: int, sampler: tuple[str, str], baselines: list[int]
) -> Iterator[dict[str, Any]]:
    """One row of the table a method; `baselines` are the k of every k-th step."""
    exact, cost = bench.pictures(EXACT, steps, sampler)

    def row(method: str, speed: str) -> dict[str, Any]:
        made, own = (exact, cost) if speed == EXACT else bench.pictures(speed, steps, sampler)
        decibels = psnr(exact, made)
        return {
            "sampler": sampler[0],
            "steps": steps,
            "method": method,
            "runs": steps * own / cost,
            "ratio": 1 + own,
            "psnr": float(np.mean(decibels)),
            "worst": min(decibels),
            "follows": bench.follows(made),
        }

    yield row(EXACT, EXACT)
    for number in baselines:
        for words, far in (("reuse", 0.0), ("forecast", math.inf)):
            with every(number, bench.levels(steps, sampler), far) as name:
                yield row(f"{words}, {name}", name)
    for speed in SPEEDS:
        if speed != EXACT:
            yield row(speed, speed)


def timed(bench: Bench, steps: int, rounds: int) -> Iterator[str]:
    """A line a speed: CPU seconds beside a run without control, of `rounds` alternating runs."""
    spent: dict[str, list[float]] = {speed: [] for speed in SPEEDS}
    for number in range(rounds + 1):
        plain = _seconds(bench, EXACT, steps, controlled=False)
        for speed, ratios in spent.items():
            seconds = _seconds(bench, speed, steps)
            if number:  # the first round warms up
                ratios.append(seconds / plain)
    for speed, ratios in spent.items():
        yield f"{speed:12} {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _seconds(bench: Bench, speed: str, steps: int, controlled: bool = True) -> float:
    begin = time.process_time()
    bench.pictures(speed, steps, SAMPLERS[0], controlled)
    return time.process_time() - begin


def shown(row: dict[str, Any]) -> str:
    """A line of the table."""
    f1, areas, joints = row["follows"]
    return (
        f"{row['sampler']:16} {row['steps']:3} {row['method']:19} {row['runs']:6.2f} "
        f"{row['ratio']:6.3f} {row['psnr']:6.1f} {row['worst']:6.1f}   {f1:.3f} {areas:.3f} "
        f"{joints:.3f}"
    )


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """PSNR over cost: a panel a sampler and number of steps."""
    from matplotlib.figure import Figure

    steps = sorted({row["steps"] for row in rows})
    samplers = list(dict.fromkeys(row["sampler"] for row in rows))
    figure = Figure(figsize=(3.2 * len(steps), 2.6 * len(samplers)), layout="constrained")
    panels = figure.subplots(len(samplers), len(steps), sharex=True, sharey=True, squeeze=False)
    kinds = {"reuse": ("0.6", "o"), "forecast": ("tab:blue", "s")}
    kinds |= {"near exact": ("tab:green", "D"), "fast": ("tab:red", "^")}
    for i, sampler in enumerate(samplers):
        for j, count in enumerate(steps):
            panel = panels[i][j]
            panel.set_title(f"{sampler}, {count} steps", fontsize=9)
            panel.axhline(40, color="0.85", linewidth=0.8)
            for kind, (colour, marker) in kinds.items():
                here = [
                    row
                    for row in rows
                    if (row["sampler"], row["steps"]) == (sampler, count)
                    and row["method"].split(",")[0] == kind
                ]
                cost, mean = [row["ratio"] for row in here], [row["psnr"] for row in here]
                low = [row["psnr"] - row["worst"] for row in here]
                panel.errorbar(
                    *(cost, mean),
                    yerr=[low, [0.0] * len(low)],
                    color=colour,
                    marker=marker,
                    linewidth=1,
                    markersize=5,
                    label=kind,
                )
    panels[0][0].legend(fontsize=8)
    figure.supxlabel("multiply-adds, beside a run without control", fontsize=9)
    figure.supylabel("PSNR against the exact stack, dB (down to the worst picture)", fontsize=9)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--steps", default="12,20,30,50")
    parser.add_argument("--every", default="2,4,7", help="baselines; empty for none")
    parser.add_argument("--five", action="store_true", help="five controls instead of two")
    parser.add_argument("--time", type=int, metavar="ROUNDS")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--draw", type=Path, nargs=2, metavar=("JSON", "PICTURE"))
    options = parser.parse_args()
    if options.draw:
        draw(json.loads(options.draw[0].read_text()), options.draw[1])
        return
    torch.set_num_threads(1)
    bench = Bench(options.scenes, FIVE if options.five else TWO)
    if options.time:
        for steps in map(int, options.steps.split(",")):
            print(f"{steps} steps, {SAMPLERS[0][0]}", *timed(bench, steps, options.time), sep="\n")
        return
    share = bench.net_flops / bench.unet_flops
    print(f"{len(bench.kinds)} controls, {options.scenes} scenes; a net is {share:.3f} U-Nets")
    print(f"{'sampler':16} steps method              runs   cost   PSNR  worst   F1  IoU  joints")
    rows = []
    baselines = [int(number) for number in options.every.split(",") if number]
    for steps in map(int, options.steps.split(",")):
        for sampler in SAMPLERS:
            for row in measured(bench, steps, sampler, baselines):
                rows.append(row)
                print(shown(row), flush=True)
                if options.json:
                    options.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
