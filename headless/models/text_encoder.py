"""One of CLIP's text encoders: a prompt to hidden states and a pooled text, as ComfyUI has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...ground.memory import require_memory
from . import embeddings
from .prompt import Vocabulary, Weighted, chunks, parse

Rows = list[list[Weighted]]


@dataclass(frozen=True)
class TextKind:
    """How a family of models uses a text encoder (ComfyUI's `sd1_clip.py`, `sdxl_clip.py` and
    `text_encoders/sd2_clip.py`).
    """

    name: str
    """"l" (OpenAI's CLIP ViT-L), "h" (OpenCLIP ViT-H) or "g" (OpenCLIP ViT-bigG)."""
    layer: int | None = None
    """Whose output is the conditioning, -1 the last, where nobody asks for one; None: the last,
    normed."""
    normed: bool = True
    """Whether the last norm is applied to a layer that is asked for."""
    layers: int = 0
    """How many layers a whole file has, where files may leave the last ones out; 0: all are there.
    """
    pads_with_end: bool = True
    """Whether rows are filled with the token that ends the prompt, or with token 0."""


SD1 = TextKind("l")
SD2 = TextKind("h", layer=-2, layers=24, pads_with_end=False)
SDXL_L = TextKind("l", layer=-2, normed=False)
SDXL_G = TextKind("g", layer=-2, normed=False, pads_with_end=False)


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """A network of transformers, its tokenizer, how it is used, and what pooled texts go through.

    `network`: CLIPTextModel; `tokenizer`: CLIPTokenizer; `projection`: (out, C) or None for none.
    """

    network: Any
    tokenizer: Any
    kind: TextKind = SD1
    projection: Tensor | None = None

    @property
    def width(self) -> int:
        """The width of its hidden states."""
        width: int = self.network.config.hidden_size
        return width

    def tokenize(self, text: str) -> Rows:
        """The prompt as rows of 77 (token, weight), textual inversions as vectors; raises UserError
        as `prompt.parse` does, and for a damaged file.
        """
        pieces = [
            (piece, weight) for part, weight in parse(text) for piece in self._with_vectors(part)
        ]
        return chunks(pieces, self._vocabulary(), self.length)

    def _with_vectors(self, text: str) -> Iterator[str | Sequence[Tensor]]:
        rest = ""
        for part in embeddings.split(text):
            if isinstance(part, str):
                yield f"{rest} {part}" if rest else part
                rest = ""
                continue
            if rest:
                yield rest
            found, rest = embeddings.vectors(part, self.width, f"clip_{self.kind.name}")
            yield found
        if rest:
            yield rest

    def encode(self, rows: Rows, layer: int | None = None) -> tuple[Tensor, Tensor]:
        """Hidden states (1, 77 a row, C) of `layer` (see `Clip.clip_layer`; None: the kind's), with
        the words' weights, and the pooled text (1, C), both on the CPU.
        """
        tokens, placed = _placed(rows)
        weights = torch.tensor([[weight for _, weight in row] for row in rows])
        weighted = bool((weights != 1.0).any())
        if weighted:  # the empty prompt is what weights move away from
            empty, _ = _placed(chunks([], self._vocabulary(), self.length))
            tokens = torch.cat([tokens, empty])
        size = tokens.numel() * self.width * (self._depth + 1) * 4
        require_memory(size, f"a prompt of {len(rows)} x {self.length} tokens")
        with _vectors_in_place(self.network, placed):
            hidden, pooled = self.states(tokens, layer)
        if weighted:
            hidden = _move_from(hidden[-1:], hidden[:-1], weights[..., None].to(hidden))
        return hidden.flatten(0, 1)[None].cpu(), pooled[:1].cpu()

    def texts(self, prompts: Sequence[str], layer: int | None = None) -> tuple[Tensor, Tensor]:
        """Plain prompts to (n, 77, C) and pooled texts (n, P) on the encoder's device, each as its
        conditioning would be.

        Parentheses are text, and what goes beyond one row of 77 tokens is cut off.
        """
        vocabulary = self._vocabulary()
        rows = [chunks([(prompt, 1.0)], vocabulary, self.length)[0] for prompt in prompts]
        return self.states(_placed(rows)[0], layer)

    @property
    def length(self) -> int:
        """Tokens in a row."""
        length: int = self.network.config.max_position_embeddings
        return length

    @property
    def _depth(self) -> int:
        depth: int = self.network.config.num_hidden_layers
        return depth

    def _vocabulary(self) -> Vocabulary:
        def tokens_of(text: str) -> list[int]:
            ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
            return ids

        given = self.tokenizer
        pad = given.pad_token_id if self.kind.pads_with_end else 0
        return Vocabulary(tokens_of, given.bos_token_id, given.eos_token_id, pad)

    def states(self, tokens: Tensor, layer: int | None = None) -> tuple[Tensor, Tensor]:
        """(S, 77) to the hidden states (S, 77, C) of the layer, and the last layer's at the end of
        each row, projected (S, C).
        """
        network = self.network
        output = network(tokens.to(network.device), output_hidden_states=True)
        last: Tensor = output.last_hidden_state
        # Padding may be the end token again: the first one ends the prompt.
        ends = (tokens == self.tokenizer.eos_token_id).int().argmax(dim=1)
        pooled = last[torch.arange(len(tokens)), ends]
        if self.projection is not None:
            pooled = F.linear(pooled, self.projection.to(pooled))
        whole = self.kind.layers or self._depth
        asked = layer if layer is not None and 0 < -layer <= whole else self.kind.layer
        if asked is None or whole + asked >= self._depth:
            return last, pooled
        hidden: Tensor = output.hidden_states[whole + asked + 1]
        if self.kind.normed:
            # transformers < 5 keeps the transformer one level down.
            hidden = getattr(network, "text_model", network).final_layer_norm(hidden)
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
