"""Small training runs: a base and data of which every tensor is known."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from controlstack.training.base import Base
from controlstack.training.batch import Batch, Pick
from controlstack.training.control_net import Trained, Validate, train_control_net
from controlstack.training.events import Note, Stepped
from controlstack.training.objective import scaled_linear_alphas
from controlstack.training.run import Finished, Run
from controlstack.training.run_folder import require_free
from controlstack.training.settings import NetSettings, OutSettings, RunSettings, TrainingSettings
from controlstack.training.trainable import control_net_from

NET = NetSettings(hint_channels="4,4,8,8")
LAUNCHED: dict[str, Any] = {"steps": 8, "ema": 0.9, "timesteps": "stratified"}
"""Settings of the runs in `launched.py`."""


def small_unet() -> Any:
    """Two levels of 8 and 16 channels, drawn from a seed."""
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=8,
            attention_head_dim=2,
            norm_num_groups=4,
        )


@dataclass
class Rows:
    """`count` rows drawn from their numbers, latents a little from a pick's seed, too; words of
    zeros where a prompt is dropped. Remembers all picks.
    """

    count: int = 11
    broken: int = -1
    seen: list[Pick] = field(default_factory=list)
    groups: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self.count

    def load(self, picks: Iterable[Sequence[Pick]], workers: int = 0) -> Iterator[Batch]:
        for several in picks:
            self.seen += several
            made = [self._row(pick) for pick in several]
            yield Batch(*(torch.stack(parts) for parts in zip(*made, strict=True)))

    def _row(self, pick: Pick) -> tuple[torch.Tensor, ...]:
        row = torch.Generator().manual_seed(pick.row)
        own = torch.Generator().manual_seed(pick.seed)
        latent = torch.randn(4, 8, 8, generator=row) + 0.1 * torch.randn(4, 8, 8, generator=own)
        if pick.row == self.broken:
            latent[0, 0, 0] = float("nan")
        words = torch.randn(5, 8, generator=row)
        return latent, words * 0 if pick.drop else words, torch.rand(3, 64, 64, generator=row)


Hear = Callable[[Any], object]


def quiet(event: Any) -> None:
    """Hears of a run and does nothing."""


def stop_after(step: int) -> Hear:
    """Hears of a run and ends it after a step by Ctrl-C."""

    def hear(event: Any) -> None:
        if isinstance(event, Stepped) and event.step == step:
            signal.raise_signal(signal.SIGINT)

    return hear


def small_run(
    folder: Path | None = None,
    hear: Hear = quiet,
    rows: Rows | None = None,
    unet: Any = None,
    network: Any = None,
    resume: bool = False,
    prediction: str = "epsilon",
    validate: Validate | None = None,
    **settings: Any,
) -> Trained:
    """A run of 10 steps with two pictures each, unless the settings say otherwise."""
    unet = unet or small_unet()
    network = network or control_net_from(unet, NET, 3)
    base = Base(unet, scaled_linear_alphas(), prediction)
    given = {"steps": 10, "batch": 2, "rate": 1e-3, "warmup": 2, "log_every": 4, "save_every": 5}
    events = train_control_net(
        base,
        network,
        Rows() if rows is None else rows,
        TrainingSettings(**{**given, **settings}),
        folder,
        {"data": "rows"},
        resume,
        validate,
    )
    with closing(events):
        for event in events:
            hear(event)
    assert isinstance(event, Trained)
    return event


def notes_in(events: Iterable[Any]) -> list[str]:
    """What a person was told among `events`."""
    return [event.text for event in events if isinstance(event, Note)]


def files_run(
    folder: Path,
    hear: Hear = quiet,
    resume: bool = False,
    network: Any = None,
    out: Mapping[str, Any] | None = None,
    validator: Any = None,
    **settings: Any,
) -> tuple[Trained, tuple[Path, ...]]:
    """`small_run` as the command does it, from a look at the folder to the files of the result."""
    given = {"steps": 5, "batch": 2, "rate": 1e-3, "warmup": 2, "log_every": 1, "save_every": 2}
    run_settings = RunSettings(
        training=TrainingSettings(**{**given, **settings}),
        out=OutSettings(folder=str(folder), **(out or {})),
    )
    require_free(run_settings, resume)
    unet = small_unet()
    network = network or control_net_from(unet, NET, 3)
    rows: Any = Rows()
    base = Base(unet, scaled_linear_alphas())
    run = Run(run_settings, base, network, rows, validator, True, {"data": "rows"})
    with closing(run.train(resume)) as events:
        for event in events:
            hear(event)
    assert isinstance(event, Finished)
    return event.trained, event.files


def same_weights(one: Any, other: Any) -> bool:
    """Whether two modules have the same weights, bit for bit."""
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)
