"""Average human rank: people rank the results of several methods for each hint, not knowing which
is whose.

The paper's user study (arXiv 2302.05543, section 4.3 and Table 1): 12 users ranked the results of 5
methods for 20 sketches, once by "the quality of displayed images" and once by "the fidelity to the
sketch"; 1 is the worst and 5 the best. It does not say what the spread in Table 1 is. It cannot be
that of single ranks: those are whole numbers, which with a mean of 1.10 deviate by 0.3 at least,
and the table has 0.05. So it is taken to be that of the raters' own means.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..ground.errors import UserError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ranking:
    """One rater's ranks for the results of one hint: method -> rank, 1 the worst, and as many as
    there are methods the best.
    """

    rater: str
    item: str
    ranks: Mapping[str, int]


@dataclass(frozen=True)
class HumanRank:
    """A method's average human rank, higher is better.

    `mean` is over raters, each of whom counts the same; `deviation` is the sample standard
    deviation of the raters' own means, `error` the standard error of `mean`, `low` and `high` its
    95 % interval by Student's t. Those four are NaN for one rater. `single_deviation` is that of
    single ranks.
    """

    method: str
    mean: float
    deviation: float
    error: float
    low: float
    high: float
    single_deviation: float
    raters: int
    rankings: int


def average_human_rank(rankings: Sequence[Ranking]) -> tuple[HumanRank, ...]:
    """Every method's average human rank, the best first.

    Raises UserError for no rankings at all, for one that does not give each of the same methods a
    rank of its own from 1 up, and for two of one rater on one item; rater and item are named.
    """
    if not rankings:
        raise UserError("There are no rankings; give the answers of one rater at least.")
    methods = sorted(rankings[0].ranks)
    for ranking in rankings:
        _check(ranking, methods)
    (pair, count), *_ = Counter((r.rater, r.item) for r in rankings).most_common(1)
    if count > 1:
        raise UserError(f"{pair[0]} has ranked {pair[1]} {count} times; keep one of the answers.")
    found = [_human_rank(method, rankings) for method in methods]
    return tuple(sorted(found, key=lambda rank: (-rank.mean, rank.method)))


def _check(ranking: Ranking, methods: Sequence[str]) -> None:
    who = f"{ranking.rater}'s ranking of {ranking.item}"
    if sorted(ranking.ranks) != list(methods):
        raise UserError(
            f"{who} is of {', '.join(sorted(ranking.ranks)) or 'nothing'}, where others are of "
            f"{', '.join(methods)}; all have to rank the same methods."
        )
    if sorted(ranking.ranks.values()) != list(range(1, len(methods) + 1)):
        given = ", ".join(f"{name} {rank}" for name, rank in sorted(ranking.ranks.items()))
        raise UserError(
            f"{who} is {given}; each rank from 1 to {len(methods)} has to be given once."
        )


def _human_rank(method: str, rankings: Sequence[Ranking]) -> HumanRank:
    by_rater: dict[str, list[int]] = defaultdict(list)
    for ranking in rankings:
        by_rater[ranking.rater].append(ranking.ranks[method])
    singles = [rank for ranks in by_rater.values() for rank in ranks]
    means = [float(np.mean(ranks)) for ranks in by_rater.values()]
    mean, deviation = float(np.mean(means)), _deviation(means)
    error = deviation / math.sqrt(len(means))
    reach = _students_t(len(means)) * error
    return HumanRank(
        method, mean, deviation, error, mean - reach, mean + reach, _deviation(singles),
        len(means), len(singles),
    )  # fmt: skip


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _students_t(raters: int) -> float:
    """How many standard errors the interval reaches to each side."""
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, raters - 1)) if raters > 1 else math.nan
