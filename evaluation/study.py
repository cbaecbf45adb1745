"""A blind ranking study: which picture is whose is in its key, and nowhere on its page.

Whoever has the pictures, or guesses the methods' names, cannot check a guess either: ids and orders
come of a secret that the key alone holds.

After the user study of the paper (arXiv 2302.05543, section 4.3): people rank the results of all
methods for one condition, once by the pictures' quality and once by their fidelity to it.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..ground.errors import UserError
from ..ground.ours import MARKED
from ..ground.structured import read_json
from ..ground.wording import one_line, shown


@dataclass(frozen=True)
class Criterion:
    """One thing to rank by: what the page asks, and whether it shows the condition meanwhile."""

    name: str
    title: str
    question: str
    shows_condition: bool


CRITERIA = (
    Criterion("quality", "Result quality", "Which picture looks best?", False),
    Criterion("fidelity", "Condition fidelity", "Which picture follows the condition best?", True),
)


@dataclass(frozen=True)
class Candidate:
    """One method's picture for a condition; `id` tells nothing of the method."""

    id: str
    method: str
    file: str


@dataclass(frozen=True)
class Question:
    """A condition (the file `hint`) and all methods' pictures, in the order of the page."""

    id: str
    name: str
    hint: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Study:
    """What is asked, and the key to it."""

    id: str
    methods: tuple[str, ...]
    questions: tuple[Question, ...]
    secret: str


def make_study(
    methods: Sequence[str],
    rows: Sequence[tuple[str, str, Sequence[str]]],
    content: str,
    secret: str,
) -> Study:
    """A study of `rows`: name, hint's file, and each method's file, in the order of `methods`.

    `content` is a digest of all that raters see, so that another picture is another study; with it
    `secret` decides the study's id, the others, and the pictures' order, another one for each row.
    Raises UserError for fewer than two methods, two of one name, and for no rows.
    """
    if len(methods) < 2:
        raise UserError("A ranking needs the pictures of two methods at least; name two groups.")
    if not rows:
        raise UserError("No hint has a picture of every method, so there is nothing to rank.")
    names = tuple(map(one_line, methods))
    if len(set(names)) < len(names):
        raise UserError("Two methods have one name; give them others with NAME=FOLDER.")

    def token(*of: object) -> str:
        said = repr((content, *of)).encode("utf-8", "surrogateescape")
        return hmac.new(secret.encode(), said, "sha256").hexdigest()[:16]

    questions = []
    for number, (name, hint, files) in enumerate(rows):
        candidates = [
            Candidate(token(number, place), method, one_line(file))
            for place, (method, file) in enumerate(zip(names, files, strict=True))
        ]
        candidates.sort(key=lambda one: one.id)  # which is as good as drawn
        row = one_line(name), one_line(hint), tuple(candidates)
        questions.append(Question(token(number), *row))
    return Study(token(), names, tuple(questions), secret)


def key_json(study: Study) -> dict[str, object]:
    """The key for `json.dumps`; `read_key` reads it again."""
    return {
        **MARKED,
        "study": study.id,
        "secret": study.secret,
        "methods": list(study.methods),
        "rows": [
            {
                "id": question.id,
                "name": question.name,
                "hint": question.hint,
                "pictures": [
                    {"id": one.id, "method": one.method, "file": one.file}
                    for one in question.candidates
                ],
            }
            for question in study.questions
        ],
    }


def read_key(text: str, where: str) -> Study:
    """The study that `key_json` wrote. Raises UserError, naming `where`, for anything else."""
    data = read_json(text, where, "key of a study")
    try:
        study = Study(
            _part(data, "study", str),
            tuple(_text(one) for one in _part(data, "methods", list)),
            tuple(_question(row) for row in _part(data, "rows", list)),
            # Keys of before there were secrets can still be read.
            _part({"secret": ""} | data, "secret", str) if isinstance(data, dict) else "",
        )
        _check(study)
    except _DamagedError as error:
        raise UserError(f"{where} is not the key of a study: {error}") from error
    return study


class _DamagedError(Exception):
    """What is wrong with a key."""


def _part(value: object, key: str, kind: type) -> Any:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, kind):
        what = "text" if kind is str else "list"
        there = isinstance(value, dict) and key in value
        said = f"is no {what} in" if there else f"(a {what}) is not in"
        raise _DamagedError(f"{key!r} {said} {shown(value)}")
    return found


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _DamagedError(f"{shown(value)} is no text")
    return value


def _question(row: object) -> Question:
    candidates = tuple(
        Candidate(_part(one, "id", str), _part(one, "method", str), _part(one, "file", str))
        for one in _part(row, "pictures", list)
    )
    return Question(
        _part(row, "id", str), _part(row, "name", str), _part(row, "hint", str), candidates
    )


def _check(study: Study) -> None:
    if len(study.methods) < 2 or not study.questions:
        raise _DamagedError("it has fewer than two methods, or no rows")
    ids = [one.id for one in study.questions]
    for question in study.questions:
        if sorted(one.method for one in question.candidates) != sorted(set(study.methods)):
            raise _DamagedError(f"row {shown(question.id)} has not one picture of each method")
        ids += [one.id for one in question.candidates]
    if len(set(ids)) < len(ids):
        raise _DamagedError("an id stands twice in it")


def page_data(study: Study, sources: Mapping[str, str], prompts: Mapping[str, str]) -> object:
    """What the page knows: no method and no file. `sources` are the addresses of pictures by their
    id and of hints by their row's, `prompts` texts by the row's id, if any.
    """
    return {
        "study": study.id,
        "count": len(study.methods),
        "criteria": [
            {"name": c.name, "question": c.question, "shows_condition": c.shows_condition}
            for c in CRITERIA
        ],
        "rows": [
            {
                "id": question.id,
                "hint": sources[question.id],
                "prompt": prompts.get(question.id, ""),
                "pictures": [
                    {"id": one.id, "source": sources[one.id]} for one in question.candidates
                ],
            }
            for question in study.questions
        ],
    }
