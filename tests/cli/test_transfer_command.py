"""`controlstack transfer`: weights by the formula, in either form, and what cannot be moved."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("name", ["moved.safetensors", "moved.SafeTensors"])
def test_a_single_file_in_half(
    run: Run, folder: Path, tuned: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # A single file does not tell the demo model's heads and norms, so that it is refused.
    arguments = (CANNY, "--from", BASE, "--to", tuned, "--half", "--out", f"new/{name}")
    refused = run("transfer", *arguments)
    assert refused.exit_code == 2
    assert "Name a folder with --out." in refused.stderr
    assert not (folder / "new").exists()
    monkeypatch.setattr("controlstack.training.ldm_layout.unread_by_comfyui", lambda network: None)
    result = run("transfer", *arguments)
    assert result.exit_code == 0, result.stderr
    file = load_file(folder / f"new/{name}")
    assert file["time_embed.0.weight"].dtype == torch.float16
    again = run("transfer", *arguments)
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_halves_that_cannot_hold_it_are_refused_and_nothing_is_written(
    run: Run, folder: Path, tuned: Path
) -> None:
    weights = {name: weight.float() for name, weight in load_file(tuned / WEIGHTS).items()}
    weights["conv_in.weight"][0, 0, 0, 0] = 7e4
    save_file(weights, tuned / WEIGHTS)
    arguments = ("transfer", CANNY, "--from", BASE, "--to", tuned, "--out", "moved")
    result = run(*arguments, "--half")
    assert result.exit_code == 2
    assert "conv_in.weight holds numbers beyond 65504, the most that float16 holds; write fp32" in (
        result.stderr
    )
    weights["conv_in.weight"][0, 0, 0, 0] = float("nan")
    save_file(weights, tuned / WEIGHTS)
    result = run(*arguments)
    assert result.exit_code == 2
    assert "conv_in.weight holds numbers that are not finite" in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["tuned"]


def test_where_it_goes_is_looked_at_first_and_taken_by_one_alone(
    run: Run, folder: Path, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("transfer", CANNY, "--from", BASE, "--to", tuned, "--out")
    for out in ("n" * 300, "tuned/unet/config.json/net", "n" * 250 + ".safetensors"):
        result = run("transfer", "none.pth", "--from", BASE, "--to", tuned, "--out", out)
        assert result.exit_code == 2
        said = "cannot be used: " if out.startswith("nnn") else "cannot be written: "
        assert said in result.stderr
    from controlstack.headless import transfer

    real = transfer.transferred

    def slow(*given: Any) -> Any:  # another process is faster
        for out in ("net", "net.safetensors"):
            (folder / out).mkdir(exist_ok=True)
            (folder / out / "mine").touch()
        return real(*given)

    monkeypatch.setattr(transfer, "transferred", slow)
    monkeypatch.setattr("controlstack.training.ldm_layout.unread_by_comfyui", lambda network: None)
    for out in ("net", "net.safetensors"):
        result = run(*arguments, out)
        assert result.exit_code == 2
        assert "is there already" in result.stderr
        assert [path.name for path in (folder / out).iterdir()] == ["mine"]
        shutil.rmtree(folder / "net", ignore_errors=True)
        if out == "net":
            shutil.rmtree(folder / "net.safetensors")


@pytest.mark.skipif(os.name == "nt", reason="a home is found by other variables")
def test_names_as_a_shell_would_read_them(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~` where no shell has followed it, and the demo's name where there is no such file."""
    monkeypatch.setenv("HOME", str(folder))
    (folder / "canny").symlink_to(CANNY)
    (folder / "base").symlink_to(BASE)
    bases = ("--from", "demo", "--to", "~/base")
    result = run("transfer", "~/canny", *bases, "--out", "~/moved")
    assert result.exit_code == 0, result.stderr
    moved, control = load_file(folder / "moved" / WEIGHTS), load_file(CANNY / WEIGHTS)
    for name, weight in moved.items():
        torch.testing.assert_close(weight, control[name].float(), msg=name)
    (folder / "demo").touch()  # a file of that name is what is meant
    assert run("transfer", CANNY, *bases, "--out", "again").exit_code == 2


@pytest.mark.skipif(os.name == "nt", reason="no devices in folders")
@pytest.mark.parametrize("flag", ["CONTROL", "--from", "--to"])
def test_a_device_is_said_to_be_one(run: Run, flag: str) -> None:
    given = {"CONTROL": CANNY, "--from": BASE, "--to": BASE, flag: "/dev/zero"}
    control, *bases = given.items()
    words = [word for pair in bases for word in pair]
    result = run("transfer", control[1], *words, "--out", "moved")
    assert result.exit_code == 2
    said = "Error: the model /dev/zero is no regular file, but a device; name a file"
    assert result.stderr.splitlines()[-1] == said


def test_what_cannot_be_moved(run: Run, folder: Path) -> None:
    for control, old in (("none.pth", BASE), (BASE / "vae", BASE), (CANNY, CANNY)):
        result = run("transfer", control, "--from", old, "--to", BASE, "--out", "moved")
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: ")
        assert "bug" not in result.stderr
    assert not (folder / "moved").exists()
