"""The files that raters send back -> average human ranks."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..ground.errors import UserError
from ..ground.structured import read_json
from ..ground.wording import shown
from .rank import HumanRank, Ranking, average_human_rank
from .study import CRITERIA, Question, Study

LONGEST_NAME = 200
"""Letters of a rater's name; the page takes 60."""


@dataclass(frozen=True)
class Answers:
    """One rater's rankings by criterion, and how many of the study's questions are `open`."""

    rater: str
    rankings: Mapping[str, tuple[Ranking, ...]]
    open: int


@dataclass(frozen=True)
class Result:
    """Every method's average human rank by criterion, the best first, and who ranked."""

    ranks: Mapping[str, tuple[HumanRank, ...]]
    raters: tuple[str, ...]
    notes: tuple[str, ...]


def read_answers(study: Study, text: str, where: str) -> Answers:
    """The answers in the file `where`, as the page saves it.

    Raises UserError for another study's answers, for what is no such file, and for a ranking that
    is not of exactly its question's pictures.
    """
    data = _checked(text, where)
    if data["study"] != study.study:
        raise UserError(
            f"{where} answers another study ({shown(data['study'])}, not {study.study})."
        )
    known = {question.id: question for question in study.rows}
    strange = sorted(set(data["answers"]) - set(known))
    if strange:
        raise UserError(f"{where} ranks a row {shown(strange[0])} that the study has not.")
    rater = data["rater"].strip()
    rankings: dict[str, list[Ranking]] = {criterion.name: [] for criterion in CRITERIA}
    for question_id, by_criterion in data["answers"].items():
        for criterion, order in by_criterion.items():
            if criterion not in rankings:
                raise UserError(
                    f"{where} ranks by {shown(criterion)}, which the study does not ask."
                )
            if len(order) >= len(study.methods):  # a shorter one is still open
                ranking = _ranking(known[question_id], rater, order, where)
                rankings[criterion].append(ranking)
    asked = len(study.rows) * len(CRITERIA)
    given = {name: tuple(found) for name, found in rankings.items()}
    return Answers(rater, given, asked - sum(len(found) for found in given.values()))


def check_raters(answers: Mapping[str, Answers]) -> None:
    """Raise UserError for two files, by name, of one rater."""
    seen: dict[str, str] = {}
    for where, one in answers.items():
        name = same_rater(one.rater)
        if name in seen:
            raise UserError(
                f"{seen[name]} and {where} are both by {one.rater}: keep one of them, or change "
                '"rater" in one where they are two people.'
            )
        seen[name] = where


def same_rater(name: str) -> str:
    """What a rater's name has in common with other spellings of it: capitals, spaces, letters that
    are not seen, and the forms in which Unicode writes one letter do not count.
    """
    seen = (letter for letter in name if unicodedata.category(letter) != "Cf")
    folded = unicodedata.normalize("NFKC", "".join(seen)).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def result(answers: Sequence[Answers]) -> Result:
    """The average human ranks of all answers; who left questions open is noted. A criterion that
    nobody has ranked by is left out.

    Raises UserError where there is no ranking at all.
    """
    notes = [f"{one.rater} left {one.open} questions open" for one in answers if one.open]
    ranks: dict[str, tuple[HumanRank, ...]] = {}
    for criterion in CRITERIA:
        rankings = [ranking for one in answers for ranking in one.rankings[criterion.name]]
        if rankings:
            ranks[criterion.name] = average_human_rank(rankings)
        else:
            notes.append(f"nobody has ranked by {criterion.name}")
    if not ranks:
        raise UserError("No question is answered in any of the files.")
    return Result(ranks, tuple(one.rater for one in answers), tuple(notes))


def _checked(text: str, where: str) -> dict[str, Any]:
    data: Any = read_json(text, where, "file of ranks")
    if not (
        isinstance(data, dict)
        and isinstance(data.get("study"), str)
        and isinstance(data.get("rater"), str)
        and same_rater(data["rater"])
        and len(data["rater"]) <= LONGEST_NAME
        and isinstance(data.get("answers"), dict)
        and all(isinstance(by, dict) for by in data["answers"].values())
        and all(_is_order(one) for by in data["answers"].values() for one in by.values())
    ):
        raise UserError(
            f"{where} holds no ranks: it needs study, rater and answers, as the page saves them."
        )
    return data


def _is_order(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _ranking(question: Question, rater: str, order: Sequence[str], where: str) -> Ranking:
    """`order` are the pictures' ids, the best first; the best has the highest rank."""
    methods = {one.id: one.method for one in question.pictures}
    if sorted(order) != sorted(methods):
        raise UserError(
            f"{where} does not rank the pictures of {question.name}, each once; equal ranks are "
            "not possible."
        )
    ranks = {methods[one]: len(order) - place for place, one in enumerate(order)}
    return Ranking(rater, question.id, ranks)
