"""Nets are the host's to load, offload and count, as they are on ComfyUI's own way."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

from controlstack.model_patch.patch import patch

from .small import Line, base, chained, control_lora, hint, net, sample, stack, words


@pytest.fixture
def manager(comfy: ModuleType) -> Iterator[ModuleType]:
    """ComfyUI's memory manager with nothing loaded."""
    import comfy.model_management as manager

    manager.unload_all_models()
    yield manager
    manager.unload_all_models()


def loaded(manager: ModuleType, module: torch.nn.Module) -> list[Any]:
    """The host's entries for `module`."""
    return [m for m in manager.current_loaded_models if m.model.model is module]


def declared(manager: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What every later call of `load_models_gpu` is asked for."""
    calls: list[dict[str, Any]] = []
    real = manager.load_models_gpu

    def load(models: Any, *args: Any, **kwargs: Any) -> Any:
        modules = {id(patcher.model) for patcher in models}
        calls.append({**kwargs, "modules": modules, "patchers": len(list(models))})
        return real(models, *args, **kwargs)

    monkeypatch.setattr(manager, "load_models_gpu", load)
    return calls


def test_nets_are_loaded_with_the_model(manager: ModuleType) -> None:
    model, first, second = base(), net(5), net(6)
    patched = patch(model, stack(Line(first, hint(1)), Line(second, hint(2))))
    sample(patched)
    for module in (model.model, first.control_model, second.control_model):
        assert len(loaded(manager, module)) == 1
    assert {p.model for p in patched.get_nested_additional_models()} == {
        first.control_model,
        second.control_model,
    }
    assert model.get_nested_additional_models() == []


def test_unloading_everything_takes_the_nets_along(manager: ModuleType) -> None:
    model, line = base(), Line(net(5), hint(1))
    patched = patch(model, stack(line))
    before = sample(patched)
    manager.unload_all_models()
    assert manager.current_loaded_models == []
    assert line.net.control_model_wrapped.loaded_size() == 0
    assert torch.equal(sample(patched), before)


def test_free_memory_spares_what_it_is_told_to_keep(manager: ModuleType) -> None:
    model, line = base(), Line(net(5), hint(1))
    patched = patch(model, stack(line))
    sample(patched)
    [kept] = loaded(manager, model.model)
    manager.free_memory(1e30, manager.get_torch_device(), keep_loaded=[kept])
    assert loaded(manager, model.model)
    assert not loaded(manager, line.net.control_model)


def same_net_twice(model: Any, shared: Any) -> Any:
    return patch(model, stack(Line(shared, hint(1)), Line(shared, hint(2))))


def two_patches_in_a_row(model: Any, shared: Any) -> Any:
    return patch(patch(model, stack(Line(shared, hint(1)))), stack(Line(shared, hint(2))))


def cloned_between(model: Any, shared: Any) -> Any:
    return patch(patch(model, stack(Line(shared, hint(1)))).clone(), stack(Line(shared, hint(2))))


@pytest.mark.parametrize("put_on", [same_net_twice, two_patches_in_a_row, cloned_between])
def test_a_net_that_is_used_twice_is_loaded_once(manager: ModuleType, put_on: Any) -> None:
    shared = net(5)
    patched = put_on(base(), shared)
    sample(patched)
    assert len(loaded(manager, shared.control_model)) == 1


def test_a_net_shared_with_the_cores_chain_is_loaded_once(manager: ModuleType) -> None:
    shared = net(5)
    patched = patch(base(), stack(Line(shared, hint(1))))
    sample(patched, *chained(words(11), words(12), Line(shared, hint(2))))
    assert len(loaded(manager, shared.control_model)) == 1


STACKS = {
    "one net": lambda: (Line(net(5), hint(1)),),
    "two nets": lambda: (Line(net(5), hint(1)), Line(net(6), hint(2))),
    "a ControlLoRA": lambda: (Line(control_lora(7), hint(1)),),
    "a net, and a ControlLoRA twice": lambda: (
        Line(net(5), hint(1)),
        *[Line(control_lora(7), hint(2))] * 2,
    ),
}


@pytest.mark.parametrize("lines", STACKS.values(), ids=STACKS.keys())
def test_declares_the_memory_that_the_cores_chain_declares(
    manager: ModuleType, monkeypatch: pytest.MonkeyPatch, lines: Any
) -> None:
    model, lines = base(), lines()
    core = sample(model, *chained(words(11), words(12), *lines))
    calls = declared(manager, monkeypatch)
    sample(model, *chained(words(11), words(12), *lines))
    ours = sample(patch(model, stack(*lines)))
    assert torch.equal(ours, core)
    theirs, own = calls
    for amount in ("memory_required", "minimum_memory_required"):
        assert own[amount] == theirs[amount]
    assert own["modules"] == theirs["modules"]


def test_a_control_that_never_acts_declares_and_loads_as_the_core_does(
    manager: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strength 0: the core's node leaves the conditioning alone, so nothing is loaded for it."""
    model, silent = base(), Line(control_lora(7), hint(1), strength=0.0)
    calls = declared(manager, monkeypatch)
    plain = sample(model, *chained(words(11), words(12), silent))
    assert torch.equal(sample(patch(model, stack(silent))), plain)
    theirs, own = calls
    assert own["memory_required"] == theirs["memory_required"]
    assert own["modules"] == theirs["modules"]


def test_a_patched_model_that_is_dropped_is_no_leak(
    manager: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    model, line = base(), Line(net(5), hint(1))
    sample(patch(model, stack(line)))
    gc.collect()
    with caplog.at_level(logging.INFO):
        manager.cleanup_models_gc()
        sample(patch(model, stack(line)))
    assert "leak" not in caplog.text
    assert len(loaded(manager, line.net.control_model)) == 1
