"""The engine's invariants, on the embedded host's real sampler and tiny random models."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.sampling.model import Model
from controlstack.model_patch.applied import KEY
from controlstack.model_patch.control import Control, ControlStack
from controlstack.model_patch.factors import Span, StepSpan
from controlstack.model_patch.patch import patch
from controlstack.model_patch.plan import Plan
from controlstack.model_patch.schedule import Schedule
from tests.model_patch.stacks import (
    NEGATIVE,
    POSITIVE,
    STEPS,
    UNET,
    by_core,
    control,
    core_chain,
    hint,
    net,
    sample,
)
from tests.tiny import tiny_controlnet, tiny_model


def digest(model: Model) -> str:
    hashed = hashlib.sha256()
    for name, tensor in sorted(model.model.diffusion_model.state_dict().items()):
        hashed.update(name.encode() + tensor.numpy().tobytes())
    return hashed.hexdigest()


def test_control_changes_the_picture() -> None:
    plain = sample(tiny_model(UNET))
    assert (sample(patch(tiny_model(UNET), (control(),))) - plain).abs().max() > 0.1


@pytest.mark.parametrize(
    "stack",
    [
        (),
        (control(strength=0.0),),
        (Control(net=net(zero=True), hint=hint()),),
        (control(mask=torch.zeros(1, 64, 64)),),
        (control(span=Span(1.0, 0.0)),),
        (control(span=StepSpan(2, 2)), control(2, strength=0.0)),
        (Control(net=net(zero=True), hint=hint(), mode="cfg_rw"),),
    ],
    ids=["empty", "strength-0", "zero-convolutions", "zero-mask", "no-span", "no-steps", "cfg_rw"],
)
def test_what_is_no_control_gives_the_plain_picture_bit_for_bit(stack: ControlStack) -> None:
    model = tiny_model(UNET)
    assert torch.equal(sample(patch(model, stack)), sample(model))


SPANS = [(0.0, 1.0), (0.0, 0.5), (0.001, 1.0), (0.3, 0.7), (0.5, 0.5), (1.0, 1.0), (0.8, 0.2)]


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
def test_one_control_equals_the_core_bit_for_bit(span: tuple[float, float], sampler: str) -> None:
    stack = (control(strength=0.7, span=Span(*span)),)
    ours = sample(patch(tiny_model(UNET), stack), sampler=sampler)
    assert torch.equal(ours, by_core(stack, sampler=sampler))


@pytest.mark.parametrize("length", [2, 3])
@pytest.mark.parametrize("scheduler", ["normal", "karras", "sgm_uniform"])
def test_a_chain_equals_the_core_bit_for_bit(length: int, scheduler: str) -> None:
    spans = [Span(0, 0.6), Span(0.2, 1), Span()]
    strengths = [0.5, 1.0, 1.7]
    stack = tuple(control(i + 1, strength=strengths[i], span=spans[i]) for i in range(length))
    kwargs: dict[str, Any] = {"scheduler": scheduler, "batch": 2}
    assert torch.equal(sample(patch(tiny_model(UNET), stack), **kwargs), by_core(stack, **kwargs))


@pytest.mark.parametrize("cfg", [1.0, 7.5])
@pytest.mark.parametrize("size", [(8, 8), (8, 16)])
def test_core_parity_holds_for_guidance_and_size(cfg: float, size: tuple[int, int]) -> None:
    stack = (control(strength=1.7),)
    kwargs: dict[str, Any] = {"cfg": cfg, "size": size}
    assert torch.equal(sample(patch(tiny_model(UNET), stack), **kwargs), by_core(stack, **kwargs))


def test_a_hint_for_each_picture_of_the_batch() -> None:
    stack = (Control(net=net(), hint=hint(batch=2)),)
    both = sample(patch(tiny_model(UNET), stack), batch=2)
    assert torch.equal(both, by_core(stack, batch=2))
    swapped = (Control(net=net(), hint=hint(batch=2).flip(0)),)
    assert not torch.equal(both, sample(patch(tiny_model(UNET), swapped), batch=2))


def test_two_patches_and_the_cores_control_add_up() -> None:
    first, second, third = (control(seed, strength=0.6) for seed in (1, 2, 3))
    chained = sample(patch(tiny_model(UNET), (first, second)))
    assert torch.equal(sample(patch(patch(tiny_model(UNET), (first,)), (second,))), chained)
    mixed = patch(tiny_model(UNET), (second, third))
    positive = core_chain(POSITIVE, (first,))
    negative = [[NEGATIVE[0][0], dict(positive[0][1])]]
    with_core = sample(mixed, positive=positive, negative=negative)
    assert torch.equal(with_core, by_core((first, second, third)))


def test_the_order_of_a_stack_changes_rounding_only() -> None:
    stack = tuple(control(seed, strength=0.5) for seed in (1, 2, 3))
    pictures = [sample(patch(tiny_model(UNET), order)) for order in itertools.permutations(stack)]
    for picture in pictures[1:]:
        torch.testing.assert_close(picture, pictures[0], rtol=1e-3, atol=1e-3)


def test_the_model_that_went_in_stays_as_it_was() -> None:
    model = tiny_model(UNET)
    before, weights = sample(model), digest(model)
    patched = patch(model, (control(),))
    sample(patched)
    assert model.get_additional_models_with_key(KEY) == []
    assert torch.equal(sample(model), before)
    assert digest(model) == weights


def test_nets_are_registered_once_each() -> None:
    one = control()
    twice = patch(patch(tiny_model(UNET), (one, one)), (one, control(2)))
    assert len(twice.get_additional_models_with_key(KEY)) == 2


def raising_at(step: int) -> Callable[..., Any]:
    calls = itertools.count()

    def wrapper(executor: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if next(calls) == step:
            raise RuntimeError("the machine caught fire")
        return executor(*args, **kwargs)

    return wrapper


def test_an_error_half_way_leaves_nothing_behind() -> None:
    model = tiny_model(UNET)
    plain, weights = sample(model), digest(model)
    stack = (control(),)
    patched = patch(model, stack)
    controlled = sample(patched)
    failing = patched.clone()
    failing.add_wrapper_with_key("apply_model", "fire", raising_at(2))
    copies = spy_on_copies(stack[0])
    with pytest.raises(RuntimeError, match="fire"):
        sample(failing)
    assert copies
    assert all(copy._run is None for copy in copies)
    assert torch.equal(sample(patched), controlled)
    assert torch.equal(sample(model), plain)
    assert digest(model) == weights


def spy_on_copies(item: Control) -> list[ControlNet]:
    """Collect the run copies that the engine makes of a control's net."""
    copies: list[ControlNet] = []
    original = item.net.copy

    def copy() -> Any:
        copies.append(original())
        return copies[-1]

    item.net.copy = copy
    return copies


