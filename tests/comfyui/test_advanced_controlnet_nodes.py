"""The embedded host's nodes of Advanced-ControlNet beside that pack's own, in one ComfyUI.

`ADVANCED_CONTROLNET_PATH` names the folder of its source; without it these tests are skipped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.headless.pack_nodes import PACK_NODES

from .small import base, hint, net, sample, words


@pytest.fixture(scope="module")
def theirs(comfy: ModuleType) -> Mapping[str, Any]:
    """That pack's node classes by id; not the whole pack, which changes ComfyUI's samplers."""
    named = os.environ.get("ADVANCED_CONTROLNET_PATH")
    if not named:
        pytest.skip("set ADVANCED_CONTROLNET_PATH to a ComfyUI-Advanced-ControlNet")
    sys.path.insert(0, str(Path(named).resolve()))
    found = {}
    for room in ("main", "weight", "keyframes", "deprecated"):
        for node in vars(import_module(f"adv_control.nodes_{room}")).values():
            if isinstance(node, type) and "define_schema" in vars(node):
                found[node.define_schema().node_id] = node
    return found


Run = Callable[..., Any]


def by_theirs(nodes: Mapping[str, Any]) -> Run:
    return lambda node, slot=0, **given: nodes[node].execute(**given).result[slot]


def by_ours(node: str, slot: int = 0, **given: Any) -> Any:
    return PACK_NODES[node]().run(**given)[slot]


def picture(seed: int, batch: int = 1) -> Tensor:
    return hint(seed, batch).movedim(1, -1)


STEPS = 5
"""Enough for keyframes that begin between two steps."""

CLOSE = 1e-4
"""Of the largest value: random models make what rounding leaves larger at every step."""


def applied(run: Run, *extra: Mapping[str, Any], batch: int = 1, single: bool = False) -> Tensor:
    """A sampled latent under one net for each of `extra`, which are further inputs."""
    prompts = [words(11), words(12)]
    for seed, more in enumerate(extra, start=5):
        node = "ACN_AdvancedControlNetApply_v2"
        range_ = {"strength": 0.8, "start_percent": 0.0, "end_percent": 1.0}
        given = {"control_net": net(seed), "image": picture(seed), **range_, **more}
        if single:
            node = "ACN_AdvancedControlNetApplySingle_v2"
            prompts[0] = run(node, conditioning=prompts[0], **given)
        else:
            both = {"positive": prompts[0], "negative": prompts[1]}
            prompts = [run(node, slot, **both, **given) for slot in (0, 1)]
    return sample(base(), *prompts, steps=STEPS, batch=batch)


def mask(count: int = 1) -> Tensor:
    made = torch.zeros(count, 48, 48)
    made[:, 8:30, :20] = torch.linspace(1, 0.2, 20)
    made[1:] = 1 - made[1:]
    return made


def soft(run: Run, base_multiplier: float, **more: Any) -> Any:
    return run("ACN_ScaledSoftControlNetWeights", base_multiplier=base_multiplier, **more)


def custom(run: Run, first: float, **more: Any) -> Any:
    weights = {f"output_{i}": first + 0.05 * i for i in range(12)}
    return run("ACN_CustomControlNetWeightsSD15", **weights, middle_0=0.7, **more)


def keyframes(run: Run, *given: Mapping[str, Any]) -> Any:
    made = None
    for one in given:
        made = run("TimestepKeyframe", prev_timestep_kf=made, **one)
    return made


def latents(run: Run, **strengths: float) -> Any:
    made = None
    for name, strength in strengths.items():
        given = {"batch_index": int(name[1:]), "strength": strength}
        made = run("LatentKeyframe", prev_latent_kf=made, **given)
    return made


CASES: dict[str, Callable[[Run], list[dict[str, Any]]]] = {
    "plain": lambda run: [{}, {"start_percent": 0.2, "end_percent": 0.6}],
    "masks": lambda run: [{"mask_optional": mask()}, {"mask_optional": mask()[0]}],
    "soft weights": lambda run: [{"weights_override": soft(run, 0.825)}],
    "other soft weights": lambda run: [{"weights_override": soft(run, 0.6)}],
    "one side": lambda run: [{"weights_override": soft(run, 0.9, uncond_multiplier=0.3)}],
    "no uncond": lambda run: [{"weights_override": custom(run, 0.3, uncond_multiplier=0.0)}],
    "listed": lambda run: [{"weights_override": custom(run, 0.2)}],
    "middle": lambda run: [
        {
            "weights_override": custom(
                run, 0.2, cn_extras=run("ACN_ExtrasMiddleMult", middle_mult=2.5)
            )
        }
    ],
    "middle alone": lambda run: [
        {
            "weights_override": run(
                "ACN_DefaultUniversalWeights",
                cn_extras=run("ACN_ExtrasMiddleMult", middle_mult=0.2),
            )
        }
    ],
    "before": lambda run: [
        {
            "weights_override": run(
                "CustomControlNetWeights",
                flip_weights=True,
                **{f"weight_{i:02}": 0.3 + 0.05 * i for i in range(13)},
            )
        }
    ],
    "shortcut": lambda run: [
        {"timestep_kf": run("ACN_ScaledSoftControlNetWeights", 1, base_multiplier=0.7)}
    ],
    "strengths": lambda run: [
        {
            "timestep_kf": keyframes(
                run,
                {"start_percent": 0.0, "strength": 0.3},
                {"start_percent": 0.4, "strength": 1.4},
                {"start_percent": 0.7, "strength": 0.0},
            )
        },
        {},
    ],
    "weights that change": lambda run: [
        {
            "timestep_kf": keyframes(
                run,
                {"start_percent": 0.0, "cn_weights": soft(run, 0.6)},
                {"start_percent": 0.3, "strength": 1.3},
                {"start_percent": 0.5, "cn_weights": custom(run, 0.4)},
                {"start_percent": 0.8, "inherit_missing": False},
            )
        }
    ],
    "steps for sure": lambda run: [
        {
            "timestep_kf": keyframes(
                run,
                *({"start_percent": 0.3 + 0.01 * i, "strength": 0.2 * i} for i in range(1, 5)),
                {"start_percent": 0.5, "strength": 1.5, "guarantee_steps": 3},
                {"start_percent": 0.52, "strength": 0.1, "guarantee_steps": 0},
            )
        }
    ],
    "on the way": lambda run: [
        {
            "timestep_kf": run(
                "ACN_TimestepKeyframeInterpolation",
                start_percent=0.1,
                end_percent=0.9,
                strength_start=1.5,
                strength_end=0.2,
                interpolation=way,
                intervals=20,
            )
        }
        for way in ("linear", "ease-in", "ease-out", "ease-in-out")
    ],
    "a list of strengths": lambda run: [
        {
            "timestep_kf": run(
                "ACN_TimestepKeyframeFromStrengthList",
                float_strengths=[0.1, 1.0, 0.5],
                start_percent=0.0,
                end_percent=1.0,
            )
        }
    ],
    "ranges and keyframes beyond the run": lambda run: [
        {
            "start_percent": -0.3,
            "end_percent": 1.4,
            "timestep_kf": keyframes(
                run,
                {"start_percent": -0.1, "strength": 0.2},
                {"start_percent": 0.4, "strength": 0.6},
                {"start_percent": 1.3, "strength": 2.0},
            ),
        },
        {"start_percent": 0.1, "end_percent": 1.2, "mask_optional": mask()},
    ],
    "a mask of a keyframe": lambda run: [
        {
            "mask_optional": mask(),
            "timestep_kf": keyframes(
                run, {"start_percent": 0.3, "mask_optional": mask()[:, :, ::2]}
            ),
        }
    ],
}


@pytest.mark.parametrize(
    ("case", "single"), [*((case, False) for case in CASES), ("plain", True), ("shortcut", True)]
)
def test_the_same_latent(case: str, single: bool, theirs: Mapping[str, Any]) -> None:
    runs = by_theirs(theirs), by_ours
    other, ours = (applied(run, *CASES[case](run), single=single) for run in runs)
    plain = applied(by_ours, *({} for _ in CASES[case](by_ours)), single=single)
    assert case == "plain" or (other - plain).abs().max() > 0.005 * other.abs().max()
    worst = float((other - ours).abs().max() / other.abs().max())
    print(f"{case}: {worst:.2g}")
    assert worst < CLOSE
    assert case != "plain" or torch.equal(other, ours)


BATCHES: dict[str, Callable[[Run], dict[str, Any]]] = {
    "latent keyframes": lambda run: {
        "latent_kf_override": latents(run, _0=0.5, _2=1.2),
    },
    "a text of them": lambda run: {
        "latent_kf_override": run("LatentKeyframeGroup", index_strengths="1=0.4, 2:4"),
    },
    "on the way": lambda run: {
        "latent_kf_override": run(
            "LatentKeyframeTiming",
            batch_index_from=0,
            batch_index_to_excl=4,
            strength_from=1.0,
            strength_to=0.1,
            interpolation="ease-out",
        ),
    },
    "in timestep keyframes": lambda run: {
        "timestep_kf": keyframes(
            run,
            {
                "start_percent": 0.0,
                "latent_keyframe": run("LatentKeyframeBatchedGroup", float_strengths=[0.2, 0.9]),
                "null_latent_kf_strength": 0.4,
            },
            {"start_percent": 0.4, "null_latent_kf_strength": 0.1},
            {"start_percent": 0.7, "inherit_missing": False, "strength": 0.5},
        )
    },
    "fewer hints than pictures": lambda run: {"image": picture(9, 3), "strength": 10.0},
    "fewer masks than pictures": lambda run: {"mask_optional": mask(2)},
}


@pytest.mark.parametrize("case", BATCHES)
def test_the_same_batch(case: str, theirs: Mapping[str, Any]) -> None:
    runs = by_theirs(theirs), by_ours
    other, ours = (applied(run, BATCHES[case](run), batch=4) for run in runs)
    plain = applied(by_ours, {}, batch=4)
    assert (other - plain).abs().max() > 3 * CLOSE * other.abs().max()
    worst = float((other - ours).abs().max() / other.abs().max())
    print(f"{case}: {worst:.2g}")
    assert worst < CLOSE
