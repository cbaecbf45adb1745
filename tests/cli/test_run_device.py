"""`controlstack run --device --dtype`: the same picture elsewhere and in other numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.prompts import WORKFLOWS, Run
from tests.fake_cuda import fake_cuda

POSE = WORKFLOWS / "stack_pose_depth.json"
FEW = ("--demo", "--set", "KSampler.steps=2")


def _picture(printed: str) -> np.ndarray:
    (name,) = [line for line in printed.splitlines() if line.startswith("output/controlstack")]
    with Image.open(name) as picture:
        return np.asarray(picture.convert("RGB")).astype(float)


def _psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = float(((one - other) ** 2).mean())
    return 10 * np.log10(255**2 / error) if error else np.inf


@pytest.mark.slow
def test_a_run_on_another_device_and_in_halves(run: Run, folder: Path) -> None:
    here = run("run", POSE, *FEW)
    halves = run("run", POSE, *FEW, "--dtype", "fp16")
    brain = run("run", POSE, *FEW, "--dtype", "bf16")
    with fake_cuda():
        there = run("run", POSE, *FEW, "--device", "cuda", "--dtype", "fp32")
    results = (here, halves, brain, there)
    assert [result.exit_code for result in results] == [0, 0, 0, 0], there.output
    pictures = [_picture(result.stdout) for result in results]
    # Measured: 42.7, 25.3 (bfloat16 has three digits less) and 85.5 dB.
    assert _psnr(pictures[0], pictures[1]) > 35
    assert 20 < _psnr(pictures[0], pictures[2]) < 60
    assert _psnr(pictures[0], pictures[3]) > 60


def test_a_device_and_a_type_that_are_none(run: Run, folder: Path) -> None:
    result = run("run", POSE, "--demo", "--device", "tpu")
    assert result.exit_code == 2
    assert "--device tpu is no device" in result.output
    result = run("run", POSE, "--demo", "--dtype", "fp8")
    assert result.exit_code == 2
    assert "fp8" in result.output
