"""What a user can get wrong: one sentence, exit code 2, nothing written, nothing loaded."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from controlstack.demo.models import BASE
from controlstack.ground import memory
from controlstack.headless.graph.execute import Executor
from tests.cli.prompts import WORKFLOWS, Prompt, Run, node_of

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
POSE_NET = "control_v11p_sd15_openpose_fp16.safetensors"


@pytest.fixture(autouse=True)
def _nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the graph ran although it is wrong")

    monkeypatch.setattr(Executor, "run", refuse)


@pytest.fixture
def refused(run: Run, folder: Path) -> Callable[..., str]:
    """Run with bad input; check how it ends and give the sentence back."""

    def check(workflow: object, *arguments: object) -> str:
        if not isinstance(workflow, Path):
            path = folder / "workflow.json"
            path.write_text(workflow if isinstance(workflow, str) else json.dumps(workflow))
            workflow = path
        before = set(folder.rglob("*"))
        result = run("run", workflow, *arguments)
        assert result.exit_code == 2, result.output
        assert set(folder.rglob("*")) == before
        assert result.stdout == ""
        assert result.stderr.startswith("Error: ")
        assert "Traceback" not in result.stderr
        return result.stderr

    return check


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"a": NaN}', "not finite"),
        ("[1, 2]", "no workflow"),
        ('{"hello": "world"}', "no workflow"),
        ("{" + '"a": {' * 300 + "}" * 301, "deep"),
    ],
)
def test_no_workflow(refused: Callable[..., str], text: str, said: str) -> None:
    assert said in refused(text)


def test_no_such_file(refused: Callable[..., str], folder: Path) -> None:
    assert "missing.json" in refused(folder / "missing.json")


def test_every_unknown_node_type_is_listed(
    refused: Callable[..., str], api_form: Callable[[str], Prompt]
) -> None:
    prompt = api_form("pose")
    (save,) = (key for key, node in prompt.items() if node["class_type"] == "SaveImage")
    picture = prompt[save]["inputs"]["images"]
    prompt["90"] = {"class_type": "FancyNode", "inputs": {"image": picture}}
    prompt["91"] = {"class_type": "OtherNode", "inputs": {"image": ["90", 0]}}
    prompt[save]["inputs"]["images"] = ["91", 0]
    sentence = refused(prompt, "--demo")
    assert "FancyNode" in sentence
    assert "OtherNode" in sentence


def _without_steps(prompt: Prompt) -> None:
    del node_of(prompt, "KSampler")["inputs"]["steps"]


def _steps(value: Any) -> Callable[[Prompt], None]:
    def change(prompt: Prompt) -> None:
        node_of(prompt, "KSampler")["inputs"]["steps"] = value

    return change


def _model_from(origin: list[Any]) -> Callable[[Prompt], None]:
    def change(prompt: Prompt) -> None:
        node_of(prompt, "KSampler")["inputs"]["model"] = origin

    return change


def _circle(prompt: Prompt) -> None:
    key = next(key for key, node in prompt.items() if node["class_type"] == "ControlStackAdd")
    prompt[key]["inputs"]["stack"] = [key, 0]


def _no_output(prompt: Prompt) -> None:
    for key in [k for k, n in prompt.items() if n["class_type"] in ("SaveImage", "PreviewImage")]:
        del prompt[key]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without_steps, ["KSampler", "steps", "missing"]),
        (_steps("many"), ["KSampler", "steps", "'many'"]),
        (_steps(0), ["KSampler", "steps", "0", "1", "10000"]),
        (_steps(10**30), ["KSampler", "steps"]),
        (_model_from(["77", 0]), ["KSampler", "model", "'77'", "not there"]),
        (_model_from(["1", 9]), ["KSampler", "model", "output 9", "3 outputs"]),
        (_model_from(["1", 1]), ["KSampler", "model", "MODEL", "CLIP"]),
        (_circle, ["circle", "ControlStackAdd"]),
        (_no_output, ["no output node"]),
    ],
)
def test_a_graph_that_cannot_run(
    refused: Callable[..., str],
    api_form: Callable[[str], Prompt],
    change: Callable[[Prompt], None],
    said: list[str],
) -> None:
    prompt = api_form("pose")
    change(prompt)
    sentence = refused(prompt, "--demo")
    assert all(part in sentence for part in said), sentence


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("KSampler.steps", "no value"),
        ("steps=4", "NODE.INPUT"),
        ("KSampler.stepps=4", "steps"),
        ("Sampler.steps=4", "no node"),
        ("KSampler.steps=four", "four"),
        ("KSampler.denoise=1.5", "1.5"),
        ("KSampler.sampler_name=magic", "magic"),
        ("KSampler.model=4", "link"),
    ],
)
def test_a_setting_that_does_not_fit(
    refused: Callable[..., str], api_form: Callable[[str], Prompt], setting: str, said: str
) -> None:
    assert said in refused(api_form("pose"), "--demo", "--set", setting)


def test_a_seed_out_of_range(
    refused: Callable[..., str], api_form: Callable[[str], Prompt]
) -> None:
    assert "seed" in refused(api_form("pose"), "--demo", "--seed", "-1")


def test_missing_models_say_what_there_is_and_where(
    refused: Callable[..., str], api_form: Callable[[str], Prompt], folder: Path
) -> None:
    save_file({"a": torch.zeros(1)}, _place(folder, "checkpoints", "another.safetensors"))
    sentence = refused(api_form("pose"))
    assert CHECKPOINT in sentence
    assert POSE_NET in sentence
    assert "another.safetensors" in sentence
    assert str(Path("models") / "checkpoints") in sentence


def test_missing_models_come_with_the_workflows_own_addresses(refused: Callable[..., str]) -> None:
    for name in (CHECKPOINT, POSE_NET):
        lines = refused(WORKFLOWS / "pose.json").splitlines()
        (line,) = [line for line in lines if f"/resolve/main/{name}" in line]
        assert f"no {'checkpoint' if name == CHECKPOINT else 'ControlNet'} '{name}'" in line


def test_a_file_that_would_be_fetched_in_vain(
    refused: Callable[..., str], api_form: Callable[[str], Prompt]
) -> None:
    """Of a family without models here; the demo's stand in for any."""
    prompt = api_form("pose")
    node_of(prompt, "CheckpointLoaderSimple")["inputs"]["ckpt_name"] = "flux1-dev.safetensors"
    family = "this host has no Flux models, and the name of the checkpoint 'flux1-dev.safetensors'"
    assert family in refused(prompt)
    node_of(prompt, "KSampler")["inputs"]["steps"] = 0
    assert family not in refused(prompt, "--demo")


