"""ComfyUI's own TorchCompileModel with a stack: the picture's bits, and how much torch compiles.

The node has torch not look again at what stands in the options: what of ours was there in one call
must not be asked for in the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.model_patch.conditioning import apply_to_conditioning
from controlstack.model_patch.patch import patch
from tests.comfyui.small import (
    ONE_LEVEL,
    Line,
    base,
    chained,
    hint,
    net,
    sample,
    stack,
    words,
)

STACKS = {"two": (0.5, 0.7), "weaker": (0.3, 0.9), "one": (0.5,), "none": (), "again": (0.5, 0.7)}
TRACED = "controlstack_traced"


@pytest.fixture
def graphs(comfy: ModuleType) -> list[None]:
    """Has an entry for each graph that torch traced. A backend runs them as they are."""
    made: list[None] = []

    def counted(graph: torch.fx.GraphModule, _: Sequence[Tensor]) -> Callable[..., Any]:
        made.append(None)
        return graph.forward

    torch._dynamo.reset()
    torch._dynamo.register_backend(counted, name=TRACED)
    return made


def compiled(model: Any) -> Any:
    node = import_module("comfy_extras.nodes_torch_compile").TorchCompileModel
    return node.execute(model, TRACED).result[0]


def core(model: Any, lines: list[Line]) -> Tensor:
    return sample(compiled(model), *chained(*prompts(), *lines))


def before(model: Any, lines: list[Line]) -> Tensor:
    return sample(compiled(patch(model, stack(*lines))), *prompts())


def after(model: Any, lines: list[Line]) -> Tensor:
    return sample(patch(compiled(model), stack(*lines)), *prompts())


def on_prompts(model: Any, lines: list[Line]) -> Tensor:
    return sample(compiled(model), *apply_to_conditioning(stack(*lines), *prompts()))


def prompts() -> tuple[list[Any], list[Any]]:
    return words(11, ONE_LEVEL), words(12, ONE_LEVEL)


def test_a_stack_compiles_no_more_than_the_cores_chain(graphs: list[None]) -> None:
    """Any stack on one compiled model, one run after the other: the picture of the same stack on a
    model that is not compiled, and the graphs that the core's chain needs, no further ones."""
    model, nets = base(ONE_LEVEL), [net(5, ONE_LEVEL), net(6, ONE_LEVEL)]
    made = {}
    for way in (core, before, after, on_prompts):
        torch._dynamo.reset()
        graphs.clear()
        made[way] = list[int]()
        for name, strengths in STACKS.items():
            lines = [
                Line(one, hint(seed), strength)
                for seed, (one, strength) in enumerate(zip(nets, strengths, strict=False), 1)
            ]
            plain = sample(patch(model, stack(*lines)), *prompts())
            assert torch.equal(way(model, lines), plain), (way.__name__, name)
            made[way].append(len(graphs))
    torch._dynamo.reset()
    assert made[before] == made[after] == made[on_prompts] == made[core]
    assert made[core][0] > 0
    assert made[core][0] == made[core][2], "other strengths and fewer nets compile nothing anew"
