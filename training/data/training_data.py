"""Training data: picks of rows -> batches of latents, words and hints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.progress import Progress, unseen
from ...preprocessors.ready import HintMaker
from ...preprocessors.sizing import Size
from ...preprocessors.spec import Hint
from ..base import Encoders, Texts
from ..batch import Batch, Pick
from ..sdxl import Added
from ..settings import DataSettings
from .batch_reader import Part, Reader, begin_worker
from .cache import digest
from .cache_filling import encode, fill
from .captions import MARKS, Room, long_captions
from .check import Report, check, usable
from .condition import Condition
from .row import Rows
from .row_pictures import size_seen

OWN_NOISE = 0x6C6174656E74
"""Mixed into a pick's seed where its latent is drawn, so that nobody else who draws noise with that
seed draws the same."""


def training_data(
    settings: DataSettings,
    encoders: Encoders,
    make_hint: HintMaker | None = None,
    progress: Progress = unseen,
    report: Report | None = None,
) -> TrainingData:
    """The data that `settings` describe, looked at and, where a cache is asked for, encoded.

    `make_hint` is a loaded network, needed where the condition's preprocessor is one
    (`check(settings).condition.by_network`). `report` is a check of the same settings that was made
    already. Raises UserError for settings that are wrong, for data that cannot be used, and for bad
    rows unless they are skipped.
    """
    report = report or check(settings, full=False, progress=progress)
    rows = usable(report)
    condition = report.condition
    if condition.by_network and make_hint is None:
        assert condition.entry is not None
        raise UserError(
            f"The condition {condition.entry.name} needs a network to make hints, and none is "
            "loaded; make the hints first with controlstack hint, and give them."
        )
    room = Room(encoders.sizes[1] - MARKS, encoders.tokens)
    notes = long_captions([row.captions for row in rows], room)
    told = bool(encoders.pooled_width)
    if not settings.cache:
        groups = _groups([size_seen(row, settings) for row in rows]) if settings.buckets else ()
        reader = Reader(rows, settings, condition, None, groups, told)
        return TrainingData(reader, encoders, make_hint, notes)
    kept, rows, broken = fill(rows, settings, condition, encoders, make_hint, progress)
    if broken:
        found = Rows(report.rows.layout, report.rows.place, rows, broken)
        rows = usable(Report(settings, condition, found, {}))
    groups = _groups(kept.sizes) if settings.buckets else ()
    return TrainingData(Reader(rows, settings, condition, kept, groups, told), None, None, notes)


def _groups(sizes: Sequence[Size]) -> tuple[int, ...]:
    numbers = {size: number for number, size in enumerate(sorted(set(sizes)))}
    return tuple(numbers[size] for size in sizes)


class TrainingData:
    """Rows to learn from: a `training.batch.Batches`.

    With a cache there is no need of encoders any more, and none are held. `notes` are what a person
    should know of what the encoders make of it.
    """

    def __init__(
        self,
        reader: Reader,
        encoders: Encoders | None,
        make_hint: HintMaker | None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.notes = notes
        self._reader = reader
        self._encoders = encoders
        self._make_hint = make_hint
        self._empty: Texts | None = None

    def __len__(self) -> int:
        return len(self._reader)

    @property
    def condition(self) -> Condition:
        """What the hints show."""
        return self._reader.condition

    @property
    def groups(self) -> tuple[int, ...]:
        """For each row the number of its bucket, whose rows can share a batch; empty without."""
        return self._reader.groups

    @property
    def fingerprint(self) -> str:
        """What changes when rows come, go, change places or captions: a resumed run has to have the
        same.
        """
        rows = self._reader.rows
        return digest(*((row.picture.name.name, *row.captions) for row in rows))

    def load(self, picks: Iterable[Sequence[Pick]], workers: int = 0) -> Iterator[Batch]:
        """One batch for each list of picks, in their order, on the CPU or where the encoders are.

        A batch depends on its picks alone. `workers` processes read ahead; with 0, a thread reads
        one batch ahead. Raises UserError, naming the row, for one that cannot be read any more
        unless bad rows are skipped.
        """
        for parts in self._ahead(picks) if workers == 0 else self._by_workers(picks, workers):
            if isinstance(parts, UserError):
                raise parts
            yield self._batch(parts)

    def _by_workers(
        self, picks: Iterable[Sequence[Pick]], workers: int
    ) -> Iterable[list[Part] | UserError]:
        from torch.utils.data import DataLoader

        # Its types ask for a Dataset and for numbers; what it calls is __getitems__ of any picks.
        return DataLoader(
            self._reader,  # type: ignore[arg-type]
            batch_sampler=picks,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=begin_worker,
        )

    def _ahead(self, picks: Iterable[Sequence[Pick]]) -> Iterator[list[Part] | UserError]:
        with ThreadPoolExecutor(1) as thread:
            waiting = None
            for batch in picks:
                reading = thread.submit(self._reader.__getitems__, batch)
                if waiting is not None:
                    yield waiting.result()
                waiting = reading
            if waiting is not None:
                yield waiting.result()

    def _batch(self, parts: Sequence[Part]) -> Batch:
        mean, deviation = self._moments(parts)
        noise = torch.stack([_noise(part.pick, mean.shape[1:]) for part in parts])
        latents = mean + deviation * noise.to(mean)
        texts = self._texts(parts)
        hints = _hints([self._hint(part) for part in parts])
        return Batch(latents, texts.words, hints, _added(texts.pooled, parts))

    def _moments(self, parts: Sequence[Part]) -> tuple[Tensor, Tensor]:
        kept = [part.moments for part in parts if part.moments is not None]
        if kept:
            return torch.stack([mean for mean, _ in kept]), torch.stack([dev for _, dev in kept])
        assert self._encoders is not None
        pictures = [part.picture for part in parts if part.picture is not None]
        return encode(self._encoders, np.stack(pictures))

    def _texts(self, parts: Sequence[Part]) -> Texts:
        kept = [part.texts for part in parts if part.texts is not None]
        if kept:
            return _stacked(kept)
        assert self._encoders is not None
        prompts = list(dict.fromkeys(part.prompt for part in parts if part.prompt))
        with torch.no_grad():
            if self._empty is None:
                self._empty = self._encoders.texts([""])
            every = [self._empty, *([self._encoders.texts(prompts)] if prompts else [])]
        places = {prompt: number for number, prompt in enumerate(("", *prompts))}
        rows = [places[part.prompt] for part in parts]
        words = torch.cat([one.words for one in every])[rows]
        pooled = [one.pooled for one in every if one.pooled is not None]
        return Texts(words, torch.cat(pooled)[rows] if pooled else None)

    def _hint(self, part: Part) -> Hint:
        if part.hint is not None:
            return part.hint
        assert part.picture is not None
        return self.condition.make(part.picture, self._make_hint)


def _as_it_is(parts: Any) -> Any:
    return parts


def _stacked(texts: Sequence[Texts]) -> Texts:
    pooled = [one.pooled for one in texts if one.pooled is not None]
    words = torch.stack([one.words for one in texts])
    return Texts(words, torch.stack(pooled) if pooled else None)


def _added(pooled: Tensor | None, parts: Sequence[Part]) -> Added | None:
    if pooled is None:
        return None
    sizes = torch.tensor([part.sizes for part in parts], dtype=torch.float32)
    return {"text_embeds": pooled, "time_ids": sizes}


def _noise(pick: Pick, shape: Sequence[int]) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(pick.seed ^ OWN_NOISE))


def _hints(hints: Sequence[Hint]) -> Tensor:
    """Hints (H x W x 3, bytes or floats) as one tensor (n, 3, H, W), 0..1."""
    stacked = torch.from_numpy(np.stack(hints)).permute(0, 3, 1, 2).contiguous()
    return stacked.float().div_(255) if stacked.dtype == torch.uint8 else stacked.float()
