"""One JSON, two hosts: the same file and weights give the same picture in both, over 40 dB.

A subset covers every sampler, schedule and number of controls; TWO_HOSTS=all runs every cell, and
`python -m benchmarks.two_hosts` prints the table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from controlstack.headless.graph.model import Graph
from controlstack.headless.sampling import noise
from tests import cells, cells_beside, net_files, two_hosts
from tests.comfyui import shipped
from tests.comfyui.conftest import comfyui_path
from tests.comfyui.server import Server, serving
from tests.two_hosts import BAR, Made, Run, embedded, graph_of, latent_difference, psnr

EVERYTHING = os.environ.get("TWO_HOSTS") == "all"
# Their noise for each step is the starting noise once more
# in ComfyUI 0.3.64 (docs/decisions/workflows.md).
OWN_NOISE = ("euler_ancestral karras 2", "lcm karras 2")
# Pictures may be equal where latents are not: what lies beyond rounding shows in these alone.
LATENT_BAR = 1e-3
# Where ComfyUI is known to compute otherwise; docs/two-hosts.md says how.
COARSE = {"LoRA": 2e-3, "control mask, grey file": 3e-2}


def _subset() -> list[str]:
    axes = (cells.SAMPLERS, cells.SCHEDULERS, range(3))
    numbered = product(*(enumerate(axis) for axis in axes))
    return [f"{a} {b} {c}" for (i, a), (j, b), (k, c) in numbered if (i + j + k) % 4 == 0]


MATRIX = cells.matrix()
BESIDE = {name: prompt for name, prompt in cells_beside.others().items() if name not in OWN_NOISE}
SOME_BESIDE = (
    "dpmpp_2m_sde karras 2",
    "core's apply nodes 2",
    "our stack after the core's net",
    "LoRA",
    "clip skip 2",
    "long prompt",
    "step windows",
    "img2img",
    "inpaint by mask",
    "batch of 2",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files that the cells and the shipped workflows name."""
    base = two_hosts.write_files(tmp_path_factory.mktemp("two_hosts"))
    (base / "models" / "embeddings").mkdir()
    vectors = torch.randn(3, 768, generator=torch.Generator().manual_seed(9)) * 0.05
    save_file({"emb_params": vectors}, base / "models" / "embeddings" / "words.safetensors")
    graph = shipped.small("pose")
    checkpoint = graph.nodes[shipped.only(graph, "CheckpointLoaderSimple")].inputs["ckpt_name"]
    _link(base / "models" / "checkpoints", cells.CHECKPOINT, [str(checkpoint)])
    _link(base / "models" / "controlnet", cells.NETS[0], shipped.control_net_names())
    return base


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[Server]:
    path = comfyui_path()
    assert path is not None
    with serving(path, base) as server:
        yield server


@pytest.fixture(scope="module")
def comfyui(server: Server) -> Run:
    return two_hosts.on_comfyui(server)


@pytest.fixture(scope="module")
def ours(base: Path) -> Run:
    return embedded(base)


@pytest.mark.parametrize("name", MATRIX if EVERYTHING else _subset())
def test_the_matrix(name: str, comfyui: Run, ours: Run) -> None:
    _same(*_both(graph_of(MATRIX[name]), comfyui, ours))


@pytest.mark.parametrize("name", BESIDE if EVERYTHING else SOME_BESIDE)
def test_beside_the_matrix(name: str, comfyui: Run, ours: Run) -> None:
    _same(*_both(graph_of(BESIDE[name]), comfyui, ours), COARSE.get(name, LATENT_BAR))


@pytest.mark.parametrize("name", cells_beside.custom())
def test_samplers_from_nodes_of_their_own(
    name: str, comfyui: Run, base: Path, comfy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise, "CPU_SEED_OFFSET", _seed_offset())
    _same(*_both(graph_of(cells_beside.custom()[name]), comfyui, embedded(base)))


def test_a_textual_inversion(comfyui: Run, ours: Run) -> None:
    asked, plain = cells.prompt(1), cells.prompt(1)
    text = "embedding:words, (a red embedding:words, of snow:1.3) and a dog"
    asked["positive"]["inputs"]["text"] = text
    plain["positive"]["inputs"]["text"] = "a red of snow and a dog"
    _same(*_both(graph_of(asked), comfyui, ours))
    assert psnr(ours(graph_of(asked)).pictures, ours(graph_of(plain)).pictures) < BAR


