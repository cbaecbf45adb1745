"""Training speed and memory beside diffusers' own example, on the same data, model and settings.

Ways: diffusers' train_controlnet.py, ours, and ours with cached latents and embeddings. Each runs
in a process of its own, in turn, several rounds; a figure is the median over all its steps but the
first ones. On a machine that others use, too, CPU seconds tell more than the clock, so images a CPU
second are printed as well. The model has Stable Diffusion 1.5's topology with a share of its
channels. Aims: images a second at least equal, with a cache at least 1.3 times; peak memory at
most equal.

The example is no part of the package: fetch examples/controlnet/train_controlnet.py from
https://github.com/huggingface/diffusers, of a version that fits the one installed.

Run: python -m benchmarks.training_speed EXAMPLE [--share 4] [--edge 256] [--batch 2] [--steps 10]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .training_base import write_base, write_pictures

WAYS = ("diffusers", "ours", "ours, cached")
WARM = 2
"""Steps of each run that do not count: kernels are chosen and memory is first asked for."""


Moment = tuple[float, float]
"""The clock and the CPU seconds of this process so far."""


def now() -> Moment:
    """This moment."""
    return time.perf_counter(), time.process_time()


def theirs(order: dict[str, Any]) -> list[Moment]:
    """Run diffusers' example in this process; when each step ended."""
    import runpy

    import tqdm.auto

    ended: list[Moment] = []

    class Timed(tqdm.auto.tqdm):
        def update(self, n: float = 1) -> Any:
            if self.desc.startswith("Steps"):
                ended.append(now())
            return super().update(n)

    tqdm.auto.tqdm = Timed
    options = {
        "pretrained_model_name_or_path": order["base"],
        "train_data_dir": order["data"],
        "image_column": "image",
        "caption_column": "text",
        "conditioning_image_column": "conditioning_image",
        "resolution": order["edge"],
        "train_batch_size": order["batch"],
        "max_train_steps": order["steps"],
        "proportion_empty_prompts": 0.5,
        "learning_rate": 1e-5,
        "lr_scheduler": "constant",
        "checkpointing_steps": 10**9,
        "mixed_precision": order["precision"].replace("fp32", "no"),
        "seed": 0,
        "output_dir": order["out"],
        "cache_dir": order["out"] + "/cache",
    }
    sys.argv = [order["example"]]
    sys.argv += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    runpy.run_path(order["example"], run_name="__main__")
    return ended


def ours(order: dict[str, Any], cache: str) -> list[Moment]:
    """Train with this package in this process; when each step ended."""
    import torch

    from controlstack.headless.training_base import load_base
    from controlstack.training.control_net import train_control_net
    from controlstack.training.data.training_data import training_data
    from controlstack.training.events import Stepped
    from controlstack.training.settings import DataSettings, NetSettings, TrainingSettings
    from controlstack.training.trainable import control_net_from

    device = "cuda" if torch.cuda.is_available() else "cpu"
    base = load_base(Path(order["base"]), device=device)
    assert base.encoders is not None
    data = training_data(
        DataSettings(path=order["data"], resolution=str(order["edge"]), cache=cache), base.encoders
    )
    network = control_net_from(base.unet, NetSettings())
    settings = TrainingSettings(
        steps=order["steps"],
        batch=order["batch"],
        schedule="constant",
        warmup=0,
        precision=order["precision"],
        save_every=10**8,
    )
    run = train_control_net(base, network, data, settings, Path(order["out"]))
    return [now() for event in run if isinstance(event, Stepped)]


def measured(way: str, order: dict[str, Any]) -> dict[str, float]:
    """Run one way in this process: seconds a step, and its peak of resident (and GPU) megabytes."""
    import resource

    import torch

    ended = (
        theirs(order) if way == WAYS[0] else ours(order, order["cache"] if way == WAYS[2] else "")
    )
    steps = list(zip(ended[WARM:], ended[WARM + 1 :], strict=False))
    seconds, cpu = (
        statistics.median(late[kind] - early[kind] for early, late in steps) for kind in (0, 1)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    gpu = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else 0.0
    return {"seconds": seconds, "cpu": cpu, "megabytes": peak, "gpu_megabytes": gpu}


def in_process(way: str, order: dict[str, Any]) -> dict[str, float]:
    """`measured` in a fresh process."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "benchmarks.training_speed", "--child", way]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        run = subprocess.run(
            command,
            input=json.dumps({**order, "out": out}),
            capture_output=True,
            text=True,
            env=environment,
        )
    if run.returncode:
        raise SystemExit(f"{way} failed:\n{run.stderr[-3000:]}")
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure all ways and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("example", nargs="?", help="diffusers' train_controlnet.py")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--share", type=int, default=4, help="channels are SD 1.5's over this")
    parser.add_argument(
        "--edge", "--side", type=int, default=256, help="pixels of a picture's edge"
    )
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10, help="steps of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(measured(chosen.child, json.load(sys.stdin))))
        return
    if not chosen.example:
        parser.error("name diffusers' train_controlnet.py")
    with tempfile.TemporaryDirectory() as scratch:
        base, data = Path(scratch, "base"), Path(scratch, "data")
        write_base(base, chosen.share)
        write_pictures(data, 4 * chosen.batch, chosen.edge)
        order = {
            "example": str(Path(chosen.example).resolve()),
            "base": str(base),
            "data": str(data),
            "cache": str(Path(scratch, "cache")),
            **{name: getattr(chosen, name) for name in ("edge", "batch", "steps", "precision")},
        }
        rounds = [{way: in_process(way, order) for way in WAYS} for _ in range(chosen.rounds)]
    print_table(rounds, chosen.batch)


def print_table(rounds: list[dict[str, dict[str, float]]], batch: int) -> None:
    """Images a second and peak memory of each way, and both beside diffusers'."""
    middle = {
        way: {key: statistics.median(r[way][key] for r in rounds) for key in rounds[0][way]}
        for way in WAYS
    }
    first = middle[WAYS[0]]
    print("| way | images/s | ratio | images/CPU s | ratio | peak MB | ratio | GPU MB |")
    print("|---|---|---|---|---|---|---|---|")
    for way, found in middle.items():
        cells = [way]
        for key in ("seconds", "cpu"):
            cells += [f"{batch / found[key]:.3f}", f"{first[key] / found[key]:.2f}"]
        cells += [f"{found['megabytes']:.0f}", f"{found['megabytes'] / first['megabytes']:.2f}"]
        print(f"| {' | '.join(cells)} | {found['gpu_megabytes']:.0f} |")


if __name__ == "__main__":
    main()
