"""CLIP over a transformers text encoder: prompts to CONDITIONING as ComfyUI encodes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...ground.memory import require_memory
from . import embeddings
from .prompt import Vocabulary, Weighted, chunks, parse

Conditioning = list[list[Any]]


class Clip:
    """A text encoder, its tokenizer, and the layer whose output is the conditioning."""

    def __init__(self, text_encoder: Any, tokenizer: Any, layer: int | None = None) -> None:
        """`text_encoder`: CLIPTextModel; `tokenizer`: CLIPTokenizer; `layer`: see `clip_layer`."""
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.layer = layer

    def clone(self) -> Clip:
        """A CLIP on the same weights; choosing a layer on it does not change this one."""
        return Clip(self.text_encoder, self.tokenizer, self.layer)

    def clip_layer(self, layer: int) -> None:
        """Take the output of this layer, -1 the last, -2 the one before (ComfyUI's clip skip).

        A number beyond the first layer means the last one, as in ComfyUI.
        """
        self.layer = layer

    def tokenize(self, text: str) -> list[list[Weighted]]:
        """The prompt as rows of 77 (token, weight), textual inversions as vectors; raises UserError
        as `prompt.parse` does, and for a damaged file.
        """
        pieces = [
            (piece, weight) for part, weight in parse(text) for piece in self._with_vectors(part)
        ]
        return chunks(pieces, self._vocabulary(), self._length)

    def _with_vectors(self, text: str) -> Iterator[str | Sequence[Tensor]]:
        rest = ""
        for part in embeddings.split(text):
            if isinstance(part, str):
                yield f"{rest} {part}" if rest else part
                rest = ""
                continue
            if rest:
                yield rest
            found, rest = embeddings.vectors(part, self.text_encoder.config.hidden_size)
            yield found
        if rest:
            yield rest

    @torch.no_grad()
    def encode(self, text: str) -> Conditioning:
        """One conditioning: (1, 77 a chunk, C) and {"pooled_output": (1, C)}."""
        rows = self.tokenize(text)
        tokens, placed = _placed(rows)
        weights = torch.tensor([[weight for _, weight in row] for row in rows])
        weighted = bool((weights != 1.0).any())
        if weighted:  # the empty prompt is what weights move away from
            empty, _ = _placed(chunks([], self._vocabulary(), self._length))
            tokens = torch.cat([tokens, empty])
        config = self.text_encoder.config
        size = tokens.numel() * config.hidden_size * (config.num_hidden_layers + 1) * 4
        require_memory(size, f"a prompt of {len(rows)} x {self._length} tokens")
        with _vectors_in_place(self.text_encoder, placed):
            hidden, pooled = self._forward(tokens)
        if weighted:
            hidden = _move_from(hidden[-1:], hidden[:-1], weights[..., None].to(hidden))
        return [[hidden.flatten(0, 1)[None].cpu(), {"pooled_output": pooled[:1].cpu()}]]

    @torch.no_grad()
    def words(self, prompts: Sequence[str]) -> Tensor:
        """Plain prompts to (n, 77, C) on the encoder's device, each as its conditioning would be.

        Parentheses are text, and what goes beyond one row of 77 tokens is cut off.
        """
        vocabulary = self._vocabulary()
        rows = [chunks([(prompt, 1.0)], vocabulary, self._length)[0] for prompt in prompts]
        return self._forward(_placed(rows)[0])[0]

    @property
    def _length(self) -> int:
        length: int = self.text_encoder.config.max_position_embeddings
        return length

    def _vocabulary(self) -> Vocabulary:
        def tokens_of(text: str) -> list[int]:
            ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
            return ids

        given = self.tokenizer
        return Vocabulary(tokens_of, given.bos_token_id, given.eos_token_id, given.pad_token_id)

    def _forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(S, 77) to the hidden states (S, 77, C) of the layer and the last layer's at the end."""
        encoder = self.text_encoder
        output = encoder(tokens.to(encoder.device), output_hidden_states=True)
        last: Tensor = output.last_hidden_state
        # Padding may be the end token again: the first one ends the prompt.
        ends = (tokens == self.tokenizer.eos_token_id).int().argmax(dim=1)
        pooled = last[torch.arange(len(tokens)), ends]
        layers = encoder.config.num_hidden_layers
        if self.layer is None or self.layer == -1 or not 0 < -self.layer <= layers:
            return last, pooled
        # transformers < 5 keeps the transformer one level down.
        norm = getattr(encoder, "text_model", encoder).final_layer_norm
        hidden: Tensor = norm(output.hidden_states[self.layer])
        return hidden, pooled


Placed = list[tuple[int, int, Tensor]]
"""(row, column, vector) of each token that is a vector."""


def _placed(rows: Sequence[Sequence[Weighted]]) -> tuple[Tensor, Placed]:
    """The numbers of rows of tokens (S, 77), with 0 for a vector; and the vectors."""
    vectors = [
        (i, j, token)
        for i, row in enumerate(rows)
        for j, (token, _) in enumerate(row)
        if isinstance(token, Tensor)
    ]
    numbers = [[0 if isinstance(token, Tensor) else token for token, _ in row] for row in rows]
    return torch.tensor(numbers), vectors


@contextmanager
def _vectors_in_place(text_encoder: Any, placed: Placed) -> Iterator[None]:
    """Have vectors put where they belong while the encoder runs, in this thread alone."""
    here = threading.get_ident()

    def put(module: object, inputs: object, output: Tensor) -> Tensor:
        if threading.get_ident() != here:
            return output
        output = output.clone()
        for row, column, vector in placed:
            output[row, column] = vector.to(output)
        return output

    hook = text_encoder.get_input_embeddings().register_forward_hook(put) if placed else None
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()


def _move_from(origin: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    """Scale the way from `origin` to `points`; a weight of 1 leaves its point exactly in place."""
    return torch.where(weights == 1.0, points, (points - origin) * weights + origin)
