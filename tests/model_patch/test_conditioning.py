"""A stack on the conditioning: the same engine, in the host's own protocol."""

from __future__ import annotations

import gc
import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.model_patch.call import CONDITIONAL
from controlstack.model_patch.conditioning import StackedControl, apply_to_conditioning
from controlstack.model_patch.control import Control, ControlStack
from controlstack.model_patch.factors import Span, StepSpan
from controlstack.model_patch.patch import patch
from tests.model_patch.recording import BASE, SIZE, Base, Numbers, hints, numbered
from tests.model_patch.stacks import (
    NEGATIVE,
    POSITIVE,
    UNET,
    by_core,
    control,
    core_chain,
    hint,
    sample,
)
from tests.tiny import tiny_model

MASK = torch.zeros(1, 64, 64)
MASK[..., 32:] = 1.0


def on_prompts(stack: ControlStack, **kwargs: Any) -> Tensor:
    positive, negative = apply_to_conditioning(stack, POSITIVE, NEGATIVE)
    return sample(tiny_model(UNET), positive=positive, negative=negative, **kwargs)


def on_model(stack: ControlStack, **kwargs: Any) -> Tensor:
    return sample(patch(tiny_model(UNET), stack), **kwargs)


STACKS = {
    "one": (control(strength=0.7),),
    "three": tuple(control(seed, strength=0.5 * seed) for seed in (1, 2, 3)),
    "spans": (control(span=Span(0, 0.5)), control(2, span=Span(0.3, 1))),
    "a hint a picture": (Control(net=control().net, hint=hint(batch=2)),),
}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_on_prompts_and_on_the_model_equal_the_core(name: str, sampler: str) -> None:
    kwargs: dict[str, Any] = {"sampler": sampler, "batch": 2}
    core = by_core(STACKS[name], **kwargs)
    assert torch.equal(on_prompts(STACKS[name], **kwargs), core)
    assert torch.equal(on_model(STACKS[name], **kwargs), core)


@pytest.mark.parametrize(
    "changes",
    [
        {"mask": MASK},
        {"mode": "cfg_rw"},
        {"span": StepSpan(1, 3)},
        {"mask": MASK, "mode": "cfg_rw"},
    ],
    ids=["mask", "cfg_rw", "steps", "both"],
)
def test_what_the_core_has_not_is_the_same_on_prompts_and_model(changes: dict[str, Any]) -> None:
    stack = (control(**changes), control(2))
    assert torch.equal(on_prompts(stack), on_model(stack))
    assert not torch.equal(on_prompts(stack), on_prompts((control(), control(2))))


def test_it_lies_in_a_chain_with_the_cores_own_control() -> None:
    first, second, third = (control(seed, strength=0.6) for seed in (1, 2, 3))
    expected = by_core((first, second, third))
    core = core_chain(POSITIVE, (first,))
    both = [core, [[NEGATIVE[0][0], dict(core[0][1])]]]
    positive, negative = apply_to_conditioning((second, third), *both)
    after = sample(tiny_model(UNET), positive=positive, negative=negative)
    assert torch.equal(after, expected)
    ours, theirs = apply_to_conditioning((first, second), POSITIVE, NEGATIVE)
    last = third.net.copy().set_cond_hint(third.hint, third.strength, (0.0, 1.0))
    assert not isinstance(last, StackedControl)
    last.set_previous_controlnet(ours[0][1]["control"])
    ends = [[[text, {**d, "control": last}] for text, d in entries] for entries in (ours, theirs)]
    before = sample(tiny_model(UNET), positive=ends[0], negative=ends[1])
    assert torch.equal(before, expected)


def test_one_prompt_alone_is_controlled() -> None:
    positive, negative = apply_to_conditioning((control(),), POSITIVE, [])
    assert negative == []
    alone = sample(tiny_model(UNET), positive=positive, negative=NEGATIVE)
    chain = core_chain(POSITIVE, (control(),))
    assert torch.equal(alone, sample(tiny_model(UNET), positive=chain, negative=NEGATIVE))


