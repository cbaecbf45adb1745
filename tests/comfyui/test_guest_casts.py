"""However the host keeps and moves its weights, the stack gives what the core's chain gives."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from controlstack.model_patch.patch import patch

from .small import CPU, SD15, Line, base, chained, control_lora, hint, net, sample, stack, words

F32, F16, BF16, F8 = torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn
KEPT = {  # name: (kept in, computed in; None: as kept)
    "float32": (F32, None),
    "float16": (F16, None),
    "bfloat16": (BF16, None),
    "float16 cast to float32": (F16, F32),
    "bfloat16 cast to float32": (BF16, F32),
    "float8_e4m3fn cast to bfloat16": (F8, BF16),
    "float8_e4m3fn cast to float32": (F8, F32),
    "float8_e5m2 cast to float16": (torch.float8_e5m2, F16),
}
MIXED = [  # model, net
    ("float32", "float16 cast to float32"),
    ("float16", "float8_e4m3fn cast to bfloat16"),
    ("float8_e4m3fn cast to bfloat16", "float32"),
    ("bfloat16", "float16"),
    ("float16 cast to float32", "bfloat16"),
]


def require_equal_to_the_chain(model: Any, *lines: Line, batch: int = 1) -> torch.Tensor:
    """The stack is bit-equal to the core's chain, finite, and changes the picture."""
    ours = sample(patch(model, stack(*lines)), batch=batch)
    core = sample(model, *chained(words(11), words(12), *lines), batch=batch)
    assert torch.equal(ours, core)
    assert ours.isfinite().all()
    assert not torch.equal(ours, sample(model, batch=batch))
    return ours


PAIRS = [(kind, kind) for kind in KEPT] + MIXED


@pytest.mark.parametrize(("model_kept", "net_kept"), PAIRS, ids=map(" | ".join, PAIRS))
def test_equals_the_core_in_every_weight_type(
    comfy: ModuleType, model_kept: str, net_kept: str
) -> None:
    model, one = base(SD15, *KEPT[model_kept]), net(5, SD15, *KEPT[net_kept])
    assert one.control_model.dtype == KEPT[net_kept][0]
    lines = (Line(one, hint(1)), Line(net(6), hint(2), 0.7, 0.0, 0.6))
    require_equal_to_the_chain(model, *lines, batch=2)


@pytest.mark.parametrize("kept", KEPT.keys())
def test_a_control_lora_takes_on_the_models_weight_type(comfy: ModuleType, kept: str) -> None:
    require_equal_to_the_chain(base(SD15, *KEPT[kept]), Line(control_lora(7), hint(1)))


@pytest.mark.parametrize("kind", [F16, BF16, torch.float64], ids=str)
def test_a_hint_of_another_type_gives_what_the_core_gives(
    comfy: ModuleType, kind: torch.dtype
) -> None:
    require_equal_to_the_chain(base(), Line(net(5), hint(1).to(kind)))


def offloaded(module: torch.nn.Module) -> int:
    """How many layers get their weights anew at every call."""
    return sum(bool(getattr(layer, "comfy_cast_weights", False)) for layer in module.modules())


@pytest.fixture
def cramped(comfy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that finds room for a tenth of a megabyte of each model's weights."""
    import comfy.model_management as manager

    real = manager.LoadedModel.model_load
    manager.unload_all_models()

    def load(self: Any, lowvram_model_memory: float = 0, **kwargs: Any) -> Any:
        return real(self, 100_000, **kwargs)

    monkeypatch.setattr(manager.LoadedModel, "model_load", load)


@pytest.mark.usefixtures("cramped")
@pytest.mark.parametrize("kept", ["float32", "float16", "float8_e4m3fn cast to bfloat16"])
def test_equals_the_core_when_loaded_in_part(comfy: ModuleType, kept: str) -> None:
    model, one = base(SD15, *KEPT[kept]), net(5, SD15, *KEPT[kept])
    cramped = require_equal_to_the_chain(model, Line(one, hint(1)))
    for module in (model.model, one.control_model):
        assert module.model_lowvram
        assert offloaded(module) > 20
    import comfy.model_management as manager

    manager.unload_all_models()
    whole = sample(patch(base(SD15, *KEPT[kept]), stack(Line(net(5, SD15, *KEPT[kept]), hint(1)))))
    assert torch.equal(cramped, whole)


@pytest.mark.usefixtures("cramped")
def test_equals_the_core_when_a_patched_model_is_loaded_in_part(comfy: ModuleType) -> None:
    """A LoRA on the model is then computed layer by layer, while the nets run beside it."""
    layer = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    model = base().clone()
    weight = model.model.state_dict()[layer]
    assert model.add_patches({layer: (torch.full_like(weight, 0.01),)})
    changed = require_equal_to_the_chain(model, Line(net(5), hint(1)))
    assert not torch.equal(changed, sample(patch(base(), stack(Line(net(5), hint(1))))))


def test_a_net_may_be_offloaded_in_part_between_runs(comfy: ModuleType) -> None:
    model, line = base(), Line(net(5), hint(1))
    patched = patch(model, stack(line))
    before = sample(patched)
    freed = line.net.control_model_wrapped.partially_unload(CPU, 1_000_000)
    assert freed > 0
    assert offloaded(line.net.control_model) > 0
    assert torch.equal(sample(patched), before)


def test_equals_the_core_when_the_net_is_thrown_out_in_mid_run(comfy: ModuleType) -> None:
    """Another node may free the host's memory at any time; nets then compute where they lie."""
    import comfy.model_management as manager

    model, line = base(), Line(net(5), hint(1))
    patched = patch(model, stack(line))
    before = sample(patched)
    again = sample(patched, callback=lambda *_: manager.unload_all_models())
    assert torch.equal(again, before)
