"""The core's nodes that put pictures and latents together, repeat them and take some out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ground.errors import UserError
from ...ground.memory import require_memory
from ..batch_rows import of_length
from ..resize import MAX_RESOLUTION, resize
from ..sampling.sample import Latent
from ..sampling.upscale import upscale
from .declare import core_node, growing, integer
from .latent import FACTOR

_INDEX = integer(0, -MAX_RESOLUTION, MAX_RESOLUTION)
_BATCH = integer(1, 1, 4096)
_ADVANCED = "model/latent/advanced"
AXES = {"x": 1, "y": 2, "t": 3}
"""Edges of a latent, counted from its last one."""


@core_node(
    "ImageBatch",
    "image/batch",
    {"image1": "IMAGE", "image2": "IMAGE"},
    "IMAGE",
    DEPRECATED=True,
)
def join(image1: Tensor, image2: Tensor) -> Tensor:
    """The pictures of both; the second ones are cut and scaled to the size of the first."""
    return _joined([image1, image2])


@core_node(
    "BatchImagesNode",
    "image/batch",
    {"images": growing("IMAGE", prefix="image", most=50)},
    "IMAGE",
)
def join_all(images: Mapping[str, Tensor]) -> Tensor:
    """All pictures; later ones are cut and scaled to the size of the first."""
    return _joined(list(images.values()))


@core_node(
    "BatchMasksNode", "image/mask", {"masks": growing("MASK", prefix="mask", most=50)}, "MASK"
)
def join_masks(masks: Mapping[str, Tensor]) -> Tensor:
    """All masks; later ones are cut and scaled to the size of the first."""
    return _joined([mask[..., None] for mask in masks.values()])[..., 0]


def _joined(images: Sequence[Tensor]) -> Tensor:
    channels = max(image.shape[-1] for image in images)
    rows, columns = images[0].shape[1:3]
    made = []
    for image in images:
        image = F.pad(image, (0, channels - image.shape[-1]), value=1.0)
        if image.shape[1:3] != (rows, columns):
            resized = resize(image.movedim(-1, 1), columns, rows, "bilinear", "center")
            image = resized.movedim(1, -1)
        made.append(image)
    return torch.cat(made)


@core_node(
    "RebatchImages",
    "image/batch",
    {"images": "IMAGE", "batch_size": _BATCH},
    "IMAGE",
    INPUT_IS_LIST=True,
    OUTPUT_IS_LIST=(True,),
)
def rebatch(images: list[Tensor], batch_size: list[int]) -> list[Tensor]:
    """All pictures of a list of batches in batches of `batch_size`; UserError for unlike ones."""
    alone = [image[None] for batch in images for image in batch]
    if len(shapes := {image.shape[1:] for image in alone}) > 1:
        height, width, _ = max(shapes)
        raise UserError(
            f"the list has pictures of {len(shapes)} sizes, {width} x {height} among them; scale "
            "all to one"
        )
    return [
        torch.cat(alone[start : start + batch_size[0]])
        for start in range(0, len(alone), batch_size[0])
    ]


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
    return _joined_latents([samples1, samples2])


@core_node(
    "BatchLatentsNode",
    "model/latent/batch",
    {"latents": growing("LATENT", prefix="latent", most=50)},
    "LATENT",
)
def join_all_latents(latents: Mapping[str, Latent]) -> Latent:
    """All latents; later ones are cut and scaled to the size of the first.

    Raises UserError where their channels differ.
    """
    return _joined_latents(list(latents.values()))


def _joined_latents(latents: Sequence[Latent]) -> Latent:
    first: Tensor = latents[0]["samples"]
    made, rows = [], []
    for latent in latents:
        inside: Tensor = latent["samples"]
        if inside.shape[1] != first.shape[1]:
            raise UserError(
                f"the latents have {first.shape[1]} and {inside.shape[1]} channels; make both "
                "with one VAE"
            )
        if inside.shape[2:] != first.shape[2:]:
            inside = upscale(inside, first.shape[3], first.shape[2], "bilinear", "center")
        made.append(inside)
        # Each keeps its noise: without rows of their own, all begin with the first.
        rows += latent.get("batch_index", range(len(inside)))
    return {**latents[0], "samples": torch.cat(made), "batch_index": rows}


@core_node(
    "RebatchLatents",
    "model/latent/batch",
    {"latents": "LATENT", "batch_size": _BATCH},
    "LATENT",
    INPUT_IS_LIST=True,
    OUTPUT_IS_LIST=(True,),
)
def rebatch_latents(latents: list[Latent], batch_size: list[int]) -> list[Latent]:
    """All latents of a list in batches of `batch_size`, each with the noise of its place in the
    list; where the size changes a batch begins.
    """
    made: list[Latent] = []
    before = 0
    for _, alike in groupby(latents, key=lambda latent: latent["samples"].shape[1:]):
        run = list(alike)
        samples = torch.cat([latent["samples"] for latent in run])
        masks = torch.cat([_whole_mask(latent) for latent in run])
        rows: list[int] = []
        for latent in run:
            count = len(latent["samples"])
            rows += latent.get("batch_index", range(before, before + count))
            before += count
        for start in range(0, len(samples), batch_size[0]):
            part = slice(start, start + batch_size[0])
            piece = {"samples": samples[part], "batch_index": rows[part]}
            free = bool(masks[part].mean() == 1.0)
            made.append(piece if free else {**piece, "noise_mask": masks[part]})
    return made


def _whole_mask(latent: Latent) -> Tensor:
    """A latent's mask in pixels, one for each row; ones where it has none."""
    count, _, height, width = latent["samples"].shape
    size = (height * FACTOR, width * FACTOR)
    if "noise_mask" not in latent:
        return torch.ones(count, 1, *size)
    mask: Tensor = latent["noise_mask"].reshape(-1, 1, *latent["noise_mask"].shape[-2:])
    if mask.shape[-2:] != size:
        mask = F.interpolate(mask, size=size, mode="bilinear")
    return of_length(mask, count) if len(mask) < count else mask


