"""A picture -> what stands where, in ADE20K's 150 classes and colours, by a model of transformers.

A class is chosen at each pixel after the network's scores are resized to the picture, so that no
two colours are ever mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...ground.errors import UserError
from ...ground.wording import first_line
from ..ade20k import ADE20K
from ..labels import color_labels
from ..picture import Bytes
from ..spec import Learning, Preprocessor
from .folder import (
    PICKLE,
    Kind,
    check_folder,
    load_network,
    load_processor,
    pixels,
    published,
    read_json,
)
from .narrow import taking, widened
from .oneformer import Preparation, oneformer_scores, preparation_of
from .tensors import Networks

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SEGMENTERS = Kind(
    what="segmentation model",
    classes={
        "oneformer": "OneFormerForUniversalSegmentation",
        "segformer": "SegformerForSemanticSegmentation",
        "upernet": "UperNetForSemanticSegmentation",
    },
)

AT_ONCE = 2**22
"""Scores (classes x pixels) that are resized together: 16 MB, where all of a large picture's would
fill a machine."""


def segment(
    picture: Bytes,
    device: torch.device,
    network: nn.Module,
    scores: Callable[[nn.Module, Bytes, torch.device], Tensor],
) -> Bytes:
    """The colour of each pixel's class: uint8 RGB, H x W x 3, of `picture`'s own H x W.

    `scores` asks the network, given it, a picture and the device: how much speaks for each class,
    classes x h x w, at its own size. Raises UserError where the model gives no numbers or cannot
    take the picture.
    """
    height, width = picture.shape[:2]
    with taking(picture, SEGMENTERS.what):
        seen = widened(picture)
        said = scores(network, seen, device)
        labels = best_class(said, (seen.shape[0], seen.shape[1]))
    return color_labels(labels[:height, :width])


def best_class(scores: Tensor, size: tuple[int, int]) -> Bytes:
    """The class with the highest of `scores` (classes x h x w), at each pixel of H x W (`size`).

    The scores are resized bilinearly first. Raises UserError for scores that are not finite.
    """
    import torch

    if not bool(torch.isfinite(scores).all()):
        raise UserError("The segmentation model gave no finite numbers; its weights are damaged.")
    best = torch.full(size, -torch.inf, device=scores.device)
    labels = torch.zeros(size, dtype=torch.uint8, device=scores.device)
    together = max(1, AT_ONCE // (size[0] * size[1]))
    with torch.inference_mode():
        for numbers in torch.split(_contenders(scores), together):
            part = scores[None, numbers].float()
            resized = torch.nn.functional.interpolate(part, size, mode="bilinear")[0]
            score, place = resized.max(dim=0)
            better = score > best
            best = torch.where(better, score, best)
            labels = torch.where(better, numbers[place].to(torch.uint8), labels)
    found: Bytes = labels.cpu().numpy()
    return found


def _contenders(scores: Tensor) -> Tensor:
    """The numbers of the classes that can be the highest somewhere once `scores` are resized.

    A resized score lies between those at the corners of its cell, so a class whose highest corner
    is below another's lowest one never wins there; of a picture's 150, few are left.
    """
    import torch

    able = _of_corners(torch.maximum, scores) >= _of_corners(torch.minimum, scores).amax(dim=0)
    return able.flatten(1).any(dim=1).nonzero()[:, 0]


def _of_corners(pick: Callable[[Tensor, Tensor], Tensor], scores: Tensor) -> Tensor:
    """What `pick` takes of the four corners of each cell of `scores` (classes x h x w).

    Slice by slice: torch's pooling on the CPU takes 14 times as long.
    """
    for side in (1, 2):
        cells = scores.shape[side] - 1
        if cells:
            scores = pick(scores.narrow(side, 0, cells), scores.narrow(side, 1, cells))
    return scores


def check_segmenter(paths: Sequence[Path]) -> dict[str, Any]:
    """The config.json of the segmentation model in the folder `paths[0]`. Loads no weights.

    Raises UserError for a folder that is not whole, holds no segmentation model, or one of other
    classes than ADE20K's 150.
    """
    (folder,) = paths
    config = check_folder(folder, SEGMENTERS)
    names = config.get("id2label")
    classes = len(names) if isinstance(names, Mapping) else config.get("num_labels", 2)
    if classes != len(ADE20K):
        raise UserError(
            f"{folder} tells {classes} classes apart, and the segmentation ControlNets know the "
            f"{len(ADE20K)} of ADE20K; take a model that was trained on ADE20K."
        )
    return config


def load_segmenter(paths: Sequence[Path]) -> Networks:
    """The segmentation model in the folder `paths[0]`.

    Raises UserError for what `check_segmenter` refuses, and for weights that do not fit.
    """
    (folder,) = paths
    config = check_segmenter(paths)
    network = load_network(folder, SEGMENTERS)
    scores = (
        partial(oneformer_scores, preparation=_preparation(folder))
        if config["model_type"] == "oneformer"
        else partial(_logits, processor=load_processor(folder, SEGMENTERS))
    )
    return Networks("The segmentation model", (network,), partial(segment, scores=scores))


def _preparation(folder: Path) -> Preparation:
    file = "preprocessor_config.json"
    settings = read_json(folder, file, SEGMENTERS)
    try:
        return preparation_of(settings)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{folder / file} does not say how OneFormer sees a picture ({first_line(error)}); "
            "download the folder again."
        ) from error


def _logits(network: nn.Module, picture: Bytes, device: torch.device, processor: Any) -> Tensor:
    """The scores of SegFormer and UperNet."""
    logits: Tensor = network(pixel_values=pixels(processor, picture, device)).logits
    return logits[0]


NVIDIA = "NVIDIA Source Code License (research only)"
"""https://github.com/NVlabs/SegFormer/blob/master/LICENSE"""

