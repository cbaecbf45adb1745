"""The cache of a training run: filled before it, read by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import TypeVar

import numpy as np
import torch

from ...ground.errors import UserError
from ...ground.log import log
from ...ground.progress import Progress
from ...preprocessors.ready import HintMaker
from ...preprocessors.sizing import Size
from ..base import Encoders
from ..settings import DataSettings
from .cache import Hints, Tensors, digest, share
from .condition import Condition
from .file_names import typed
from .row import Bad, Row
from .row_pictures import Picture, header_of, read_picture, size_seen
from .view import MULTIPLE, view_of

PICTURES, PROMPTS = 4, 32
"""How many are encoded at once: enough for a GPU, little enough for its memory."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Kept:
    """Where the encoded pictures, prompts and made hints of a run lie: by the size that a picture
    is seen in, which `sizes` has for each row, in their order, as `names` have the rows' names.
    """

    pictures: Mapping[Size, Tensors]
    texts: Tensors
    hints: Mapping[Size, Hints] | None
    names: tuple[str, ...]
    sizes: tuple[Size, ...]

    def pictures_of(self, row: int) -> Tensors:
        """Where a row's picture lies."""
        return self.pictures[self.sizes[row]]

    def hints_of(self, row: int) -> Hints | None:
        """Where a row's hint lies, if hints are made."""
        return self.hints[self.sizes[row]] if self.hints is not None else None

    def has(self, row: int, flip: bool) -> bool:
        """Whether a row's picture and hint are there, as they are or mirrored."""
        key, hints = self.key(row, flip), self.hints_of(row)
        return self.pictures_of(row).has(key) and (hints is None or hints.has(key))

    def key(self, row: int, flip: bool) -> str:
        """The key of a row's picture and hint, as they are or mirrored."""
        return self.names[row] + ("-mirrored" if flip else "")


def fill(
    rows: Sequence[Row],
    settings: DataSettings,
    condition: Condition,
    encoders: Encoders,
    maker: HintMaker | None,
    progress: Progress,
) -> tuple[Kept, tuple[Row, ...], tuple[Bad, ...]]:
    """Encode what is not in the cache yet; the cache, the rows in it, and those that cannot be.

    Both orientations are kept where pictures are mirrored at times. Raises UserError for random
    crops, which no cache can hold, and for a disk that refuses.
    """
    if settings.crop == "random":
        raise UserError(
            "The cache keeps one part of each picture, and crop is random; set crop to center, or "
            "leave cache empty."
        )
    kept = _shelves(rows, settings, condition, encoders, maker)
    flips = [flip for flip, used in ((False, settings.flip < 1), (True, settings.flip > 0)) if used]
    jobs = [
        (number, flip)
        for number in range(len(rows))
        for flip in flips
        if not kept.has(number, flip)
    ]
    wrong: dict[int, Bad] = {}
    with progress(len(jobs), "encoding the training pictures") as bar:
        for batch in _batches(_from_own_share(jobs), PICTURES):
            parts: list[tuple[int, bool, Picture]] = []
            for number, flip in batch:
                if not kept.has(number, flip):  # made by another process meanwhile
                    try:
                        parts.append((number, flip, _seen(rows[number], settings, flip)))
                    except UserError as error:
                        wrong[number] = Bad.of(rows[number].where, error)
                bar.advance()
            for _, alike in groupby(parts, key=lambda part: part[2].shape):
                _keep_pictures([*alike], kept, condition, encoders, maker)
    good = [number for number in range(len(rows)) if number not in wrong]
    _keep_words([text for n in good for text in rows[n].captions], kept, encoders, progress)
    _tell_of_damage(kept)
    names = tuple(kept.names[number] for number in good)
    sizes = tuple(kept.sizes[number] for number in good)
    return (
        replace(kept, names=names, sizes=sizes),
        tuple(rows[number] for number in good),
        tuple(wrong.values()),
    )


