"""CLIP over one text encoder or SDXL's two: prompts to CONDITIONING as ComfyUI encodes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...ground.errors import UserError
from .text_encoder import Rows, TextEncoder

Conditioning = list[list[Any]]


class Clip:
    """Text encoders, and the layer whose output is the conditioning."""

    def __init__(self, *encoders: TextEncoder, layer: int | None = None) -> None:
        """`encoders`: one, or SDXL's "l" and "g"; `layer`: see `clip_layer`."""
        self.encoders = encoders
        self.layer = layer

    def clone(self) -> Clip:
        """A CLIP on the same weights; choosing a layer on it does not change this one."""
        return Clip(*self.encoders, layer=self.layer)

    def clip_layer(self, layer: int) -> None:
        """Take the output of this layer, -1 the last, -2 the one before (ComfyUI's clip skip).

        A number beyond an encoder's first layer means the one that nobody asks for, as in ComfyUI.
        """
        self.layer = layer

    @property
    def width(self) -> int:
        """The width of the conditioning."""
        return sum(encoder.width for encoder in self.encoders)

    @property
    def pooled_width(self) -> int:
        """The width of the pooled text."""
        last = self.encoders[-1]
        return last.width if last.projection is None else last.projection.shape[0]

    @property
    def text_encoder(self) -> Any:
        """The first encoder's network."""
        return self.encoders[0].network

    @property
    def tokenizer(self) -> Any:
        """The first encoder's tokenizer."""
        return self.encoders[0].tokenizer

    def encode(self, text: str) -> Conditioning:
        """One conditioning: (1, 77 a chunk, `width`) and {"pooled_output": (1, C)}."""
        return self._encoded([encoder.tokenize(text) for encoder in self.encoders])

    def encode_each(self, texts: Mapping[str, str]) -> Conditioning:
        """As `encode`, with a text for each encoder by its name ("l", "g"); the shorter one is
        filled with empty prompts. Raises UserError where this CLIP has not these encoders.
        """
        mine = [encoder.kind.name for encoder in self.encoders]
        if sorted(mine) != sorted(texts):
            raise UserError(
                f"There is a text for each of the text encoders {', '.join(sorted(texts))}, and "
                f"this CLIP has {', '.join(mine)}: use SDXL's CLIP, or a CLIPTextEncode node."
            )
        rows = [encoder.tokenize(texts[encoder.kind.name]) for encoder in self.encoders]
        most = max(map(len, rows))
        filled = [
            [*own, *encoder.tokenize("") * (most - len(own))]
            for encoder, own in zip(self.encoders, rows, strict=True)
        ]
        return self._encoded(filled)

    @torch.no_grad()
    def _encoded(self, rows: Sequence[Rows]) -> Conditioning:
        both = [
            encoder.encode(own, self.layer)
            for encoder, own in zip(self.encoders, rows, strict=True)
        ]
        tokens = min(hidden.shape[1] for hidden, _ in both)
        hidden = torch.cat([hidden[:, :tokens] for hidden, _ in both], dim=-1)
        return [[hidden, {"pooled_output": both[-1][1]}]]

    @torch.no_grad()
    def texts(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """See `TextEncoder.texts`; (n, 77, `width`), and the last encoder's pooled texts."""
        both = [each.texts(prompts, self.layer) for each in self.encoders]
        return torch.cat([words for words, _ in both], dim=-1), both[-1][1]
