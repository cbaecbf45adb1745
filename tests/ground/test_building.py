"""A configuration decides sizes within bounds, whatever it calls them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from controlstack.ground import building, memory
from controlstack.ground.building import check_numbers, of_real_size
from controlstack.ground.errors import UserError


@pytest.mark.parametrize(
    "config",
    [
        {"num_hidden_layers": 10**8},
        {"num_hidden_layers": -(10**12)},
        {"depths": [10**6, 10**6]},
        {"inner": {"list": [[{"n": 10**400}]]}},
        {"block_out_channels": [1] * 2_000_000},
    ],
)
def test_numbers_of_no_model(config: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"config\.json asks for '\w+' of "):
        check_numbers(config, "config.json")


def test_numbers_of_real_models() -> None:
    check_numbers({"vocab_size": 256_000, "eps": 1e-12, "a": [320, 1280], "b": True}, "x")


def test_a_network_of_too_many_layers_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MAX_PARTS", 50)
    layers = (nn.Sequential(nn.Linear(2, 2), nn.Identity()) for _ in range(10**9))
    with pytest.raises(UserError, match="config asks for more than 50"), of_real_size("config"):
        nn.Sequential(*layers)
    for _ in range(50):
        nn.Sequential(nn.Linear(2, 2))


def test_a_weight_that_memory_does_not_hold_is_never_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    with pytest.raises(UserError, match="would take 4"), of_real_size("config"):
        nn.Linear(1000, 1000)
    with of_real_size("config"), torch.device("meta"):
        nn.Linear(10**5, 10**5)
