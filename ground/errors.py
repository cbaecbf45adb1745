"""The one error a user can cause, which every layer may raise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from .wording import one_line

_PACK = __name__.removesuffix(".ground.errors")
"""The package as it was imported; ComfyUI's name for it is the path of its folder."""


def _named_without_path(module: str) -> str:
    inside = module.removeprefix(_PACK)
    return module if inside == module else "controlstack" + inside


class UserError(ValueError):
    """Something a user can mend, said in one sentence: what was wrong, where, and what to do.

    `details` follow on lines of their own, such as one for each file that could not be read. What
    strangers' files put into a sentence (line breaks, terminal escapes) is escaped here. The
    command line prints it without a trace and exits with 2; in ComfyUI, `web/js` shows it.
    """

    # ComfyUI logs and sends the module of an error. By this name `web/js` knows that it is ours.
    __module__ = _named_without_path(__name__)

    def __init_subclass__(cls) -> None:
        cls.__module__ = _named_without_path(cls.__module__)

    def __init__(self, sentence: str, details: Iterable[str] = ()) -> None:
        self.sentence, self.details = one_line(sentence), tuple(map(one_line, details))
        super().__init__("\n  ".join((self.sentence, *self.details)))

    def at(self, place: str) -> UserError:
        """The same, said of `place` ("node 3")."""
        return UserError(f"{place}: {self.sentence}", self.details)


def several(summary: str, problems: Sequence[str], most: int = 20) -> UserError:
    """One of `problems` as it is; more of them a line each under `summary`, at most so many."""
    if len(problems) == 1:
        return UserError(problems[0])
    more = [f"and {len(problems) - most} more"] if len(problems) > most else []
    return UserError(summary, [*problems[:most], *more])


@contextmanager
def named(names: str, kind: type[UserError] = UserError) -> Iterator[None]:
    """Put names before an error's sentence."""
    try:
        yield
    except kind as error:
        raise error.at(names) from error