def test_run_state_is_dropped_after_a_good_run_too() -> None:
    item = control()
    copies = spy_on_copies(item)
    patched = patch(tiny_model(UNET), (item,))
    sample(patched)
    sample(patched)
    assert len(copies) == 2  # one a run, none shared
    assert all(copy._run is None for copy in copies)


def test_apply_model_outside_of_a_run_works_and_cleans_up() -> None:
    item = control()
    copies = spy_on_copies(item)
    patched = patch(tiny_model(UNET), (item,))
    options = {"wrappers": patched.wrappers, "cond_or_uncond": [0]}
    with torch.no_grad():
        out = patched.model.apply_model(
            torch.ones(1, 4, 8, 8), torch.ones(1), None, POSITIVE[0][0], None, options
        )
    assert out.isfinite().all()
    assert [copy._run for copy in copies] == [None]


def test_exact_steps_are_obeyed_by_the_sampler() -> None:
    """Every single-step range alone, found by when the engine asks the net."""
    for step in range(STEPS):
        item = control(span=StepSpan(step, step + 1))
        asked: list[float] = []
        copies = spy_on_copies(item)
        patched = patch(tiny_model(UNET), (item,))
        seen: list[float] = []

        def watch(executor: Any, x: Tensor, t: Tensor, *args: Any, _seen: Any = seen) -> Any:
            _seen.append(float(t[0]))
            return executor(x, t, *args)

        patched.add_wrapper_with_key("apply_model", "watch", watch)
        sample(patched)
        asked = sorted(set(seen), reverse=True)
        assert len(asked) == STEPS
        (strengths,) = Plan.of(
            (item,), Schedule(patched.model.model_sampling, (*asked, 0.0))
        ).table()
        assert [bool(strength) for strength in strengths] == [i == step for i in range(STEPS)]
        assert len(copies) == 1


