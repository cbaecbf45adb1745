"""Wrappers that answer in the model's place: no control is missed there, and no fault is found."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.sampling.model import Model
from controlstack.model_patch.applied import Delivery, Watched, marked_outside
from controlstack.model_patch.factors import Span, StepSpan
from controlstack.model_patch.patch import patch
from controlstack.model_patch.residuals import NotAppliedError, Residuals
from tests.model_patch.stacks import POSITIVE, STEPS, UNET, by_core, control, sample
from tests.model_patch.test_applied import SIZES, Deaf, UNet, ones
from tests.tiny import tiny_model


def cache(steps: Collection[int]) -> Callable[..., Any]:
    """A wrapper that gives its last answer again at some calls, and does not go on."""
    calls, last = itertools.count(), [torch.zeros(())]

    def answer(executor: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Any:
        if next(calls) not in steps:
            last[0] = executor(x, *args, **kwargs)
        return last[0]

    return answer


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
@pytest.mark.parametrize("kind", ["apply_model", "predict_noise"])
@pytest.mark.parametrize("span", [Span(0.3, 1), Span(0.7, 1), Span(0, 1), StepSpan(1, 2)])
def test_a_cache_that_skips_the_step_in_which_a_control_begins(
    span: Any, kind: str, inside: bool
) -> None:
    """One step and all that follow: the control may come to no call of the model at all."""
    stack = (control(span=span),)
    for skipped in ({1}, {2}, {3}, {1, 2, 3}):

        def cached(model: Model, wrapper: Any) -> Model:
            clone = model.clone()
            clone.add_wrapper_with_key(kind, "cache", wrapper)
            return clone

        base, skip = tiny_model(UNET), cache(skipped)
        model = cached(patch(base, stack), skip) if inside else patch(cached(base, skip), stack)
        assert sample(model).isfinite().all()


class Inner:
    """ComfyUI's call of its network: wrappers of "diffusion_model" around it, where it has them."""

    def __init__(self, network: Any, knows_wrappers: bool = True) -> None:
        self.diffusion_model = network
        self.model_sampling = None
        self.knows_wrappers = knows_wrappers

    def __call__(self, control: Any, options: Mapping[str, Any], *outer: Callable[..., Any]) -> Any:
        wrappers = options.get("wrappers", {})
        around = [*outer, *(f for fs in wrappers.get("apply_model", {}).values() for f in fs)]
        inner = [f for fs in wrappers.get("diffusion_model", {}).values() for f in fs]
        call = self.diffusion_model.run
        for wrapper in reversed([*around, *(inner if self.knows_wrappers else ())]):
            call = partial(wrapper, call)
        return call(control, options)


def answers(executor: Any, *args: Any, **kwargs: Any) -> Tensor:
    return torch.zeros(())


def strips(executor: Any, control: Any, options: Any) -> Any:
    return executor(None, options)


def copies(executor: Any, control: Any, options: Any) -> Any:
    return executor(dict(control), dict(options))


def deliver(base: Any, *around: Any, inside: tuple[Any, ...] = ()) -> Delivery:
    """One watched call on a marked host, with wrappers around the call and inside of it."""
    options = {"wrappers": marked_outside({"diffusion_model": {"other": [*inside]}})}
    step = SimpleNamespace(x=torch.zeros(1, 4, 8, 8), options=options)
    delivery = Delivery(base)
    residuals = Residuals(middle=ones(4), output=ones(*SIZES))
    delivery(Watched(residuals), step, lambda control, given: base(control, given, *around))
    return delivery


class Half(UNet):
    """Of which a pack runs the first block alone and takes the rest from a cache."""

    def run(self, control: Any, options: Mapping[str, Any]) -> Any:
        for first in options["patches"]["input_block_patch"]:
            first(torch.zeros(1, 2, 8, 8), {**options, "block": ("input", 0)})


@pytest.mark.parametrize("network", [UNet(), Deaf()], ids=["reads", "deaf"])
def test_an_answer_in_the_models_place_is_no_fault_of_the_model(network: Any) -> None:
    deliver(Inner(network), inside=(answers,))
    deliver(Inner(network), answers)
    deliver(Inner(network, knows_wrappers=False), answers)
    deliver(Inner(Half()))


@pytest.mark.parametrize("knows_wrappers", [True, False])
def test_a_model_that_was_called_and_never_looked_is_one(knows_wrappers: bool) -> None:
    with pytest.raises(NotAppliedError, match="takes no residuals for middle and output"):
        deliver(Inner(Deaf(), knows_wrappers))
    with pytest.raises(NotAppliedError, match="takes no residuals for middle and output"):
        deliver(Inner(Deaf(), knows_wrappers), inside=(lambda run, *a: run(*a),))


