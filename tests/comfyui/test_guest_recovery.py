"""Whatever ended the last run, the next one is right, and nothing of ours stays behind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.model_patch.applied import KEY
from controlstack.model_patch.patch import patch

from .small import Line, base, control_lora, hint, net, sample, stack

STEPS = 4
FAILED = (RuntimeError, UserError)  # the reason may come inside a sentence that names the control


@dataclass
class Scene:
    """A MODEL, two nets on it, and what they gave when nothing had happened yet."""

    model: Any
    lines: tuple[Line, ...]
    plain: torch.Tensor = field(init=False)
    controlled: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.plain = sample(self.model, steps=STEPS)
        self.controlled = self.run()

    def run(self, **options: Any) -> torch.Tensor:
        return sample(patch(self.model, stack(*self.lines)), steps=STEPS, **options)

    def weights(self) -> list[str]:
        nets = [line.net.control_model for line in self.lines]
        return [digest(module) for module in (self.model.model, *nets)]


def digest(module: torch.nn.Module) -> str:
    """SHA-256 of every weight and buffer, names included."""
    sha = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        sha.update(name.encode())
        sha.update(value.contiguous().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def registered(model: Any) -> Any:
    """Everything a guest could have left on a MODEL."""
    hung = {
        kind: {key: list(found) for key, found in by_key.items() if found}
        for kinds in (model.wrappers, model.callbacks)
        for kind, by_key in kinds.items()
    }
    return hung, model.additional_models, model.model_options, model.patches, model.object_patches


@pytest.fixture
def scene(comfy: ModuleType) -> Scene:
    return Scene(base(), (Line(net(5), hint(1)), Line(net(6), hint(2), 0.7, 0.0, 0.8)))


Disturb = Callable[[Scene, pytest.MonkeyPatch], None]


def at_call(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, n: int, do: Any) -> None:
    """Let the `n`-th call of `owner.name` (0 the first) be `do(result)`."""
    real = getattr(owner, name)
    calls = iter(range(1000))

    def called(*args: Any, **kwargs: Any) -> Any:
        return do(real(*args, **kwargs)) if next(calls) == n else real(*args, **kwargs)

    monkeypatch.setattr(owner, name, called)


def throw(error: BaseException) -> Callable[[Any], Any]:
    def do(_: Any) -> Any:
        raise error

    return do


def net_fails(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    module = scene.lines[1].net.control_model
    at_call(monkeypatch, module, "forward", 2, throw(RuntimeError("the net failed")))
    with pytest.raises(FAILED, match="the net failed"):
        scene.run()


def net_fails_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    module = scene.lines[1].net.control_model
    at_call(monkeypatch, module, "forward", 0, throw(RuntimeError("the net failed")))
    with pytest.raises(FAILED, match="the net failed"):
        scene.run()


def unet_fails(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    unet = scene.model.model.diffusion_model
    at_call(monkeypatch, unet, "forward", 2, throw(RuntimeError("the U-Net failed")))
    with pytest.raises(RuntimeError, match="the U-Net failed"):
        scene.run()


def out_of_memory(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    module = scene.lines[0].net.control_model
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    at_call(monkeypatch, module, "forward", 1, throw(error))
    with pytest.raises(torch.OutOfMemoryError):
        scene.run()


def out_of_memory_is_the_hosts_to_see(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host frees memory on its own class of error, so that is what must come out."""
    import comfy.model_management

    module = scene.lines[0].net.control_model
    error = comfy.model_management.OOM_EXCEPTION("out of memory")
    at_call(monkeypatch, module, "forward", 1, throw(error))
    with pytest.raises(comfy.model_management.OOM_EXCEPTION):
        scene.run()


def poisoned(value: float) -> Callable[[Any], Any]:
    def do(control: Any) -> Any:
        control["output"][3][0, 0, 0, 0] = value
        return control

    return do


