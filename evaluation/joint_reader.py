"""A small convolutional reader of body joints, so that a pose can be checked in a picture and not
in the hint.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as f

from ..ground.errors import UserError

JOINTS = 18
CELL = 4
"""Pixels a heatmap cell covers in each direction."""
_REACH = 2
"""Cells around a heatmap's peak whose weighted mean is the joint."""


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.second(f.silu(self.first(f.silu(x)))))


class JointReader(nn.Module):
    """RGB (n, 3, h, w), 0..1 -> heatmap logits (n, 18, h/4, w/4), one map a joint in OpenPose's
    order; one person a picture.
    """

    def __init__(self, width: int = 48, dilations: tuple[int, ...] = (1, 2, 4, 8, 2)) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width // 2, 5, stride=2, padding=2), nn.SiLU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
        )  # fmt: skip
        self.body = nn.Sequential(*(_Residual(width, d) for d in dilations))
        self.head = nn.Conv2d(width, JOINTS, 1)

    def forward(self, rgb: Tensor) -> Tensor:
        return cast(Tensor, self.head(f.silu(self.body(self.stem(rgb - 0.5)))))


def read_joints(reader: JointReader, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Joints (18, 2), x and y in pixels, of the person in a picture uint8 (h, w, 3) whose sides are
    multiples of 4.
    """
    picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        heat = reader(picture)[0]
    return np.stack([_peak(channel.numpy()) for channel in heat])


def _peak(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weighted mean of the cells around the highest one, in pixels."""
    y, x = np.unravel_index(int(logits.argmax()), logits.shape)
    rows = slice(max(int(y) - _REACH, 0), int(y) + _REACH + 1)
    columns = slice(max(int(x) - _REACH, 0), int(x) + _REACH + 1)
    weights = np.exp(logits[rows, columns] - logits[y, x])
    ys, xs = np.mgrid[
        rows.start : rows.start + weights.shape[0], columns.start : columns.start + weights.shape[1]
    ]
    centre = np.array([(xs * weights).sum(), (ys * weights).sum()]) / weights.sum()
    return np.asarray((centre + 0.5) * CELL, np.float32)


def save_reader(reader: JointReader, path: Path) -> None:
    """Write the weights in half precision, with the widths that rebuild the network."""
    from safetensors.torch import save_file

    shape = {
        "width": reader.head.in_channels,
        "dilations": [b.first.dilation[0] for b in _blocks(reader)],
    }
    weights = {name: value.half().contiguous() for name, value in reader.state_dict().items()}
    save_file(weights, path, metadata={"joint_reader": json.dumps(shape)})


def load_reader(path: Path) -> JointReader:
    """The reader that `save_reader` wrote. Raises UserError when the file is missing or something
    else.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(
            f"There is no joint reader at {path}: train it with `controlstack demo-model train`."
        )
    try:
        with safe_open(path, "pt") as file:
            shape = json.loads(file.metadata()["joint_reader"])
            # An open safetensors file has keys() and is no mapping.
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not a joint reader ({error}): put back the file of this name."
        ) from error
    reader = JointReader(shape["width"], tuple(shape["dilations"]))
    reader.load_state_dict(weights)
    return reader.eval()


def _blocks(reader: JointReader) -> list[_Residual]:
    return [block for block in reader.body if isinstance(block, _Residual)]
