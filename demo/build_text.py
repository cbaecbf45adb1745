"""The demo model's words: a byte-pair vocabulary learnt from the captions, as an ordinary CLIP
tokenizer, and its encoder.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

MAX_TOKENS = 77
HIDDEN = 96
_START, _END = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(folder: Path, captions: Iterable[str]) -> None:
    """Learn a vocabulary that spells every caption word with one token, and any other text in
    bytes; save it in `folder`.
    """
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    alphabet = list(bytes_to_unicode().values())
    merges = learn_merges(
        Counter(word for line in captions for word in line.replace(",", " ,").split())
    )
    pieces = [*alphabet, *(f"{c}</w>" for c in alphabet), *("".join(pair) for pair in merges)]
    vocabulary = {piece: index for index, piece in enumerate((*pieces, _START, _END))}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text(
        "\n".join(["#version: 0.2", *(" ".join(p) for p in merges)]) + "\n"
    )
    tokenizer = CLIPTokenizer(vocabulary, merges, model_max_length=MAX_TOKENS)
    tokenizer.save_pretrained(folder)


def learn_merges(words: Counter[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first (ties in alphabetical order), until each word is
    one piece.
    """
    split = {word: [*word[:-1], f"{word[-1]}</w>"] for word in words}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, pieces in split.items():
            for pair in pairwise(pieces):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = {word: _merged(pieces, best) for word, pieces in split.items()}


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for piece in pieces:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return out


def text_encoder(vocabulary_size: int) -> Any:
    """A small untrained `CLIPTextModel`; its last two tokens are the start and the end."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary_size,
            hidden_size=HIDDEN,
            intermediate_size=4 * HIDDEN,
            projection_dim=HIDDEN,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            hidden_act="quick_gelu",
            bos_token_id=vocabulary_size - 2,
            eos_token_id=vocabulary_size - 1,
            pad_token_id=vocabulary_size - 1,
        )
    )
