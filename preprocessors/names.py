"""A preprocessor's name, ours or another pack's -> the preprocessor."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from ..ground.errors import UserError
from ..ground.wording import shown
from .other_names import EQUALS, WITHOUT, Equal, Without
from .registry import PREPROCESSORS
from .spec import TAKEN, Preprocessor


def named(name: object, offered: Mapping[str, Preprocessor] = PREPROCESSORS) -> Preprocessor:
    """The preprocessor of a name: ours, with dashes or underscores, or one of `other_names`.

    By another pack's name it has the defaults and the models that the name stands for, and `told`
    says so. Capitals, dashes and spaces of names do not count where they decide nothing. Raises
    UserError for a name that is none, with the nearest one; for one without an equal here, with
    why; and for a preprocessor that is not `offered`.
    """
    found = _found(name) if isinstance(name, str) else None
    if found is None:
        raise UserError(f"There is no preprocessor {shown(name)}; {_instead(name, offered)}")
    if isinstance(found, Without):
        near = f"; the nearest is {found.nearest}" if found.nearest else ""
        raise UserError(f"{name} has no equal here: {found.why}{near}.")
    entry = found if isinstance(found, Preprocessor) else _variant(found, str(name))
    if entry.name not in offered:
        here = entry.name if not entry.told else f"{name} is {entry.name} here, which"
        raise UserError(f"{here} takes {TAKEN[entry.takes]}; use the node {entry.title}.")
    return entry


def equal_of(name: str) -> Preprocessor | None:
    """What another pack's name stands for, spelt as it is there; None where it has no equal."""
    row = _index()[0].get(name)
    return _variant(row, name) if isinstance(row, Equal) else None


def is_name(name: str) -> bool:
    """Whether a preprocessor, ours or another pack's, has the name."""
    return _found(name) is not None


def words_of(row: Equal) -> str:
    """Our preprocessor of a row, with what the names ask of it: "hed with safe=true"."""
    asked = [f"{name}={str(value).lower()}" for name, value in row.settings.items()]
    asked += [f"model={' or '.join(row.models)}"] if row.models else []
    return f"{row.entry} with {', '.join(asked)}" if asked else row.entry


def _variant(row: Equal, name: str) -> Preprocessor:
    entry = PREPROCESSORS[row.entry]
    learning = entry.learning
    if learning is not None and row.models:
        known = {model.name: model for model in learning.models}
        models = tuple(known[model] for model in row.models)
        learning = replace(learning, models=models, model_types=())
    return replace(
        entry,
        parameters=tuple(
            replace(one, default=row.settings.get(one.name, one.default))
            for one in entry.parameters
        ),
        learning=learning,
        told=f"{name} is {words_of(row)} here" + (f": {row.differs}" if row.differs else ""),
    )


def _found(name: str) -> Preprocessor | Equal | Without | None:
    own = PREPROCESSORS.get(name.replace("-", "_"))
    exact, loose = _index()
    return own or exact.get(name) or loose.get(folded(name))


@cache
def _index() -> tuple[Mapping[str, Equal | Without], Mapping[str, Preprocessor | Equal | Without]]:
    """What names mean to the letter, and what they mean where spelling does not count."""
    rows = [(name, row) for row in (*EQUALS, *WITHOUT) for name in row.names]
    return dict(rows), {**{folded(name): row for name, row in rows}, **PREPROCESSORS}


def folded(name: str) -> str:
    """A name without what does not count of its spelling."""
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def _instead(name: object, offered: Mapping[str, Preprocessor]) -> str:
    """What may be meant by a name that is none, or else what there is."""
    exact, _ = _index()
    known = {folded(one): one for one in (*exact, *offered)}
    near = difflib.get_close_matches(folded(name), known, 1) if isinstance(name, str) else []
    return f"did you mean {known[near[0]]}?" if near else f"there is {', '.join(offered)}."
