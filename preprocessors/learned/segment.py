"""A picture -> what stands where, in ADE20K's 150 classes and colours, by a model of transformers.

A class is chosen at each pixel after the network's scores are resized to the picture, so that no
two colours are ever mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...errors import UserError
from ..ade20k import ADE20K
from ..labels import color_labels
from ..picture import checked_rgb
from ..spec import Learning, Preprocessor, Weights
from .folder import Kind, check_folder, load_network, load_processor
from .narrow import taking, widened

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SEGMENTERS = Kind(
    what="segmentation model",
    classes={
        "oneformer": "OneFormerForUniversalSegmentation",
        "segformer": "SegformerForSemanticSegmentation",
        "upernet": "UperNetForSemanticSegmentation",
    },
)

TASK = (49406, 518, 10549, 533, 29119, 1550, 49407)
"""What tells OneFormer to segment by class: "the task is semantic" in CLIP's tokens, from its start
to its end. The rest of its `task_seq_len` is 0:
https://github.com/SHI-Labs/OneFormer/blob/main/oneformer/data/tokenizer.py"""

AT_ONCE = 2**22
"""Scores (classes x pixels) that are resized together: 16 MB, where all of a large picture's would
fill a machine."""


@dataclass(frozen=True)
class Segmenter:
    """A loaded network with the preparation its pictures need: an Annotator."""

    network: torch.nn.Module
    processor: Any

    @property
    def networks(self) -> Sequence[torch.nn.Module]:
        """The one network."""
        return (self.network,)

    def __call__(
        self, picture: npt.NDArray[np.uint8], device: torch.device, **_: Any
    ) -> npt.NDArray[np.uint8]:
        """The colour of each pixel's class: uint8 RGB, H x W x 3, of `picture`'s own H x W.

        Raises UserError where the model gives no numbers or cannot take the picture.
        """
        picture = checked_rgb(picture, "The segmentation model")
        height, width = picture.shape[:2]
        with taking(picture, SEGMENTERS.what):
            seen = widened(picture)
            labels = best_class(self._scores(seen, device), (seen.shape[0], seen.shape[1]))
        return color_labels(labels[:height, :width])

    def _scores(self, picture: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
        """How much speaks for each class, classes x h x w, at the network's own size."""
        import torch

        config: Any = self.network.config
        with torch.inference_mode():
            if config.model_type != "oneformer":
                inputs = self.processor(
                    images=picture, return_tensors="pt", input_data_format="channels_last"
                )
                output = self.network(pixel_values=inputs["pixel_values"].to(device))
                scores: Tensor = output.logits[0]
                return scores
            inputs = self.processor(
                images=picture,
                task_inputs=["semantic"],
                return_tensors="pt",
                input_data_format="channels_last",
            )
            task = torch.zeros(1, config.task_seq_len, device=device)
            task[0, : len(TASK)] = torch.tensor(TASK)
            output = self.network(pixel_values=inputs["pixel_values"].to(device), task_inputs=task)
            # A query is a class, or none (the last one), and the mask of where it is.
            classes = output.class_queries_logits[0].softmax(dim=-1)[:, :-1]
            masks = output.masks_queries_logits[0].sigmoid()
            return torch.einsum("qc,qhw->chw", classes, masks)


def best_class(scores: Tensor, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
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
        for numbers in _contenders(scores).split(together):
            part = scores[None, numbers].float()
            resized = torch.nn.functional.interpolate(part, size, mode="bilinear")[0]
            score, place = resized.max(dim=0)
            better = score > best
            best = torch.where(better, score, best)
            labels = torch.where(better, numbers[place].to(torch.uint8), labels)
    found: npt.NDArray[np.uint8] = labels.cpu().numpy()
    return found


def _contenders(scores: Tensor) -> Tensor:
    """The numbers of the classes that can be the highest somewhere once `scores` are resized.

    A resized score lies between those at the corners of its cell, so a class whose highest corner
    is below another's lowest one never wins there; of a picture's 150, few are left.
    """
    import torch

    cells = torch.nn.functional.pad(scores[None], (0, 1, 0, 1), mode="replicate")[0]
    highest = torch.nn.functional.max_pool2d(cells, 2, stride=1)
    lowest = -torch.nn.functional.max_pool2d(-cells, 2, stride=1)
    able = highest >= lowest.amax(dim=0)
    return able.flatten(1).any(dim=1).nonzero()[:, 0]


def load_segmenter(paths: Sequence[Path]) -> Segmenter:
    """The segmentation model in the folder `paths[0]`.

    Raises UserError for a folder that is not whole, holds no segmentation model, or one of other
    classes than ADE20K's 150.
    """
    (folder,) = paths
    network = load_network(folder, SEGMENTERS)
    config: Any = network.config
    if config.num_labels != len(ADE20K):
        raise UserError(
            f"{folder} tells {config.num_labels} classes apart, and the segmentation ControlNets "
            f"know the {len(ADE20K)} of ADE20K; take a model that was trained on ADE20K."
        )
    # OneFormer's processor would fetch the names of the classes, which only training needs.
    nameless = {"class_info_file": None} if config.model_type == "oneformer" else {}
    return Segmenter(network, load_processor(folder, SEGMENTERS, **nameless))


def _published(
    repo: str,
    licence: str,
    megabytes: int,
    weights: str = "pytorch_model.bin",
    commercial: bool = True,
    sha256: str = "",
) -> Weights:
    return Weights(
        name=repo.partition("/")[2],
        repo=repo,
        files=("config.json", "preprocessor_config.json", weights),
        licence=licence,
        commercial=commercial,
        megabytes=megabytes,
        sha256={weights: sha256} if sha256 else {},
    )


NVIDIA = "NVIDIA Source Code License (research only)"
"""https://github.com/NVlabs/SegFormer/blob/master/LICENSE"""

SEGMENT = Preprocessor(
    name="seg_ade20k",
    node="ControlStackSegment",
    title="Segmentation Hint",
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
            _published("shi-labs/oneformer_ade20k_swin_large", "MIT", 880),
            _published(
                "shi-labs/oneformer_ade20k_swin_tiny",
                "MIT",
                203,
                sha256="909b07dbf4129c2bbb8df4498e35dcd46f305e3ec45329d3ff6d4f0360de27f3",
            ),
            _published("openmmlab/upernet-swin-large", "MIT", 936, "model.safetensors"),
            _published("openmmlab/upernet-convnext-small", "MIT", 328),
            _published("nvidia/segformer-b5-finetuned-ade-640-640", NVIDIA, 339, commercial=False),
            _published("nvidia/segformer-b2-finetuned-ade-512-512", NVIDIA, 110, commercial=False),
            _published(
                "nvidia/segformer-b0-finetuned-ade-512-512",
                NVIDIA,
                15,
                "model.safetensors",
                commercial=False,
            ),
        ),
        load=load_segmenter,
        check=lambda paths: check_folder(paths[0], SEGMENTERS),
        model_types=tuple(SEGMENTERS.classes),
    ),
)