def _place(folder: Path, kind: str, name: str) -> Path:
    path = folder / "models" / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _truncated(path: Path) -> None:
    save_file({"a": torch.zeros(64)}, path)
    path.write_bytes(path.read_bytes()[:-16])


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": Path("a")}))


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xff" * 100)


def _lora(path: Path) -> None:
    names = ("lora_unet_mid_block.lora_down.weight", "lora_unet_mid_block.lora_up.weight")
    save_file({name: torch.zeros(4, 4) for name in names}, path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (_truncated, "bytes"),
        (_pickled, "pickle"),
        (_garbage, ""),
        (_lora, "LoRA"),
        (lambda path: path.write_bytes(b""), "empty"),
    ],
)
@pytest.mark.parametrize("kind", ["checkpoints", "controlnet"])
def test_a_model_file_that_is_none(
    refused: Callable[..., str],
    api_form: Callable[[str], Prompt],
    folder: Path,
    kind: str,
    write: Callable[[Path], None],
    said: str,
) -> None:
    name = CHECKPOINT if kind == "checkpoints" else POSE_NET
    write(_place(folder, kind, name))
    sentence = refused(api_form("pose"))
    problem = next(line for line in sentence.splitlines() if name in line)
    assert said in problem, sentence
    assert "there is no" not in problem, sentence


@pytest.mark.parametrize("bad", ["text", "cut"])
def test_a_picture_that_is_none(
    refused: Callable[..., str], api_form: Callable[[str], Prompt], folder: Path, bad: str
) -> None:
    picture = folder / "input" / "scene.png"
    picture.parent.mkdir()
    whole = WORKFLOWS / "input" / "controlstack_scene.png"
    picture.write_bytes(b"no picture" if bad == "text" else whole.read_bytes()[:5000])
    assert "scene.png" in refused(api_form("canny"), "--demo", "--set", "LoadImage.image=scene.png")


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "..\\secret.png", "link.png", "C:\\secret.png"]
)
def test_a_picture_outside_its_folder(
    refused: Callable[..., str], api_form: Callable[[str], Prompt], folder: Path, name: str
) -> None:
    (folder / "secret.png").write_bytes(b"secret")
    (folder / "input").mkdir()
    (folder / "input" / "link.png").symlink_to(folder / "secret.png")
    prompt = api_form("canny")
    node_of(prompt, "LoadImage")["inputs"]["image"] = name
    assert re.search("leaves", refused(prompt, "--demo"))