@pytest.mark.parametrize("network", [UNet(), Deaf()], ids=["reads", "deaf"])
def test_a_patch_that_takes_the_control_away_is_named_as_such(network: Any) -> None:
    for wrappers in ({"inside": (strips,)}, {}):
        around = () if wrappers else (strips,)
        with pytest.raises(NotAppliedError, match=r"another patch .* without the residuals"):
            deliver(Inner(network), *around, **wrappers)
    if isinstance(network, UNet):
        deliver(Inner(network), inside=(copies,))


def in_place(executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return x * 0.1


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
@pytest.mark.parametrize("kind", ["apply_model", "predict_noise"])
def test_a_control_that_came_to_no_call_of_a_whole_run_is_told(
    kind: str, inside: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """At its end and once; those that were not to come, or came to one call, are not named. Which
    calls never came to the stack's own wrapper, nobody knows while others did."""
    stack = (control(1), control(2, strength=0.0), control(3, span=Span(0.5, 1)))

    def told(wrapper: Any) -> list[str]:
        base = tiny_model(UNET)
        model = patch(base, stack) if inside else base
        model.add_wrapper_with_key(kind, "cache", wrapper)
        caplog.clear()
        sample(model if inside else patch(model, stack))
        return [record.getMessage() for record in caplog.records]

    why = "never reached the model in this run: another patch answers in its place"
    assert told(in_place) == [f"net 1 + net 3 {why}"]
    assert told(cache({1})) == []
    within = inside and kind == "apply_model"
    assert told(cache({2, 3})) == ([f"net 3 {why}"] if within else [])


def test_a_cache_outside_of_any_run_is_no_fault_of_the_model(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor is one call that it answers a whole run that a control has missed."""
    for inside in (True, False):
        base = tiny_model(UNET)
        patched = patch(base, (control(),)) if inside else base
        patched.add_wrapper_with_key("apply_model", "cache", in_place)
        assert alone(patched if inside else patch(patched, (control(),))).isfinite().all()
    assert not caplog.records


def alone(model: Model) -> Tensor:
    """One call of the model as nobody's step."""
    options = {"wrappers": model.wrappers, "cond_or_uncond": [0]}
    given = (torch.ones(1, 4, 8, 8), torch.ones(1), None, POSITIVE[0][0], None, options)
    with torch.no_grad():
        return model.model.apply_model(*given)


@pytest.mark.parametrize("call", [alone, sample], ids=["alone", "run"])
def test_a_net_that_cannot_clean_up_is_heard_unless_something_else_failed(call: Any) -> None:
    item = control()
    original = item.net.copy

    def copy() -> Any:
        net: Any = original()

        def cleanup() -> None:
            raise OSError("no way to clean up")

        net.cleanup = cleanup
        return net

    item.net.copy = copy
    patched = patch(tiny_model(UNET), (item,))
    with pytest.raises(OSError, match="no way to clean up"):
        call(patched)

    def fails(*args: Any, **kwargs: Any) -> Any:
        raise KeyError("the sampler's own")

    patched.add_wrapper_with_key("apply_model", "fails", fails)
    with pytest.raises(KeyError, match="the sampler's own"):
        call(patched)


def test_a_skipped_call_is_watched_again() -> None:
    """After a skip, a model that never looks is still found out."""
    base: Any = Inner(Deaf())
    delivery = Delivery(base)
    options: dict[str, Any] = {"wrappers": marked_outside({})}
    step = SimpleNamespace(x=torch.zeros(1, 4, 8, 8), options=options)
    residuals = Residuals(output=ones(8))
    delivery(Watched(residuals), step, lambda control, given: base(control, given, answers))
    with pytest.raises(NotAppliedError):
        delivery(Watched(residuals), step, base)


def test_without_a_cache_the_picture_is_the_cores() -> None:
    stack = (control(span=Span(0.3, 1)),)
    model = patch(tiny_model(UNET), stack)
    model.add_wrapper_with_key("apply_model", "cache", cache(range(STEPS, 99)))
    assert torch.equal(sample(model), by_core(stack))


def test_the_second_patch_of_a_deaf_model_does_not_hide_it_from_the_first() -> None:
    """Where the second has nothing to do at a step, it hands on what it was given."""
    item = control(span=StepSpan(0, 1))
    model = patch(patch(tiny_model(UNET), (item,)), (control(2, span=StepSpan(3, 4)),))

    def strip(executor: Any, x: Any, t: Any, concat: Any, text: Any, _: Any, *rest: Any) -> Any:
        return executor(x, t, concat, text, None, *rest)

    model.add_wrapper_with_key("apply_model", "strip", strip)
    assert isinstance(item.net, ControlNet)
    with pytest.raises(UserError, match="net 1: another patch"):
        sample(model)
