"""Textual inversions: `embedding:name` in a prompt is the vectors of a file, by ComfyUI's rules.

Gal et al. 2022, https://arxiv.org/abs/2208.01618.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...ground.log import log
from ...ground.wording import listing, shown
from ...model_files.files import read_tensors
from .. import folders

KIND, MARK = "embeddings", "embedding:"
SUFFIXES = ("", ".safetensors", ".pt", ".bin")
WRAPPERS = ("string_to_param",)
"""Where a pickle of sd-webui has its vectors."""
PLAIN_NAME = "emb_params"
"""What safetensors call the vectors of a file for one text encoder."""


@dataclass(frozen=True)
class Asked:
    """A word that stands for a file."""

    name: str


def split(text: str) -> Iterator[str | Asked]:
    """The parts of a text without weights: those to tokenize, and words that ask for a file.

    A word asks at the beginning or after a blank, and ends at a blank, at `<` or `[`.
    """
    first, *others = re.split(rf"(?<=\s){MARK}", text)
    if first.startswith(MARK):
        first, others = "", [first.removeprefix(MARK), *others]
    if first:
        yield first
    for part in others:
        word, *rest = part.split() or [""]
        name = re.split(r"[<\[]", word, maxsplit=1)[0]
        yield Asked(name)
        if left := " ".join([word[len(name) :], *rest]).strip():
            yield left


def vectors(asked: Asked, width: int, encoder: str) -> tuple[list[Tensor], str]:
    """The vectors (`width`,) that a word stands for, and what is left of it to tokenize: the commas
    behind a name. `encoder` ("clip_l", "clip_g") is what files for several call this one's.

    No vectors, and a warning, where there is no such file or its vectors are of another width: the
    word is left out then, as in ComfyUI. Raises UserError for a damaged file.
    """
    bare = asked.name.strip(",")
    for name in dict.fromkeys((asked.name, bare)):
        path = _find(name) if name else None
        if path is None:
            continue
        found = _read(path, encoder)
        if found.shape[-1] == width:
            return list(found.reshape(-1, width).float()), asked.name[len(name) :]
        log.warning(
            "%s has vectors of %d values and this text encoder takes %d: the word is left out",
            *(path, found.shape[-1], width),
        )
        return [], asked.name[len(name) :]
    log.warning(
        "there is no textual inversion %s in %s: the word is left out; put the file there",
        *(shown(bare), listing(folders.bases(KIND))),
    )
    return [], asked.name[len(bare) :]


def _find(name: str) -> Path | None:
    for base in folders.bases(KIND):
        if not base.is_dir():
            continue
        for folder in (base, *sorted(inner for inner in base.rglob("*") if inner.is_dir())):
            for suffix in SUFFIXES:
                path = folders.inside(folder, name + suffix, "the textual inversion", links=True)
                if path.is_file():
                    return path
    return None


def _read(path: Path, encoder: str) -> Tensor:
    tensors = dict(read_tensors(path, wrappers=WRAPPERS))
    names = (encoder, PLAIN_NAME, *tensors)  # otherwise the first tensor
    chosen = next(name for name in names if name in tensors)
    return tensors[chosen]
