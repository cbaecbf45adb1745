"""Small data sets on the disk, and encoders that are formulas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from controlstack.training.base import Texts


def picture(seed: int, width: int = 48, height: int = 48) -> NDArray[np.uint8]:
    """Coloured noise in blocks of 8, which survives resizing."""
    blocks = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def fill50k(folder: Path, count: int = 4, width: int = 48, height: int = 48) -> Path:
    """Row i: target picture(i), source picture(100 + i), prompt "prompt i"."""
    lines = []
    for i in range(count):
        save(folder / "target" / f"{i}.png", picture(i, width, height))
        save(folder / "source" / f"{i}.png", picture(100 + i, width, height))
        names = {"source": f"source/{i}.png", "target": f"target/{i}.png"}
        lines.append(json.dumps({**names, "prompt": f"prompt {i}"}))
    (folder / "prompt.json").write_text("\n".join(lines) + "\n")
    return folder


class FormulaEncoders:
    """Latents are means of 8 x 8 pixels and their grey, words are letters' numbers; counts what it
    encodes."""

    def __init__(
        self, fingerprint: str = "formula", deviation: float = 0.25, pooled: int = 0
    ) -> None:
        self.fingerprint = fingerprint
        self.deviation = deviation
        self.pictures_seen = 0
        self.prompts_seen: list[str] = []
        self.sizes = (4, 77, 2)
        self.pooled_width = pooled

    def tokens(self, prompts: Sequence[str]) -> list[int]:
        return [len(prompt.split()) for prompt in prompts]

    def moments(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        assert pictures.dtype == torch.float32
        assert -1 <= pictures.min() <= pictures.max() <= 1
        self.pictures_seen += len(pictures)
        small = avg_pool2d(pictures, 8)
        mean = torch.cat((small, small.mean(1, keepdim=True)), 1)
        return mean, torch.full_like(mean, self.deviation)

    def words(self, prompts: Sequence[str]) -> Tensor:
        self.prompts_seen += prompts
        return torch.stack([embedding(prompt) for prompt in prompts])

    def texts(self, prompts: Sequence[str]) -> Texts:
        words = self.words(prompts)
        return Texts(words, words.sum(1)[:, : self.pooled_width] if self.pooled_width else None)

    def pictures(self, latents: Tensor) -> Tensor:
        raise AssertionError("no picture is decoded where data is read")


def embedding(prompt: str) -> Tensor:
    """(77, 2): a letter's number, and the place."""
    words = torch.zeros(77, 2)
    words[:, 1] = torch.arange(77)
    words[: len(prompt), 0] = torch.tensor([float(ord(letter)) for letter in prompt])
    return words


def latent_mean(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What FormulaEncoders make of a picture: (4, H / 8, W / 8)."""
    values = pixels.astype(np.float64) / 127.5 - 1
    height, width = pixels.shape[:2]
    small = values.reshape(height // 8, 8, width // 8, 8, 3).mean((1, 3)).transpose(2, 0, 1)
    return np.concatenate((small, small.mean(0, keepdims=True)))
