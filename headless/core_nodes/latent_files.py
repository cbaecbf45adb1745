"""The core's nodes that write latents into files and read them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ...ground.reading import read_bytes
from ...model_files.files import read_tensors
from .. import folders
from ..sampling.sample import Latent
from .declare import core_node
from .saving import PROMPT_AND_CANVAS, name_checked, texts_of, written

SUFFIX = ".latent"
_TENSOR, _VERSION = "latent_tensor", "latent_format_version_0"
OLD_SCALE = 0.18215
"""What ComfyUI's first files, those without a version, have their latents multiplied by: the scale
of SD 1.x's VAE."""
MOST = 8 << 30
"""The largest file of latents that is read, in bytes."""


@core_node(
    "SaveLatent",
    "model/latent",
    {"samples": "LATENT", "filename_prefix": ("STRING", {"default": "latents/ComfyUI"})},
    "LATENT",
    hidden=PROMPT_AND_CANVAS,
    check=name_checked(SUFFIX),
    OUTPUT_NODE=True,
    RETURN_NAMES=("samples",),
)
def save(samples: Latent, filename_prefix: str, **told: Any) -> dict[str, Any]:
    """Latents written into the output folder, with the workflow inside, and given on. Only what
    they show is written, no mask and no numbers in a batch, as in the core.
    """
    from safetensors.torch import save as encode

    inside: Tensor = samples["samples"]
    require_memory(inside.numel() * inside.element_size() * 2, f"a file of {len(inside)} latents")
    # The core writes an empty prompt, too, where it has none.
    texts = {key: json.dumps(value) for key, value in texts_of(**told).items()}
    tensors = {_TENSOR: inside.cpu().contiguous(), _VERSION: torch.tensor([])}
    data = encode(tensors, metadata={"prompt": "", **texts})
    saved = written(data, filename_prefix, SUFFIX, prompt=told.get("prompt"))
    return {"ui": {"latents": [saved]}, "result": (samples,)}


def _find(latent: str) -> Path:
    return folders.find_input(latent, (SUFFIX,))


def _digest(latent: str) -> str:
    return hashlib.sha256(read_bytes(_find(latent), "the latent", MOST)).hexdigest()


def _read(path: Path) -> Tensor:
    found = dict(read_tensors(path))
    if _TENSOR not in found:
        raise UserError(
            f"{path} holds no {_TENSOR}: it is no file of latents; give one that SaveLatent wrote"
        )
    latents = found[_TENSOR]
    if 0 in latents.shape:
        raise UserError(f"{path} holds no latent: its numbers are {tuple(latents.shape)}")
    scale = 1.0 if _VERSION in found else 1.0 / OLD_SCALE
    return latents.float() * scale


@core_node(
    "LoadLatent",
    "model/latent",
    {"latent": lambda: (folders.input_names((SUFFIX,)),)},
    "LATENT",
    check=lambda latent: _read(_find(latent)),
    IS_CHANGED=_digest,
)
def load(latent: str) -> Latent:
    """The latents of a file that SaveLatent wrote, of the input folder (or of the output folder,
    with " [output]" behind its name). Raises UserError for another file.
    """
    return {"samples": _read(_find(latent))}