def test_cfg_rw_acts_on_the_conditional_side_with_the_papers_weights() -> None:
    given: list[tuple[list[int], dict[str, list[Tensor]] | None]] = []

    def watch(
        executor: Any, x: Any, t: Any, concat: Any, text: Any, residuals: Any, options: Any
    ) -> Any:
        given.append((options["cond_or_uncond"], residuals))
        return executor(x, t, concat, text, residuals, options)

    def first_step(mode: str) -> tuple[list[int], dict[str, list[Tensor]]]:
        given.clear()
        patched = patch(tiny_model(UNET), (control(strength=0.5, mode=mode),))
        patched.add_wrapper_with_key("apply_model", "watch", watch)
        sample(patched)
        sides, residuals = given[0]
        assert residuals is not None
        return sides, residuals

    sides, balanced = first_step("balanced")
    same_sides, weighted = first_step("cfg_rw")
    assert sides == same_sides
    assert sorted(sides) == [0, 1]
    conditional = sides.index(0)
    for side in ("middle", "output"):
        for plain, heavy in zip(balanced[side], weighted[side], strict=True):
            assert not heavy[1 - conditional].any()
            factor = 64 / plain.shape[-2]
            torch.testing.assert_close(
                heavy[conditional], plain[conditional] * factor, rtol=1e-3, atol=1e-5
            )


def test_a_mask_confines_the_residuals() -> None:
    mask = torch.zeros(1, 64, 64)
    mask[:, :, 32:] = 1.0
    given: list[Tensor] = []

    def watch(
        executor: Any, x: Any, t: Any, concat: Any, text: Any, residuals: Any, options: Any
    ) -> Any:
        given.append(residuals["output"][0])
        return executor(x, t, concat, text, residuals, options)

    patched = patch(tiny_model(UNET), (control(mask=mask),))
    patched.add_wrapper_with_key("apply_model", "watch", watch)
    sample(patched)
    assert not given[0][..., :4].any()
    assert given[0][..., 4:].abs().max() > 0


class OneForAll(ControlNet):
    """Gives one row of residuals for the whole batch, whatever is in it, as a T2I adapter does."""

    def copy(self) -> Any:
        return OneForAll(self.network, self.name)

    def get_control(self, *args: Any, **kwargs: Any) -> Any:
        given = super().get_control(*args, **kwargs)
        assert given is not None
        return {side: [torch.full_like(r[:1], 0.3) for r in rs] for side, rs in given.items()}


def test_one_row_for_all_serves_masks_and_one_sided_control() -> None:
    masks = torch.stack([torch.zeros(64, 64), torch.ones(64, 64)])
    one = OneForAll(tiny_controlnet(UNET), "adapter")

    def pictures(**kwargs: Any) -> Tensor:
        item = Control(net=one, hint=hint(), name="adapter", **kwargs)
        return sample(patch(tiny_model(UNET), (item,)), batch=2)

    plain, everywhere, masked = sample(tiny_model(UNET), batch=2), pictures(), pictures(mask=masks)
    assert torch.equal(masked[0], plain[0])
    assert torch.equal(masked[1], everywhere[1])
    assert not torch.equal(pictures(mode="cfg_rw")[1], plain[1])


def test_the_hosts_memory_manager_is_told_what_the_nets_need() -> None:
    """The embedded host does not ask, so the wrapper is called as ComfyUI calls it."""
    item, silent = control(), control(2, strength=0.0)
    item.net.inference_memory_requirements = lambda dtype: 1000
    patched = patch(patch(tiny_model(UNET), (item, silent)), (item, item))
    asked: list[Any] = []

    def prepare(model: Any, shape: Any, conds: Any, model_options: Any = None) -> Any:
        asked.extend(entry["control"] for entry in conds.pop(KEY))
        assert conds == {"positive": []}
        return "real model", "conds of the host", "models"

    inner: Any = prepare
    for wrapper in reversed(patched.wrappers["prepare_sampling"][KEY]):
        inner = partial(wrapper, inner)
    given: dict[str, Any] = {"positive": []}
    assert inner(patched, (1, 4, 8, 8), given, model_options={}) == ("real model", given, "models")
    assert sum(needs.inference_memory_requirements(torch.float32) for needs in asked) == 3000
    assert [needs.get_models() for needs in asked] == [[], []]


def test_the_vae_reaches_the_net() -> None:
    given: list[Any] = []
    item = control(vae="the vae")
    original = item.net.copy

    def copy() -> Any:
        made: Any = original()
        set_hint = made.set_cond_hint
        made.set_cond_hint = lambda *args, vae=None: (given.append(vae), set_hint(*args))[1]
        return made

    item.net.copy = copy
    sample(patch(tiny_model(UNET), (item,)))
    assert given == ["the vae"]
