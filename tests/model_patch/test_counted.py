"""What a run computes on the embedded host, counted: hints once, nets only where somebody reads."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import nn

from controlstack.model_patch.applied import Watched
from controlstack.model_patch.control import Control
from controlstack.model_patch.factors import Sides, Span, StepSpan
from controlstack.model_patch.hint_once import encode_once
from controlstack.model_patch.patch import patch
from controlstack.model_patch.residuals import Residuals
from controlstack.model_patch.source import _Copy
from tests.model_patch.stacks import STEPS, UNET, by_core, control, sample
from tests.model_patch.test_applied import ones
from tests.model_patch.test_caches import cache
from tests.tiny import tiny_model


def calls_of(layer: nn.Module) -> list[int]:
    """How many rows it is given; the list grows with each call."""
    rows: list[int] = []
    layer.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    return rows


def counted(item: Control) -> tuple[list[int], list[int]]:
    """The calls of a control's net, and those of its hint encoder."""
    network: Any = item.net
    return calls_of(network.network.rest.time_embedding), calls_of(network.network.hint_encoder)


@pytest.mark.parametrize(
    ("given", "calls"),
    [
        ({}, [2] * STEPS),
        ({"span": StepSpan(1, 3)}, [2] * 2),
        ({"also": (Sides(1.0, 0.0),)}, [1] * STEPS),
        ({"strength": 0.0}, []),
        ({"span": Span(0.9, 0.1)}, []),
        ({"mask": torch.zeros(1, 8, 8)}, []),
    ],
    ids=["always", "steps", "one-side", "strength-0", "nowhere", "black-mask"],
)
def test_a_net_runs_in_its_steps_and_on_its_rows(given: Any, calls: list[int]) -> None:
    items = (control(1), control(2, **given))
    (every, _), (net, hint) = map(counted, items)
    sample(patch(tiny_model(UNET), items))
    assert every == [2] * STEPS
    assert net == calls
    assert hint == [1][: len(calls)]


@pytest.mark.parametrize("skipped", [{1}, {1, 3}, {1, 2, 3}])
def test_no_net_runs_in_a_step_that_somebody_else_answers(skipped: set[int]) -> None:
    """A cache inside of the stack: it stands between it and the model."""
    item = control()
    net, hint = counted(item)
    model = patch(tiny_model(UNET), (item,))
    model.add_wrapper_with_key("apply_model", "cache", cache(skipped))
    sample(model)
    assert net == [2] * (STEPS - len(skipped))
    assert hint == [1]


def test_two_stacks_on_one_model_are_both_read_late() -> None:
    items = (control(1), control(2))
    nets = [counted(item)[0] for item in items]
    model = patch(patch(tiny_model(UNET), items[:1]), items[1:])
    model.add_wrapper_with_key("apply_model", "cache", cache({1, 2}))
    sample(model)
    assert nets == [[2] * 2] * 2
    together = patch(patch(tiny_model(UNET), items[:1]), items[1:])
    assert torch.equal(sample(together), by_core(items))


def test_a_compiled_model_is_given_what_is_there_already() -> None:
    """Nothing of ours is traced with it. A module that torch was told to compile tells so."""
    item, model = control(), tiny_model(UNET)
    net, _ = counted(item)
    kinds: list[type] = []
    patched = patch(model, (item,))

    def look(executor: Any, *given: Any, **kwargs: Any) -> Any:
        kinds.append(type(given[4]))
        assert len(net) == len(kinds), "the net was to run before the model"
        return executor(*given, **kwargs)

    key = "torch.compile"  # under which ComfyUI's TorchCompileModel puts its own
    patched.add_wrapper_with_key("apply_model", key, look)
    compiled = sample(patched)
    assert kinds == [Watched, *[dict] * (STEPS - 1)]
    assert torch.equal(compiled, by_core((item,)))


def test_a_control_is_made_once_by_whoever_asks_first() -> None:
    made: list[int] = []

    def make() -> Residuals:
        made.append(1)
        return Residuals(output=ones(8))

    watched = Watched(make)
    assert "output" in watched
    assert len(watched) == 3
    assert not watched.made
    assert made == []
    assert len(watched["output"]) == len(watched.get("output") or ()) == 1
    assert [*watched.items()] == [*watched.copy().items()] == [*dict(watched).items()]
    assert made == [1]