@core_node(
    "LatentBatchSeedBehavior",
    _ADVANCED,
    {"samples": "LATENT", "seed_behavior": (["random", "fixed"], {"default": "fixed"})},
    "LATENT",
)
def choose_noise(samples: Latent, seed_behavior: str) -> Latent:
    """A batch that begins with one noise for all ("fixed"), or with one for each ("random")."""
    rows = samples.get("batch_index", [0])[:1] * len(samples["samples"])
    others = {name: value for name, value in samples.items() if name != "batch_index"}
    return {**others, "batch_index": rows} if seed_behavior == "fixed" else others


@core_node(
    "LatentConcat",
    _ADVANCED,
    {"samples1": "LATENT", "samples2": "LATENT", "dim": ["x", "-x", "y", "-y", "t", "-t"]},
    "LATENT",
)
def concatenate(samples1: Latent, samples2: Latent, dim: str) -> Latent:
    """Two latents side by side, one above the other, or as frames; with "-" the second one first.

    Raises UserError where their other edges differ.
    """
    one: Tensor = samples1["samples"]
    other = of_length(samples2["samples"], len(one))
    axis = -AXES[dim[-1]]
    if [n for i, n in enumerate(one.shape) if i != one.ndim + axis] != [
        n for i, n in enumerate(other.shape) if i != other.ndim + axis
    ]:
        raise UserError(
            f"latents of {tuple(one.shape)} and {tuple(other.shape)} do not fit along {dim[-1]}; "
            "give both the same size but for it"
        )
    return {
        **samples1,
        "samples": torch.cat((other, one) if dim.startswith("-") else (one, other), dim=axis),
    }


@core_node(
    "LatentCut",
    _ADVANCED,
    {
        "samples": "LATENT",
        "dim": list(AXES),
        "index": integer(0, -MAX_RESOLUTION, MAX_RESOLUTION, 1),
        "amount": integer(1, 1, MAX_RESOLUTION, 1),
    },
    "LATENT",
)
def cut(samples: Latent, dim: str, index: int, amount: int) -> Latent:
    """The part of latents from `index` on, below 0 counted from the end, `amount` latent pixels (or
    frames) long at most.
    """
    inside: Tensor = samples["samples"]
    axis = inside.ndim - AXES[dim]
    length = inside.shape[axis]
    start = min(index, length - 1) if index >= 0 else max(0, length + index)
    return {**samples, "samples": inside.narrow(axis, start, min(amount, length - start))}


@core_node(
    "LatentCutToBatch",
    _ADVANCED,
    {
        "samples": "LATENT",
        "dim": ["t", "x", "y"],
        "slice_size": integer(1, 1, MAX_RESOLUTION, 1),
    },
    "LATENT",
)
def cut_to_batch(samples: Latent, dim: str, slice_size: int) -> Latent:
    """Latents cut into pieces of `slice_size`, which become a batch; what is left over is dropped,
    and latents without frames are not cut along "t".
    """
    inside: Tensor = samples["samples"]
    axis = inside.ndim - AXES[dim]
    if axis < 2:
        return samples
    first = inside.movedim(axis, 1)
    size = min(slice_size, first.shape[1])
    whole = first[:, : first.shape[1] // size * size]
    pieces = whole.reshape(-1, size, *first.shape[2:]).movedim(1, axis)
    return {**samples, "samples": pieces}


def _rows(count: int, index: int, length: int) -> slice:
    start = index + count if index < 0 else index
    start = max(0, min(count - 1, start))
    return slice(start, start + length)
