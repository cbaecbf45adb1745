"""How much of a caption a base model reads, told by its tokenizer alone: no network is loaded."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..ground.errors import UserError
from ..training.data.captions import MARKS, Room
from .models.tokenizers import OPENAI_TOKENS, count_tokens, load

LENGTH = 77
"""Tokens that CLIP's text encoders take, marks included."""


def caption_room(base: Path | None) -> Room | None:
    """What the model in `base`, or SD 1.x where there is none, reads of a caption.

    None where its tokenizer cannot be read, which is said when the model is loaded.
    """
    folders = [base, base.parent] if base is not None and base.is_dir() else []
    places = [folder / "tokenizer" for folder in folders]
    try:
        tokenizer = load(places, OPENAI_TOKENS, base or Path())
    except UserError:
        return None
    return Room(LENGTH - MARKS, partial(count_tokens, tokenizer))
