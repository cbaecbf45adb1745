"""Graphs that nobody would build on purpose, and everybody ends up with."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.model_patch.applied import KEY
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch

from .small import SIDE, Line, base, chained, control_lora, hint, net, sample, stack, words


def core(model: Any, *lines: Line, **options: Any) -> Tensor:
    return sample(model, *chained(words(11), words(12), *lines), **options)


def test_a_patched_model_may_be_patched_and_cloned_again(comfy: ModuleType) -> None:
    model, lines = base(), (Line(net(5), hint(1)), Line(net(6), hint(2), 0.7, 0.0, 0.6))
    first = patch(model, stack(lines[0]))
    both = patch(first.clone(), stack(lines[1])).clone().clone()
    assert torch.equal(sample(both), core(model, *lines))
    assert torch.equal(sample(first), core(model, lines[0]))
    assert torch.equal(sample(both), core(model, *lines))


def test_removing_our_key_takes_the_stack_off(comfy: ModuleType) -> None:
    model = base()
    patched = patch(model, stack(Line(net(5), hint(1))))
    for kind in list(patched.wrappers):
        patched.remove_wrappers_with_key(kind, KEY)
    assert torch.equal(sample(patched), sample(model))


def test_a_deep_copy_of_a_patched_model_samples_alike(comfy: ModuleType) -> None:
    model, line = base(), Line(net(5), hint(1))
    try:
        copy.deepcopy(model)
    except TypeError:
        pytest.skip("this ComfyUI cannot copy a MODEL, patched or not")
    patched = patch(model, stack(line))
    before = sample(patched)
    assert torch.equal(sample(copy.deepcopy(patched)), before)
    assert torch.equal(sample(patched), before)


def test_a_model_merged_after_the_stack_keeps_it(comfy: ModuleType) -> None:
    from comfy_extras.nodes_model_merging import ModelMergeSimple

    model, other = base(), base(seed=77)
    lines = (Line(net(5), hint(1)), Line(control_lora(7), hint(2)))
    [merged] = ModelMergeSimple().merge(model, other, 0.5)
    [controlled] = ModelMergeSimple().merge(patch(model, stack(*lines)), other, 0.5)
    assert torch.equal(sample(controlled), core(merged, *lines))
    assert torch.equal(sample(model), sample(base()))


@pytest.mark.parametrize("same", [True, False], ids=["the same patched model", "another one"])
def test_sampling_inside_of_sampling(comfy: ModuleType, same: bool) -> None:
    """A preview, an upscaler or an agent node samples in a callback of the sampler. ComfyUI itself
    cannot do that on one set of weights, so the inner run is on weights of its own."""
    outer, inner, line = base(), base(seed=77), Line(net(5), hint(1))
    controls = stack(line)
    on_outer, on_inner = patch(outer, controls), patch(inner, controls)
    if same:  # one patched MODEL's wrappers, at work twice at a time
        on_inner = on_outer.clone()
        on_inner.model = inner.model
    alone = sample(on_outer), core(inner, line)
    inside: list[Tensor] = []
    during = sample(on_outer, callback=lambda *_: inside.append(sample(on_inner)))
    assert torch.equal(during, alone[0])
    assert len(inside) == 3
    assert all(torch.equal(result, alone[1]) for result in inside)


def test_models_that_share_a_stack_sample_in_two_threads(
    comfy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ComfyUI draws the noise from torch's one generator: seeded in one thread, read in the other.
    noise = comfy.sample.prepare_noise(torch.zeros(1, 4, SIDE, SIDE), 3)
    monkeypatch.setattr(comfy.sample, "prepare_noise", lambda *_: noise)
    models = base(), base(seed=77)
    controls = stack(Line(net(5), hint(1)), Line(net(6), hint(2), 0.7))
    patched = [patch(model, controls) for model in models]
    alone = [sample(model, steps=6) for model in patched]
    results: dict[int, Tensor] = {}
    meet = threading.Barrier(2)

    def work(index: int) -> None:
        meet.wait()
        results[index] = sample(patched[index], steps=6)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(results[0], alone[0])
    assert torch.equal(results[1], alone[1])


def raises(*_: Any, **__: Any) -> Any:
    raise RuntimeError("another pack failed")


@pytest.mark.parametrize("kind", ["outer_sample", "prepare_sampling", "sampler_sample",
                                  "predict_noise", "calc_cond_batch", "apply_model",
                                  "diffusion_model"])  # fmt: skip
@pytest.mark.parametrize("order", ["before ours", "after ours"])
def test_another_packs_wrapper_that_fails(comfy: ModuleType, kind: str, order: str) -> None:
    model, controls = base(), stack(Line(net(5), hint(1)))
    right = sample(patch(model, controls))
    other = (model if order == "before ours" else patch(model, controls)).clone()
    other.add_wrapper_with_key(kind, "another pack", raises)
    failing = patch(other, controls) if order == "before ours" else other
    with pytest.raises(RuntimeError, match="another pack failed"):
        sample(failing)
    failing.remove_wrappers_with_key(kind, "another pack")
    assert torch.equal(sample(failing), right)


def test_a_callback_that_fails_at_cleanup(comfy: ModuleType) -> None:
    model, controls = base(), stack(Line(net(5), hint(1)))
    right = sample(patch(model, controls))
    failing = patch(model, controls)
    failing.add_callback_with_key("on_cleanup", "another pack", raises)
    with pytest.raises(RuntimeError, match="another pack failed"):
        sample(failing)
    failing.remove_callbacks_with_key("on_cleanup", "another pack")
    assert torch.equal(sample(failing), right)


@pytest.mark.parametrize(("hints", "batch"), [(5, 2), (2, 2), (2, 5), (3, 1)])
def test_other_counts_of_hints_than_pictures(comfy: ModuleType, hints: int, batch: int) -> None:
    model, line = base(), Line(net(5), hint(1, hints))
    ours = sample(patch(model, stack(line)), batch=batch)
    assert torch.equal(ours, core(model, line, batch=batch))


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host finds memory for one conditioning at a time."""
    import comfy.model_base

    monkeypatch.setattr(
        comfy.model_base.BaseModel, "memory_required", lambda *_, **__: 1e30, raising=True
    )


