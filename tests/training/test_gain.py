"""The gain: what it tells of a network that learnt its hints, of one that could not, of none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from controlstack.training.base import Base, Texts
from controlstack.training.batch import Batch, Pick
from controlstack.training.control_net import train_control_net
from controlstack.training.events import GAIN
from controlstack.training.gain import COME, LEVELS, OWN_WINS, GainMeasure, settled
from controlstack.training.objective import scaled_linear_alphas
from controlstack.training.settings import NetSettings, TrainingSettings
from controlstack.training.trainable import control_net_from
from tests.training.small_runs import small_unet

ROWS, HELD = 64, 48
NET = NetSettings(hint_channels="8,8,16,16", hint_gain=2.5)


def blocks(number: int) -> Tensor:
    """A hint (3, 64, 64) of four blocks, each black or of a full colour."""
    chance = torch.Generator().manual_seed(number)
    colours = (torch.rand(3, 2, 2, generator=chance) > 0.5).float()
    return colours.repeat_interleave(32, 1).repeat_interleave(32, 2)


def latent_of(picture: Tensor) -> Tensor:
    """What these tests' encoder makes of a picture in 0..1: the picture itself, smaller."""
    small = picture[:, ::8, ::8] * 2 - 1
    return torch.cat([small, small[:1]])


class Encoders:
    """Encodes pictures as `latent_of` does, and every prompt alike."""

    fingerprint, sizes = "a test's", (4, 5, 8)

    def words(self, prompts: Sequence[str]) -> Tensor:
        return torch.zeros(len(prompts), 5, 8)

    def texts(self, prompts: Sequence[str]) -> Texts:
        return Texts(self.words(prompts))

    def moments(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        made = torch.stack([latent_of((one + 1) / 2) for one in pictures])
        return made, torch.zeros_like(made)


class Rows:
    """Pictures that are their hints; shuffled, each with the hint of another one."""

    def __init__(self, shuffled: bool) -> None:
        self._shuffled = shuffled

    def __len__(self) -> int:
        return ROWS

    def load(self, picks: Iterable[Sequence[Pick]], workers: int = 0) -> Iterator[Batch]:
        for several in picks:
            rows = [pick.row for pick in several]
            hints = [(row * 7 + 13) % ROWS if self._shuffled else row for row in rows]
            yield Batch(
                torch.stack([latent_of(blocks(row)) for row in rows]),
                torch.zeros(len(rows), 5, 8),
                torch.stack([blocks(hint) for hint in hints]),
            )


def measured(base: Base, count: int = HELD) -> GainMeasure:
    hints = torch.stack([blocks(1000 + number) for number in range(count)])
    pictures = (hints.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    return GainMeasure(base, pictures, hints, seed=0)


def based() -> Base:
    encoders: Any = Encoders()
    return Base(small_unet(), scaled_linear_alphas(), encoders=encoders)


def trained(shuffled: bool, net: NetSettings = NET) -> dict[str, float]:
    base = based()
    network = control_net_from(base.unet, net, 3)
    settings = TrainingSettings(
        steps=400, batch=8, rate=3e-3, new_rate=1e-2, warmup=5, log_every=1000, save_every=1000
    )
    for _ in train_control_net(base, network, Rows(shuffled), settings):
        pass
    return measured(base)(network).figures()


def test_hints_that_are_learnt_beat_anothers_and_shuffled_ones_are_chance() -> None:
    learnt, chance = trained(shuffled=False), trained(shuffled=True)
    assert learnt[OWN_WINS] > 0.95
    # Of 48 pictures chance is a half, give or take 0.07; the network may gain without hints.
    assert 0.25 < chance[OWN_WINS] < 0.75
    assert learnt[GAIN] > chance[GAIN] > 0


def test_a_control_lora_learns_its_hints() -> None:
    learnt = trained(False, replace(NET, kind="control_lora", rank=2))
    assert learnt[OWN_WINS] > 0.95
    assert learnt[GAIN] > 0


def test_an_untrained_network_gains_nothing_and_the_figure_is_the_same_each_time() -> None:
    base = based()
    network = control_net_from(base.unet, NET, 3)
    measure = measured(base, 10)
    assert measure(network).figures() == {GAIN: 0.0, OWN_WINS: 0.5}
    torch.nn.init.normal_(network.controlnet_mid_block.weight, std=0.1)
    first = measure(network)
    assert torch.equal(first.own, measure(network).own)
    assert torch.equal(first.own, measured(base, 10)(network).own)
    assert first.figures()[GAIN] != 0


def test_a_picture_alone_has_no_other() -> None:
    base = based()
    losses = measured(base, 1)(control_net_from(base.unet, NET, 3))
    assert list(losses.figures()) == [GAIN]
    assert losses.own.shape == losses.plain.shape == losses.other.shape == (len(LEVELS), 1)


@pytest.mark.parametrize(
    ("gains", "patience", "is_settled"),
    [
        ([0.0, 0.2, 0.3, 0.3, 0.29], 2, True),
        ([0.0, 0.2, 0.3, 0.3, 0.31], 2, False),
        ([0.0, 0.2, 0.3, 0.3, 0.29], 3, False),
        ([0.2, 0.1], 1, True),
        ([0.2], 1, False),
        ([0.2, 0.1], 0, False),
        # Control often comes late: what is smaller than chance counts for nothing.
        ([0.0, COME / 2, 0.0, 0.0, 0.0], 2, False),
        ([math.nan, 0.2, math.nan, 0.1], 1, True),
    ],
)
def test_when_a_gain_grows_no_more(gains: list[float], patience: int, is_settled: bool) -> None:
    assert settled(gains, patience) is is_settled
