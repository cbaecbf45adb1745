"""Attention as a step of training computes it on a CPU in half precision: fused attention gains
where there are many keys, and costs where there are few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

FEW = 256
"""Keys up to which plain attention is faster there, measured by `benchmarks.training_attention`."""


class FewKeysPlain:
    """An attention processor of diffusers: its plain one up to `FEW` keys, its fused one beyond."""

    def __init__(self) -> None:
        from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

        self._plain, self._fused = AttnProcessor(), AttnProcessor2_0()

    def __call__(
        self,
        attention: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        **more: Any,
    ) -> Tensor:
        """`hidden_states` (n, tokens, width), or (n, width, h, w); keys are of
        `encoder_hidden_states` (n, keys, width) where there are any."""
        shape = (hidden_states if encoder_hidden_states is None else encoder_hidden_states).shape
        keys = shape[1] if len(shape) == 3 else shape[2] * shape[3]
        processor = self._plain if keys <= FEW else self._fused
        result: Tensor = processor(attention, hidden_states, encoder_hidden_states, **more)
        return result


@contextmanager
def few_keys_plain(modules: Sequence[Any], wanted: bool) -> Iterator[None]:
    """Inside the block diffusers' `modules` attend by `FewKeysPlain`, if `wanted` and if they had
    fused attention."""
    from diffusers.models.attention_processor import AttnProcessor2_0

    changed = []
    for module in modules:
        before = getattr(module, "attn_processors", {})
        if wanted and before and all(type(one) is AttnProcessor2_0 for one in before.values()):
            changed.append((module, dict(before)))
            module.set_attn_processor(FewKeysPlain())
    try:
        yield
    finally:
        for module, processors in changed:
            module.set_attn_processor(processors)
