"""The whole recipe, in miniature, from seeds to a folder that loads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from controlstack.cli.demo_model import print_progress  # which other processes can import
from controlstack.demo.build import RECIPE, Recipe, build
from controlstack.demo.build_control import KINDS
from controlstack.evaluation.joint_reader import load_reader


def small(stage: Any) -> Any:
    """The stage with two pictures a step."""
    return replace(stage, training=replace(stage.training, batch=2))


def miniature() -> Recipe:
    """The recipe with few scenes, steps and pictures, and all else as it is."""
    few = RECIPE.shorter(0)
    controls = {kind: small(control) for kind, control in few.controls.items()}
    return Recipe(few.scenes, small(few.base), small(few.decoder), small(few.reader), controls)


def test_a_shorter_recipe_is_shorter_everywhere() -> None:
    tenth = RECIPE.shorter(0.1)
    assert (tenth.scenes, tenth.base.training.steps) == (
        RECIPE.scenes // 10,
        RECIPE.base.training.steps // 10,
    )
    assert tenth.base.training.rate == RECIPE.base.training.rate
    assert {c.training.steps for c in RECIPE.shorter(0).controls.values()} == {2}


def test_everything_is_made_again_and_finished_stages_are_kept(tmp_path: Path) -> None:
    from diffusers import ControlNetModel, StableDiffusionPipeline

    out, work = tmp_path / "out", tmp_path / "work"
    build(out, work, print_progress, miniature(), cores=1)
    pipeline = StableDiffusionPipeline.from_pretrained(out / "base", local_files_only=True)
    assert pipeline.unet.dtype == torch.float32
    for kind in KINDS:
        assert ControlNetModel.from_pretrained(out / f"controlnet-{kind}", local_files_only=True)
    load_reader(out / "joint-reader.safetensors")
    for stage in ("base", "decoder", "reader", *KINDS):
        points = [json.loads(line) for line in (work / f"{stage}-curve.jsonl").open()]
        assert {"step", "loss", "elapsed"} <= points[-1].keys()
    before = (work / "base.safetensors").stat().st_mtime_ns
    build(out, work, print_progress, miniature(), cores=1)
    assert (work / "base.safetensors").stat().st_mtime_ns == before
