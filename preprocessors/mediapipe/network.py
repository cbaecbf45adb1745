"""A network of MediaPipe: the steps of its graph, as `tools/mediapipe_weights.py` wrote them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from ...ground.errors import UserError
from ...ground.wording import first_line

Step = Mapping[str, Any]


class Network(nn.Module):
    """A graph that takes pictures (N x 3 x `side` x `side`) and gives its outputs by their names.

    Boxes are N x anchors x numbers, scores N x anchors x 1, points and presence N x 1 x numbers,
    all as the TFLite file has them.
    """

    def __init__(self, about: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.side: int = about["side"]
        self._input, self._outputs = about["input"], about["outputs"]
        self._steps: list[Step] = about["steps"]
        last = {source: number for number, step in enumerate(self._steps) for source in step["of"]}
        kept = set(self._outputs.values())
        self._done = [
            [source for source in step["of"] if last[source] == number and source not in kept]
            for number, step in enumerate(self._steps)
        ]
        for name, value in weights.items():
            weight = nn.Parameter(value.float(), requires_grad=False)
            self.register_parameter(name.replace(".", "_"), weight)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """The outputs for `pictures`, in the range of values that the network was trained on."""
        values = {self._input: pictures}
        for step, done in zip(self._steps, self._done, strict=True):
            found = _DOES[step["does"]](self, step, *(values[source] for source in step["of"]))
            for source in set(done):
                del values[source]
            values[step["to"]] = _ACTS[step.get("act", "")](found)
        return {name: _rows(values[number]) for name, number in self._outputs.items()}

    def weight(self, step: Step, name: str) -> Tensor:
        """The weights of that name that a step has."""
        found: Tensor = getattr(self, f"{step['to']}_{name}")
        return found


def load_network(path: Path) -> Network:
    """The network in a file that `tools/mediapipe_weights.py` wrote. Raises UserError for another
    file."""
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["network"])
            # An open safetensors file has keys() and is no mapping.
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        # A third faster on a CPU, most of all where each channel has its own filter.
        return Network(about, _dense(state)).eval().to(memory_format=torch.channels_last)
    except (OSError, SafetensorError, ValueError, LookupError, RuntimeError) as error:
        raise UserError(
            f"{path} is no network of MediaPipe as ControlStack ships it ({first_line(error)}); "
            "install ControlStack anew."
        ) from error


def _dense(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with its sparse weights whole: those that are not 0, and a bit for each place."""
    found = {name: value for name, value in state.items() if name.count(".") == 1}
    bits = 2 ** torch.arange(7, -1, -1, dtype=torch.uint8)
    for name, values in state.items():
        stem, _, part = name.rpartition(".")
        if part == "values":
            where = (state[f"{stem}.where"][:, None] & bits).reshape(-1) != 0
            shape = state[f"{stem}.shape"].tolist()
            whole = torch.zeros(shape)
            whole.view(-1)[where[: whole.numel()]] = values.float()
            found[stem] = whole
    return found


def _rows(values: Tensor, width: int | None = None) -> Tensor:
    """N x C x H x W as N x rows x `width` (default: C), in the order of TFLite's N x H x W x C."""
    if values.dim() == 4:
        values = values.permute(0, 2, 3, 1)
    return values.reshape(len(values), -1, width or values.shape[-1])


def _conv(net: Network, step: Step, values: Tensor) -> Tensor:
    left, right, top, bottom = step["pad"]
    padding: int | Sequence[int] = (top, left)
    if (left, top) != (right, bottom):
        values, padding = F.pad(values, (left, right, top, bottom)), 0
    weight, bias = net.weight(step, "weight"), net.weight(step, "bias")
    if weight.shape[2:] == (1, 1) and step["groups"] == 1 and step["stride"] == [1, 1]:
        # A product of matrices, which is faster on a CPU where channels come last.
        return F.linear(values.permute(0, 2, 3, 1), weight[..., 0, 0], bias).permute(0, 3, 1, 2)
    return F.conv2d(values, weight, bias, step["stride"], padding, groups=step["groups"])


def _linear(net: Network, step: Step, values: Tensor) -> Tensor:
    return F.linear(values, net.weight(step, "weight"), net.weight(step, "bias"))


def _prelu(net: Network, step: Step, values: Tensor) -> Tensor:
    return F.prelu(values, net.weight(step, "slope"))


def _pool(net: Network, step: Step, values: Tensor) -> Tensor:
    return F.max_pool2d(values, step["size"], step["stride"])


def _resize(net: Network, step: Step, values: Tensor) -> Tensor:
    return F.interpolate(values, step["size"], mode="bilinear", align_corners=False)


def _depth_to_space(net: Network, step: Step, values: Tensor) -> Tensor:
    # TFLite's channels are block row, block column, channel; torch's pixel_shuffle has these last.
    count, depth, high, wide = values.shape
    block = step["block"]
    parts = values.reshape(count, block, block, depth // block**2, high, wide)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(count, -1, high * block, wide * block)


_DOES: Mapping[str, Callable[..., Tensor]] = {
    "conv": _conv,
    "linear": _linear,
    "prelu": _prelu,
    "pool": _pool,
    "resize": _resize,
    "depth_to_space": _depth_to_space,
    "add": lambda net, step, one, other: one + other,
    "relu": lambda net, step, values: values.relu(),
    "logistic": lambda net, step, values: values.sigmoid(),
    "mean": lambda net, step, values: values.mean(dim=(2, 3)),
    "pad": lambda net, step, values: F.pad(values, step["pad"]),
    "slice": lambda net, step, values: values[:, : step["channels"]],
    "rows": lambda net, step, values: _rows(values, step["width"]),
    "concatenation": lambda net, step, *values: torch.cat(values, dim=1),
}
_ACTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "": lambda values: values,
    "relu": Tensor.relu_,
    "relu6": lambda values: values.clamp_(0, 6),
}
