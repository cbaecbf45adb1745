"""Latents and moving pictures: files out, files in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from controlstack.ground.errors import UserError
from controlstack.headless import folders
from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.registry import Registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow

PREFIX = {"filename_prefix": "made"}
PROMPT = {
    "1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 32, "batch_size": 2}},
    "2": {"class_type": "SaveLatent", "inputs": {"samples": ["1", 0], "filename_prefix": "in/l"}},
    "3": {"class_type": "EmptyImage", "inputs": {"width": 9, "height": 7, "batch_size": 3}},
    "4": {"class_type": "SaveAnimatedWEBP", "inputs": {"images": ["3", 0], **PREFIX}},
    "5": {"class_type": "SaveAnimatedPNG", "inputs": {"images": ["3", 0], **PREFIX}},
}
PROMPT["3"]["inputs"]["color"] = 0x102030
PROMPT["4"]["inputs"] |= {"fps": 8.0, "lossless": True, "quality": 80, "method": "default"}
PROMPT["5"]["inputs"] |= {"fps": 8.0, "compress_level": 4}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[folders.Folders]:
    made = folders.Folders((), (tmp_path / "out" / "in",), tmp_path / "out", tmp_path / "temp")
    (tmp_path / "out" / "in").mkdir(parents=True)
    with folders.use(made):
        yield made


def test_a_run_lists_all_files(place: folders.Folders) -> None:
    registry = Registry(CORE_NODES)
    graph = read_workflow(PROMPT, registry, "wf.json")
    validate(graph, registry)
    with folders.saving() as saved:
        results = Executor(registry).run(graph)
    assert sorted(results.files()) == sorted(saved["output"])
    names = {path.relative_to(place.output).as_posix() for path in saved["output"]}
    assert len(names) == 3
    assert "in/l_00001_.latent" in names
    # One counter for all files of a prefix, whatever their kind.
    assert {name[:10] for name in names - {"in/l_00001_.latent"}} == {"made_00001", "made_00002"}
    for path in saved["output"]:
        _tells(path, graph.prompt())
    assert [list(results.ui[node]["animated"]) for node in "45"] == [[True], [True]]


def _tells(path: Path, prompt: Any) -> None:
    """The file holds the graph that made it, where ComfyUI's front end looks for it."""
    if path.suffix == ".latent":
        with safe_open(path, framework="pt") as file:
            assert json.loads(file.metadata()["prompt"]) == prompt
        return
    with Image.open(path) as moving:
        exif = moving.getexif()
    if path.suffix == ".webp":
        assert json.loads(exif[0x0110].removeprefix("prompt:")) == prompt
    else:
        assert b"comfprompt\0" + json.dumps(prompt).encode() in path.read_bytes()


def test_frames_move(place: folders.Folders) -> None:
    shades = (0, 80, 170, 255)
    frames = (torch.tensor(shades) + 0.25)[:, None, None, None].expand(4, 6, 5, 3) / 255
    for node_id, more in (
        ("SaveAnimatedWEBP", {"lossless": True, "quality": 80, "method": "fastest"}),
        ("SaveAnimatedPNG", {"compress_level": 1}),
    ):
        node = CORE_NODES[node_id]()
        shown = node.run(images=frames, fps=4.0, **PREFIX, **more)
        assert torch.equal(shown["result"][0], frames)
        with Image.open(place.output / shown["ui"]["images"][0]["filename"]) as moving:
            assert moving.n_frames == 4
            for number, shade in enumerate(shades):
                moving.seek(number)
                moving.load()
                assert moving.info["duration"] == 250
                assert moving.convert("RGB").getpixel((2, 2)) == (shade,) * 3
        still = node.run(images=frames[:1], fps=4.0, **PREFIX, **more)
        assert still["ui"]["animated"] == (False,)
        with pytest.raises(UserError, match="not numbers"):
            node.run(images=frames * torch.nan, fps=4.0, **PREFIX, **more)


def test_latents_come_back(place: folders.Folders) -> None:
    samples = torch.randn(2, 4, 5, 6)
    (file,) = CORE_NODES["SaveLatent"]().run(samples={"samples": samples}, **PREFIX)["ui"][
        "latents"
    ]
    again = CORE_NODES["LoadLatent"]().run(latent=f"{file['filename']} [output]")[0]
    assert torch.equal(again["samples"], samples)
    assert again.keys() == {"samples"}
    CORE_NODES["SaveLatent"]().run(samples={"samples": samples}, filename_prefix="in/x")
    assert CORE_NODES["LoadLatent"].INPUT_TYPES()["required"]["latent"][0] == ["x_00001_.latent"]
    mark = CORE_NODES["LoadLatent"].IS_CHANGED
    before = mark("x_00001_.latent")
    save_file({"latent_tensor": samples}, place.input[0] / "x_00001_.latent")
    assert mark("x_00001_.latent") != before


def test_wrong_files_of_latents(place: folders.Folders) -> None:
    check = CORE_NODES["LoadLatent"].VALIDATE_INPUTS
    assert "there is no input file 'gone.latent'" in check(latent="gone.latent")
    (place.input[0] / "cut.latent").write_bytes(b"\x20\0\0\0\0\0\0\0{}")
    assert "cut off" in check(latent="cut.latent")
    save_file({"weight": torch.zeros(2)}, place.input[0] / "net.latent")
    assert "holds no latent_tensor" in check(latent="net.latent")
    assert "leaves its folder" in CORE_NODES["SaveLatent"].VALIDATE_INPUTS("../x")
