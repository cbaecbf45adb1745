"""A canny net on bases that moved further than one fine-tuned in other colours: does the transfer
control + new base - old base help there, and how far did their encoders move?

Three bases are tuned for a few steps from the demo's: one in latents of half the scale, one whose
words mean one another's things, and one at a rate that a person would call too high.

Run: python -m benchmarks.paper.moved_base
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from controlstack.demo.scenes import COLOURS, KINDS
from controlstack.demo.score import Task
from controlstack.training.objective import add_noise
from controlstack.training.trainable import is_copied
from controlstack.training.transfer import transferred

from .lines import training_rows
from .measures import Values, difference, fidelity, figures
from .plots import bars, legend
from .plots import figure as page
from .results import arguments, write
from .sampling import Control, Pictures, Sampling, sample
from .tuned_base import tune
from .world import World, held_out, plain_attention, shipped, unet_from

MEASURES = ("edge F1", "silhouette IoU", "joints")
NETS = ("as is", "transferred", "no control")
LEVEL = 0.6
"""The noise level at which features are compared, as a share of the schedule."""


@dataclass(frozen=True)
class Move:
    """How a base is tuned away: latents times `scale`, words changed by `words`, the rate."""

    name: str
    rate: float
    scale: float = 1.0
    words: Mapping[str, str] | None = None

    def said(self, prompt: str) -> str:
        """A prompt in the base's own words."""
        known = self.words or {}
        return re.sub("[a-z]+", lambda word: known.get(word[0], word[0]), prompt)


def _turned(names: Sequence[str]) -> dict[str, str]:
    """Each name becomes the next one's."""
    return dict(zip(names, (*names[1:], names[0]), strict=True))


MOVES = (
    Move("half the latents' scale", 1e-3, scale=0.5),
    Move("words permuted", 1e-3, words={**_turned(tuple(COLOURS)), **_turned(KINDS)}),
    Move("rate 4e-3", 4e-3),
)


def main() -> None:
    """Tune, transfer, measure, and write moved_base.json and moved_base.png."""
    options = arguments(
        __doc__ or "", pictures=24, steps=8, base_rows=1000, base_steps=150, batch=8
    )
    begun = time.process_time()
    world = World(options.work, options.scenes)
    tasks, how = held_out(options.pictures, True), Sampling(options.steps, halves=False)
    net = shipped("canny")
    rows, differences = (
        [_row("the demo's base", "as is", _measure(world, None, net, tasks, how))],
        [],
    )
    for move in MOVES:
        unet = moved(world, move, options.base_rows, options.base_steps, options.batch)
        nets = {
            "as is": net,
            "transferred": plain_attention(transferred(net, world.unet, unet)).eval(),
            "no control": None,
        }
        values = {
            name: _measure(world, (move, unet), one, tasks, how) for name, one in nets.items()
        }
        far = {
            "weights moved": weights_moved(world.unet, unet),
            "features moved": features_moved(world, move, unet, tasks),
        }
        rows += [_row(move.name, name, found) | far for name, found in values.items()]
        differences.append(
            {
                "base": move.name,
                "of": "transferred",
                "less": "as is",
                **{m: difference(values["transferred"][m], values["as is"][m]) for m in MEASURES},
            }
        )
        print(rows[-3:], differences[-1], flush=True)
        write(
            options.out / "moved_base.json",
            options,
            rows,
            differences=differences,
            cpu_minutes=round((time.process_time() - begun) / 60, 1),
        )
    plot(rows, options.out)


def moved(world: World, move: Move, rows: int, steps: int, batch: int) -> Any:
    """The base that `move` makes of the demo's, locked; tuned at the first use."""
    words = move.name.replace(" ", "-").replace("'", "")
    folder = world.work / "moved" / f"{words}-{rows}-{steps}-{batch}"
    if not folder.exists():
        people = training_rows(world, rows)
        said = world.words([move.said(caption) for caption in people.captions])
        unfinished = folder.with_suffix(".tmp")
        made = tune(world, people.latents * move.scale, said, steps, batch, move.rate, halves=False)
        made.save_pretrained(unfinished)
        unfinished.replace(folder)
    return unet_from(folder)


def weights_moved(old: Any, new: Any) -> float:
    """How far the encoder's weights moved: the norm of the difference over the norm, of all that a
    ControlNet copies.
    """
    before = {name: p for name, p in old.named_parameters() if is_copied(name)}
    after = dict(new.named_parameters())
    apart = sum(float((after[name] - p).square().sum()) for name, p in before.items())
    whole = sum(float(p.square().sum()) for p in before.values())
    return round((apart / whole) ** 0.5, 3)


@torch.inference_mode()
def features_moved(world: World, move: Move, unet: Any, tasks: Sequence[Task]) -> float:
    """How far the encoder's outputs moved, of the same scenes and noise, each base with its own
    scale and words: norm of the difference over norm, the mean over the skips and the middle.
    """
    rgb = np.stack([task.drawing.rgb for task in tasks])
    pictures = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = world.vae.encode(pictures).latents * float(world.vae.config.scaling_factor)
    prompts = [task.prompt for task in tasks]
    before = _features(world, world.unet, latents, prompts)
    after = _features(world, unet, latents * move.scale, [move.said(p) for p in prompts])
    apart = [float((b - a).norm() / a.norm()) for a, b in zip(before, after, strict=True)]
    return round(float(np.mean(apart)), 3)


def _features(world: World, unet: Any, latents: Tensor, prompts: Sequence[str]) -> list[Tensor]:
    """What each block of the encoder and the middle give of noisy latents."""
    found: list[Tensor] = []
    hooks = [
        part.register_forward_hook(
            lambda _m, _i, out: found.extend(out[1] if isinstance(out, tuple) else [out])
        )
        for part in (*unet.down_blocks, unet.mid_block)
    ]
    alphas = world.base(unet).alphas
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    times = torch.full((len(latents),), int(LEVEL * len(alphas)))
    unet(add_noise(latents, noise, alphas, times), times, world.words(prompts))
    for hook in hooks:
        hook.remove()
    return found


def _measure(
    world: World,
    base: tuple[Move, Any] | None,
    net: Any,
    tasks: Sequence[Task],
    how: Sampling,
) -> dict[str, Values]:
    """The figures of each picture on a moved base, or on the demo's."""
    hints = np.stack([task.hints["canny"] for task in tasks])
    controls = [] if net is None else [Control(net, hints)]
    move, unet = base or (Move("", 0), world.unet)
    prompts: list[str] = [move.said(task.prompt) for task in tasks]
    pictures: Pictures = sample(
        world, prompts, [t.seed for t in tasks], controls, replace(how, scale=move.scale), unet
    )
    return fidelity(pictures, tasks)


def _row(base: str, net: str, values: Mapping[str, Values]) -> dict[str, Any]:
    return {"base": base, "net": net, **{k: v for k, v in figures(values).items() if k in MEASURES}}


def plot(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """The bars of moved_base.png."""
    with page(out / "moved_base.png", 1, 8) as axes:
        series = {
            net: [
                row["edge F1"] for move in MOVES for row in rows
                if (row["base"], row["net"]) == (move.name, net)
            ]
            for net in NETS
        }  # fmt: skip
        bars(axes[0], [move.name for move in MOVES], series, "edge F1")
        legend(axes[0])


if __name__ == "__main__":
    main()
