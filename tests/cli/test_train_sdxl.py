"""`controlstack train` on a small SDXL, from files to a picture that the trained network steers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controlstack.headless.models import loading
from controlstack.training.curve import read_curve
from controlstack.training.export import load_network
from tests.cli.prompts import Run
from tests.headless.models.sdxl_tiny import save_pipeline
from tests.training_files import fill50k

QUICK = (
    *("--base", "models/sdxl", "--data", "data", "--resolution", "64", "--condition", "canny"),
    *("--hint-channels", "4,4,8,8", "--batch", "2", "--warmup", "0", "--rate", "1e-3"),
    *("--log-every", "1", "--validation-steps", "1", "--validation-count", "1"),
    *("--validate-every", "2", "--out", "out", "--buckets", "--flip", "0.5", "--cache", "cache"),
)


@pytest.fixture
def folder(folder: Path) -> Path:
    """The working folder, with a base and pictures of two shapes."""
    save_pipeline(folder / "models/sdxl")
    fill50k(folder / "data", 12, 96, 64)
    return folder


def test_a_whole_run_and_a_picture(run: Run, folder: Path) -> None:
    result = run("train", *QUICK, "--steps", 2)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == ["out/controlnet"]
    assert "no single file will be written" in result.stderr  # not of SDXL's own widths
    more = run("train", "out/config.toml", "--steps", 4, "--resume")
    assert more.exit_code == 0, more.stderr

    points, validations = read_curve(folder / "out/curve.jsonl")
    assert [point.step for point in points] == [1, 2, 3, 4]
    assert [one.step for one in validations] == [0, 2, 4]
    assert all("gain" in one.figures for one in validations)
    network = load_network(folder / "out/controlnet")
    assert network.config.addition_embed_type == "text_time"
    assert any(weight.any() for weight in network.controlnet_mid_block.parameters())
    measured = run("gain", "out/controlnet", "--config", "out/config.toml")
    assert measured.exit_code == 0, measured.stderr

    base, net = folder / "models/sdxl", folder / "out/controlnet"
    (folder / "models/checkpoints").mkdir()
    (folder / "models/controlnet").mkdir()
    base.rename(folder / "models/checkpoints/sdxl")
    net.rename(folder / "models/controlnet/mine")
    assert loading.load_control_net(folder / "models/controlnet/mine") is not None
    (folder / "run.json").write_text(json.dumps(graph()))
    pictures = []
    for strength in (0.0, 8.0):
        settings = (f"6.strength={strength}", "--seed", 3, "--models", "models", "--input", "data")
        drawn = run("run", "run.json", "--set", *settings, "--out", f"s{strength:g}")
        assert drawn.exit_code == 0, drawn.stderr
        pictures.append((folder / drawn.stdout.strip()).read_bytes())
    assert pictures[0] != pictures[1]


def graph() -> dict[str, object]:
    """A picture of 64 x 64 pixels, steered by the trained network."""

    def node(kind: str, **inputs: object) -> dict[str, object]:
        return {"class_type": kind, "inputs": inputs}

    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="sdxl"),
        "2": node("CLIPTextEncode", clip=["1", 1], text="a picture"),
        "3": node("CLIPTextEncode", clip=["1", 1], text=""),
        "4": node("LoadImage", image="source/0.png"),
        "5": node("ControlNetLoader", control_net_name="mine"),
        "6": node(
            "ControlNetApplyAdvanced",
            **{"positive": ["2", 0], "negative": ["3", 0], "control_net": ["5", 0]},
            **{"image": ["4", 0], "strength": 1.0, "start_percent": 0.0, "end_percent": 1.0},
        ),
        "7": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "8": node(
            "KSampler",
            **{"model": ["1", 0], "positive": ["6", 0], "negative": ["6", 1]},
            **{"latent_image": ["7", 0], "seed": 1, "steps": 2, "cfg": 2.0, "denoise": 1.0},
            **{"sampler_name": "euler", "scheduler": "normal"},
        ),
        "9": node("VAEDecode", samples=["8", 0], vae=["1", 2]),
        "10": node("SaveImage", images=["9", 0], filename_prefix="drawn"),
    }
