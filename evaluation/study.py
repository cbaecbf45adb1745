"""A blind ranking study: which picture is whose is in its key, and nowhere on its page.

Whoever has the pictures, or guesses the methods' names, cannot check a guess either: ids and orders
come of a secret that the key alone holds.

After the user study of the paper (arXiv 2302.05543, section 4.3): people rank the results of all
methods for one condition, once by the pictures' quality and once by their fidelity to it.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args, get_origin, get_type_hints

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
    pictures: tuple[Candidate, ...]


@dataclass(frozen=True)
class Study:
    """What is asked, and the key to it; `study` is its id. The key's file has these names."""

    study: str
    secret: str
    methods: tuple[str, ...]
    rows: tuple[Question, ...]


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
    return Study(token(), secret, names, tuple(questions))


def key_json(study: Study) -> dict[str, object]:
    """The key for `json.dumps`; `read_key` reads it again."""
    return MARKED | asdict(study)


def read_key(text: str, where: str) -> Study:
    """The study that `key_json` wrote. Raises UserError, naming `where`, for anything else."""
    data = read_json(text, where, "key of a study")
    try:
        # Keys of before there were secrets can still be read.
        study: Study = _typed(Study, {"secret": ""} | data if isinstance(data, dict) else data)
        _check(study)
    except _DamagedError as error:
        raise UserError(f"{where} is not the key of a study: {error}") from error
    return study


class _DamagedError(Exception):
    """What is wrong with a key."""


def _typed(kind: Any, value: object) -> Any:
    """`value`, read from JSON, as a text, a tuple of one type, or a dataclass of such."""
    if kind is str:
        if not isinstance(value, str):
            raise _DamagedError(f"{shown(value)} is no text")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise _DamagedError(f"{shown(value)} is no list")
        return tuple(_typed(get_args(kind)[0], one) for one in value)
    types = get_type_hints(kind)
    missing = [name for name in types if not isinstance(value, dict) or name not in value]
    if missing or not isinstance(value, dict):
        raise _DamagedError(f"{missing[0]!r} is not in {shown(value)}")
    return kind(**{name: _typed(one, value[name]) for name, one in types.items()})


def _check(study: Study) -> None:
    if len(study.methods) < 2 or not study.rows:
        raise _DamagedError("it has fewer than two methods, or no rows")
    ids = [one.id for one in study.rows]
    for question in study.rows:
        if sorted(one.method for one in question.pictures) != sorted(set(study.methods)):
            raise _DamagedError(f"row {shown(question.id)} has not one picture of each method")
        ids += [one.id for one in question.pictures]
    if len(set(ids)) < len(ids):
        raise _DamagedError("an id stands twice in it")


def page_data(study: Study, sources: Mapping[str, str], prompts: Mapping[str, str]) -> object:
    """What the page knows: no method and no file. `sources` are the addresses of pictures by their
    id and of hints by their row's, `prompts` texts by the row's id, if any.
    """
    return {
        "study": study.study,
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
                    {"id": one.id, "source": sources[one.id]} for one in question.pictures
                ],
            }
            for question in study.rows
        ],
    }
