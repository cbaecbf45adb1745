"""A finder of the user's own, a command or a Python function, as a preprocessor that no registry
lists: it finds a condition again that this pack knows nothing of.

What is named here is run. So nothing but a command line may name it: no workflow and no file of
settings that travels.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..ground.errors import UserError
from ..ground.wording import first_line, shown
from ..preprocessors.picture import Bytes
from ..preprocessors.sources import read_hint_picture
from ..preprocessors.spec import Hint, Preprocessor, Shows

PICTURE, HINT = "{picture}", "{hint}"
"""Words of a command that stand for the picture's file and for that of the hint to be written."""
PATIENCE = 600.0
"""Seconds that a command may take for a picture."""
_SAID = 4096
"""Bytes at the end of what a command prints in which its last line is looked for."""


@dataclass(frozen=True)
class CommandFinder:
    """Runs a command, by no shell, for each picture: it reads the file PICTURE, a PNG, and writes
    the hint of the same size to HINT, as any picture that Pillow reads."""

    command: str
    patience: float = PATIENCE

    def __call__(self, picture: Bytes) -> Hint:
        """The hint of a picture (h, w, 3). Raises UserError where the command fails, takes more
        than `patience` seconds, or writes no picture of this size."""
        with tempfile.TemporaryDirectory(prefix="controlstack-") as folder:
            source, made = Path(folder, "picture.png"), Path(folder, "hint.png")
            said = Path(folder, "said")
            Image.fromarray(picture).save(source)
            places = {PICTURE: str(source), HINT: str(made)}
            words = [_filled(word, places) for word in words_of(self.command)]
            try:
                with said.open("wb") as output:
                    code = subprocess.run(
                        words,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        timeout=self.patience,
                        check=False,
                    ).returncode
            except subprocess.TimeoutExpired:
                raise UserError(
                    f"the finder {words[0]} was stopped after {self.patience:g} seconds without "
                    "an end"
                ) from None
            except OSError as error:
                why = error.strerror or error
                raise UserError(f"the finder {words[0]} cannot be run: {why}") from error
            if code:
                raise UserError(f"the finder {words[0]} ended with exit code {code}{_last(said)}")
            if not made.exists():
                raise UserError(
                    f"the finder {words[0]} ended well and wrote no hint to {HINT}{_last(said)}"
                )
            try:
                hint = read_hint_picture(made)
            except UserError as error:
                raise UserError(
                    f"what the finder {words[0]} wrote is no picture: {error.sentence}"
                ) from error
            return _sized(hint, picture, f"the finder {words[0]}")


@dataclass(frozen=True)
class FunctionFinder:
    """Calls a Python function with each picture, uint8 RGB (h, w, 3); it returns the hint as such
    an array of the same size, or as a Pillow picture. `place` is FILE.py:FUNCTION or
    MODULE:FUNCTION, imported by each process once."""

    place: str

    def __call__(self, picture: Bytes) -> Hint:
        """The hint of a picture (h, w, 3). Raises UserError where the function fails or returns
        something else."""
        found = function_at(self.place)
        try:
            hint = found(picture.copy())
        except UserError:
            raise
        except Exception as error:  # whatever a stranger's function raises
            raise UserError(f"{self.place} failed: {_raised(error)}") from error
        if isinstance(hint, Image.Image):
            hint = np.array(hint.convert("RGB"))
        if not isinstance(hint, np.ndarray):
            raise UserError(
                f"{self.place} returned {shown(hint)}; return the hint as a numpy array of uint8, "
                "height x width x 3 (RGB), or as a Pillow picture"
            )
        if hint.dtype != np.uint8 or hint.ndim != 3 or hint.shape[2] != 3:
            shape = " x ".join(map(str, hint.shape))
            raise UserError(
                f"{self.place} returned an array of {hint.dtype}, {shape}; return uint8, height x "
                "width x 3 (RGB)"
            )
        return _sized(hint, picture, self.place)


