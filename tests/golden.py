"""What a real ComfyUI made of a dozen cells: latents and pictures in one file, with their prompts.

`python -m benchmarks.two_hosts --record` writes it, tests/headless/test_golden.py reads it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests import cells, cells_beside
from tests.cells import Prompt
from tests.two_hosts import Made, Run, graph_of

FILES = {
    family: Path(__file__).parent / "headless" / "golden" / f"{name}.safetensors"
    for family, name in (("sd15", "comfyui"), ("sdxl", "comfyui_sdxl"))
}
STEPS = 4  # fewer than the cells have: the ordinary test command runs them
NAMES = (
    "euler normal 0",
    "euler karras 1",
    "euler sgm_uniform 2",
    "heun simple 1",
    "heun karras 2",
    "dpmpp_2m karras 2",
    "dpmpp_2m simple 0",
    "ddim normal 2",
    "ddim sgm_uniform 1",
    "core's apply nodes 2",
    "clip skip 2",
    "inpaint by mask",
)
SDXL_NAMES = (
    "euler normal 0",
    "dpmpp_2m karras 2",
    "ddim sgm_uniform 1",
    "core's apply nodes 2",
    "clip skip 3",
    "sizes and two texts",
    "LoRA, U-Net alone",
)
"""Fewer: its text encoders take most of the time of a cell."""


@dataclass(frozen=True)
class Golden:
    """One cell: the prompt that ran and what came of it."""

    prompt: Prompt
    made: Made


def record(comfyui: Run, base: Path, versions: Mapping[str, str], family: str = "sd15") -> None:
    """Run a family's on ComfyUI with the files in `base`, and keep all that it takes to compare."""
    all_prompts = {**cells.matrix(), **cells_beside.others(), **cells_beside.sdxl()}
    names = NAMES if family == "sd15" else SDXL_NAMES
    prompts = {name: _shorter(all_prompts[name]) for name in names}
    tensors = {}
    for name, prompt in prompts.items():
        made = comfyui(graph_of(prompt))
        tensors[f"{name}/latent"] = made.latent.contiguous()
        tensors[f"{name}/pictures"] = torch.from_numpy(made.pictures)
    kept = {"prompts": json.dumps(prompts)}
    marks = {"weights": json.dumps(weights_marks(base))}
    FILES[family].parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, FILES[family], metadata={**versions, **kept, **marks})


def read(family: str = "sd15") -> tuple[dict[str, Golden], dict[str, int]]:
    """The cells by name, and the marks of the weights that they were made with."""
    with safe_open(FILES[family], "pt") as file:
        metadata = file.metadata()
        prompts: dict[str, Prompt] = json.loads(metadata["prompts"])
        found = {
            name: Golden(
                prompt,
                Made(
                    file.get_tensor(f"{name}/pictures").numpy(), file.get_tensor(f"{name}/latent")
                ),
            )
            for name, prompt in prompts.items()
        }
    return found, json.loads(metadata["weights"])


def _shorter(prompt: Prompt) -> Prompt:
    prompt["sampler"]["inputs"]["steps"] = STEPS
    return prompt


def weights_marks(base: Path) -> dict[str, int]:
    """A check sum of each file's tensors, to tell other weights from another computation."""
    files = sorted((base / "models").rglob("*.safetensors"))
    return {path.name: _sum_of_tensors(path) for path in files}


def _sum_of_tensors(path: Path) -> int:
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
        file.seek(8 + header)
        total = 0
        while chunk := file.read(2**20):
            total = zlib.crc32(chunk, total)
    return total
