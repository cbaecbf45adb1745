"""Networks trained for these experiments, by the project's own loop; each is trained once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from controlstack.demo.build import RECIPE
from controlstack.demo.build_control import Prompts, SceneBatches, hints_of
from controlstack.demo.score import Task
from controlstack.training.control_net import Trained, train_control_net
from controlstack.training.curve import read_curve
from controlstack.training.events import Point, Validation
from controlstack.training.export import load_network, save_folder
from controlstack.training.settings import NetSettings, TrainingSettings
from controlstack.training.trainable import control_net_from, started_from

from .measures import fidelity
from .sampling import Control, Sampling, sample
from .world import World, plain_attention

_CANNY = RECIPE.controls["canny"]
NET = _CANNY.net
"""What the demo's own canny net is."""
TRAINING = replace(_CANNY.training, ema=0.98, log_every=25, save_every=50, keep=1)
"""How it was trained, but for a shorter average, as runs are shorter here."""

Curve = list[tuple[int, float]]
"""(step, figure) of each validation."""


def scene_batches(
    world: World, hint: str, rows: int, latents: Tensor | None = None
) -> SceneBatches:
    """The first `rows` training scenes with a hint of theirs (canny, depth), as the demo's own
    ControlNets were given them; `latents` in place of the scenes' own.
    """
    prompts = Prompts(*world.text, world.scenes.captions, short=0.75)
    hints, _ = hints_of(hint, world.scenes)
    return SceneBatches(
        world.latents if latents is None else latents, hints, prompts, np.arange(rows)
    )


@dataclass(frozen=True)
class Trial:
    """Pictures made while a network learns: held-out `tasks` with their `hint`, and how."""

    tasks: Sequence[Task]
    hint: str
    how: Sampling
    unet: Any = None

    def figures(self, world: World, network: Any) -> dict[str, float]:
        """Means of edge F1 and silhouette IoU under the network."""
        control = Control(network.eval(), np.stack([task.hints[self.hint] for task in self.tasks]))
        pictures = sample(
            world,
            [task.prompt for task in self.tasks],
            [task.seed for task in self.tasks],
            [control],
            self.how,
            self.unet,
        )
        network.train()
        found = fidelity(pictures, self.tasks)
        return {name: float(found[name].mean()) for name in ("edge F1", "silhouette IoU")}


@dataclass(frozen=True)
class Found:
    """A trained network, locked, its curve of edge F1 over steps, and that of its loss."""

    network: Any
    curve: Curve
    losses: Curve


def trained(
    world: World,
    name: str,
    batches: SceneBatches,
    settings: TrainingSettings,
    net: NetSettings = NET,
    start: Any = None,
    unet: Any = None,
    trial: Trial | None = None,
) -> Found:
    """The network `name`, trained on `batches` at the first use; a run that was stopped goes on.

    `net` says what it is made as, unless it goes on from `start`. Validations with `trial` are made
    every `settings.validate_every` steps.
    """
    folder = world.work / "networks" / f"{name}-{settings.steps}-{settings.seed}"
    unet = unet or world.unet
    if not (folder / "config.json").exists():
        fresh = start is None
        network = control_net_from(unet, net, settings.seed) if fresh else started_from(start, unet)
        plain_attention(network)
        about: Mapping[str, Any] = {"name": name, **asdict(net)}

        def validate(step: int, network: Any) -> Validation | None:
            return Validation(step, trial.figures(world, network)) if trial else None

        for event in train_control_net(
            world.base(unet),
            network,
            batches,
            settings,
            folder,
            about,
            (folder / "checkpoints").exists(),
            validate,
        ):
            if isinstance(event, (Point, Validation)):
                print(f"{name}: {event}", flush=True)
            elif isinstance(event, Trained) and event.stopped:
                raise KeyboardInterrupt
        save_folder(network, folder)
    network = plain_attention(load_network(folder)).requires_grad_(False).eval()
    points, validations = read_curve(folder / "curve.jsonl")
    curve = [(v.step, round(v.figures["edge F1"], 4)) for v in validations]
    return Found(network, curve, [(p.step, round(p.loss, 5)) for p in points])
