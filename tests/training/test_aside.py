"""Weights in a file: the same bits whenever they are read, and memory that is given back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from controlstack.training import aside as aside_module
from controlstack.training import control_net
from controlstack.training.aside import aside
from controlstack.training.trainable import weights_hash
from tests.training.small_runs import notes_in, same_weights, small_run, small_unet

CPU = torch.device("cpu")
MEGABYTE = 1 << 20


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_bits_stay_inside_lent_and_after(tmp_path: Path, dtype: torch.dtype) -> None:
    unet = small_unet().to(dtype)
    before = weights_hash(unet)
    own = {id(weight): weight.data_ptr() for weight in unet.parameters()}
    with aside(unet, tmp_path) as lend:
        assert all(weight.data_ptr() != own[id(weight)] for weight in unet.parameters())
        assert weights_hash(unet) == before
        with lend(CPU):
            assert weights_hash(unet) == before
        assert weights_hash(unet) == before
        assert not list(tmp_path.iterdir()) or os.name == "nt"  # it has no name
    assert weights_hash(unet) == before
    assert {id(weight) for weight in unet.parameters()} == set(own)


def test_a_write_does_not_reach_the_file(tmp_path: Path) -> None:
    line = nn.Linear(4, 4).requires_grad_(False)
    before = weights_hash(line)
    with aside(line, tmp_path) as lend:
        with lend(CPU):
            line.weight.fill_(3)
            assert weights_hash(line) != before
        assert weights_hash(line) == before


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def test_memory_is_given_back(tmp_path: Path) -> None:
    large = nn.Linear(4096, 4096, bias=False).requires_grad_(False)  # 64 MB
    filled = _resident()
    with aside(large, tmp_path) as lend:
        assert _resident() < filled - 50 * MEGABYTE
        with lend(CPU):
            assert float(large.weight.abs().sum()) > 0
            assert _resident() > filled - 20 * MEGABYTE
        assert _resident() < filled - 50 * MEGABYTE
    assert _resident() > filled - 20 * MEGABYTE


def test_a_run_in_bf16_holds_one_copy_and_validates_on_the_bases_own(tmp_path: Path) -> None:
    unet = small_unet()
    before, seen = weights_hash(unet), []

    def validate(step: int, network: Any) -> None:
        assert unet.dtype == torch.float32
        seen.append(weights_hash(unet))

    given = {"precision": "bf16", "validate_every": 2, "steps": 4}
    trained = small_run(tmp_path / "run", unet=unet, validate=validate, **given)
    assert seen == [before] * 3
    assert weights_hash(unet) == before
    assert same_weights(trained.network, small_run(precision="bf16", steps=4).network)


def test_without_room_the_weights_stay_in_memory_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet, events = small_unet(), list[Any]()
    own = [weight.data_ptr() for weight in unet.parameters()]

    def full(dir: Path | None = None) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(aside_module.tempfile, "TemporaryFile", full)
        held = small_run(hear=events.append, unet=unet, precision="bf16", steps=2).network
    assert [weight.data_ptr() for weight in unet.parameters()] == own
    assert notes_in(events) == [f"{control_net.IN_MEMORY}: No space left on device"]
    assert same_weights(held, small_run(precision="bf16", steps=2).network)
