"""The setting compile: the same training, by networks that torch has compiled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.training import compiled as compiled_networks
from controlstack.training.events import Stepped, Validation
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import control_net_from
from tests.training.small_runs import NET, same_weights, small_run, small_unet


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the graphs that torch traces; they run as traced, without code of their own."""
    found: list[int] = []

    def backend(graph: Any, _: Any) -> Callable[..., Any]:
        found.append(len(graph.graph.nodes))
        run: Callable[..., Any] = graph.forward
        return run

    whole = torch.compile
    torch._dynamo.reset()
    monkeypatch.setattr(
        compiled_networks.torch, "compile", lambda module: whole(module, backend=backend)
    )
    return found


def run_of(kind: str, compiles: bool, **more: Any) -> tuple[Any, list[float]]:
    """What is trained, and the loss of each step."""
    unet = small_unet()
    network = control_net_from(unet, NetSettings(kind, NET.hint_channels, rank=2), 3)
    heard: list[Any] = []
    found = small_run(
        hear=heard.append, unet=unet, network=network, steps=3, compile=compiles, **more
    )
    return found, [one.loss for one in heard if isinstance(one, Stepped)]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        *[("controlnet", {}), ("lite", {}), ("control_lora", {})],
        ("controlnet", {"gradient_checkpointing": True}),
        ("controlnet", {"unlock_decoder": True}),
    ],
)
def test_a_run_learns_the_same(kind: str, more: dict[str, Any], graphs: list[int]) -> None:
    alone, _ = run_of(kind, False, **more)
    assert not graphs
    found, _ = run_of(kind, True, **more)
    assert max(graphs) > 100  # the networks, not the function alone that is tried first
    assert same_weights(found.network, alone.network)
    if "unlock_decoder" in more:
        assert same_weights(found.unet, alone.unet)


def test_it_learns_nearly_the_same_in_bf16(graphs: list[int]) -> None:
    """Sums of halves may be taken in another order."""
    _, alone = run_of("controlnet", False, precision="bf16")
    _, found = run_of("controlnet", True, precision="bf16")
    assert max(graphs) > 100
    assert found == pytest.approx(alone, rel=0.01)


def test_it_compiles_once_and_validations_run_as_they_are(graphs: list[int]) -> None:
    counts: list[int] = []

    def validate(step: int, network: Any) -> Validation:
        assert type(network).__name__ == "ControlNetModel"
        counts.append(len(graphs))
        return Validation(step, {})

    small_run(steps=6, compile=True, validate_every=2, validate=validate)
    first, *later = counts
    assert first <= 1  # the function that is tried first
    assert len(set(later)) == 1


def test_a_run_stopped_and_resumed_is_the_whole_run(graphs: list[int], tmp_path: Path) -> None:
    whole = small_run(compile=True)
    small_run(tmp_path, steps=5, compile=True)
    resumed = small_run(tmp_path, compile=True, resume=True)
    assert resumed.step == whole.step
    assert same_weights(resumed.network, whole.network)


def test_a_checkpoint_is_not_resumed_with_the_other_setting(tmp_path: Path) -> None:
    small_run(tmp_path, steps=5)
    with pytest.raises(UserError, match=r"compile: False -> True"):
        small_run(tmp_path, steps=10, compile=True, resume=True)


def test_a_machine_that_cannot_compile_says_so_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def without(_: Any) -> Any:
        def call(_: Any) -> Any:
            raise RuntimeError("No working C++ compiler found\nmore")

        return call

    monkeypatch.setattr(compiled_networks.torch, "compile", without)
    heard: list[Any] = []
    with pytest.raises(UserError, match=r"No working C\+\+ compiler found\): install a C\+\+"):
        small_run(tmp_path, heard.append, compile=True)
    assert not heard
