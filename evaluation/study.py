"""A blind ranking study: which picture is whose is in its key, and nowhere on its page.

After the user study of the paper (arXiv 2302.05543, section 4.3): people rank the results of all
methods for one condition, once by the pictures' quality and once by their fidelity to it.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..ground.errors import UserError


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


def make_study(
    methods: Sequence[str], rows: Sequence[tuple[str, str, Sequence[str]]], seed: int
) -> Study:
    """A study of `rows`: name, hint's file, and each method's file, in the order of `methods`.

    `seed` decides the pictures' order, another one for each row, and the ids. Raises UserError for
    fewer than two methods and for no rows.
    """
    if len(methods) < 2:
        raise UserError("A ranking needs the pictures of two methods at least; name two groups.")
    if not rows:
        raise UserError("No hint has a picture of every method, so there is nothing to rank.")
    draw = random.Random(json.dumps([seed, list(methods), [list(row) for row in rows]]))
    questions = tuple(_question(draw, methods, *row) for row in rows)
    ids = " ".join(one.id for question in questions for one in question.candidates)
    return Study(hashlib.sha256(ids.encode()).hexdigest()[:12], tuple(methods), questions)


def key_json(study: Study) -> dict[str, object]:
    """The key for `json.dumps`; `read_key` reads it again."""
    return {
        "study": study.id,
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
    try:
        data = json.loads(text)
        questions = tuple(
            Question(
                row["id"],
                row["name"],
                row["hint"],
                tuple(Candidate(p["id"], p["method"], p["file"]) for p in row["pictures"]),
            )
            for row in data["rows"]
        )
        return Study(data["study"], tuple(data["methods"]), questions)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{where} is not the key of a study: {error!r}.") from error


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


def _question(
    draw: random.Random, methods: Sequence[str], name: str, hint: str, files: Sequence[str]
) -> Question:
    candidates = [
        Candidate(_token(draw), method, file) for method, file in zip(methods, files, strict=True)
    ]
    draw.shuffle(candidates)
    return Question(_token(draw), name, hint, tuple(candidates))


def _token(draw: random.Random) -> str:
    return f"{draw.getrandbits(64):016x}"