@pytest.mark.parametrize("kind", ["Control-LoRA", "difference"])
def test_a_net_on_the_models_own_weights(kind: str, base: Path, comfyui: Run, ours: Run) -> None:
    nets = base / "models" / "controlnet"
    whole = load_file(nets / cells.NETS[0])
    made = net_files.control_lora if kind == "Control-LoRA" else net_files.difference
    save_file(made(whole), nets / f"{kind}.safetensors")
    prompt = cells.prompt(1)
    (name,) = [name for name, one in prompt.items() if "control_net_name" in one["inputs"]]
    prompt[name]["inputs"]["control_net_name"] = f"{kind}.safetensors"
    prompt[name]["class_type"] = "ControlNetLoader"
    if kind == "difference":
        prompt[name]["class_type"] = "DiffControlNetLoader"
        prompt[name]["inputs"]["model"] = ["checkpoint", 0]
    _same(*_both(graph_of(prompt), comfyui, ours))
    plain, first = (ours(graph_of(cells.prompt(count))).pictures for count in (0, 1))
    assert max(psnr(ours(graph_of(prompt)).pictures, one) for one in (plain, first)) < BAR


@pytest.mark.parametrize("name", OWN_NOISE)
def test_noise_drawn_at_each_step(
    name: str,
    comfy: ModuleType,
    comfyui: Run,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(noise, "CPU_SEED_OFFSET", _seed_offset())
    _same(*_both(graph_of(cells_beside.others()[name]), comfyui, embedded(base)))


@pytest.mark.parametrize("name", shipped.NAMES)
def test_a_shipped_workflow(name: str, comfyui: Run, ours: Run) -> None:
    _same(*_both(shipped.small(name), comfyui, ours))


def test_the_command_line_saves_the_same_picture(
    base: Path, comfyui: Run, ours: Run, tmp_path: Path
) -> None:
    graph = graph_of(cells.prompt(2, "dpmpp_2m", "karras"))
    file = tmp_path / "cell.json"
    file.write_text(json.dumps(graph.prompt()))
    program = "from controlstack.cli.main import main; main()"
    command = [
        *(sys.executable, "-c", program, "run", file, "--models", base / "models"),
        *("--input", base / "input", "--out", tmp_path),
    ]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with Image.open(printed.strip()) as picture:
        saved = np.asarray(picture.convert("RGB"))
    assert np.array_equal(saved, ours(graph).pictures[0])
    assert psnr(saved, comfyui(graph).pictures[0]) > BAR


def test_a_wrong_picture_falls_below_the_bar(ours: Run) -> None:
    """What is compared can tell: a control or the words' weights left out are seen."""
    right = ours(graph_of(cells.prompt(2)))
    unweighted = cells.prompt(2)
    unweighted["positive"]["inputs"]["text"] = cells.UNWEIGHTED
    for wrong in (cells.prompt(0), cells.prompt(1), unweighted):
        assert psnr(right.pictures, ours(graph_of(wrong)).pictures) < BAR


def _seed_offset() -> int:
    """From which seed this ComfyUI draws a step's noise, asked of its own function."""
    from comfy.k_diffusion.sampling import default_noise_sampler

    x = torch.zeros(1, 4, 2, 2)
    drawn = default_noise_sampler(x, seed=5)(None, None)
    again = torch.equal(drawn, torch.randn(x.shape, generator=torch.Generator().manual_seed(5)))
    return 0 if again else 1


def _both(graph: Graph, comfyui: Run, ours: Run) -> tuple[Made, Made]:
    return comfyui(graph), ours(graph)


def _same(theirs: Made, made: Made, latent_bar: float = LATENT_BAR) -> None:
    assert theirs.pictures.shape == made.pictures.shape
    assert psnr(theirs.pictures, made.pictures) > BAR
    assert latent_difference(theirs.latent, made.latent) < latent_bar


def _link(folder: Path, file: str, names: list[str]) -> None:
    for name in names:
        (folder / name).hardlink_to(folder / file)
