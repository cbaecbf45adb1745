"""What is converted makes the same picture, to the bit, on the embedded host."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.conversion.convert import To, convert
from tests import cells, two_hosts
from tests.two_hosts import embedded, graph_of

Latent = Callable[[cells.Prompt], Tensor]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Latent:
    """What a prompt makes in two steps; each is run once."""
    run = embedded(two_hosts.write_files(tmp_path_factory.mktemp("converted")))
    made: dict[str, Tensor] = {}

    def latent(prompt: cells.Prompt) -> Tensor:
        prompt["sampler"]["inputs"]["steps"] = 2
        key = json.dumps(prompt)
        if key not in made:
            made[key] = run(graph_of(prompt)).latent
        return made[key]

    return latent


def kept(ours: Latent, before: cells.Prompt, to: To = "stack") -> cells.Prompt:
    """`before` converted; it makes the same."""
    converted = convert(copy.deepcopy(before), to)
    after: Any = converted.document
    assert converted.done
    assert converted.left == ()
    assert torch.equal(ours(after), ours(before))
    return after  # type: ignore[no-any-return]


def types(prompt: cells.Prompt) -> list[str]:
    return [one["class_type"] for one in prompt.values()]


def test_the_core_s_chain(ours: Latent) -> None:
    core = cells.prompt(2, core=True)
    rows = kept(ours, core)
    assert types(rows).count("ControlStackRows") == 1
    assert not {"ControlNetApplyAdvanced", "ControlNetLoader"} & set(types(rows))
    assert types(kept(ours, rows, "core")).count("ControlNetApplyAdvanced") == 2
    assert types(kept(ours, rows, "nodes")).count("ControlStackAdd") == 2
    plain = cells.prompt(0)
    assert not torch.equal(ours(rows), ours(plain))


def test_the_core_s_old_chain(ours: Latent) -> None:
    core = cells.prompt(2, core=True)
    for index in range(2):
        inputs = core[f"apply{index}"]["inputs"]
        taken = ("control_net", "image", "strength")
        core[f"apply{index}"] = cells.node(
            "ControlNetApply",
            conditioning=inputs["positive"],
            **{name: inputs[name] for name in taken},
        )
    core["sampler"]["inputs"]["negative"] = ["negative", 0]
    rows = kept(ours, core)
    assert rows["sampler"]["inputs"]["negative"][1] == 3


def test_add_control_and_its_factors(ours: Latent) -> None:
    added = cells.prompt(2)
    added["steps"] = cells.node("ControlStackSteps", first=1, last=5)
    added["curve"] = cells.node(
        "ControlStackCurve",
        preset="points",
        points="0:1.1, 0.3:0.7, 1:0.3",
        between="smooth",
        over="percent",
        factor=["steps", 0],
    )
    added["sides"] = cells.node("ControlStackSides", cond=0.7, uncond=1.3, factor=["curve", 0])
    added["blocks"] = cells.node(
        "ControlStackBlocks", rule="weights", weights="first half:0.3", factor=["sides", 0]
    )
    added["add0"]["inputs"] |= {"factor": ["blocks", 0], "mode": "prompt is more important"}
    rows = kept(ours, added)
    assert "ControlStackApply" not in types(rows)
    kept(ours, rows, "nodes")