@pytest.mark.parametrize(("masks", "batch"), [(1, 2), (2, 2), (2, 3), (3, 2), (5, 1)])
@pytest.mark.parametrize("mode", ["balanced", "cfg_rw"])
def test_a_mask_is_the_same_for_prompt_and_negative(
    comfy: ModuleType, monkeypatch: pytest.MonkeyPatch, masks: int, batch: int, mode: Any
) -> None:
    """However the host joins its conditionings: mask i is picture i's."""
    mask = (hint(9, masks, 8, 8)[:, 0] > 0.5).float()
    control = Control(net(5), hint(1), mask=mask, mode=mode)
    patched = patch(base(), (control,))
    together = sample(patched, batch=batch)
    with monkeypatch.context() as during:
        one_by_one(during)
        apart = sample(patched, batch=batch)
    # Values reach 200; other batch sizes round differently, another mask is tens away.
    torch.testing.assert_close(apart, together, rtol=0, atol=0.1)
    assert not torch.equal(together, sample(base(), batch=batch))


Change = Callable[[Tensor], Tensor]
NON_CONTIGUOUS: dict[str, Change] = {
    "a view of a larger tensor": lambda h: torch.cat([h, h], dim=-1)[..., : h.shape[-1]],
    "channels last": lambda h: h.contiguous(memory_format=torch.channels_last),
    "expanded": lambda h: h[:, :1].expand(-1, 3, -1, -1),
}


@pytest.mark.parametrize("change", NON_CONTIGUOUS.values(), ids=NON_CONTIGUOUS.keys())
def test_hints_in_other_memory_layouts(comfy: ModuleType, change: Change) -> None:
    model, line = base(), Line(net(5), change(hint(1)))
    assert torch.equal(sample(patch(model, stack(line))), core(model, line))


def test_a_hint_is_never_written_to(comfy: ModuleType) -> None:
    model, picture = base(), hint(1, height=64, width=64)  # of the size that the net needs
    kept = picture.clone()
    mask = torch.ones(1, 8, 8) / 2
    sample(patch(model, (Control(net(5), picture, mask=mask),)))
    assert torch.equal(picture, kept)
    assert mask.eq(0.5).all()


def test_a_net_that_reuses_its_buffers(comfy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Residuals that a net hands out twice must not have been added to in between."""
    from comfy.controlnet import ControlNet

    model, one = base(), net(5)
    cache: list[Any] = []
    real = ControlNet.get_control

    def cached(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not cache:
            cache.append(real(self, *args, **kwargs))
        return cache[0]

    with monkeypatch.context() as during:
        during.setattr(ControlNet, "get_control", cached)
        patched = patch(model, stack(Line(one, hint(1)), Line(one, hint(1))))
        sample(patched)
        first = [r.clone() for r in cache[0]["output"]]
        assert torch.equal(sample(patched), sample(patched))
        assert all(map(torch.equal, first, cache[0]["output"]))