def test_what_goes_in_stays_as_it_was_and_what_is_silent_changes_nothing() -> None:
    before = [list(entry) for entry in POSITIVE]
    positive, _ = apply_to_conditioning((control(),), POSITIVE, NEGATIVE)
    assert "control" not in POSITIVE[0][1]
    assert positive[0][1] is not before[0][1]
    assert apply_to_conditioning((control(strength=0.0),), POSITIVE) == (POSITIVE,)
    assert apply_to_conditioning((), POSITIVE, NEGATIVE) == (POSITIVE, NEGATIVE)


def test_nothing_is_left_after_a_run_and_after_an_error() -> None:
    item = control()
    (positive,) = apply_to_conditioning((item,), POSITIVE)
    chain = positive[0][1]["control"]
    good = sample(tiny_model(UNET), positive=positive)
    assert (chain._run, chain._base()) == (None, None)
    failing = tiny_model(UNET)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("the machine caught fire")

    failing.add_wrapper_with_key("apply_model", "fire", wrapper)
    with pytest.raises(RuntimeError, match="fire"):
        sample(failing, positive=positive)
    assert torch.equal(sample(tiny_model(UNET), positive=positive), good)


def asked(chain: Any, rows: int, *, size: int = SIZE, **options: Any) -> list[Tensor]:
    """What a chain on the host of numbers gives one call."""
    chain.pre_run(BASE, BASE.model_sampling.percent_to_sigma)
    x, t = torch.zeros(rows, 4, size, size), torch.full((rows,), 5.0)
    chunks = len(options.get("cond_or_uncond", [CONDITIONAL]))
    made = list(chain.get_control(x, t, {}, chunks, options)["output"])
    chain.cleanup()
    return made


def chain_of(*stack: Control) -> Any:
    (made,) = apply_to_conditioning(stack, [[torch.zeros(1), {}]])
    return made[0][1]["control"]


def tile(chain: Any, cut: tuple[slice, slice], edge: int) -> Any:
    """A chain for a part of the picture, as tiled upscalers make it (Ultimate SD Upscale's
    `crop_controlnet`, restated): each net copied, its hint cut and resized in place."""
    made = before = None
    while chain is not None:
        copy = chain.copy()
        part = copy.cond_hint_original[(..., *cut)]
        copy.cond_hint_original = torch.nn.functional.interpolate(
            part.movedim(1, -1).movedim(-1, 1), size=(edge, edge), mode="nearest-exact"
        )
        if before is None:
            made = copy
        else:
            before.set_previous_controlnet(copy)
        before, chain = copy, chain.previous_controlnet
    return made


def test_a_tile_has_its_own_part_of_hint_and_mask() -> None:
    """The hint is 1 on the left and 2 on the right, the mask white in the upper half alone."""
    picture = torch.ones(1, 3, 64, 64)
    picture[..., 32:] = 2.0
    mask = torch.zeros(1, 64, 64)
    mask[:, :32] = 1.0
    net: Any = numbered(0.0).net
    whole = chain_of(Control(net=net, hint=picture, mask=mask), numbered(10.0))
    for rows, columns, number in [(0, 0, 11.0), (0, 1, 12.0), (1, 0, 10.0), (1, 1, 10.0)]:
        cut = slice(32 * rows, 32 * rows + 32), slice(32 * columns, 32 * columns + 32)
        (first, *_) = asked(tile(whole, cut, 64), 1)
        assert torch.equal(first, torch.full_like(first, number)), (rows, columns)
    assert whole.previous_controlnet.cond_hint_original.shape == (1, 4, 64, 64)