@pytest.mark.parametrize("prefix", ["../outside", "/tmp/outside", "a/../../outside"])
def test_an_output_outside_its_folder(
    refused: Callable[..., str], api_form: Callable[[str], Prompt], prefix: str
) -> None:
    sentence = refused(api_form("pose"), "--demo", "--set", f"SaveImage.filename_prefix={prefix}")
    assert "leaves" in sentence


def test_an_output_through_a_link(
    refused: Callable[..., str], api_form: Callable[[str], Prompt], folder: Path
) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "output").mkdir()
    (folder / "output" / "link").symlink_to(folder / "elsewhere")
    sentence = refused(api_form("pose"), "--demo", "--set", "SaveImage.filename_prefix=link/x")
    assert "leaves" in sentence


WRONG_CONSTANTS = [
    ("pose", "SaveImage.filename_prefix=" + "x" * 250, "too long"),
    ("pose", "SaveImage.filename_prefix=workflow.json/x", "is no folder"),
    ("pose", "SaveImage.filename_prefix=a\nb", "line breaks"),
    ("pose", "CLIPTextEncode.text=(a:nan)", "'nan'"),
    ("pose", "CLIPTextEncode.text=(a:1e300)", "at most 1e+15"),
    ("pose", "CLIPTextEncode.text=\udcff", "no text in UTF-8"),
    ("pose", "KSampler.denoise=1e-320", "larger denoise"),
    ("pose", "EmptyLatentImage.batch_size=5000", "from 1 to 4096"),
]


@pytest.mark.parametrize(("name", "setting", "said"), WRONG_CONSTANTS)
def test_constants_that_a_node_would_refuse(
    refused: Callable[..., str],
    api_form: Callable[[str], Prompt],
    name: str,
    setting: str,
    said: str,
) -> None:
    options = ("--demo", "--out", ".", "--set", setting)
    assert said in refused(api_form(name), *options)


def test_every_place_and_every_constant_is_looked_at_at_once(
    refused: Callable[..., str], api_form: Callable[[str], Prompt], folder: Path
) -> None:
    prompt = api_form("step_ranges")
    saves = [key for key, node in prompt.items() if node["class_type"] == "SaveImage"]
    prompt[saves[-1]]["inputs"]["filename_prefix"] = "%KSampler.seed%" + "y" * 300
    prompt["edges"] = {
        "class_type": "Canny",
        "inputs": {"image": ["load", 0], "low_threshold": 0.8, "high_threshold": 0.4},
    }
    prompt["load"] = {"class_type": "LoadImage", "inputs": {"image": "scene.png"}}
    prompt["shown"] = {"class_type": "PreviewImage", "inputs": {"images": ["edges", 0]}}
    (folder / "input").mkdir()
    whole = (WORKFLOWS / "input" / "controlstack_scene.png").read_bytes()
    (folder / "input" / "scene.png").write_bytes(whole[:2000])
    sentence = refused(prompt, "--demo")
    for said in (f"node {saves[-1]} ", "low_threshold is 0.8", "scene.png cannot be read"):
        assert said in sentence


@pytest.mark.parametrize("out", ["taken", "taken/below", "x" * 300])
def test_a_place_for_pictures_that_cannot_be_written(
    refused: Callable[..., str], api_form: Callable[[str], Prompt], folder: Path, out: str
) -> None:
    (folder / "taken").write_text("a file")
    assert "cannot be written" in refused(api_form("pose"), "--demo", "--out", out)


