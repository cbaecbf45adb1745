"""What OneFormer is given and how its answer is read.

Transformers' own processor for it fetches the names of the classes from the hub, which only
training needs, so the picture is prepared here, by the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..picture import Bytes

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

TASK = (49406, 518, 10549, 533, 29119, 1550, 49407)
"""What tells OneFormer to segment by class: "the task is semantic" in CLIP's tokens, from its start
to its end. The rest of its `task_seq_len` is 0:
https://github.com/SHI-Labs/OneFormer/blob/main/oneformer/data/tokenizer.py"""


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes OneFormer's input: the length of its shorter side in pixels, and of its
    longer one at most; mean and deviation of RGB in 0..1."""

    shortest: int = 800
    longest: int = 1333
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width at which a picture of this one is looked at."""
        short, long = min(height, width), max(height, width)
        wanted = min(self.shortest, round(self.longest * short / long))
        other = int(wanted * long / short)
        return (wanted, other) if height <= width else (other, wanted)


def preparation_of(settings: Mapping[str, Any]) -> Preparation:
    """That of a preprocessor_config.json; what it leaves out is as transformers has it.

    Raises ValueError, TypeError or KeyError for nonsense.
    """
    usual = Preparation()
    size = settings.get("size", usual.shortest)
    if not isinstance(size, Mapping):
        longest = settings.get("max_size", usual.longest)
        size = {"shortest_edge": size, "longest_edge": longest}
    return Preparation(
        shortest=int(size["shortest_edge"]),
        longest=int(size["longest_edge"]),
        mean=tuple(float(value) for value in settings.get("image_mean", usual.mean)),
        std=tuple(float(value) for value in settings.get("image_std", usual.std)),
    )


def oneformer_input(picture: Bytes, device: torch.device, preparation: Preparation) -> Tensor:
    """`picture` (uint8 RGB, H x W x 3) as 1 x 3 x h x w on `device`."""
    import torch

    pixels = torch.from_numpy(np.require(picture, requirements="W")).to(device)
    whole = pixels.permute(2, 0, 1)[None].float()
    seen = torch.nn.functional.interpolate(
        whole, preparation.size(*picture.shape[:2]), mode="bilinear", antialias=True
    )
    mean, std = (
        torch.tensor(of, device=device).view(1, 3, 1, 1)
        for of in (preparation.mean, preparation.std)
    )
    return (seen / 255 - mean) / std


def oneformer_scores(
    network: nn.Module, picture: Bytes, device: torch.device, preparation: Preparation
) -> Tensor:
    """How much speaks for each class, classes x h x w, at the network's own size."""
    import torch

    config: Any = network.config
    task = torch.zeros(1, config.task_seq_len, device=device)
    task[0, : len(TASK)] = torch.tensor(TASK)
    pixels = oneformer_input(picture, device, preparation)
    output = network(pixel_values=pixels, task_inputs=task)
    # A query is of a class, or of none (the last one), and has a mask of where it is.
    classes = output.class_queries_logits[0].softmax(dim=-1)[:, :-1]
    masks = output.masks_queries_logits[0].sigmoid()
    return torch.einsum("qc,qhw->chw", classes, masks)
