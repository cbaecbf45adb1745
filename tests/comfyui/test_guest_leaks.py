"""What one run needed is gone after it: counted in objects, which no other process disturbs."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

from controlstack.model_patch.patch import patch

from .small import Line, base, control_lora, hint, net, sample, stack


@pytest.fixture
def made(comfy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[Any]]]:
    """Weak references to every copy of a net that ran, its prepared hint, and its residuals."""
    from comfy.controlnet import ControlNet

    refs: list[weakref.ref[Any]] = []
    real = ControlNet.get_control

    def get_control(self: Any, *args: Any, **kwargs: Any) -> Any:
        control = real(self, *args, **kwargs)
        tensors = [r for side in control.values() for r in side if r is not None]
        refs.extend(weakref.ref(thing) for thing in (self, self.cond_hint, *tensors))
        return control

    monkeypatch.setattr(ControlNet, "get_control", get_control)
    yield refs
    gc.collect()


def alive(refs: list[weakref.ref[Any]]) -> list[type]:
    gc.collect()
    return [type(ref()) for ref in refs if ref() is not None]


def lines() -> tuple[Line, ...]:
    return Line(net(5), hint(1)), Line(net(6), hint(2), 0.7), Line(control_lora(7), hint(3))


def test_a_run_leaves_nothing_while_its_model_lives(made: list[weakref.ref[Any]]) -> None:
    patched = patch(base(), stack(*lines()))
    sample(patched)
    assert made
    assert alive(made) == []


def test_a_failed_run_leaves_nothing(
    made: list[weakref.ref[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = base()
    patched = patch(model, stack(*lines()))

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the U-Net failed")

    monkeypatch.setattr(model.model.diffusion_model.out, "forward", fail)  # after the nets
    with pytest.raises(RuntimeError) as caught:
        sample(patched)
    del caught  # its traceback holds the frames, and they hold the run
    assert made
    assert alive(made) == []


def test_a_patched_model_can_be_forgotten(comfy: ModuleType) -> None:
    model, controls = base(), stack(*lines())
    patched = patch(model, controls)
    sample(patched)
    gone = [weakref.ref(patched), *[weakref.ref(control.hint) for control in controls]]
    gone += [weakref.ref(control) for control in controls]
    del patched, controls
    assert alive(gone) == []


def test_nets_can_be_forgotten(comfy: ModuleType) -> None:
    """The host drops them from its list of loaded models once no node's output holds them."""
    import comfy.model_management as manager

    model, line = base(), Line(net(5), hint(1))
    patched = patch(model, stack(line))
    sample(patched)
    module = weakref.ref(line.net.control_model)
    del patched, line
    gc.collect()
    manager.cleanup_models()
    assert alive([module]) == []


def tensors() -> int:
    gc.collect()
    # By type: `isinstance` asks each object for its class, and some answer by importing themselves.
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def test_live_tensors_do_not_grow_from_run_to_run(comfy: ModuleType) -> None:
    model, nets = base(), (net(5), net(6), control_lora(7))
    counts = []
    for run in range(10):  # patched anew, hints new
        controls = [Line(one, hint(10 * run + i)) for i, one in enumerate(nets)]
        sample(patch(model, stack(*controls)), steps=2, seed=run)
        del controls
        counts.append(tensors())
    assert len(set(counts[2:])) == 1, counts
