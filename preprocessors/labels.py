"""A label map, drawn or from a data set -> the colours of a segmentation ControlNet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..ground.errors import UserError
from ..ground.parameters import Parameter
from .ade20k import ADE20K
from .picture import Bytes, checked_size, size_of
from .spec import Preprocessor

UNLABELLED = 255
"""The label that mmsegmentation ignores and leaves black, `ignore_index` in
https://github.com/open-mmlab/mmsegmentation/blob/main/mmseg/models/decode_heads/decode_head.py"""


def color_labels(labels: Bytes, zero_is_unlabelled: bool = False) -> Bytes:
    """Each pixel's class as its colour: uint8, H x W -> uint8 RGB, H x W x 3.

    Classes are 0 to 149 in ADE20K's order and UNLABELLED is black. With `zero_is_unlabelled` they
    are numbered as in ADE20K's own annotation pictures: 0 is black, too, and k is class k - 1.
    Raises UserError for another kind of map, and for a class that there is not.
    """
    checked = _checked(labels)
    first = 1 if zero_is_unlabelled else 0
    table = np.zeros((256, 3), np.uint8)
    table[first : first + len(ADE20K)] = [colour for _, colour in ADE20K]
    strange = (checked >= first + len(ADE20K)) & (checked != UNLABELLED)
    if strange.any():
        _refuse(checked, strange, first + len(ADE20K) - 1)
    return np.asarray(table[checked])


def _checked(labels: Bytes) -> Bytes:
    if labels.dtype != np.uint8 or labels.ndim != 2 or labels.size == 0:
        raise UserError(
            f"A label map is bytes, height x width, a class number each, and this one is "
            f"{labels.dtype} of {size_of(labels)}; convert it first."
        )
    checked_size(labels.shape[1], labels.shape[0], "The label map")
    return labels


def _refuse(labels: Bytes, strange: npt.NDArray[np.bool_], last: int) -> None:
    row, column = (int(place) for place in np.argwhere(strange)[0])
    raise UserError(
        f"The label map has class {labels[row, column]} at column {column}, row {row} "
        f"({np.count_nonzero(strange)} pixels in all are over {last}); classes go up to {last}, "
        f"and {UNLABELLED} is unlabelled. Where ADE20K's own numbers from 1 to 150 are meant, set "
        "zero_is_unlabelled."
    )


SEGMENTATION_LABELS = Preprocessor(
    name="seg_labels",
    node="ControlStackSegmentationLabels",
    title="Segmentation Labels Hint",
    shows="segmentation",
    description=(
        "Colours a label map, one of ADE20K's 150 class numbers a pixel, as the segmentation "
        "ControlNets were trained on it. 255 is unlabelled and black."
    ),
    aliases=(
        *("segmentation", "label map", "semantic segmentation", "ade20k", "palette", "mask to seg"),
        *("语义分割", "标签图"),
    ),
    controls="Segmentation: control_v11p_sd15_seg",
    parameters=(
        Parameter(
            "zero_is_unlabelled",
            False,
            "Class numbers begin at 1 and 0 is unlabelled, as in ADE20K's own annotation pictures.",
        ),
    ),
    takes="labels",
    drawn=True,
    run=color_labels,
)
