"""`controlstack train --network control_lora`: from the command to pictures, and on from there."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from controlstack.demo.models import CONTROL_NETS
from controlstack.demo.training_folder import write_folder
from tests.cli.prompts import Run
from tests.cli.test_control_net import CANNY, pixels

QUICK = (
    *("--base", "demo", "--data", "data", "--resolution", "64", "--condition", "canny"),
    *("--hint-channels", "4,4,8,8", "--batch", "1", "--warmup", "0", "--log-every", "1"),
)
LORA = ("--network", "control_lora")


@pytest.fixture
def folder(folder: Path) -> Path:
    write_folder(folder / "data", 4, "canny")
    return folder


def test_what_comes_out_runs_and_can_be_trained_further(run: Run, folder: Path) -> None:
    fast = ("--rank", 4, "--rate", 0.03, "--new-rate", 0.1)
    result = run("train", *QUICK, *LORA, *fast, "--steps", 3, "--out", "out", "--name", "edges")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == ["out/edges", "out/edges.safetensors"]
    assert "Note: 122 layers are changed by factors of rank 4.\n" in result.stderr
    weights = load_file(folder / "out/edges.safetensors")
    assert weights["lora_controlnet"].numel() == 0
    assert weights["input_blocks.1.0.in_layers.2.down"].shape == (4, 32, 3, 3)

    drawn = {pixels(run, folder, CANNY, "--control-net", f"out/{one}") for one in ("edges",)}
    drawn |= {pixels(run, folder, CANNY, "--control-net", "out/edges.safetensors")}
    drawn |= {pixels(run, folder, CANNY, "--control-net", "out/checkpoints/step-00000003")}
    assert len(drawn) == 1
    fresh = run("train", *QUICK, *LORA, "--rate", 0, "--steps", 1, "--out", "fresh")
    assert fresh.exit_code == 0, fresh.stderr
    assert pixels(run, folder, CANNY, "--control-net", "fresh/controlnet") not in drawn

    measured = run("gain", "out/edges", "--base", "demo", "--data", "data", "--rows", 2)
    assert measured.exit_code == 0, measured.stderr
    more = run(
        "train",
        *QUICK,
        *LORA,
        "--rate",
        0,
        "--steps",
        1,
        "--start-from",
        "out/edges",
        "--out",
        "on",
    )
    assert more.exit_code == 0, more.stderr
    kept = load_file(folder / "on/controlnet.safetensors")
    assert kept.keys() == weights.keys()
    assert all(kept[name].equal(weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((*LORA, "--start-from", CONTROL_NETS["canny"]), "is of the kind controlnet, and the"),
        ((*LORA, "--rank", 0), "rank"),
        (("--rank", 8, "--steps", 1, "--warmup", 5), ""),
    ],
)
def test_what_does_not_fit_is_said(
    run: Run, folder: Path, given: tuple[object, ...], said: str
) -> None:
    result = run("train", *QUICK, *given, "--out", "out")
    if said:
        assert result.exit_code == 2
        assert said in result.stderr
        assert not (folder / "out").exists()
    else:
        assert "Note: only a control_lora has a rank; without effect: rank = 8.\n" in result.stderr


def test_a_single_file_to_start_from_is_refused(run: Run, folder: Path) -> None:
    made = run("train", *QUICK, *LORA, "--steps", 1, "--out", "out")
    assert made.exit_code == 0, made.stderr
    asked = (*QUICK, *LORA, "--steps", 1, "--out", "on")
    result = run("train", *asked, "--start-from", "out/controlnet.safetensors")
    assert result.exit_code == 2
    assert "is a Control-LoRA as a single file, which does not tell" in result.stderr
    asked = (*QUICK, "--steps", 1, "--out", "on")
    result = run("train", *asked, "--start-from", "out/controlnet")
    assert result.exit_code == 2
    assert "is of the kind control_lora, and the network's kind is controlnet" in result.stderr
