"""`controlstack train` from settings to files, on the demo model and a few of its scenes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from controlstack.cli.train_run import TrainRequest, carry_out
from controlstack.cli.train_use import how_to_use
from controlstack.demo.models import CONTROL_NETS
from controlstack.demo.training_folder import write_folder
from controlstack.ground.errors import UserError
from controlstack.ground.lock import working_in
from controlstack.preprocessors.spec import Weights
from controlstack.training.config import read_config, run_settings
from controlstack.training.export import load_network
from controlstack.training.settings import RunSettings
from controlstack.training.trainable import weights_hash
from tests.cli.prompts import Run
from tests.tiny_depth import tiny_dpt

QUICK = (
    *("--base", "demo", "--data", "data", "--resolution", "64", "--condition", "canny"),
    *("--hint-channels", "4,4,8,8", "--batch", "1", "--warmup", "0", "--rate", "1e-3"),
    *("--log-every", "1", "--validation-steps", "1", "--validation-count", "1"),
)
COMMAND = (sys.executable, "-m", "controlstack.cli", "train")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "data"
    write_folder(out, 12, "canny")
    return out


@pytest.fixture
def folder(folder: Path, scenes: Path) -> Path:
    """The working folder, with data in it."""
    (folder / "data").symlink_to(scenes)
    return folder


def test_a_whole_run(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The demo model's shape is not one that a single file can be read without knowing it.
    monkeypatch.setattr("controlstack.training.ldm_layout.unread_by_comfyui", lambda network: None)
    (folder / "run.toml").write_text("[training]\nsteps = 5\nvalidate_every = 2\n")
    more = ("--resolution", 128, "--steps", 2, "--out", "out", "--name", "edges")
    result = run("train", "run.toml", *QUICK, *more)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == ["out/edges", "out/edges.safetensors"]
    assert "without effect" not in result.stderr
    assert "Note: 1 of the rows are held out, to validate on.\n" in result.stderr
    assert "step 2/2: loss 0.0" in result.stderr
    assert "edge F1 without control" in result.stderr

    sheets = sorted(path.name for path in (folder / "out/sheets").iterdir())
    assert sheets == ["step-00000000.png", "step-00000002.png"]
    with Image.open(folder / "out/sheets/step-00000002.png") as sheet:
        assert sheet.width > 4 * 256
    with Image.open(folder / "out/curve.png") as curve:
        assert curve.format == "PNG"
    lines = [json.loads(line) for line in (folder / "out/curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    assert [line["step"] for line in lines if "figures" in line] == [0, 2]

    again = run_settings(read_config(folder / "out/config.toml"))
    assert again.training.steps == 2  # the flag won
    assert again.training.validate_every == 2
    assert (again.base.path, again.network.hint_channels) == ("demo", "4,4,8,8")

    network = load_network(folder / "out/edges")
    file = load_file(folder / "out/edges.safetensors")
    assert file["input_hint_block.0.weight"].shape == (4, 3, 3, 3)
    assert torch.equal(
        file["time_embed.0.weight"], network.state_dict()["time_embedding.linear_1.weight"]
    )


def test_a_condition_by_another_pack_s_name(run: Run, folder: Path) -> None:
    asked = ("--condition", "CannyEdgePreprocessor", "--set", "low_threshold=50", "--dry-run")
    result = run("train", *QUICK, *asked)
    assert result.exit_code == 0, result.stderr
    told = result.stdout + result.stderr
    assert told.count("CannyEdgePreprocessor is canny here") == 1
    assert "hints: given, canny" in told
    whole = run("train", *QUICK, *asked[:-1], "--steps", 1, "--validate-every", 0, "--out", "out")
    assert whole.exit_code == 0, whole.stderr
    assert whole.stderr.count("CannyEdgePreprocessor is canny here") == 1
    wrong = run("train", *QUICK, "--condition", "depth_leres", "--dry-run")
    assert wrong.exit_code == 2
    assert "condition: depth_leres has no equal here: its network is another" in wrong.stderr


def test_a_folder_with_something_in_it_is_left_alone(run: Run, folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out/mine.txt").write_text("mine")
    result = run("train", *QUICK, "--steps", 1, "--out", "out")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: out holds something already: name another folder, or resume the run in it.\n"
    )
    assert [path.name for path in (folder / "out").iterdir()] == ["mine.txt"]


def test_a_result_without_checkpoints_is_not_resumed_over(run: Run, folder: Path) -> None:
    (folder / "out/controlnet").mkdir(parents=True)
    for name in ("config.toml", "curve.jsonl", "controlnet/config.json"):
        (folder / "out" / name).write_text("mine")
    result = run("train", *QUICK, "--base", "nowhere", "--steps", 1, "--out", "out", "--resume")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: out has no checkpoint left, but a result, or what is not of a run that ended "
        "before its first one: config.toml, controlnet, curve.jsonl; begin without resume, in "
        "another folder\n"
    )
    files = [path for path in (folder / "out").rglob("*") if path.is_file()]
    assert [path.read_text() for path in files] == ["mine"] * 3


def test_a_run_goes_on(run: Run, folder: Path) -> None:
    assert run("train", *QUICK, "--steps", 1, "--out", "out").exit_code == 0
    result = run("train", "out/config.toml", "--steps", 2, "--resume")
    assert result.exit_code == 0, result.stderr
    assert "step 1/" not in result.stderr
    assert "step 2/2" in result.stderr
    assert run("train", *QUICK, "--steps", 2, "--out", "whole").exit_code == 0
    resumed, whole = (load_network(folder / name / "controlnet") for name in ("out", "whole"))
    assert weights_hash(resumed) == weights_hash(whole)

    other = run("train", "out/config.toml", "--steps", 3, "--resume", "--flip", 0.5)
    assert other.exit_code == 2
    assert "data.flip: 0.0 -> 0.5" in other.stderr
    assert run_settings(read_config(folder / "out/config.toml")).data.flip == 0


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_goes_on(
    run: Run, folder: Path
) -> None:
    short = (*QUICK, "--save-every", 1)
    assert run("train", *short, "--steps", 2, "--out", "out").exit_code == 0
    (folder / "out/checkpoints/step-00000002/state.pt").write_bytes(b"")
    result = run("train", "out/config.toml", "--resume")
    assert result.exit_code == 0, result.stderr
    assert "Note: out/checkpoints/step-00000002/state.pt is damaged: " in result.stderr
    assert "; the training goes on from out/checkpoints/step-00000001.\n" in result.stderr
    for step in (1, 2):
        (folder / f"out/checkpoints/step-0000000{step}/settings.json").unlink()
    result = run("train", "out/config.toml", "--resume")
    assert result.exit_code == 2
    assert "settings.json is damaged: " in result.stderr
    assert "No checkpoint in out/checkpoints is whole: put that file back" in result.stderr


@pytest.mark.parametrize("more", [(), ("--resume",)])
def test_a_folder_in_which_another_process_trains(
    run: Run, folder: Path, more: tuple[str, ...]
) -> None:
    with working_in(folder / "out", "training"):
        result = run("train", *QUICK, "--base", "nowhere", "--out", "out", *more)
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: another process is training in out; wait until it has ended, or name another "
        "folder\n"
    )


def test_how_to_use_what_came_out_is_a_line_to_paste(run: Run, folder: Path) -> None:
    result = run("train", *QUICK, "--steps", 1, "--out", "out", "--name", "my edges")
    assert result.exit_code == 0, result.stderr
    said, line = result.stderr.splitlines()[-2:]
    assert said == "Note: to use it, paste the line below."
    command, *words = shlex.split(line)
    assert command == "controlstack"
    assert words[1].endswith("workflows/canny.json")
    assert words[2:] == ["--demo", "--control-net", "out/my edges"]
    drawn = run(*words, "--set", "KSampler.steps=1", "--out", "pictures")
    assert drawn.exit_code == 0, drawn.stderr
    assert "my edges" not in drawn.stderr  # nothing stands in for it
    (picture,) = drawn.stdout.splitlines()
    assert Image.open(folder / picture).size == (128, 128)
    again, nothing = how_to_use(RunSettings(), [folder / "out/my edges"], [Path("models")])
    assert not nothing
    assert again.startswith(
        f"to use it, copy {folder}/out/my edges to models/controlnet and choose"
    )


def test_a_base_that_is_a_whole_model_is_named_in_the_line(folder: Path) -> None:
    (folder / "sd15.safetensors").touch()
    (folder / "comfy/models/checkpoints").mkdir(parents=True)
    (folder / "comfy/models/checkpoints/own.safetensors").touch()
    files = [Path("out/net"), Path("out/net.safetensors")]

    def line(base: str, condition: str) -> tuple[str, str]:
        settings = run_settings({"base": {"path": base}, "data": {"condition": condition}})
        return how_to_use(settings, files, [Path("models")])

    _, said = line("sd15.safetensors", "pose")
    assert "mkdir -p models/checkpoints && ln -s " in said
    assert f"{folder.resolve()}/sd15.safetensors models/checkpoints/sd15.safetensors && " in said
    assert "workflows/pose.json --models models --set CheckpointLoaderSimple.ckpt_name=sd15" in said
    words, said = line("comfy/models/checkpoints/own.safetensors", "")
    assert words.startswith("to use it (and --set LoadImage.image=... for a hint of yours), paste")
    assert "depth.json --models comfy/models --set CheckpointLoaderSimple.ckpt_name=own" in said
    assert said.endswith(" --control-net out/net.safetensors")


def test_ctrl_c_saves_and_says_how_to_go_on(folder: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, *QUICK, "--steps", "10000", "--out", "out"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("step 2/"):
                break
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, said
    last = said.splitlines()[-1]
    assert last.startswith("Stopped at step ")
    assert last.endswith("saved; go on with: controlstack train out/config.toml --resume")
    step = int(last.split()[3].rstrip(","))
    assert (folder / f"out/checkpoints/step-{step:08}/network/config.json").is_file()
    assert not (folder / "out/controlnet").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No base model is named: give --base, or path under [base] in the file."),
        (["--base", "demo"], "No data is named: give --data, or path under [data] in the file."),
        (["--base", "nowhere", "--data", "data"], "nowhere"),
        (["missing.toml"], "cannot read the settings missing.toml: No such file or directory"),
        ([*QUICK, "--steps", "0"], "--steps: steps is 0; give a number from 1 to 100000000."),
        ([*QUICK, "--transfer-from", "demo"], "name that with start_from"),
        ([*QUICK, "--start-from", "none.pth"], "none.pth is not there"),
        ([*QUICK, "--start-from", "/dev/zero"], "/dev/zero is no regular file, but a device"),
        ([*QUICK, "--vae", "/dev/zero"], "/dev/zero is no regular file, but a device"),
        ([*QUICK, "--start-from", "data/target/1.png"], "1.png"),
        ([*QUICK, "--name", "a/b"], "The result's name is 'a/b'; give a name without folders."),
        ([*QUICK, "--name", ".."], "The result's name is '..'; give a name without folders."),
        ([*QUICK, "--name", "checkpoints"], "The result's name is checkpoints, as something else"),
        ([*QUICK, "--out", "data/prompt.json"], "data/prompt.json is a file; name a folder"),
        ([*QUICK, "--data", "nothing here"], "nothing here"),
        ([*QUICK, "--condition", "cany"], "There is no preprocessor 'cany'; did you mean canny?"),
        ([*QUICK, "--validate-every", "1", "--max-rows", "3"], "too few to hold some out"),
        ([*QUICK, "--precision", "fp16", "--device", "cpu"], "fp16 needs a GPU"),
        ([*QUICK, "--optimizer", "adamw8bit"], "needs bitsandbytes, which is not installed"),
        ([*QUICK, "--data", "data/fotos"], "The training data data/fotos is not there"),
        ([*QUICK, "--start-from", "data"], "data holds no model: it has no config.json."),
        ([*QUICK, "--name", "n" * 300], "n cannot be written: File name too long"),
        ([*QUICK, "--out", "data/prompt.json/run"], "data/prompt.json is no folder; name another"),
        (
            [*QUICK, "--resolution", "800000"],
            "give sides from 1 to 16384 and no more than 67 million pixels",
        ),
        ([*QUICK, "--cache", "data/prompt.json"], "the cache data/prompt.json is a file; name a f"),
        (
            [*QUICK, "--caption-column", "\udcff"],
            "caption_column is '\\udcff', which is no text in",
        ),
        ([*QUICK, "--write-config", "data"], "the settings data is a folder; name a file"),
        (["<(no such pipe)"], "cannot read the settings <(no such pipe): No such file"),
        ([*QUICK, "--schedule", "polynomial", "--rate", "1e-9"], "the polynomial schedule ends at"),
        ([*QUICK, "--resume", "--base", "nowhere"], "no checkpoint to resume from in output/train"),
        (
            [*QUICK, "--validate-every", "1", "--validation-hints", "x", "--base", "nowhere"],
            "to val",
        ),
        ([*QUICK, "--start-from", "none.pth", "--base", "nowhere"], "none.pth is not there"),
        ([*QUICK, "--hint-channels", "4,4"], "hint_channels is '4,4'; give 4 numbers"),
        (
            [*QUICK, "--start-from", CONTROL_NETS["canny"], "--network", "lite"],
            "is of the kind controlnet, and the network's kind is lite; give both alike.",
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    run: Run, folder: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    before = sorted(path.name for path in folder.iterdir())
    result = run("train", *arguments)
    assert result.exit_code == 2, result.stderr
    assert said in result.stderr
    assert result.stderr.startswith("Error: ")
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_rate_that_gives_no_numbers(run: Run, folder: Path) -> None:
    wild = ("--rate", 30, "--max-grad-norm", 0)
    result = run("train", *QUICK, *wild, "--steps", 9, "--save-every", 1, "--out", "out")
    assert result.exit_code == 2
    last = result.stderr.splitlines()[-1]
    assert "learning rate of 30;" in last
    good = re.search(r"checkpoint is (\S+), whose network a new run may start from", last)
    assert good is not None
    again = run("train", *QUICK, "--start-from", good[1], "--steps", 1, "--rate", 0, "--out", "new")
    assert again.exit_code == 0, again.stderr
    found = load_network(folder / "new/controlnet").state_dict()
    for name, weight in load_network(folder / good[1] / "network").state_dict().items():
        assert torch.equal(found[name], weight), name


def test_what_the_check_found_is_told_of_a_run_too(run: Run, folder: Path) -> None:
    (folder / "photos").mkdir()
    for name, side, caption in (("a", 64, "a square"), ("b", 32, "")):
        Image.new("RGB", (side, side)).save(folder / f"photos/{name}.png")
        (folder / f"photos/{name}.txt").write_text(caption)
    result = run("train", *QUICK, "--data", "photos", "--steps", 1, "--out", "out")
    assert result.exit_code == 0, result.stderr
    assert "Note: 1 picture smaller than 64 x 64 will be scaled up.\n" in result.stderr
    assert "Note: 1 caption empty.\n" in result.stderr


def test_bad_rows_are_named_before_the_base_is_loaded(run: Run, folder: Path) -> None:
    (folder / "cut.safetensors").write_bytes(b"no model")
    (folder / "photos").mkdir()
    (folder / "photos/a.png").write_bytes(b"no picture")
    (folder / "photos/a.txt").write_text("a")
    result = run("train", *QUICK, "--base", "cut.safetensors", "--data", "photos")
    assert result.exit_code == 2
    assert "a: photos/a.png cannot be read as a picture" in result.stderr
    dry = run("train", *QUICK, "--data", "photos", "--dry-run")
    assert dry.exit_code == 2
    assert dry.stdout.startswith("1 of 1 row of photos cannot be used.\n")


def test_a_dry_run_checks_and_trains_nothing(run: Run, folder: Path) -> None:
    result = run("train", *QUICK, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "12 rows" in result.stdout
    broken = folder / "broken"
    broken.mkdir()
    Image.new("RGB", (128, 128)).save(broken / "a.png")
    (broken / "b.png").write_bytes(b"no picture")
    rows = [{"target": f"{name}.png", "prompt": name} for name in "ab"]
    (broken / "prompt.json").write_text("\n".join(map(json.dumps, rows)))
    result = run("train", *QUICK, "--data", "broken", "--dry-run")
    assert result.exit_code == 2
    assert "b.png" in result.stdout
    assert not (folder / "output").exists()


def test_the_settings_as_a_file(run: Run, folder: Path) -> None:
    result = run("train", *QUICK, "--steps", 7, "--only-middle", "--write-config", "new/mine.toml")
    assert result.exit_code == 0, result.stderr
    settings = run_settings(read_config(folder / "new/mine.toml"))
    assert (settings.training.steps, settings.training.only_middle) == (7, True)
    assert settings.validation.steps == 1
    before = (folder / "new/mine.toml").read_text()
    result = run("train", "--write-config", "new/mine.toml")
    assert result.exit_code == 2
    assert "is there already" in result.stderr
    assert (folder / "new/mine.toml").read_text() == before
    off = run("train", "new/mine.toml", "--no-only-middle", "--write-config", "off.toml")
    assert off.exit_code == 0
    assert not run_settings(read_config(folder / "off.toml")).training.only_middle


def test_a_settings_file_is_taken_by_one_alone(folder: Path) -> None:
    def write(steps: int) -> bool:
        request = TrainRequest(
            None, {"training": {"steps": steps}}, False, False, Path("one.toml"), (), False
        )
        with suppress(UserError):
            carry_out(request)
            return True
        return False

    with ThreadPoolExecutor(8) as threads:
        (first,) = [n for n, taken in enumerate(threads.map(write, range(1, 33)), 1) if taken]
    assert run_settings(read_config(folder / "one.toml")).training.steps == first


def test_flags_without_effect_are_said(run: Run, folder: Path) -> None:
    flags = ("--resume", "--dry-run", "--download")
    result = run("train", *QUICK, "--write-config", "a.toml", *flags)
    assert result.exit_code == 0
    note = "--write-config trains nothing; without effect: --dry-run, --resume, --download"
    assert result.stderr == f"Note: {note}.\n"


def test_memory_that_runs_out_is_no_bug(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object, **__: object) -> None:
        torch.empty(1 << 60)

    with monkeypatch.context() as patched:
        patched.setattr("controlstack.training.control_net.predict", too_large)
        result = run("train", *QUICK, "--steps", 1, "--out", "out")
    assert result.exit_code == 2
    assert "Error: the training ran out of memory (" in result.stderr
    # Nothing was learnt: the same command may be given again, and so may --resume.
    assert run("train", *QUICK, "--steps", 1, "--out", "out").exit_code == 0


def test_going_on_from_a_control_net_moved_to_a_new_base(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which has the demo's name here; and `~` is the home, as in every place of the settings."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    canny = CONTROL_NETS["canny"]
    moved = ("--start-from", canny, "--transfer-from", "demo")
    result = run("train", *QUICK, *moved, "--steps", 1, "--rate", 0, "--out", "~/out", "--half")
    assert result.exit_code == 0, result.stderr
    note = "with start_from the network stays as it is; without effect: hint_channels = 4,4,8,8"
    assert f"Note: {note}.\n" in result.stderr
    # The old base is the new one, and nothing is learnt: it is the same network.
    found = load_file(folder / "out/controlnet/diffusion_pytorch_model.safetensors")
    wanted = load_file(canny / "diffusion_pytorch_model.safetensors")
    assert found.keys() == wanted.keys()
    for name, weight in found.items():
        assert weight.dtype == torch.float16
        torch.testing.assert_close(weight, wanted[name].half(), msg=name)


@pytest.mark.parametrize(("kind", "why"), [("lite", "A LiteControlNet"), ("controlnet", "has a")])
def test_what_no_loader_would_read_has_no_single_file(
    run: Run, folder: Path, kind: str, why: str
) -> None:
    result = run("train", *QUICK, "--network", kind, "--steps", 1, "--out", "out")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "out/controlnet\n"
    (note,) = [line for line in result.stderr.splitlines() if "no single file" in line]
    assert why in note
    assert not (folder / "out/controlnet.safetensors").exists()


def test_an_unlocked_base_is_written_too(run: Run, folder: Path) -> None:
    result = run("train", *QUICK, "--unlock-decoder", "--steps", 1, "--out", "out")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split()[-1] == "out/controlnet-unet"
    assert (folder / "out/controlnet-unet/config.json").is_file()
    assert result.stderr.count("The base's decoder is trained, too") == 1
    assert "Warning" not in result.stderr


def test_two_processes_tell_and_write_once(run: Run, folder: Path) -> None:
    # accelerate's own launcher starts several processes on GPUs, and on CPUs by MPI alone.
    launch = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    more = ("-m", "controlstack.cli", "train", *QUICK, "--device", "cpu", "--steps", "2")
    result = subprocess.run(
        [sys.executable, "-m", *launch, *more, "--out", "out"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "out/controlnet\n"
    assert result.stderr.count("step 2/2: loss") == 1
    assert run("train", *QUICK, "--steps", 2, "--batch", 2, "--out", "one").exit_code == 0
    found, wanted = (_losses(folder / name) for name in ("out", "one"))
    assert found == pytest.approx(wanted, rel=1e-4)


def _losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "curve.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines]


@pytest.mark.usefixtures("empty_cache")
def test_hints_whose_network_is_not_here(run: Run, folder: Path) -> None:
    write_folder(folder / "depth", 12, "depth")
    here = (*QUICK, "--data", "depth", "--condition", "depth", "--validate-every", 1, "--steps", 1)
    result = run("train", *here, "--out", "out")
    assert result.exit_code == 0, result.stderr
    assert "Note: no fidelity is measured: " in result.stderr
    with Image.open(folder / "out/sheets/step-00000001.png") as sheet:
        assert sheet.width > 4 * 256
    made = run("train", *here, "--hints", "made", "--out", "made")
    assert made.exit_code == 2
    assert "depth" in made.stderr
    assert not (folder / "made").exists()


@pytest.mark.usefixtures("empty_cache")
def test_weights_are_downloaded_where_that_is_allowed(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(weights: Weights, target: Path, progress: object) -> tuple[Path, ...]:
        asked.append(target / weights.name)
        return (tiny_dpt(asked[-1]),)

    asked: list[Path] = []
    monkeypatch.setattr("controlstack.preprocessors.model_choice.download", download)
    made = (*QUICK, "--condition", "depth", "--hints", "made", "--steps", 1, "--models", "mine")
    assert run("train", *made, "--out", "out").exit_code == 2
    assert not asked
    result = run("train", *made, "--out", "out", "--download")
    assert result.exit_code == 0, result.stderr
    assert asked == [Path("mine/controlstack/Depth-Anything-V2-Small-hf")]
