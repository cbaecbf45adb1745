"""A control that acts inside the model's blocks: a MODEL_PATCH of the host, as a stack takes it.

The host's own patches do the work: they are handed the picture, the VAE and the mask. The engine
decides when, where and how much (`patch_run.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .protocols import BaseModel
from .residuals import Place

PATCH = 2
"""The edge of the squares of latent pixels that Z-Image, Qwen-Image, Wan and Anima make tokens of.
"""

Function = Callable[..., Any]
"""A patch as the host's model calls it, between two of its steps."""


@dataclass(frozen=True, eq=False)
class Given:
    """What the host's patches are handed.

    Args:
        pictures: (B, 3, H, W) in 0..1, one a row of the batch or a single one for all; the frames
            of a film, where the net takes one.
        latent: frames (1 of a picture), height and width of what is sampled, in latent pixels.
        device: where it is sampled.
        vae: the host's VAE, or None.
        inpaint_mask: (B, h, w) in 0..1, white is drawn anew, or None.
        inpaint_image: (B, 3, H, W) in 0..1, the picture that stays elsewhere, or None.
    """

    pictures: Tensor
    latent: tuple[int, int, int]
    device: torch.device
    vae: Any = None
    inpaint_mask: Tensor | None = None
    inpaint_image: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Patches:
    """The host's patches for one hint: kind ("double_block", "attn1_patch" ...) -> functions."""

    functions: Mapping[str, Sequence[Function]]
    set_strength: Callable[[float], None]


@dataclass(frozen=True, eq=False)
class PatchNet:
    """A model patch that controls.

    Args:
        words: what it is, for a person: "a Z-Image Fun ControlNet".
        family: of the models that it acts on, as `family.py` names them.
        node: what the host's own node for it is called.
        blocks: where it adds: group, number of the model's block, how many the group has.
        widths: layer of the model -> input width that it must have.
        weights: the host's object, which its memory manager loads.
        make: the host's patches, on one base model.
        latent_hint: whether the hint is encoded, so that a VAE is needed.
        film: whether the hint is a film.
        mask: whether it takes a mask of what is drawn anew; `stays` without one the whole picture.
        picture: whether it takes the picture to draw in beside the hint.
    """

    words: str
    family: str
    node: str
    blocks: tuple[tuple[str, int, int], ...]
    widths: Mapping[str, int]
    weights: Any
    make: Callable[[BaseModel, Given], Patches]
    latent_hint: bool = True
    film: bool = False
    mask: bool = False
    stays: bool = False
    picture: bool = False

    @property
    def control_model(self) -> Any:
        """The network."""
        return self.weights.model

    def get_models(self) -> list[Any]:
        """What the host's memory manager must load."""
        return [self.weights]

    def inference_memory_requirements(self, dtype: Any) -> int:
        """Bytes that it needs while sampling beside its weights: as the host counts, none."""
        return 0

    def places(self, shape: torch.Size | None = None) -> list[Place]:
        """Where it adds, from the first block to the deepest; `shape` of what is added to."""
        return [
            Place(group, block, count, shape or torch.Size(), depth, len(self.blocks), None)
            for depth, (group, block, count) in enumerate(self.blocks)
        ]