def test_memory_is_estimated_before_anything_is_loaded(
    refused: Callable[..., str], api_form: Callable[[str], Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    sentence = refused(api_form("pose"), "--set", "EmptyLatentImage.batch_size=4096", "--demo")
    assert "4096 latents for 128 x 128 pixels would take 16.8 MB of memory" in sentence
    assert "controlstack_depth.png" in refused(WORKFLOWS / "depth.json", "--demo")


@pytest.mark.parametrize(
    ("muted", "said"),
    [
        (lambda kind: True, "holds no node that can run: all 12 nodes are muted; unmute those"),
        (
            lambda kind: kind in ("SaveImage", "PreviewImage"),
            "node 7 'The hint' (PreviewImage), node 12 (SaveImage) are muted; unmute one",
        ),
    ],
)
def test_what_is_muted_is_named(
    refused: Callable[..., str], muted: Callable[[str], bool], said: str
) -> None:
    document = json.loads((WORKFLOWS / "pose.json").read_text())
    for node in document["nodes"]:
        node["mode"] = 2 if muted(node["type"]) else 0
    assert said in refused(document, "--demo")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_a_pipe_in_a_pictures_place_is_not_opened(
    refused: Callable[..., str], api_form: Callable[[str], Prompt], folder: Path
) -> None:
    (folder / "input").mkdir()
    os.mkfifo(folder / "input" / "pipe.png")
    said = refused(api_form("canny"), "--demo", "--set", "LoadImage.image=pipe.png")
    assert "no input file 'pipe.png'" in said
    base = folder / "models" / "checkpoints" / "base"
    shutil.copytree(BASE, base)
    (base / "unet" / "config.json").unlink()
    os.mkfifo(base / "unet" / "config.json")
    said = refused(api_form("pose"), "--set", "CheckpointLoaderSimple.ckpt_name=base")
    assert "unet" in said


@pytest.mark.parametrize("key", ["layers_per_block", "transformer_layers_per_block"])
def test_a_configuration_of_no_models_size_is_refused(
    refused: Callable[..., str], api_form: Callable[[str], Prompt], folder: Path, key: str
) -> None:
    base = folder / "models" / "checkpoints" / "base"
    shutil.copytree(BASE, base)
    config = json.loads((base / "unet" / "config.json").read_text())
    (base / "unet" / "config.json").write_text(json.dumps({**config, key: 10**8}))
    said = refused(api_form("pose"), "--set", "CheckpointLoaderSimple.ckpt_name=base")
    assert f"asks for '{key}' of 100000000" in said


def test_debug_adds_the_trace(run: Run, folder: Path) -> None:
    result = run("run", folder / "missing.json", "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "Error: " in result.stderr


def test_bad_json_fails_before_torch_is_imported(folder: Path) -> None:
    bad = folder / "bad.json"
    bad.write_text("{")
    script = (
        "import sys\n"
        "from controlstack.cli.main import main\n"
        f"sys.argv = ['controlstack', 'run', {str(bad)!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as ended:\n"
        "    assert ended.code == 2, ended.code\n"
        "heavy = {'torch', 'diffusers', 'transformers'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        (None, "cannot read the preset soft.json: No such file"),
        ('{"controlstack_preset": 2}', "soft.json is a preset of version 2"),
        (
            '{"controlstack_preset": 1, "controls": [{"name": "pose", "strength": -1}]}',
            r"soft.json, line 1 \(pose\): strength is -1",
        ),
    ],
)
def test_a_preset_that_is_none(
    refused: Callable[..., str], folder: Path, preset: str | None, said: str
) -> None:
    if preset is not None:
        (folder / "soft.json").write_text(preset)
    assert re.search(said, refused(WORKFLOWS / "pose.json", "--demo", "--preset", "soft.json"))


def test_a_preset_for_no_stack(refused: Callable[..., str], folder: Path) -> None:
    (folder / "soft.json").write_text('{"controlstack_preset": 1, "controls": []}')
    prompt = {"1": {"class_type": "EmptyLatentImage", "inputs": {}}}
    said = refused(prompt, "--preset", "soft.json")
    assert "there is no stack to put the preset on" in said


def test_every_file_of_a_stack_is_looked_for(
    refused: Callable[..., str], api_form: Callable[[str], Prompt], folder: Path
) -> None:
    _garbage(_place(folder, "controlnet", "damaged.safetensors"))
    prompt = api_form("controlnet_stack")
    (checkpoint,) = (n for n in prompt.values() if n["class_type"] == "CheckpointLoaderSimple")
    checkpoint["inputs"]["ckpt_name"] = "no.ckpt"
    controls = node_of(prompt, "ControlStackRows")["inputs"]["controls"]
    files = ("one.pth", "damaged.safetensors", "two.pth")
    rows = [{**controls["rows"][0], "id": i, "file": file} for i, file in enumerate(files, 1)]
    controls["rows"] = rows
    said = refused(prompt)
    assert "5 things are wrong" in said
    assert "row 2: " in said
    for wrong in ("no checkpoint 'no.ckpt'", "no ControlNet 'one.pth'", "no ControlNet 'two.pth'"):
        assert said.count(wrong) == 1