def _shelves(
    rows: Sequence[Row],
    settings: DataSettings,
    condition: Condition,
    encoders: Encoders,
    maker: HintMaker | None,
) -> Kept:
    folder = typed(settings.cache, "the cache")
    sizes = tuple(size_seen(row, settings) for row in rows)
    model = digest(encoders.fingerprint)[:12]
    hints = None
    if condition.from_picture:
        assert condition.entry is not None
        entry = condition.entry
        made_by = (entry.name, sorted(condition.values.items()), maker and maker.name)
        way = (entry.way,) if entry.way else ()
        place = folder / f"hints-{entry.name}-{digest(*made_by, *way)[:12]}"
        hints = {size: Hints(place, (size[1], size[0], 3)) for size in dict.fromkeys(sizes)}
    names = tuple(
        digest(row.picture.stamp(), *size, *_laid(row))
        for row, size in zip(rows, sizes, strict=True)
    )
    channels, tokens, wide = encoders.sizes
    pictures = {
        (width, height): Tensors(
            folder / f"latents-{model}",
            (channels, height // MULTIPLE, width // MULTIPLE),
            names=("mean", "deviation"),
        )
        for width, height in dict.fromkeys(sizes)
    }
    pooled = {"pooled": (encoders.pooled_width,)} if encoders.pooled_width else {}
    texts = Tensors(folder / f"words-{model}", (tokens, wide), names=("words",), others=pooled)
    return Kept(pictures, texts, hints, names, sizes)


def _laid(row: Row) -> tuple[str, ...]:
    """What tells a picture that is laid on white from one that was cached with what alpha hid."""
    try:
        return ("on white",) if header_of(row.picture)[1] else ()
    except (UserError, OSError):  # said when it is read
        return ()


def _tell_of_damage(kept: Kept) -> None:
    shelves = (*kept.pictures.values(), kept.texts, *(kept.hints or {}).values())
    damaged = {path: why for shelf in shelves for path, why in shelf.damaged.items()}
    if damaged:
        path, why = next(iter(damaged.items()))
        log.warning(
            "%d of the cached files were damaged and are made again, such as %s (%s)",
            len(damaged),
            path,
            why,
        )


def _seen(row: Row, settings: DataSettings, flip: bool) -> Picture:
    picture = read_picture(row)
    view = view_of((picture.shape[1], picture.shape[0]), settings, seed=0)
    seen: Picture = replace(view, flip=flip).of(picture)
    return seen


def _keep_pictures(
    parts: Sequence[tuple[int, bool, Picture]],
    kept: Kept,
    condition: Condition,
    encoders: Encoders,
    maker: HintMaker | None,
) -> None:
    means, deviations = encode(encoders, np.stack([picture for *_, picture in parts]))
    for (row, flip, picture), mean, deviation in zip(parts, means, deviations, strict=True):
        key, hints = kept.key(row, flip), kept.hints_of(row)
        if hints is not None:
            hints.write(key, condition.make(picture, maker))
        tensors = {"mean": mean, "deviation": deviation} if deviation.any() else {"mean": mean}
        kept.pictures_of(row).write(key, tensors)


def encode(
    encoders: Encoders, pictures: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the latents of `pictures` (uint8 RGB, n x H x W x 3)."""
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().float()
    with torch.no_grad():
        return encoders.moments(values.div_(127.5).sub_(1))


def _keep_words(
    captions: Iterable[str], kept: Kept, encoders: Encoders, progress: Progress
) -> None:
    prompts = [p for p in dict.fromkeys(("", *captions)) if not kept.texts.has(digest(p))]
    with progress(len(prompts), "encoding the prompts") as bar:
        for batch in _batches(_from_own_share(prompts), PROMPTS):
            asked = [prompt for prompt in batch if not kept.texts.has(digest(prompt))]
            if asked:
                with torch.no_grad():
                    found = encoders.texts(asked)
                for number, prompt in enumerate(asked):
                    one = {"words": found.words[number]}
                    if found.pooled is not None:
                        one["pooled"] = found.pooled[number]
                    kept.texts.write(digest(prompt), one)
            for _ in batch:
                bar.advance()


def _from_own_share(items: Sequence[Item]) -> Sequence[Item]:
    """All items, beginning where this process's share does: each skips what others have made."""
    number, processes = share()
    start = len(items) * number // processes
    return [*items[start:], *items[:start]]


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
