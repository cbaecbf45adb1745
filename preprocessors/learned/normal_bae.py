"""Surface normals by BAE's network, as the normal ControlNet 1.1 was trained on them.

Red is how far a surface faces left, green how far it faces up, blue how far it faces the viewer,
each from -1 (0) to 1 (255); that is the network's own order, ScanNet's:
https://github.com/lllyasviel/ControlNet-v1-1-nightly (README, `annotator/normalbae`) and
https://github.com/baegwangbin/surface_normal_uncertainty. The hints of ControlNet 1.0 have other
axes.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..picture import Bytes
from ..spec import Preprocessor
from .networks import Network, learned, published_files
from .tensors import batch, levels

if TYPE_CHECKING:
    import torch
    from torch import nn

STRIDE = 32
"""The network halves the picture five times."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of RGB in 0..1."""


def normal_bae(picture: Bytes, device: torch.device, network: nn.Module) -> Bytes:
    """The normals of `picture` (uint8 RGB, H x W x 3) as colours of the same H x W x 3."""
    import torch

    mean, std = (torch.tensor(of, device=device).view(1, 3, 1, 1) for of in (MEAN, STD))
    taken = (batch(picture, device, STRIDE) / 255 - mean) / std
    by_scale, *_ = network(taken)
    normals = by_scale[-1][0, :3]  # the fourth channel is how sure the network is
    colours = levels((normals + 1) / 2, picture.shape[:2], "Normal BAE")
    return np.ascontiguousarray(colours.transpose(1, 2, 0))


def _build(aux: Any) -> nn.Module:
    """The network with the layers of scannet.pt; the two ratios are for training alone."""
    ratios = {"sampling_ratio": 0.4, "importance_ratio": 0.7}
    network: nn.Module = aux.NNET(SimpleNamespace(architecture="BN", **ratios))
    return network


NORMAL_BAE = Preprocessor(
    name="normal_bae",
    node="ControlStackNormalBae",
    title="Normal BAE Hint",
    shows="normals",
    description="Which way each surface of a picture faces, as colours: red left, green up, blue "
    "to the viewer. For the normal ControlNet 1.1, not for 1.0.",
    aliases=("BAE-NormalMapPreprocessor", "normal_bae", "normal map", "法线"),
    controls="Normal: control_v11p_sd15_normalbae",
    learning=learned(
        "Normal BAE",
        normal_bae,
        published_files(
            "scannet",
            {"scannet.pt": "03dbf1600c51ee3d45c29f77b77bf1a3b7a24c3452dba62a4ae658f37330c209"},
            "MIT",
            291,
        ),
        Network(
            *("BAE normals", "encoder.original_model.conv_stem.weight"),
            *("normalbae.nets.NNET", _build),
        ),
    ),
)
