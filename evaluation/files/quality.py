"""Figures of quality beside those of fidelity: CLIP score, aesthetic score, FID."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...ground.reporter import reporter
from ...preprocessors.picture_files import first_frame
from ..fidelity import Figure, Mean
from ..report import Entry
from .prompts import prompts_of, read_prompts

if TYPE_CHECKING:
    from torch import nn

    from ..clip import Clip

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
CLIP_FOLDER = "clip-vit-large-patch14"
PREDICTOR_FILE = "sac+logos+ava1-l14-linearMSE.pth"
"""The published names, looked for in the models folders' controlstack/."""


@dataclass(frozen=True)
class QualityOrder:
    """What to compute: FID against the pictures `real`, CLIP score of the prompts in the file
    `prompts`, the aesthetic score. Weights are at `inception`, `clip` and `predictor`, or where
    they are None in the folders `models`.
    """

    real: tuple[Path, ...] = ()
    prompts: Path | None = None
    aesthetic: bool = False
    inception: Path | None = None
    clip: Path | None = None
    predictor: Path | None = None
    models: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Quality:
    """The networks and prompts that an order needs, loaded."""

    order: QualityOrder
    prompts: dict[str, str]
    clip: Clip | None
    predictor: nn.Module | None

    def require_prompts(self, files: Sequence[Path]) -> None:
        """Raise UserError, naming them, where pictures have no prompt and need one."""
        if self.order.prompts is not None:
            prompts_of(files, self.prompts, self.order.prompts)

    def of_pictures(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """`entries` with the figures of single pictures added to theirs."""
        files = [Path(entry.picture) for entry in entries]
        found: list[tuple[Figure, ...]] = []
        if self.clip is not None and self.order.prompts is not None:
            from ..quality import clip_scores

            prompts = prompts_of(files, self.prompts, self.order.prompts)
            found.append(clip_scores(self.clip, _pictures(files, "CLIP score"), prompts))
        if self.clip is not None and self.predictor is not None:
            from ..quality import aesthetic_scores

            seen = _pictures(files, "aesthetic score")
            found.append(aesthetic_scores(self.clip, self.predictor, seen))
        if not found:
            return tuple(entries)
        return tuple(
            replace(entry, figures=(*entry.figures, *further))
            for entry, *further in zip(entries, *found, strict=True)
        )

    def of_sets(
        self, entries: Sequence[Entry]
    ) -> tuple[dict[str, tuple[Mean, ...]], tuple[str, ...]]:
        """Each group's FID, and what it cannot tell."""
        if not self.order.real:
            return {}, ()
        from ..quality import fid

        files: dict[str, list[Path]] = {}
        for entry in entries:
            files.setdefault(entry.group, []).append(Path(entry.picture))
        found = fid(
            {group: _pictures(made, f"FID of {group}") for group, made in files.items()},
            _pictures(self.order.real, "FID, real pictures"),
            inception_of(self.order),
        )
        by_group: dict[str, tuple[Mean, ...]] = {
            group: (Mean(one.name, one.value, float("nan"), one.made, one.higher_is_better),)
            for group, one in found.items()
        }
        return by_group, tuple(dict.fromkeys(one.note for one in found.values() if one.note))


def load_quality(order: QualityOrder) -> Quality:
    """Load what `order` needs, so that nothing long is begun in vain.

    Raises UserError for weights that are missing or something else, and for prompts that cannot be
    read.
    """
    prompts = read_prompts(order.prompts) if order.prompts is not None else {}
    if order.real:
        from ..quality import require_fid

        require_fid(inception_of(order), len(order.real))
    clip = predictor = None
    if order.prompts is not None or order.aesthetic:
        from ..clip import load_clip

        reporter().stage("loading CLIP")
        clip = load_clip(order.clip or _among(order, CLIP_FOLDER))
    if order.aesthetic:
        from ..quality import load_predictor

        predictor = load_predictor(order.predictor or _among(order, PREDICTOR_FILE))
    return Quality(order, prompts, clip, predictor)


def inception_of(order: QualityOrder) -> Path:
    """Where the weights of FID's Inception are, or should be."""
    return order.inception or _among(order, INCEPTION_FILE)


def _among(order: QualityOrder, name: str) -> Path:
    """The first that is there; the first place where none is, for the error to name."""
    places = [folder / "controlstack" / name for folder in order.models]
    return next((place for place in places if place.exists()), places[0])


def _pictures(files: Sequence[Path], text: str) -> Iterator[NDArray[np.uint8]]:
    with reporter().steps(len(files), text) as bar:
        for file in files:
            frame: Image.Image = first_frame(file)[0]
            yield np.array(frame.convert("RGB"))
            bar.advance()
