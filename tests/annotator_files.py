"""The annotators' files of weights as they are published, filled with random numbers.

Names and shapes are those of controlnet-aux's own networks, which load the published files
strictly; what is wrapped around them is what controlnet-aux's loaders unwrap.
"""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.weights import drawn


def network(file: str) -> nn.Module:
    """The network whose weights are published as `file`, as controlnet-aux builds it."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()), torch.device("meta"):
        warnings.simplefilter("ignore")
        return _MAKERS[Path(file).name]()


def random_state(file: str, seed: int = 0, gain: float = 1.4) -> dict[str, Tensor]:
    """Random weights under the names and in the shapes of `file`."""
    shapes = {name: tuple(value.shape) for name, value in network(file).state_dict().items()}
    state = drawn({name: shape for name, shape in shapes.items() if shape}, seed, gain)
    for name, shape in shapes.items():
        if name.endswith("running_var"):  # positive, as a variance is
            state[name] = 1 + state[name].abs()
        if not shape:  # num_batches_tracked
            state[name] = torch.tensor(0)
        if name in _SCALES:
            state[name] /= _SCALES[name]
    return state


def publish(folder: Path, file: str, state: Mapping[str, Tensor]) -> Path:
    """`state` saved in `folder` as `file` is published; the path of the new file."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(_WRAPPINGS.get(path.name, dict)(state), path)
    return path


_SCALES = {"block1.convs.0.weight": 100, "block_1.conv1.weight": 3}
"""Of first layers that are given 0..255: without a scale every edge would be 0 or 1."""


def _half(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ControlNetHED.pth has 29 MB for 14.7 million weights."""
    return {name: value.half() for name, value in state.items()}


def _in_training(state: Mapping[str, Tensor]) -> dict[str, Any]:
    return {"epoch": 13, "state_dict": _parallel(state)}


def _parallel(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": value for name, value in state.items()}


def _in_model(state: Mapping[str, Tensor]) -> dict[str, Any]:
    return {"model": dict(state)}


_WRAPPINGS: dict[str, Callable[[Mapping[str, Tensor]], dict[str, Any]]] = {
    "ControlNetHED.pth": _half,
    "table5_pidinet.pth": _in_training,
    "netG.pth": _parallel,
    "scannet.pt": _in_model,
}


def _hed() -> nn.Module:
    from controlnet_aux.hed import ControlNetHED_Apache2

    return ControlNetHED_Apache2()


def _pidinet() -> nn.Module:
    from controlnet_aux.pidi.model import pidinet

    return pidinet()


def _mlsd() -> nn.Module:
    from controlnet_aux.mlsd.models.mbv2_mlsd_large import MobileV2_MLSD_Large

    return MobileV2_MLSD_Large()


def _lineart() -> nn.Module:
    from controlnet_aux.lineart import Generator

    return Generator(3, 1, 3)


def _lineart_anime() -> nn.Module:
    from controlnet_aux.lineart_anime import UnetGenerator

    norm = functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    return UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False)


def _normal_bae() -> nn.Module:
    from controlnet_aux.normalbae.nets.NNET import NNET

    ratios = {"sampling_ratio": 0.4, "importance_ratio": 0.7}
    return NNET(types.SimpleNamespace(mode="client", architecture="BN", **ratios))


def _teed() -> nn.Module:
    from controlnet_aux.teed.ted import TED

    return TED()


_MAKERS: dict[str, Callable[[], nn.Module]] = {
    "ControlNetHED.pth": _hed,
    "table5_pidinet.pth": _pidinet,
    "mlsd_large_512_fp32.pth": _mlsd,
    "sk_model.pth": _lineart,
    "sk_model2.pth": _lineart,
    "netG.pth": _lineart_anime,
    "scannet.pt": _normal_bae,
    "7_model.pth": _teed,
    "MTEED.pth": _teed,
}

FILES = tuple(_MAKERS)
"""The names of the published files."""
