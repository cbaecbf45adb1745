"""How values of a figure spread: their mean, and how far they are from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .html import number


@dataclass(frozen=True)
class Spread:
    """Values of a figure: their mean, sample standard deviation (NaN for one), and how many."""

    mean: float
    deviation: float
    count: int

    @property
    def words(self) -> str:
        """For a person: "0.61 ± 0.05"."""
        spread = "" if math.isnan(self.deviation) else f" ± {number(self.deviation)}"
        return f"{number(self.mean)}{spread}"


def spread(values: Iterable[float]) -> Spread:
    """Of the values that are numbers."""
    known = [value for value in values if not math.isnan(value)]
    mean = float(np.mean(known)) if known else math.nan
    deviation = float(np.std(known, ddof=1)) if len(known) > 1 else math.nan
    return Spread(mean, deviation, len(known))
