"""CLIP tokenizers: from a folder beside the model, or OpenAI's vocabulary, which is shipped."""

from __future__ import annotations

import json
import lzma
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...ground.errors import UserError
from ...ground.garbage import uncollected

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

OPENAI_TOKENS = 49408
_MERGES = Path(__file__).parent / "data" / "clip_merges.txt.xz"
_START, _END = "<|startoftext|>", "<|endoftext|>"


def load(places: Iterable[Path], tokens: int, source: Path) -> CLIPTokenizer:
    """The tokenizer in the first of `places` that has one, or OpenAI's for `tokens` 49408.

    Raises UserError, naming `source`, where there is none or it knows more tokens than the model.
    """
    with uncollected():
        from transformers import CLIPTokenizer

    for folder in places:
        if (folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file():
            try:
                tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(
                    str(folder), local_files_only=True
                )
            except Exception as error:  # the library raises what its file readers raise
                words = " ".join(str(error).split())[:200]
                raise UserError(f"{folder} holds no CLIP tokenizer: {words}.") from error
            if len(tokenizer) > tokens:
                raise UserError(
                    f"The tokenizer in {folder} knows {len(tokenizer)} tokens and the text encoder "
                    f"{source} only {tokens}; they do not belong together."
                )
            return tokenizer
    if tokens != OPENAI_TOKENS:
        raise UserError(
            f"{source} knows {tokens} tokens and has no tokenizer: put a tokenizer folder (from "
            "the same diffusers pipeline) into it or beside it."
        )
    return openai()


def count_tokens(tokenizer: CLIPTokenizer, prompts: Sequence[str]) -> list[int]:
    """How many tokens each prompt has, without the marks at its ends."""
    asked = tokenizer(list(prompts), add_special_tokens=False, verbose=False)
    return [len(ids) for ids in asked.input_ids]


def openai() -> CLIPTokenizer:
    """The tokenizer of OpenAI's CLIP models, all of SD 1.x, padded with the end token."""
    from transformers import CLIPTokenizer

    merges = lzma.decompress(_MERGES.read_bytes()).decode("utf-8").splitlines()
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = {token: index for index, token in enumerate(_tokens(merges))}
        Path(folder, "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        Path(folder, "merges.txt").write_text(
            "\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8"
        )
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(
            folder,
            local_files_only=True,
            model_max_length=77,
            bos_token=_START,
            eos_token=_END,
            unk_token=_END,
            pad_token=_END,
        )
        return tokenizer


def _tokens(merges: list[str]) -> list[str]:
    """All tokens in order: bytes, bytes that end a word, merged pairs, the two special ones."""
    symbols = _byte_symbols()
    ends = [f"{symbol}</w>" for symbol in symbols]
    return [*symbols, *ends, *("".join(pair.split()) for pair in merges), _START, _END]


def _byte_symbols() -> list[str]:
    """GPT-2's printable stand-in for each byte: itself where printable, else from U+0100 on.

    Radford et al. 2019; the order is that of https://github.com/openai/CLIP, simple_tokenizer.py.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    printable += range(ord("®"), ord("ÿ") + 1)
    others = len(set(range(256)) - set(printable))
    return [chr(code) for code in (*printable, *range(256, 256 + others))]
