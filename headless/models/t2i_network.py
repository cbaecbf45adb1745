"""T2I adapters' networks: a hint to one feature map for each level of a U-Net's encoder.

Two of them, "full" and "light" (T2I-Adapter, arXiv 2302.08453, 3.3; layer names and sizes of
TencentARC/T2I-Adapter, `ldm/modules/encoders/adapter.py`, Apache-2.0). Both fold 8 x 8 pixels into
channels first, and halve the picture before every level but the first. SDXL's is a full one that
folds 16 x 16 pixels and halves once, before its third level (TencentARC's branch XL,
`models_adapter.py`'s Adapter_XL).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

PIXELS, PIXELS_XL = 8, 16  # of a side that are folded into channels
FULL, LIGHT, FULL_XL = "full_adapter", "light_adapter", "full_adapter_xl"  # diffusers' names
_HALVING_XL = 2  # the one level of SDXL's that is halved

Config = Mapping[str, Any]


class T2INetwork(nn.Module):
    """The adapter of a configuration as `layouts.adapter_config` tells it."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.channels: tuple[int, ...] = tuple(config["channels"])
        self.hint_channels: int = config["in_channels"]
        self.xl: bool = config["adapter_type"] == FULL_XL
        self.pixels = PIXELS_XL if self.xl else PIXELS
        folded = self.hint_channels * self.pixels**2
        full = config["adapter_type"] != LIGHT
        self.fold = nn.PixelUnshuffle(self.pixels)
        self.conv_in = nn.Conv2d(folded, self.channels[0], 3, padding=1) if full else nn.Identity()
        self.body = nn.ModuleList(_full_body(config) if full else _light_body(config, folded))

    def forward(self, hint: Tensor) -> list[Tensor]:
        """Hints (B, `hint_channels`, 8h, 8w) to (B, channels, h / 2^i, w / 2^i) for each level;
        SDXL's to maps of h / 2 in two levels and h / 4 in two.
        """
        x = self.conv_in(self.fold(hint))
        blocks_per_level = len(self.body) // len(self.channels)
        features = []
        for number, block in enumerate(self.body, 1):
            x = block(x)
            if number % blocks_per_level == 0:
                features.append(x)
        return features


def _full_body(config: Config) -> Iterator[nn.Module]:
    before = config["channels"][0]
    for level, channels in enumerate(config["channels"]):
        for block in range(config["num_res_blocks"]):
            halving = level == _HALVING_XL if config["adapter_type"] == FULL_XL else level > 0
            halves = halving and block == 0
            yield _FullBlock(before, channels, config["kernel"], halves, config["learned_halving"])
            before = channels


def _light_body(config: Config, folded: int) -> Iterator[nn.Module]:
    before = folded
    sizes = zip(config["inner_channels"], config["channels"], strict=True)
    for level, (inner, channels) in enumerate(sizes):
        yield _LightLevel(before, inner, channels, config["num_res_blocks"], halves=level > 0)
        before = channels


class _Residual(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.block1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block2 = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.block2(F.relu(self.block1(x)))
        return change + x


class _FullBlock(_Residual):
    """A residual block that may halve the picture and change its channels first."""

    def __init__(self, inputs: int, outputs: int, kernel: int, halves: bool, learned: bool) -> None:
        super().__init__(outputs, kernel)
        halving: nn.Module = _LearnedHalving(inputs) if learned else _Halving()
        self.down_opt = halving if halves else nn.Identity()
        same = inputs == outputs
        self.in_conv = (
            nn.Identity() if same else nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.in_conv(self.down_opt(x)))


class _LightLevel(nn.Module):
    """A level of the light adapter: few channels inside, between two 1 x 1 convolutions."""

    def __init__(self, inputs: int, inner: int, outputs: int, blocks: int, halves: bool) -> None:
        super().__init__()
        self.down_opt = _Halving() if halves else nn.Identity()
        self.in_conv = nn.Conv2d(inputs, inner, 1)
        self.body = nn.Sequential(*(_Residual(inner, 3) for _ in range(blocks)))
        self.out_conv = nn.Conv2d(inner, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out_conv(self.body(self.in_conv(self.down_opt(x))))
        return out


class _Halving(nn.Module):
    """The mean of 2 x 2 pixels; odd sides are rounded up, with a border of zeros on both ends."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2, padding=(x.shape[-2] % 2, x.shape[-1] % 2))


class _LearnedHalving(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.op(x)
        return halved


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """TencentARC's name for each name of a T2I adapter's file; diffusers' have levels in them."""
    bare = {name: name.removeprefix("adapter.") for name in names}
    if not any(".resnets." in name for name in bare):
        return bare
    light = any(".out_conv." in name for name in bare)
    rename = _light_name if light else _full_name
    return {name: rename(plain) for name, plain in bare.items()}


def _light_name(name: str) -> str:
    return name.replace(".resnets.", ".body.")


def _full_name(name: str) -> str:
    """`body.2.resnets.1.block1` is the sixth block in a row, `body.5.block1`; two a level."""
    found = re.match(r"body\.(\d+)\.(?:resnets\.(\d+)\.)?", name)
    if found is None:
        return name
    return f"body.{2 * int(found[1]) + int(found[2] or 0)}.{name[found.end() :]}"