SEGMENT = Preprocessor(
    name="seg_ade20k",
    node="ControlStackSegment",
    title="Segmentation Hint",
    shows="segmentation",
    description=(
        "Finds what stands where, in ADE20K's 150 classes, and gives each class the colour that "
        "the segmentation ControlNets were trained on, with OneFormer, SegFormer or UperNet. "
        "SegFormer's weights are not for commercial use."
    ),
    aliases=(
        *("segmentation", "semantic segmentation", "seg_ofade20k", "seg_ufade20k", "oneformer"),
        *("OneFormer-ADE20K-SemSegPreprocessor", "UniFormer-SemSegPreprocessor"),
        *("SemSegPreprocessor", "segformer", "upernet", "ade20k", "preprocessor", "annotator"),
        *("语义分割", "预处理器"),
    ),
    controls="Segmentation: control_v11p_sd15_seg",
    drawn=True,
    learning=Learning(
        models=(
            published("shi-labs/oneformer_ade20k_swin_large", "MIT", 880, PICKLE),
            published(
                "shi-labs/oneformer_ade20k_swin_tiny",
                "MIT",
                203,
                PICKLE,
                sha256="909b07dbf4129c2bbb8df4498e35dcd46f305e3ec45329d3ff6d4f0360de27f3",
            ),
            published("openmmlab/upernet-swin-large", "MIT", 940),
            published("openmmlab/upernet-convnext-small", "MIT", 328, PICKLE),
            published(
                "nvidia/segformer-b5-finetuned-ade-640-640", NVIDIA, 339, PICKLE, commercial=False
            ),
            published(
                "nvidia/segformer-b2-finetuned-ade-512-512", NVIDIA, 110, PICKLE, commercial=False
            ),
            published("nvidia/segformer-b0-finetuned-ade-512-512", NVIDIA, 15, commercial=False),
        ),
        load=load_segmenter,
        check=check_segmenter,
        model_types=tuple(SEGMENTERS.classes),
    ),
)
