"""A node's network: kept between runs, loaded again for another file, gone with its node."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.nodes.hint_node import HintNode, node_of
from controlstack.preprocessors.spec import Learning, Preprocessor, Weights

IMAGE = torch.rand(2, 20, 30, 3, generator=torch.Generator().manual_seed(0))


class Net(torch.nn.Module):
    """A network with one weight."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value), requires_grad=False)


@dataclass
class Flat:
    """An annotator whose hint is everywhere the byte in its file."""

    networks: Sequence[torch.nn.Module]

    def __call__(self, picture: Any, device: torch.device) -> Any:
        level = int(self.networks[0].value)
        return picture * 0 + level


@dataclass
class Loads:
    """Loads `Flat` and remembers what it was asked for, and weak references to the networks."""

    asked: list[list[str]] = field(default_factory=list)
    networks: list[weakref.ref[Net]] = field(default_factory=list)

    def __call__(self, paths: Sequence[Path]) -> Flat:
        gc.collect()
        self.alive = sum(network() is not None for network in self.networks)
        network = Net(float(paths[0].read_text()))
        self.asked.append([path.name for path in paths])
        self.networks.append(weakref.ref(network))
        return Flat([network])


MODELS = tuple(Weights(name, "a/b", (f"{name}.bin",), "MIT", True, 1) for name in ("one", "two"))


@pytest.fixture(autouse=True, scope="module")
def few_objects() -> Iterator[None]:
    """What is there before is not looked through at each collection of garbage."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def node_type(loads: Loads, models: Path) -> type[HintNode]:
    """A node of a preprocessor with the models "one" and "two", both there."""
    models.mkdir(parents=True)
    (models / "one.bin").write_text("11")
    (models / "two.bin").write_text("22")
    return node_of(
        Preprocessor(
            name="flat", node="ControlStackFlat", title="Flat Hint", description="", aliases=(),
            shows="edges", controls="none", learning=Learning(models=MODELS, load=loads),
        )
    )  # fmt: skip


def level(node: HintNode, **inputs: Any) -> int:
    (hint,) = node.make(image=IMAGE, **inputs)
    (value,) = hint.mul(255).round().unique().tolist()
    return int(value)


def test_a_network_is_loaded_once_for_a_batch_and_kept_for_the_next_run(
    node_type: type[HintNode], loads: Loads
) -> None:
    node = node_type()
    assert [level(node), level(node, model="one"), level(node)] == [11, 11, 11]
    assert loads.asked == [["one.bin"]]


def test_another_model_is_another_network_and_the_first_one_goes(
    node_type: type[HintNode], loads: Loads
) -> None:
    node = node_type()
    assert level(node, model="one") == 11
    assert level(node, model="two") == 22
    assert loads.asked == [["one.bin"], ["two.bin"]]
    assert loads.alive == 0, "the old network has to go before the new one comes"


def test_a_changed_file_is_loaded_again(
    node_type: type[HintNode], loads: Loads, models: Path
) -> None:
    node = node_type()
    assert level(node) == 11
    file = models / "one.bin"
    then = file.stat().st_mtime_ns
    file.write_text("33")
    os.utime(file, ns=(then + 10**9, then + 10**9))
    assert level(node) == 33
    assert level(node) == 33
    assert len(loads.asked) == 2


def test_networks_go_with_their_node(node_type: type[HintNode], loads: Loads) -> None:
    node, other = node_type(), node_type()
    level(node), level(other)
    assert len(loads.networks) == 2, "each node keeps its own"
    del node
    gc.collect()
    assert [network() is None for network in loads.networks] == [True, False]


def test_a_file_that_is_gone_is_said_although_its_network_is_kept(
    node_type: type[HintNode], models: Path
) -> None:
    node = node_type()
    level(node)
    (models / "one.bin").unlink()
    (models / "two.bin").unlink()
    with pytest.raises(UserError, match=r"one\.bin of one is not on this machine"):
        level(node)


def test_a_failed_load_is_tried_again(
    node_type: type[HintNode], loads: Loads, models: Path
) -> None:
    node = node_type()
    (models / "one.bin").write_text("no number")
    with pytest.raises(ValueError, match="no number"):
        level(node)
    (models / "one.bin").write_text("44")
    assert level(node) == 44