def residual_is_nan(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    module = scene.lines[1].net.control_model
    at_call(monkeypatch, module, "forward", 2, poisoned(float("nan")))
    with pytest.raises(UserError, match=r"control 2.*NaN or infinite"):
        scene.run()


def residual_is_infinite(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    module = scene.lines[0].net.control_model
    at_call(monkeypatch, module, "forward", 0, poisoned(float("inf")))
    with pytest.raises(UserError, match=r"control 1.*NaN or infinite"):
        scene.run()


def cancelled(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a click on Cancel: a flag from another thread, seen when the step's progress is told."""
    import comfy.model_management as manager

    def tell(step: int, *_: Any) -> None:
        manager.throw_exception_if_processing_interrupted()
        if step == 1:
            manager.interrupt_current_processing()

    with pytest.raises(manager.InterruptProcessingException):
        scene.run(callback=tell)


def killed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    module = scene.lines[0].net.control_model
    at_call(monkeypatch, module, "forward", 1, throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        scene.run()


def pre_run_fails(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(scene.lines[1].net)
    at_call(monkeypatch, kind, "pre_run", 1, throw(RuntimeError("no pre_run")))
    with pytest.raises(FAILED, match="no pre_run"):
        scene.run()


def loading_fails(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    import comfy.model_management as manager

    at_call(monkeypatch, manager, "load_models_gpu", 0, throw(RuntimeError("no room")))
    with pytest.raises(RuntimeError, match="no room"):
        scene.run()


def a_net_cannot_be_cleaned_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong first is what a user has to read, not what failed while cleaning up."""
    second = scene.lines[1].net.control_model
    at_call(monkeypatch, second, "forward", 2, throw(RuntimeError("the net failed")))
    kind = type(scene.lines[0].net)
    at_call(monkeypatch, kind, "cleanup", 0, throw(AttributeError("no such attribute")))
    with pytest.raises(FAILED, match="the net failed"):
        scene.run()


def another_model_in_between(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    other = base(seed=77)
    plain = sample(other, steps=STEPS)
    controlled = sample(patch(other, stack(*scene.lines)), steps=STEPS)
    assert not torch.equal(controlled, plain)
    assert not torch.equal(controlled, scene.controlled)


def another_size_in_between(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.run(batch=2, side=16)


DISTURBANCES: list[Disturb] = [
    net_fails,
    net_fails_at_once,
    unet_fails,
    out_of_memory,
    out_of_memory_is_the_hosts_to_see,
    residual_is_nan,
    residual_is_infinite,
    cancelled,
    killed,
    pre_run_fails,
    loading_fails,
    a_net_cannot_be_cleaned_up,
    another_model_in_between,
    another_size_in_between,
]


@pytest.mark.parametrize("disturb", DISTURBANCES, ids=lambda disturb: disturb.__name__)
@pytest.mark.parametrize("same_patch", [True, False], ids=["same patch", "patched anew"])
def test_next_run_is_right(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, disturb: Disturb, same_patch: bool
) -> None:
    weights, clean = scene.weights(), registered(scene.model.clone())
    if same_patch:  # the run that fails and the run that follows share one patched MODEL
        patched = patch(scene.model, stack(*scene.lines))
        scene.run = lambda **options: sample(patched, steps=STEPS, **options)
    with monkeypatch.context() as during:
        disturb(scene, during)
    assert torch.equal(scene.run(), scene.controlled)
    assert torch.equal(sample(scene.model, steps=STEPS), scene.plain)
    assert registered(scene.model) == clean
    assert KEY not in str(clean)
    assert scene.weights() == weights
    for line in scene.lines:
        assert line.net.cond_hint is None
        assert line.net.model_sampling_current is None
        assert line.net.previous_controlnet is None


def test_a_control_lora_that_cannot_be_built_says_its_own_reason(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its `cleanup` raises where `pre_run` did not get far; the reason must not be lost."""
    import comfy.cldm.cldm

    lines = (Line(control_lora(7), hint(1)),)
    whole = sample(patch(scene.model, stack(*lines)))
    with monkeypatch.context() as during:
        unbuilt = throw(RuntimeError("cannot be built"))
        during.setattr(comfy.cldm.cldm, "ControlNet", lambda **_: unbuilt(None))
        with pytest.raises(FAILED, match="cannot be built"):
            sample(patch(scene.model, stack(*lines)))
    assert torch.equal(sample(patch(scene.model, stack(*lines))), whole)
