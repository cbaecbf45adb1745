"""The files that raters send back -> average human ranks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..ground.errors import UserError
from .rank import HumanRank, Ranking, average_human_rank
from .study import CRITERIA, Question, Study


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
    if data["study"] != study.id:
        raise UserError(f"{where} answers another study ({data['study']}, not {study.id}).")
    known = {question.id: question for question in study.questions}
    strange = sorted(set(data["answers"]) - set(known))
    if strange:
        raise UserError(f"{where} ranks a row {strange[0]} that the study has not.")
    rater = str(data["rater"]).strip()
    rankings: dict[str, list[Ranking]] = {criterion.name: [] for criterion in CRITERIA}
    for question_id, by_criterion in data["answers"].items():
        for criterion, order in by_criterion.items():
            if criterion not in rankings:
                raise UserError(f"{where} ranks by {criterion!r}, which the study does not ask.")
            if len(order) >= len(study.methods):  # a shorter one is still open
                ranking = _ranking(known[question_id], rater, order, where)
                rankings[criterion].append(ranking)
    asked = len(study.questions) * len(CRITERIA)
    given = {name: tuple(found) for name, found in rankings.items()}
    return Answers(rater, given, asked - sum(len(found) for found in given.values()))


def check_raters(answers: Mapping[str, Answers]) -> None:
    """Raise UserError for two files, by name, of one rater."""
    seen: dict[str, str] = {}
    for where, one in answers.items():
        name = one.rater.casefold()
        if name in seen:
            raise UserError(
                f"{seen[name]} and {where} are both by {one.rater}: keep one of them, or change "
                '"rater" in one where they are two people.'
            )
        seen[name] = where


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
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UserError(f"{where} is not JSON: {error}.") from error
    if not (
        isinstance(data, dict)
        and isinstance(data.get("study"), str)
        and str(data.get("rater") or "").strip()
        and isinstance(data.get("answers"), dict)
        and all(
            isinstance(by, dict) and all(isinstance(order, list) for order in by.values())
            for by in data["answers"].values()
        )
    ):
        raise UserError(
            f"{where} holds no ranks: it needs study, rater and answers, as the page saves them."
        )
    return data


def _ranking(question: Question, rater: str, order: Sequence[Any], where: str) -> Ranking:
    """`order` are the pictures' ids, the best first; the best has the highest rank."""
    methods = {one.id: one.method for one in question.candidates}
    if sorted(map(str, order)) != sorted(methods):
        raise UserError(
            f"{where} does not rank the pictures of {question.name}, each once; equal ranks are "
            "not possible."
        )
    ranks = {methods[one]: len(order) - place for place, one in enumerate(order)}
    return Ranking(rater, question.id, ranks)
