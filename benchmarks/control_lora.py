"""A Control-LoRA's training beside a whole ControlNet's: what is learnt, and what a step takes.

`learn` trains each net on the demo model and scenes with the settings of docs/train-example.toml,
the rate aside, and prints the gain on held-out scenes, how often a picture's own hint wins, files
and processor time. `step` takes Stable Diffusion 1.5's topology with a quarter of its channels,
random weights, one picture a step; each net in a process of its own, in turn. `size` counts what
is trained of Stable Diffusion 1.5 itself.

Run: python -m benchmarks.control_lora learn [--steps 400] [--nets controlnet:1e-3 16:1e-2]
     python -m benchmarks.control_lora step [--rounds 3] [--edge 256]
     python -m benchmarks.control_lora size
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from controlstack.training.settings import NetSettings, NetworkSettings, RunSettings

CONFIG = Path(__file__).parents[1] / "docs" / "train-example.toml"
LEARNT = ("controlnet:1e-3", "64:1e-3", "16:1e-3", "4:1e-3", "64:1e-2", "16:1e-2", "4:1e-2")
STEPPED = ("controlnet", "16", "64", "128")


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    kinds = parser.add_subparsers(required=True)
    learn = kinds.add_parser("learn")
    learn.add_argument("--steps", type=int, default=400)
    learn.add_argument("--scenes", type=int, default=1000)
    learn.add_argument("--nets", nargs="+", default=LEARNT, help="kind or rank:rate")
    learn.add_argument("--work", type=Path, help="keeps scenes and runs; default: nowhere")
    learn.set_defaults(run=learnt)
    step = kinds.add_parser("step")
    step.add_argument("--rounds", type=int, default=3)
    step.add_argument("--steps", type=int, default=4)
    step.add_argument("--edge", type=int, default=256)
    step.add_argument("--share", type=int, default=4, help="of SD 1.5's channels: 4 is a quarter")
    step.add_argument("--nets", nargs="+", default=STEPPED, help="kind or rank")
    step.add_argument("--one", help=argparse.SUPPRESS)
    step.set_defaults(run=stepped)
    size = kinds.add_parser("size")
    size.add_argument("--nets", nargs="+", default=STEPPED, help="kind or rank")
    size.set_defaults(run=sized)
    options = parser.parse_args()
    options.run(options)


def _net(name: str) -> NetSettings:
    """A kind, or the rank of a Control-LoRA."""
    if name.isdecimal():
        return NetSettings("control_lora", rank=int(name))
    return NetSettings(name)


def learnt(options: argparse.Namespace) -> None:
    """Train each net, and print a line for each."""
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        if not (work / "data").is_dir():
            from controlstack.demo.training_folder import write_folder

            write_folder(work / "data", options.scenes, "canny")
        _line("net", "rate", "gain", "at the half", "own hint wins", "parameters", "MB", "CPU min")
        for given in options.nets:
            name, _, rate = given.partition(":")
            _learn(name, float(rate), options.steps, work)


def _learn(name: str, rate: float, steps: int, work: Path) -> None:
    from controlstack.demo.models import BASE
    from controlstack.headless.train_prepare import prepare
    from controlstack.training.config import read_config, run_settings
    from controlstack.training.gain import OWN_WINS
    from controlstack.training.run import Finished

    told = run_settings(read_config(CONFIG))
    net = _net(name)
    settings: RunSettings = replace(
        told,
        base=replace(told.base, path=str(BASE)),
        data=replace(told.data, path=str(work / "data"), cache=str(work / "cache")),
        network=NetworkSettings(net.kind, told.network.hint_channels, told.network.hint_gain),
        training=replace(
            told.training,
            steps=steps,
            rate=rate,
            save_every=steps,
            validate_every=steps // 2,
            save_best=False,
        ),
        validation=replace(told.validation, count=1, steps=1),
        out=replace(told.out, folder=str(work / f"{name}-{rate:g}-{steps}"), name="net"),
    )
    settings = replace(settings, network=replace(settings.network, rank=net.rank))
    run = prepare(settings, (), False)
    begun = time.process_time()
    figures = []
    for event in run.train(False):
        if hasattr(event, "figures"):
            figures.append(event)
        if isinstance(event, Finished):
            trained = event.trained.network
    minutes = (time.process_time() - begun) / 60
    weights = run.folder / "net" / "diffusion_pytorch_model.safetensors"
    half, whole = figures[-2], figures[-1]
    _line(
        name if net.kind == "controlnet" else f"rank {name}",
        f"{rate:g}",
        f"{whole.gain:.3f}",
        f"{half.gain:.3f}",
        f"{whole.figures[OWN_WINS]:.2f}",
        f"{_count(trained):,}",
        f"{weights.stat().st_size / 1e6:.2f}",
        f"{minutes:.1f}",
    )


def stepped(options: argparse.Namespace) -> None:
    """Time each net in turn, and print the medians and the ratios to the first one."""
    if options.one:
        print(json.dumps(_step(options.one, options)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in options.nets}
    for _ in range(options.rounds):
        for name, rounds in found.items():
            command = [sys.executable, "-m", "benchmarks.control_lora", "step", "--one", name]
            for told in ("steps", "edge", "share"):
                command += [f"--{told}", str(getattr(options, told))]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rounds.append(json.loads(done.stdout.splitlines()[-1]))
    _line("net", "parameters", "optimiser MB", "peak MB", "ratio", "CPU s/step", "ratio", "MB file")
    first = _medians(next(iter(found.values())))
    for name, rounds in found.items():
        mid = _medians(rounds)
        _line(
            f"rank {name}" if name.isdecimal() else name,
            f"{mid['parameters']:,.0f}",
            f"{mid['state'] / 1e6:.0f}",
            f"{mid['peak'] / 1e6:.0f}",
            f"{mid['peak'] / first['peak']:.2f}",
            f"{mid['seconds']:.2f}",
            f"{mid['seconds'] / first['seconds']:.2f}",
            f"{mid['parameters'] * 4 / 1e6:.0f}",
        )


def sized(options: argparse.Namespace) -> None:
    """Count the parameters of each net, and print them beside the size of its file in fp16."""
    import torch

    _line("net", "parameters", "fp32 with AdamW's state and gradient, GB", "fp16 file, MB")
    for name in options.nets:
        with torch.device("meta"):
            count = _count(_made(_net(name)))
        words = f"rank {name}" if name.isdecimal() else name
        _line(words, f"{count:,}", f"{count * 16 / 1e9:.2f}", f"{count * 2 / 1e6:.0f}")


def _made(net: NetSettings) -> Any:
    """The network of Stable Diffusion 1.5's own size."""
    from diffusers import ControlNetModel

    from controlstack.training.control_lora import ControlLoraModel

    config = {"cross_attention_dim": 768}
    if net.kind == "control_lora":
        return ControlLoraModel(net.rank, **config)
    return ControlNetModel(**config)


