"""Workflows that run to their end, or to the fault of a node, through the command line."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from controlstack.demo.models import WEIGHTS
from controlstack.ground import memory
from controlstack.headless.graph.png_texts import read_texts
from tests.cli.prompts import WORKFLOWS, Prompt, Run, node_of

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
QUICK = ("--demo", "--set", "KSampler.steps=1")
SCENE = "controlstack_scene.png"
SMALL = ("--set", "EmptyLatentImage.width=64", "--set", "EmptyLatentImage.height=64")


def _saved(prompt: Prompt, folder: Path) -> Path:
    path = folder / "workflow.json"
    path.write_text(json.dumps(prompt))
    return path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_a_workflow_from_a_pipe_is_read_once(run: Run, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    text = (WORKFLOWS / "pose.json").read_bytes()
    writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(text,))
    writer.start()
    result = run("run", "pipe", *QUICK, *SMALL)
    writer.join()
    assert result.exit_code == 0, result.stderr
    (picture,) = (folder / line for line in result.stdout.splitlines())

    writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(picture.read_bytes(),))
    writer.start()
    again = run("run", "pipe", *QUICK, *SMALL)
    writer.join()
    assert again.exit_code == 0, again.stderr
    assert (folder / again.stdout.strip()).read_bytes() == picture.read_bytes()


def test_what_was_saved_before_a_late_fault_is_named(
    run: Run, folder: Path, api_form: Callable[[str], Prompt]
) -> None:
    prompt = api_form("step_ranges")
    first, second = (key for key, node in prompt.items() if node["class_type"] == "SaveImage")
    prompt[first]["inputs"]["filename_prefix"] = "one"
    # Free now, and a file once the other node has run.
    prompt[second]["inputs"]["filename_prefix"] = "one_00001_.png/two"
    inputs = ("--input", WORKFLOWS / "input")
    result = run("run", _saved(prompt, folder), *QUICK, *SMALL, *inputs)
    assert result.exit_code == 2
    assert f"Error: node {second} " in result.stderr
    assert "one_00001_.png" in result.stderr
    saved = Path("output") / "one_00001_.png"
    assert result.stdout.splitlines() == [str(saved)]
    assert saved.is_file()


def test_memory_that_ends_in_a_node_is_a_sentence(
    run: Run, folder: Path, api_form: Callable[[str], Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 40 * 10**6)
    prompt = api_form("pose")
    save = node_of(prompt, "SaveImage")
    origin, seen = save["inputs"]["images"], "controlstack_pose"
    for number in range(3):
        inputs = {"image": origin, "upscale_method": "nearest-exact", "scale_by": 8}
        prompt[f"larger{number}"] = {"class_type": "ImageScaleBy", "inputs": inputs}
        origin = [f"larger{number}", 0]
    save["inputs"].update(images=origin, filename_prefix=seen)
    result = run("run", _saved(prompt, folder), *QUICK, *SMALL)
    assert result.exit_code == 2, result.stderr
    assert "would take 201.3 MB of memory, and 40.0 MB are free" in result.stderr
    assert "node larger2 (ImageScaleBy)" in result.stderr or "node larger1" in result.stderr


def test_the_demo_takes_a_control_net_that_was_trained_for_it(
    run: Run, folder: Path, api_form: Callable[[str], Prompt]
) -> None:
    shutil.copytree(WEIGHTS / "controlnet-canny", folder / "models" / "controlnet" / "mine")
    prompt = api_form("pose")
    node_of(prompt, "ControlStackLoader")["inputs"]["control_net_name"] = "mine"
    result = run("run", _saved(prompt, folder), *QUICK, *SMALL)
    assert result.exit_code == 0, result.stderr
    (note,) = (line for line in result.stderr.splitlines() if "stand in" in line)
    assert "mine" not in note


def test_the_demo_scales_a_size_that_is_written_as_text(run: Run, folder: Path) -> None:
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "controlstack_scene.png"}},
        "2": {
            "class_type": "ImageScale",
            "inputs": {
                "image": ["1", 0],
                "upscale_method": "area",
                "width": "512",
                "height": 512.0,
                "crop": "disabled",
            },
        },
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "%width%"},
        },
    }
    result = run("run", _saved(prompt, folder), "--demo", "--input", WORKFLOWS / "input")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{Path('output') / '128_00001_.png'}\n"
    assert "Note: sizes are scaled by 0.25 to suit the demo models." in result.stderr


def test_a_preset_goes_on_the_stack_and_into_the_picture(run: Run, folder: Path) -> None:
    text = '{"controlstack_preset": 1, "controls": [{"strength": 0.5}]}'
    (folder / "soft.json").write_text(text)
    result = run("run", WORKFLOWS / "pose.json", *QUICK, *SMALL, "--preset", "soft.json")
    assert result.exit_code == 0, result.stderr
    texts = read_texts((folder / result.stdout.strip()).read_bytes(), "the picture")
    prompt = json.loads(texts["prompt"])
    assert "workflow" not in texts
    (preset,) = (k for k, node in prompt.items() if node["class_type"] == "ControlStackPreset")
    assert node_of(prompt, "ControlStackApply")["inputs"]["stack"] == [preset, 0]
    assert '"strength": 0.5' in prompt[preset]["inputs"]["preset"]
    assert prompt[preset]["_meta"]["title"] == "soft.json"


def test_a_strangers_graph_on_the_demo_models(
    run: Run, folder: Path, api_form: Callable[[str], Prompt]
) -> None:
    """A LoRA, a net of another kind, and a node of a pack that only looks on."""
    prompt = api_form("pose")
    (base,) = (
        key for key, node in prompt.items() if node["class_type"] == "CheckpointLoaderSimple"
    )
    (save,) = (key for key, node in prompt.items() if node["class_type"] == "SaveImage")
    for node in prompt.values():
        for name, value in node["inputs"].items():
            if value in ([base, 0], [base, 1]):
                node["inputs"][name] = ["lora", value[1]]
    prompt["lora"] = {
        "class_type": "LoraLoader",
        "inputs": {"model": [base, 0], "clip": [base, 1], "lora_name": "style.safetensors"}
        | dict.fromkeys(("strength_model", "strength_clip"), 1.0),
    }
    node_of(prompt, "ControlStackLoader")["inputs"]["control_net_name"] = "sd15_lineart.pth"
    prompt["look"] = {
        "class_type": "Image Comparer (rgthree)",
        "inputs": {"image_a": prompt[save]["inputs"]["images"]},
    }
    result = run("run", _saved(prompt, folder), *QUICK, *SMALL)
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1
    sizes = "and sizes are scaled by 0.25 to suit them."
    assert result.stderr.splitlines()[:4] == [
        "Note: node look (Image Comparer (rgthree)) is left out: its type is not known here, and "
        "no picture needs it.",
        "Note: node lora (LoraLoader) is bypassed: the demo has no LoRA.",
        f"Note: demo models stand in for sd15_lineart.pth, {CHECKPOINT}, {sizes}",
        "Note: the demo's canny net stands in for sd15_lineart.pth: its name tells the kind of "
        "hint.",
    ]


@pytest.mark.parametrize(("text", "told"), [("a cat", True), ("{a cat|a dog}", False)])
def test_a_seed_without_effect_is_said(run: Run, folder: Path, text: str, told: bool) -> None:
    loaded = {"name": "IMAGE", "type": "IMAGE", "links": [1]}
    taken = {"name": "images", "type": "IMAGE", "link": 1}
    nodes = [
        {"id": 1, "type": "LoadImage", "outputs": [loaded], "widgets_values": [SCENE]},
        {"id": 2, "type": "SaveImage", "inputs": [taken], "widgets_values": ["x"]},
        {"id": 3, "type": "CLIPTextEncode", "widgets_values": [text]},
    ]
    document = {"nodes": nodes, "links": [[1, 1, 0, 2, 0, "IMAGE"]], "version": 0.4}
    (folder / "w.json").write_text(json.dumps(document))
    result = run("run", "w.json", "--seed", 3, "--input", WORKFLOWS / "input")
    assert result.exit_code == 0, result.output
    assert ("--seed has no effect" in result.stderr) == told


def test_the_text_that_a_node_shows_is_said(run: Run, folder: Path) -> None:
    prompt = {
        "1": {"class_type": "PrimitiveString", "inputs": {"value": "one\ntwo"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    result = run("run", str(_saved(prompt, folder)))
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\n"), result.stderr
    prompt["3"] = {
        "class_type": "EmptyImage",
        "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0},
    }
    prompt["4"] = {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}}
    result = run("run", str(_saved(prompt, folder)))
    (picture,) = result.stdout.splitlines()
    assert (folder / picture).is_file()
    assert result.stderr.splitlines()[:2] == ["one", "two"]
