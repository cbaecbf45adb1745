"""A canny net on a differently fine-tuned base: as it is, transferred, and tuned further.

The paper's Figure 12 uses ControlNets on other community models as they are; its code offers the
transfer control + new base - old base. The new base here is the demo's, fine-tuned until every
colour's name means another colour (`tuned_base.py`).

Run: python -m benchmarks.paper.transfer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from controlstack.demo.scenes import COLOURS
from controlstack.demo.score import Task
from controlstack.training.transfer import transferred

from .measures import Values, difference, fidelity, figures
from .networks import NET, TRAINING, Trial, scene_batches, trained
from .plots import bars, contact_sheet, curves, legend
from .plots import figure as page
from .results import arguments, write
from .sampling import Control, Pictures, Sampling, sample
from .tuned_base import NAMES, tuned_base, turned, turned_latents
from .world import World, held_out, plain_attention, shipped

TRIED = 16
SHOWN = 4
MEASURES = ("edge F1", "silhouette IoU", "joints", "colours")


def main() -> None:
    """Fine-tune, transfer, tune, measure, and write transfer.json, transfer.png, transfer.jpg."""
    options = arguments(
        __doc__ or "",
        pictures=64,
        steps=10,
        base_rows=4000,
        base_steps=500,
        train_steps=100,
        validate_every=25,
        seed=71,
    )
    world = World(options.work, options.scenes)
    new = tuned_base(world, options.base_rows, options.base_steps)
    old_net = shipped("canny")
    moved = plain_attention(transferred(old_net, world.unet, new)).requires_grad_(False).eval()
    tuned = _tuned(world, new, {"as is": old_net, "transferred": moved, "new": None}, options)
    tasks = held_out(options.pictures)
    steps = f"{options.train_steps} steps"
    setups: dict[str, tuple[Any, Any]] = {
        "old base": (world.unet, old_net),
        "as is": (new, old_net),
        "transferred": (new, moved),
        f"as is + {steps}": (new, tuned["as is"].network),
        f"transferred + {steps}": (new, tuned["transferred"].network),
        f"new net, {steps}": (new, tuned["new"].network),
        "no control": (new, None),
    }
    hints = np.stack([task.hints["canny"] for task in tasks])
    rows, values, shown = [], {}, {"hint": hints[:SHOWN]}
    for name, (unet, network) in setups.items():
        pictures = _drawn(world, unet, network, tasks, hints, Sampling(options.steps))
        values[name] = fidelity(pictures, tasks, COLOURS if unet is world.unet else NAMES)
        rows.append({"net": name, **figures(values[name])})
        shown[name.replace(" + ", "\n+ ").replace(", ", ",\n")] = pictures[:SHOWN]
        print(rows[-1], flush=True)
    again = world.reconstructed(np.stack([turned(task.drawing.rgb) for task in tasks]))
    rows.append({"net": "ceiling: scene through the VAE", **figures(fidelity(again, tasks, NAMES))})
    curve = {name: found.curve for name, found in tuned.items()}
    differences = _differences(
        values,
        [
            ("transferred", "as is"),
            ("as is", "old base"),
            (f"transferred + {steps}", f"as is + {steps}"),
            (f"as is + {steps}", f"new net, {steps}"),
        ],
    )
    write(options.out / "transfer.json", options, rows, differences=differences, curves=curve)
    wanted = np.stack([turned(task.drawing.rgb) for task in tasks[:SHOWN]])
    contact_sheet(options.out / "transfer.jpg", {**shown, "scene in\nnew colours": wanted})
    plot(rows, curve, options.out)


def _tuned(world: World, new: Any, starts: Mapping[str, Any], options: Any) -> dict[str, Any]:
    """Each net of `starts` (None: one made from the new base) trained on the new base's scenes."""
    settings = replace(
        TRAINING,
        steps=options.train_steps,
        warmup=20,
        validate_every=options.validate_every,
        seed=options.seed,
    )
    latents = turned_latents(world, options.base_rows)
    batches = scene_batches(world, "canny", options.base_rows, latents)
    how = Sampling(min(10, options.steps))
    trial = Trial(held_out(min(TRIED, options.pictures)), "canny", how, new)
    return {
        name: trained(
            world, f"turned-{name.replace(' ', '-')}", batches, settings, NET, start, new, trial
        )
        for name, start in starts.items()
    }


def _drawn(
    world: World, unet: Any, network: Any, tasks: Sequence[Task], hints: Pictures, how: Sampling
) -> Pictures:
    controls = [Control(network, hints)] if network is not None else []
    prompts, seeds = [task.prompt for task in tasks], [task.seed for task in tasks]
    return sample(world, prompts, seeds, controls, how, unet)


def _differences(
    values: Mapping[str, Mapping[str, Values]], pairs: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    return [
        {
            "of": one,
            "less": other,
            **{name: difference(values[one][name], values[other][name]) for name in MEASURES},
        }
        for one, other in pairs
    ]


def plot(rows: Sequence[Mapping[str, Any]], curve: Mapping[str, Any], out: Path) -> None:
    """The bars and curves of transfer.png."""
    with page(out / "transfer.png", 2, 6) as axes:
        series = {name: [row[name] for row in rows] for name in ("edge F1", "colours")}
        names = [row["net"].replace(": ", ":\n") for row in rows]
        bars(axes[0], names, series, "mean over pictures")
        axes[0].set_xticks(range(len(rows)), names, rotation=35, ha="right", fontsize=8)
        legend(axes[0])
        curves(axes[1], curve, "step on the new base", f"edge F1, {TRIED} pictures")
        axes[1].legend(title="starts from")


if __name__ == "__main__":
    main()
