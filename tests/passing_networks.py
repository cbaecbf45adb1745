"""Networks that see darkness, and say so in the form of a learned preprocessor's own network.

Each stands in for the published one in that preprocessor's annotator, so that all around it runs:
colours, padding, scales, what is read from its answer. They tell where things come out, not what a
trained network would find.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from controlstack.preprocessors.learned import (
    anyline,
    depth,
    hed,
    lineart,
    lineart_anime,
    mlsd,
    normal_bae,
    pidinet,
    segment,
    teed,
)
from controlstack.preprocessors.learned.tensors import Networks
from controlstack.preprocessors.spec import Annotator
from tests import tiny_depth, tiny_segmenters

LEFT, FRONT = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
"""Which way BAE's stand-in says that dark and light surfaces face."""

PERSON, SKY = 12, 2
"""ADE20K's classes that the segmenter's stand-in sees in what is dark and what is light."""


class Passing(nn.Module):
    """A network that answers with `say` of what it is given."""

    def __init__(self, say: Callable[..., Any]) -> None:
        super().__init__()
        self.say = say
        self.eval()

    def forward(self, *given: Tensor, **named: Tensor) -> Any:
        return self.say(*given, *named.values())


def annotator(name: str) -> Annotator:
    """The annotator of the preprocessor `name` around a network that sees darkness."""
    if name in _IN_FOLDERS:
        make, say = _IN_FOLDERS[name]
        with TemporaryDirectory() as folder:
            loaded = make(Path(folder))
        return replace(loaded, networks=(Passing(say),))
    draw, say, networks = _DRAWN[name]
    return Networks(name, tuple(Passing(say) for _ in range(networks)), draw)


def _dark(given: Tensor, low: float, high: float) -> Tensor:
    """1 x 1 x H x W: 1 where the picture, in `low`..`high`, is black, and 0 where it is white."""
    return (high - given[:, :3].mean(dim=1, keepdim=True)) / (high - low)


def _logits(dark: Tensor) -> Tensor:
    return (dark - 0.5) * 20


def _scales(given: Tensor) -> list[Tensor]:
    """HED's five, each half as large as the one before."""
    dark = _dark(given, 0, 255)
    return [_logits(torch.nn.functional.avg_pool2d(dark, 2**scale)) for scale in range(5)]


def _fused_last(given: Tensor) -> list[Tensor]:
    return [torch.zeros(1), _dark(given, 0, 1)]


def _level_line(given: Tensor) -> Tensor:
    """M-LSD's map with one line, level and through the middle of all that is dark."""
    rows, columns = torch.nonzero(_dark(given, -1, 1)[0, 0] > 0.5, as_tuple=True)
    found = torch.zeros(1, 9, given.shape[2] // 2, given.shape[3] // 2)
    found[:, 0] = -9
    x, y = (float(place.float().mean() / 2) for place in (columns, rows))
    half = float(columns.max() - columns.min()) / 4
    cell = (0, slice(0, 5), int(y), int(x))
    x, y = x % 1, y % 1  # the ends are told from the cell
    found[cell] = torch.tensor((9.0, x - half, y, x + half, y))
    return found


def _black_on_white(given: Tensor) -> Tensor:
    return 1 - _dark(given, 0, 1)


def _black_on_white_from_minus_one(given: Tensor) -> Tensor:
    return 1 - 2 * _dark(given, -1, 1)


def _normals(given: Tensor) -> tuple[list[Tensor], None, None]:
    """Dark surfaces face left, light ones the viewer; BAE's fourth channel is how sure it is."""
    dark = _dark(given, -2.2, 2.5) > 0.5  # about where ImageNet's black and white lie
    ways = (torch.tensor((*way, 1.0)).view(1, 4, 1, 1) for way in (LEFT, FRONT))
    return [torch.where(dark, *ways)], None, None


def _four_scales(given: Tensor) -> list[Tensor]:
    return [_logits(_dark(given, 0, 255))] * 4


def _near(given: Tensor) -> SimpleNamespace:
    return SimpleNamespace(predicted_depth=-given.mean(dim=1))


def _classes(given: Tensor) -> SimpleNamespace:
    """Scores for each class at a quarter of the size, as SegFormer's."""
    dark = torch.nn.functional.avg_pool2d(_dark(given, -2.2, 2.5), 4)[0, 0]
    scores = torch.zeros(1, 150, *dark.shape)
    scores[0, PERSON], scores[0, SKY] = dark, 1 - dark
    return SimpleNamespace(logits=scores)


_DRAWN: dict[str, tuple[Callable[..., Any], Callable[..., Any], int]] = {
    "hed": (hed.hed, _scales, 1),
    "hed_scribble": (hed.hed_scribble, _scales, 1),
    "pidinet": (pidinet.pidinet, _fused_last, 1),
    "pidinet_scribble": (pidinet.pidinet_scribble, _fused_last, 1),
    "mlsd": (mlsd.mlsd, _level_line, 1),
    "lineart": (lineart.lineart, _black_on_white, 2),
    "lineart_anime": (lineart_anime.lineart_anime, _black_on_white_from_minus_one, 1),
    "normal_bae": (normal_bae.normal_bae, _normals, 1),
    "teed": (teed.teed, _four_scales, 1),
    "anyline": (anyline.anyline, _four_scales, 1),
}


def _depth(folder: Path) -> Any:
    """A DPT whose pictures are prepared as the published one's."""
    tiny_depth.tiny_dpt(folder)
    transformers.DPTImageProcessor(
        size={"height": 384, "width": 384}, keep_aspect_ratio=True, ensure_multiple_of=32
    ).save_pretrained(folder)
    return depth.load_depth([folder])


def _segmenter(folder: Path) -> Any:
    """A SegFormer whose pictures are prepared as the published ones'."""
    tiny_segmenters.MODELS["segformer"](folder)
    size = {"height": 512, "width": 512}
    transformers.SegformerImageProcessor(size=size).save_pretrained(folder)
    return segment.load_segmenter([folder])


_IN_FOLDERS: dict[str, tuple[Callable[[Path], Any], Callable[..., Any]]] = {
    "depth": (_depth, _near),
    "seg_ade20k": (_segmenter, _classes),
}
NAMES = (*_DRAWN, *_IN_FOLDERS)
"""The learned preprocessors that have a stand-in here; pose has its own in its own tests."""