def own_finder(name: str, find: CommandFinder | FunctionFinder, shows: Shows) -> Preprocessor:
    """The preprocessor, called `name`, that finds a condition by `find`; its hints are compared as
    what they show."""
    return Preprocessor(name, "", name, shows, "", (), "", run=find)


def words_of(command: str) -> list[str]:
    """A command's words, split as a shell would and never given to one. Raises UserError for one
    without PICTURE or HINT, with a quote that does not end, or of a program that is not here."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if os.name == "nt":
        lexer.escape = ""  # there it parts folders
    try:
        words = list(lexer)
    except ValueError as error:
        raise UserError(f"--finder-command {shown(command)}: {error}") from error
    missing = [one for one in (PICTURE, HINT) if not any(one in word for word in words)]
    if missing:
        raise UserError(
            f"--finder-command {shown(command)} lacks {' and '.join(missing)}: write "
            f'"PROGRAM {PICTURE} {HINT}", which stand for the picture to read and the hint to write'
        )
    if shutil.which(words[0]) is None:
        raise UserError(f"--finder-command: there is no program {shown(words[0])} here")
    return words


@cache
def function_at(place: str) -> Callable[[Bytes], Any]:
    """The function at FILE.py:FUNCTION or MODULE:FUNCTION, whose module is imported. Modules are
    also looked for in the working folder, and what a file imports in the file's own folder.

    Raises UserError for another text, for what is not there, and for a module that cannot be
    imported.
    """
    module, _, name = place.rpartition(":")
    if not module or not name.isidentifier():
        raise UserError(
            f"--finder {shown(place)}: write FILE.py:FUNCTION or MODULE:FUNCTION, such as "
            "find.py:find"
        )
    try:
        loaded = _file(Path(module)) if module.endswith(".py") else _module(module)
    except UserError:
        raise
    except SystemExit:
        raise UserError(
            f"--finder: {module} ends the program when it is imported; put what it does as a "
            'program under `if __name__ == "__main__":`'
        ) from None
    except Exception as error:  # whatever a stranger's module raises
        raise UserError(f"--finder: {module} cannot be imported: {_raised(error)}") from error
    found = getattr(loaded, name, None)
    if not callable(found):
        raise UserError(f"--finder: {module} has no function {name}")
    function: Callable[[Bytes], Any] = found
    return function


def _file(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"--finder: there is no file {path}")
    _look_in(path.resolve().parent)
    spec = importlib.util.spec_from_file_location(f"controlstack_finder_{path.stem}", path)
    assert spec is not None  # its name ends in .py
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # where dataclasses look for their module
    spec.loader.exec_module(loaded)
    return loaded


def _module(name: str) -> Any:
    _look_in(Path.cwd())
    return importlib.import_module(name)


def _look_in(folder: Path) -> None:
    """Let modules in `folder` be imported, after all others: they hide nothing."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _filled(word: str, places: dict[str, str]) -> str:
    for mark, place in places.items():
        word = word.replace(mark, place)
    return word


def _sized(hint: Hint, picture: Bytes, who: str) -> Hint:
    if hint.shape[:2] != picture.shape[:2]:
        (high, wide), (height, width) = hint.shape[:2], picture.shape[:2]
        raise UserError(
            f"{who} gave a hint of {wide} x {high} pixels for a picture of {width} x {height}; "
            "give one of the picture's size"
        )
    return hint


def _last(said: Path) -> str:
    """The last line that a command printed, as the end of a sentence."""
    with said.open("rb") as file:
        file.seek(max(0, said.stat().st_size - _SAID))
        lines = file.read().decode(errors="replace").split("\n")
    printed = [line.strip() for line in lines if line.strip()]
    return f": {printed[-1][:200]}" if printed else ""


def _raised(error: Exception) -> str:
    kind, line = type(error).__name__, first_line(error)
    return line if line == kind else f"{kind}: {line}"
