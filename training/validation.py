"""A look at the network while it learns: the same pictures from the same noise, with and without
it, and how well they follow their hints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import torch
from PIL import Image
from torch import Tensor

from ..ground.contact_sheet import CELL, Cell, Row, draw_sheet
from ..ground.errors import UserError
from .base import Base
from .gain import GainOf
from .samples import Pixels, Sample
from .sampling import sample
from .settings import ValidationSettings

TOGETHER = 4
"""Pictures sampled at once."""
LARGEST_CELL = 512
"""Pixels of a cell's width on a sheet, at most."""
UNCONTROLLED = "without control"
"""What follows a figure's name where the network was not used."""


Fidelity: TypeAlias = Callable[[Pixels, Sample], Mapping[str, float]]
"""How well a picture follows its sample's hint: figures by name, the headline first."""


@dataclass(frozen=True)
class Tried:
    """A sheet, and the mean of each figure over its pictures."""

    sheet: Image.Image
    figures: dict[str, float]


class Validator:
    """Tries a network on the same samples each time; the base without it is tried once."""

    def __init__(
        self,
        base: Base,
        samples: Sequence[Sample],
        settings: ValidationSettings,
        fidelity: Fidelity | None = None,
        held: Sequence[Sample] = (),
    ) -> None:
        """`held` are all that were held out, with their pictures: they are measured, the `samples`
        are drawn. Raises UserError for a base without encoders.
        """
        if base.encoders is None:
            raise UserError(f"Validation needs the text encoder and the VAE of {base.name}.")
        self._base = base
        self._encoders = base.encoders
        self._samples = tuple(samples)
        self._settings = settings
        self._fidelity = fidelity
        self._gain = GainOf(base, held, settings.seed)
        self._uncontrolled: list[Pixels] | None = None

    def __call__(self, step: int, network: Any) -> Tried:
        """The sheet of `network` at `step`, and its figures: of fidelity, with that of the base
        alone, named "... without control", as the first one's scale, and what `gain` measures.
        """
        if self._uncontrolled is None:
            self._uncontrolled = self._pictures(None)
        plain, steered = self._uncontrolled, self._pictures(network)
        before, after = self._figures(plain), self._figures(steered)
        figures = _means(after)
        headline = next(iter(figures), None)
        if headline is not None:
            figures[f"{headline} {UNCONTROLLED}"] = _means(before)[headline]
        if self._gain:
            figures |= self._gain(network).figures()
        rows = [
            _row(sample, (one, _note(old, headline)), (other, _note(new, headline)))
            for sample, one, old, other, new in zip(
                self._samples, plain, before, steered, after, strict=True
            )
        ]
        columns = ["hint", UNCONTROLLED, "with control"]
        columns += ["target"] * (len(rows[0].cells) - len(columns))
        cell = min(max(self._samples[0].hint.shape[-1], CELL), LARGEST_CELL)
        sheet = draw_sheet(f"Step {step}", _subtitle(figures), columns, rows, cell)
        return Tried(sheet, figures)

    def _figures(self, pictures: Sequence[Pixels]) -> list[Mapping[str, float]]:
        if self._fidelity is None:
            return [{} for _ in pictures]
        pairs = zip(pictures, self._samples, strict=True)
        return [self._fidelity(picture, one) for picture, one in pairs]

    def _pictures(self, network: Any | None) -> list[Pixels]:
        return [picture for part in self._parts() for picture in self._drawn(part, network)]

    def _parts(self) -> Iterator[list[int]]:
        """Samples next to each other and of one size, at most TOGETHER at once."""
        numbers = range(len(self._samples))
        for _, same in groupby(numbers, key=lambda number: self._samples[number].hint.shape):
            rest = list(same)
            for start in range(0, len(rest), TOGETHER):
                yield rest[start : start + TOGETHER]

    def _drawn(self, part: list[int], network: Any | None) -> list[Pixels]:
        samples = [self._samples[index] for index in part]
        prompts = self._encoders.texts([one.prompt for one in samples])
        empty = self._encoders.texts([""])
        pooled = None
        if prompts.pooled is not None and empty.pooled is not None:
            pooled = prompts.pooled, empty.pooled
        latents = sample(
            self._base,
            network,
            torch.stack([one.hint for one in samples]),
            prompts.words,
            empty.words,
            [self._settings.seed + index for index in part],
            self._settings.steps,
            self._settings.guidance,
            pooled,
        )
        with torch.no_grad():
            pictures = self._encoders.pictures(latents).float().clamp(0, 1)
        return [_pixels(picture) for picture in pictures]


def _means(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each figure over the pictures that have one."""
    means = {}
    for name in figures[0]:
        known = [one[name] for one in figures if not math.isnan(one[name])]
        means[name] = sum(known) / len(known) if known else math.nan
    return means


def _subtitle(figures: Mapping[str, float]) -> str:
    words = []
    for name, value in figures.items():
        if name.endswith(UNCONTROLLED) or math.isnan(value):
            continue
        plain = figures.get(f"{name} {UNCONTROLLED}")
        more = f" ({plain:.3g} {UNCONTROLLED})" if plain is not None else ""
        words.append(f"{name} {value:.3g}{more}")
    return "  ·  ".join(words)


def _note(figures: Mapping[str, float], headline: str | None) -> str:
    value = math.nan if headline is None else figures[headline]
    return "" if math.isnan(value) else f"{headline} {value:.3g}"


def _row(sample: Sample, plain: tuple[Pixels, str], steered: tuple[Pixels, str]) -> Row:
    cells = [Cell(Image.fromarray(_pixels(sample.hint.clamp(0, 1))))]
    cells += [Cell(Image.fromarray(picture), note) for picture, note in (plain, steered)]
    if sample.target is not None:
        cells.append(Cell(Image.fromarray(sample.target)))
    return Row(tuple(cells), sample.prompt or "(no prompt)")


def _pixels(picture: Tensor) -> Pixels:
    pixels: Pixels = (picture.permute(1, 2, 0) * 255).round().byte().cpu().numpy()
    return pixels