def test_a_hint_that_somebody_replaces_keeps_the_mask() -> None:
    chain = chain_of(numbered(1.0, mask=MASK))
    chain.cond_hint_original = hints(5.0)
    (first, *_) = asked(chain, 1)
    assert not first[..., : SIZE // 2].any()
    assert torch.equal(first[..., SIZE // 2 :], torch.full((1, 4, SIZE, SIZE // 2), 5.0))


def test_tiles_of_a_batch_keep_hint_and_mask_of_each_frame() -> None:
    masks = torch.stack([torch.ones(64, 64), torch.zeros(64, 64), torch.ones(64, 64)])
    chain = chain_of(numbered(1.0, mask=masks))
    assert chain.cond_hint_original.shape == (3, 4, 64, 64)
    (first, *_) = asked(tile(chain, (slice(0, 32), slice(0, 32)), 64), 3)
    assert first[:, 0, 0, 0].tolist() == [1.0, 0.0, 1.0]


def test_in_a_window_frame_k_gets_hint_k() -> None:
    chain = chain_of(numbered(*(float(k) for k in range(8))))
    window = SimpleNamespace(index_list=[4, 5, 6, 7], dim=0)
    (first, *_) = asked(chain, 8, context_window=window, cond_or_uncond=[1, 0])
    assert first[:, 0, 0, 0].tolist() == [4.0, 5.0, 6.0, 7.0] * 2


def test_the_chain_tells_the_host_its_models_memory_and_hooks() -> None:
    stack = (control(), control(2))
    for item in stack:
        item.net.inference_memory_requirements = lambda dtype: 1000
    chain = chain_of(*stack)
    assert chain.get_models() == [*stack[0].net.get_models(), *stack[1].net.get_models()]
    assert chain.get_models_only_self() == stack[1].net.get_models()
    assert chain.inference_memory_requirements(torch.float32) == 2000
    assert chain.get_extra_hooks() == []
    assert chain.get_instance_for_device("cuda:1") is chain
    assert chain.strength == stack[1].strength


class Marker:
    """An id of a conditioning entry, alive as long as the host's run."""


@pytest.mark.parametrize("speed", ["exact", "fast"])
def test_a_run_that_nobody_cleans_up_leaves_nothing(speed: str) -> None:
    """ComfyUI cleans no control up after an error: its entries' ids go, and the run with them."""
    net: Any = Numbers()
    copies: list[Numbers] = []
    net.copy = lambda: copies.append(Numbers(net.runs)) or copies[-1]
    chain, base = chain_of(Control(net=net, hint=hints(1.0), speed=speed)), Base()
    marker = Marker()
    chain.pre_run(base, None)
    sigmas = torch.linspace(10.0, 0.0, 21)
    options = {"uuids": [marker], "patches": {}, "sample_sigmas": sigmas}
    for step, sigma in enumerate(sigmas[:2]):
        given = chain.get_control(torch.zeros(1, 4, SIZE, SIZE), sigma[None], {}, 1, options)
        assert given is not None
        assert len(copies) == step, "a net was made before anybody asked"
        assert given["output"]
    assert len(net.runs) == (2 if speed == "exact" else 1)
    assert copies[0].ready
    del marker, options, given
    gc.collect()
    assert not copies[0].ready
    assert (chain._run, chain._given) == (None, None)
    del base
    gc.collect()
    assert chain._base() is None


def test_the_ids_of_a_run_that_is_over_do_not_end_the_next_one() -> None:
    """Python may collect them whenever it likes, also within a call of the next run."""
    net: Any = Numbers()
    chain, earlier, later = chain_of(Control(net=net, hint=hints(3.0))), Marker(), Marker()

    def begin(marker: Marker) -> Any:
        chain.pre_run(BASE, None)
        x, t = torch.zeros(1, 4, SIZE, SIZE), torch.ones(1)
        return chain.get_control(x, t, {}, 1, {"uuids": [marker]})

    begin(earlier)
    begin(later)
    run = chain._run
    del earlier
    gc.collect()
    assert chain._run is run is not None
    del later
    gc.collect()
    assert chain._run is None


def test_strength_range_hint_and_arguments_may_be_set_as_on_the_cores_nets() -> None:
    net: Any = Numbers()
    chain = chain_of(Control(net=net, hint=hints(2.0), span=Span(0.1, 0.9)))
    assert chain.timestep_percent_range == (0.1, 0.9)
    chain.strength = 0.5
    (first, *_) = asked(chain, 1)
    assert first.mean() == 1.0
    chain.timestep_percent_range = (0.9, 1.0)
    chain.pre_run(BASE, None)
    assert chain.get_control(torch.zeros(1, 4, 8, 8), torch.full((1,), 5.0), {}, 1, {}) is None
    copy = chain.copy().set_cond_hint(hints(4.0), 0.25, (0.0, 1.0))
    assert isinstance(copy, StackedControl)
    copy.set_extra_arg("control_type", [1])
    (first, *_) = asked(copy, 1)
    assert first.mean() == 1.0
    assert net.arguments == {}
    assert net.strength == 1.0
    chain.cond_hint = None


def test_what_is_written_into_the_pictures_in_place_counts() -> None:
    chain = chain_of(numbered(1.0, mask=MASK))
    chain.cond_hint_original[:, :3] = 3.0
    (first, *_) = asked(chain, 1)
    assert torch.equal(first[..., SIZE // 2 :], torch.full((1, 4, SIZE, SIZE // 2), 3.0))


class Encoder:
    """A model with ComfyUI's list of encoder blocks, of which it calls each."""

    def __init__(self) -> None:
        self.input_blocks = [None, None]

    def forward(self, control: Any, options: Any) -> None:
        for block, edge in enumerate((SIZE, SIZE // 2)):
            control["input"]
            for patch_ in options["patches"]["input_block_patch"]:
                patch_(torch.zeros(1, 4, edge, edge), {"block": ("input", block)})


def test_a_residual_that_does_not_fit_is_named_before_the_host_drops_it() -> None:
    base = Base()
    base.diffusion_model = Encoder()  # type: ignore[assignment]  # what is asked of one here
    fitting, wide = chain_of(numbered(1.0, name="pose")), chain_of(numbered(1.0, name="pose"))
    wide.control.net.edge = 5
    for chain in (fitting, wide):
        options: dict[str, Any] = {}
        chain.pre_run(base, None)
        given = chain.get_control(torch.zeros(1, 4, SIZE, SIZE), torch.ones(1), {}, 1, options)
        if chain is fitting:
            base.diffusion_model.forward(given, options)
            continue
        with pytest.raises(UserError, match=r"pose: .*output 0.*\(1, 4, 5, 5\)"):
            base.diffusion_model.forward(given, options)


def test_what_a_stack_on_prompts_cannot_do_is_refused() -> None:
    with pytest.raises(UserError, match=r"net 1: area_hint crop .*on the model"):
        apply_to_conditioning((control(area_hint="crop"),), POSITIVE)
    hooked: Any = SimpleNamespace(get_extra_hooks=lambda: ["a hook"])
    entry = [[POSITIVE[0][0], {"control": hooked}]]
    with pytest.raises(UserError, match=r"net 1: .* hooks of its own already"):
        apply_to_conditioning((control(),), entry)
    with pytest.raises(UserError, match=r"net 1: another patch puts pieces"):
        chain_of(control()).cond_hint = hint()
    with pytest.raises(UserError, match=r"net 1: .* one GPU"):
        chain_of(control()).deepclone_multigpu("cuda:1")


def test_a_model_that_never_looks_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    chain = chain_of(numbered(1.0, name="pose"))
    chain.pre_run(BASE, BASE.model_sampling.percent_to_sigma)
    with caplog.at_level(logging.WARNING):
        chain.get_control(torch.zeros(1, 4, SIZE, SIZE), torch.ones(1), {}, 1, {})
        chain.cleanup()
    assert "pose never reached the model" in caplog.text
    caplog.clear()
    asked(chain, 1)
    assert caplog.text == ""
