"""The core's nodes that put pictures and latents together, repeat them and take some out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ..batch_rows import of_length
from ..resize import MAX_RESOLUTION, resize
from ..sampling.sample import Latent
from ..sampling.upscale import upscale
from .declare import core_node, integer

_INDEX = integer(0, -MAX_RESOLUTION, MAX_RESOLUTION)


@core_node(
    "ImageBatch",
    "image/batch",
    {"image1": "IMAGE", "image2": "IMAGE"},
    "IMAGE",
    DEPRECATED=True,
)
def join(image1: Tensor, image2: Tensor) -> Tensor:
    """The pictures of both; the second ones are cut and scaled to the size of the first."""
    channels = max(image1.shape[-1], image2.shape[-1])
    one, other = (F.pad(i, (0, channels - i.shape[-1]), value=1.0) for i in (image1, image2))
    if one.shape[1:3] != other.shape[1:3]:
        rows, columns = one.shape[1:3]
        resized = resize(other.movedim(-1, 1), columns, rows, "bilinear", "center")
        other = resized.movedim(1, -1)
    return torch.cat([one, other])


@core_node(
    "RepeatImageBatch",
    "image/batch",
    {"image": "IMAGE", "amount": integer(1, 1, 4096)},
    "IMAGE",
)
def repeat(image: Tensor, amount: int) -> Tensor:
    """All pictures, `amount` times over."""
    require_memory(image.numel() * 4 * amount, f"{len(image) * amount} pictures")
    return image.repeat(amount, 1, 1, 1)


@core_node(
    "ImageFromBatch",
    "image/batch",
    {"image": "IMAGE", "batch_index": _INDEX, "length": integer(1, 1, 4096)},
    "IMAGE",
)
def some(image: Tensor, batch_index: int, length: int) -> Tensor:
    """`length` pictures from `batch_index` on; below 0 it counts from the end."""
    return image[_rows(len(image), batch_index, length)].clone()


@core_node(
    "LatentFromBatch",
    "model/latent/batch",
    {"samples": "LATENT", "batch_index": _INDEX, "length": integer(1, 1, 64)},
    "LATENT",
)
def some_latents(samples: Latent, batch_index: int, length: int) -> Latent:
    """`length` latents from `batch_index` on, as in ImageFromBatch.

    They remember which of the batch they were: sampled alone, each gets the noise it had there.
    """
    count = len(samples["samples"])
    rows = _rows(count, batch_index, length)
    taken = {**samples, "samples": samples["samples"][rows].clone()}
    if "noise_mask" in samples:
        mask = samples["noise_mask"]
        taken["noise_mask"] = mask.clone() if len(mask) == 1 else of_length(mask, count)[rows]
    taken["batch_index"] = list(samples.get("batch_index", range(count)))[rows]
    return taken


@core_node(
    "RepeatLatentBatch",
    "model/latent/batch",
    {"samples": "LATENT", "amount": integer(1, 1, 64)},
    "LATENT",
)
def repeat_latents(samples: Latent, amount: int) -> Latent:
    """All latents, `amount` times over, each with a noise of its own."""
    inside = samples["samples"]
    require_memory(inside.numel() * 4 * amount, f"{len(inside) * amount} latents")
    repeated = {**samples, "samples": inside.repeat(amount, 1, 1, 1)}
    mask = samples.get("noise_mask")
    if mask is not None and len(mask) > 1:
        # As many as they are, also where latents are more: sampling takes them in turns.
        repeated["noise_mask"] = mask.repeat(amount, 1, 1, 1)
    if "batch_index" in samples:
        rows = list(samples["batch_index"])
        stride = max(rows) - min(rows) + 1
        repeated["batch_index"] = [row + turn * stride for turn in range(amount) for row in rows]
    return repeated


@core_node(
    "LatentBatch",
    "model/latent/batch",
    {"samples1": "LATENT", "samples2": "LATENT"},
    "LATENT",
    DEPRECATED=True,
)
def join_latents(samples1: Latent, samples2: Latent) -> Latent:
    """The latents of both; the second ones are cut and scaled to the size of the first.

    Raises UserError where their channels differ.
    """
    one, other = samples1["samples"], samples2["samples"]
    if one.shape[1] != other.shape[1]:
        raise UserError(
            f"the latents have {one.shape[1]} and {other.shape[1]} channels; make both with one VAE"
        )
    if one.shape[2:] != other.shape[2:]:
        other = upscale(other, one.shape[3], one.shape[2], "bilinear", "center")
    # Each keeps its noise: without rows of their own, both begin with the first.
    rows = [
        row
        for latent in (samples1, samples2)
        for row in latent.get("batch_index", range(len(latent["samples"])))
    ]
    return {**samples1, "samples": torch.cat([one, other]), "batch_index": rows}


def _rows(count: int, index: int, length: int) -> slice:
    start = index + count if index < 0 else index
    start = max(0, min(count - 1, start))
    return slice(start, start + length)
