"""Files that a data set names: they stay in its own folder, unless the user says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...ground.errors import UserError
from ...ground.names import inner_name
from ...ground.reading import require_regular
from ...ground.wording import shown
from ...model_files.folders import CONFIG

_OF_A_MODEL = (CONFIG, "model_index.json")
"""Of which a folder of diffusers has one."""

ALLOW = "outside = true (--outside) takes such names"


@dataclass(frozen=True)
class Inside:
    """The `folder` that a data set's names mean.

    With `outside`, they may lead anywhere, as the names of one's own tables often do. `also` are
    folders in which a library keeps what it has downloaded or unpacked.
    """

    folder: Path
    outside: bool = False
    also: tuple[Path, ...] = ()
    _real: dict[Path, Path] = field(default_factory=dict, repr=False, compare=False)

    def file(self, name: str, what: str) -> Path:
        """The regular file that `name` means; an absolute name may say where the folder is.

        Raises UserError, which calls it `what`, where there is none and where it lies elsewhere: by
        "..", by an absolute name or by a link.
        """
        plain = Path(name.replace("\\", "/"))
        if not (self.outside or plain.is_absolute()):
            try:
                plain = Path(inner_name(name, what, self.folder))
            except UserError as error:
                raise UserError(f"{error.sentence}; {ALLOW}") from None
        path = self.folder / plain
        called = shown(name) if plain.is_absolute() else f"{shown(name)} in {self.folder}"
        try:
            require_regular(path, what, called)
        except UserError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise UserError(f"{what} {called} is not there") from error
            raise
        if not (self.outside or self._holds(path)):
            raise UserError(f"{what} {shown(name)} leads out of {self.folder}; {ALLOW}")
        return path

    def _holds(self, path: Path) -> bool:
        """Whether `path`, which is there, lies inside, its links followed."""
        real = Path(os.path.realpath(path)) if path.is_symlink() else self._of(path.parent)
        return any(real.is_relative_to(self._of(folder)) for folder in (self.folder, *self.also))

    def _of(self, folder: Path) -> Path:
        """The real place of a folder, asked for once: a data set has few."""
        if folder not in self._real:
            self._real[folder] = Path(os.path.realpath(folder))
        return self._real[folder]


def typed(text: str, what: str, known: Mapping[str, Path] | None = None) -> Path:
    """The path that a person typed, "~" followed; `known` are names of models that stand for a path
    where there is no such file, and no such folder that holds a model: a clone of this project has
    a folder called as its demo model is. Raises UserError, which calls it `what`, for a text that
    no file can have.
    """
    try:
        path = Path(text).expanduser()
        if not (path.is_file() or any((path / name).exists() for name in _OF_A_MODEL)):
            path = (known or {}).get(text, path)
    except (OSError, ValueError, RuntimeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UserError(f"{what} {shown(text)} cannot be used: {reason}") from error
    return path