@pytest.mark.parametrize(
    "read",
    [
        lambda c: {**c}["output"],
        lambda c: dict(c)["output"],
        lambda c: (c | {})["output"],
        lambda c: ({} | c)["output"],
        lambda c: c.pop("output"),
        lambda c: [*c.values()][2],
    ],
)
def test_every_way_of_reading_finds_the_residuals(read: Any) -> None:
    assert len(read(Watched(Residuals(output=ones(8))))) == 1


def test_what_another_patch_puts_in_stays() -> None:
    watched = Watched(Residuals(output=ones(8), middle=ones(4)))
    watched["output"] = []
    watched.update(input=[])
    assert watched["output"] == []
    assert len(watched["middle"]) == 1


def test_residuals_that_nobody_watches_are_free_when_they_are_taken() -> None:
    watched = Watched(Residuals(output=ones(8)))
    watched["output"].pop()
    assert watched.residuals().output == ()
    kept = Watched(Residuals(output=ones(8)))
    kept.keep = True
    kept["output"].pop()
    assert len(kept.residuals().output) == 1


class Hinted(nn.Module):
    """A network that encodes its hint, as ComfyUI's do; two of its kind tell so."""

    hint_encoders = ("inner.encoder", "missing")

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Module()
        self.inner.encoder = nn.Conv2d(3, 4, 1)

    def forward(self, x: torch.Tensor, hint: torch.Tensor) -> torch.Tensor:
        encoded: Any = self.inner.encoder
        return x + encoded(hint * 2.0)  # another tensor at every call


class Net:
    def __init__(self, network: Any) -> None:
        self.control_model = network


@torch.no_grad()
def test_the_encoder_answers_for_one_and_the_same_hint() -> None:
    network = Hinted()
    rows = calls_of(network.inner.encoder)  # type: ignore[arg-type]
    net, x, hint = Net(network), torch.zeros(1, 4, 8, 8), torch.rand(1, 3, 8, 8)
    encode_once(net)
    first = net.control_model(x=x, hint=hint)
    assert torch.equal(net.control_model(x=x, hint=hint), first)
    assert rows == [1]
    other = torch.rand(2, 3, 8, 8)
    assert torch.equal(net.control_model(x=x, hint=other), network(x, other))
    assert rows == [1, 2, 2]
    assert net.control_model is not network
    assert isinstance(network.inner.encoder, nn.Conv2d)


def test_networks_that_nobody_knows_and_runs_that_learn_are_left_alone() -> None:
    class Derived(nn.Module):
        input_hint_block = nn.Identity()

    for network in (Derived(), None, nn.Linear(1, 1)):
        net = Net(network)
        encode_once(net)
        assert net.control_model is network
    replaced = Hinted()
    replaced.forward = lambda **_: None  # type: ignore[assignment, method-assign]
    net = Net(replaced)
    encode_once(net)
    assert net.control_model is replaced
    learning = Net(Hinted())
    rows = calls_of(learning.control_model.inner.encoder)
    encode_once(learning)
    for _ in range(2):
        learning.control_model(x=torch.zeros(1), hint=torch.rand(1, 3, 8, 8))
    assert rows == [1, 1]


@torch.no_grad()
def test_what_a_copy_holds_is_its_hint_and_what_was_made_of_it() -> None:
    """The layers are the net's own, and so is a hint that all copies share."""
    net, x, hint = Net(Hinted()), torch.zeros(1, 4, 8, 8), torch.rand(1, 3, 8, 8)
    copy = _Copy(cast(Any, net), encode_once(net))
    net.cond_hint = hint  # type: ignore[attr-defined]
    assert copy.bytes_on(x.device, set()) == hint.nbytes
    net.control_model(x=x, hint=hint)
    encoded = 4 * 8 * 8 * 4  # channels, height, width, bytes
    assert copy.bytes_on(x.device, set()) == hint.nbytes + encoded
    assert copy.bytes_on(x.device, {id(hint)}) == encoded
    assert copy.bytes_on(torch.device("meta"), set()) == 0
