"""`controlstack transfer`: weights by the formula, in either form, and what cannot be moved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from controlstack.demo.models import BASE, CONTROL_NETS
from tests.cli.prompts import Run

CANNY = CONTROL_NETS["canny"]
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def tuned(folder: Path) -> Path:
    """The demo's U-Net with every weight a little larger."""
    new = folder / "tuned" / "unet"
    new.mkdir(parents=True)
    (new / "config.json").write_bytes((BASE / "unet/config.json").read_bytes())
    weights = load_file(BASE / "unet" / WEIGHTS)
    save_file({name: weight * 1.5 for name, weight in weights.items()}, new / WEIGHTS)
    return new


def test_control_and_new_base_less_old_base(run: Run, folder: Path, tuned: Path) -> None:
    result = run("transfer", CANNY, "--from", BASE, "--to", tuned, "--out", "moved")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "moved\n"
    control, old = load_file(CANNY / WEIGHTS), load_file(BASE / "unet" / WEIGHTS)
    for name, weight in load_file(folder / "moved" / WEIGHTS).items():
        wanted = control[name].float()
        if name in old:
            wanted = wanted + 1.5 * old[name].float() - old[name].float()
        torch.testing.assert_close(weight, wanted, rtol=2e-3, atol=2e-3, msg=name)


def test_a_single_file_in_half(
    run: Run, folder: Path, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A single file does not tell the demo model's heads and norms, so that it is refused.
    arguments = (CANNY, "--from", BASE, "--to", tuned, "--half", "--out", "new/moved.safetensors")
    refused = run("transfer", *arguments)
    assert refused.exit_code == 2
    assert "Name a folder with --out." in refused.stderr
    assert not (folder / "new").exists()
    monkeypatch.setattr("controlstack.training.ldm_layout.unread_by_comfyui", lambda network: None)
    result = run("transfer", *arguments)
    assert result.exit_code == 0, result.stderr
    file = load_file(folder / "new/moved.safetensors")
    assert file["time_embed.0.weight"].dtype == torch.float16
    again = run("transfer", *arguments)
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_what_cannot_be_moved(run: Run, folder: Path) -> None:
    for control, old in (("none.pth", BASE), (BASE / "vae", BASE), (CANNY, CANNY)):
        result = run("transfer", control, "--from", old, "--to", BASE, "--out", "moved")
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: ")
        assert "bug" not in result.stderr
    assert not (folder / "moved").exists()