def _step(name: str, options: argparse.Namespace) -> dict[str, float]:
    """What steps of one net take, in this process alone; the first step is not timed."""
    import torch
    from diffusers import UNet2DConditionModel

    from controlstack.training.locked_unet import predict
    from controlstack.training.trainable import control_net_from

    torch.manual_seed(0)
    torch.set_num_threads(1)
    share, edge = options.share, options.edge // 8
    unet = UNet2DConditionModel(
        block_out_channels=[c // share for c in (320, 640, 1280, 1280)],
        cross_attention_dim=768,
        attention_head_dim=8,
        norm_num_groups=32 // (share // 2 or 1),
    ).requires_grad_(False)
    network = control_net_from(unet, _net(name))
    optimiser = torch.optim.AdamW(network.parameters(), 1e-5, fused=True)
    given = (
        torch.randn(1, 4, edge, edge),
        torch.tensor([500]),
        torch.randn(1, 77, 768),
        torch.rand(1, 3, 8 * edge, 8 * edge),
    )
    for number in range(options.steps + 1):
        if number == 1:
            begun = time.process_time()
        predict(unet, network, *given).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    seconds = (time.process_time() - begun) / options.steps
    held = (v for one in optimiser.state.values() for v in one.values())
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "parameters": _count(network),
        "state": sum(value.numel() * value.element_size() for value in held),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "seconds": seconds,
    }


def _medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _count(network: Any) -> int:
    return sum(weight.numel() for weight in network.parameters())


def _line(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
