"""Attention over few keys: which processor computes, and that it computes the same."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

from controlstack.training import attention
from controlstack.training.attention import FewKeysPlain, few_keys_plain
from tests.training.small_runs import small_run, small_unet


def _said(processors: Any, called: list[str]) -> None:
    """`called` hears which of diffusers' processors computes."""
    for name in ("_plain", "_fused"):

        def heard(of: Any, by: str, *given: Any) -> Any:
            called.append(by)
            return of(*given)

        setattr(processors, name, partial(heard, getattr(processors, name), name))


@pytest.mark.parametrize(("keys", "by"), [(4, "_plain"), (9, "_plain"), (10, "_fused")])
def test_the_number_of_keys_decides(keys: int, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "FEW", 9)
    layer: Any = small_unet().down_blocks[0].attentions[0].transformer_blocks[0]
    processor, called = FewKeysPlain(), []  # type: tuple[FewKeysPlain, list[str]]
    _said(processor, called)
    tokens, words = torch.randn(2, keys, 8), torch.randn(2, keys, 8)
    own = processor(layer.attn1, tokens)
    across = processor(layer.attn2, torch.randn(2, 30, 8), words)
    assert called == [by, by]
    assert torch.allclose(own, AttnProcessor2_0()(layer.attn1, tokens), atol=1e-5)
    assert across.shape == (2, 30, 8)


def test_it_is_so_inside_the_block_alone_and_only_where_attention_was_fused() -> None:
    unet = small_unet()
    before = dict(unet.attn_processors)
    with few_keys_plain([unet, torch.nn.Linear(1, 1)], True):
        assert all(type(one) is FewKeysPlain for one in unet.attn_processors.values())
    assert unet.attn_processors == before
    with few_keys_plain([unet], False):
        assert unet.attn_processors == before
    unet.set_attn_processor(AttnProcessor())
    with few_keys_plain([unet], True):
        assert all(type(one) is AttnProcessor for one in unet.attn_processors.values())


@pytest.mark.parametrize(("precision", "used"), [("bf16", True), ("fp32", False)])
def test_a_training_in_halves_on_a_cpu_uses_it(
    precision: str, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []
    whole = FewKeysPlain.__call__

    def heard(self: FewKeysPlain, *given: Any, **more: Any) -> Any:
        called.append(1)
        return whole(self, *given, **more)

    monkeypatch.setattr(FewKeysPlain, "__call__", heard)
    unet = small_unet()
    trained = small_run(unet=unet, steps=1, precision=precision)
    assert bool(called) is used
    kept = trained.network.attn_processors.values()
    assert all(type(one) is AttnProcessor2_0 for one in kept)
