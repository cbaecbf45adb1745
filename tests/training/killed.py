"""Kills a small training with SIGKILL again and again, and compares each end with that of a run
that nobody touched. What its folder holds afterwards is the last end.

Usage: killed.py FOLDER SEED KILLS. Half of the kills come at a file operation of the run, half at
a moment of time. Ends with 0 where every end was the same, bit for bit; prints the kills.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from small_runs import NET, files_run, small_unet  # beside this script, which is run by its path

from controlstack.training.events import Point
from controlstack.training.plots import draw_curve
from controlstack.training.processes import accelerator_for
from controlstack.training.trainable import control_net_from

STEPS = 5
FILE_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.listdir")


class Killer:
    """An audit hook that ends its process at file operation number `at` under `folder`."""

    def __init__(self, folder: Path, at: int) -> None:
        self.folder, self.at, self.seen = str(folder), at, 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS and str(arguments[0]).startswith(self.folder):
            self.seen += 1
            if self.seen == self.at:
                os.kill(os.getpid(), signal.SIGKILL)


def train(folder: Path, resume: bool) -> None:
    """A run with an average, which keeps one checkpoint."""
    files_run(folder, resume=resume, steps=STEPS, ema=0.9, keep=1)


def in_a_process(work: Callable[[], None], after: float | None = None) -> int:
    """Do `work` in a process of its own, killed after so many seconds; its exit status."""
    process = os.fork()
    if process == 0:
        try:
            work()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if after is not None:
        time.sleep(after)
        os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise SystemExit("a training ended by itself")
    return status


def end_of(folder: Path) -> tuple[Any, ...]:
    """All that is left of a run, without its times."""
    last = folder / f"checkpoints/step-{STEPS:08}"
    state = torch.load(last / "state.pt", weights_only=True)
    tensors = [*state["live"].values()]
    tensors += [one for kept in state["optimiser"]["state"].values() for one in kept.values()]
    weights = folder / "controlnet/diffusion_pytorch_model.safetensors"
    curve = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    return (
        sorted(path.name for path in folder.iterdir()),
        [path.name for path in (folder / "checkpoints").iterdir()],
        (folder / "controlnet/config.json").read_bytes(),
        [(name, one.numpy().tobytes()) for name, one in sorted(load_file(weights).items())],
        [tensor.numpy().tobytes() for tensor in tensors],
        [(point["step"], point["loss"], point["rate"]) for point in curve],
    )


def _import_all() -> None:
    """What every run needs, so that the processes that are forked need not import it each."""
    for name in ("torch.utils.tensorboard", "diffusers.optimization"):
        importlib.import_module(name)
    draw_curve([Point(1, 0.5, 1e-5, 1.0, 1.0, 1.0)], [], "fonts")
    accelerator_for(torch.device("cpu"), "fp32")
    control_net_from(small_unet(), NET, 3)


def main(place: Path, seed: int, kills: int) -> None:
    chance, whole, folder = random.Random(seed), place / "whole", place / "run"
    _import_all()
    begun = time.monotonic()
    in_a_process(lambda: train(whole, False))
    lasts = time.monotonic() - begun
    wanted = end_of(whole)
    killed, ends = 0, 0
    while killed < kills or folder.exists():
        resume = bool(list((folder / "checkpoints").glob("step-*")))
        if (folder / "curve.jsonl").exists():  # without a checkpoint it may begin either way
            resume = resume or chance.random() < 0.5
        killer = Killer(folder, chance.randrange(1, 160)) if chance.random() < 0.5 else None
        after = chance.uniform(0, lasts) if killer is None else None
        if killed == kills:
            killer = after = None

        def work(killer: Killer | None = killer, resume: bool = resume) -> None:
            if killer is not None:
                sys.addaudithook(killer)
            train(folder, resume)

        if in_a_process(work, after):
            killed += 1
            continue
        for found, right in zip(end_of(folder), wanted, strict=True):
            if found == right:
                continue
            print(str(found)[:300], str(right)[:300], sep="\n", file=sys.stderr)
            raise SystemExit(f"another end after {killed} kills with seed {seed}")
        ends += 1
        shutil.rmtree(folder)
    print(json.dumps({"killed": killed, "ends": ends}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3]))
