"""What to type to see the network that a training made: said at its end."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TypeAlias

from ..training.settings import BaseSettings, RunSettings

DEMO = "demo"
"""The demo model's name as a base, where there is no file or folder of that name."""

SINGLE_FILE = ".safetensors"

Words: TypeAlias = tuple[object, ...]
"""A command, word by word."""

_WORKFLOWS = Path(__file__).parents[1] / "workflows"
_MADE = {"canny": "canny.json", "pose": "pose.json", "openpose": "pose.json"}
"""Conditions whose hints a shipped workflow makes or draws."""
_GIVEN = "depth.json"
"""The shipped workflow that takes its hint from a picture, for all others."""


@dataclass(frozen=True)
class _Base:
    """How `run` finds a training's base: commands before it, and its flags."""

    commands: tuple[Words, ...] = ()
    flags: Words = ()


def how_to_use(
    settings: RunSettings, files: Sequence[Path], models: Sequence[Path]
) -> tuple[str, str]:
    """Words, and the line to paste that they speak of: it draws with the result where it lies.

    `files` are those of the result; `models` are the folders that the training was given, laid out
    as ComfyUI's. The line is empty, and the words say where to put the result, where the base is
    in parts that no shipped workflow loads, and where a path cannot be pasted.
    """
    from ..preprocessors.names import named
    from ..training.run_folder import result_places  # torch with it

    own = result_places(settings).get("base")
    result = next((file for file in files if file.suffix == SINGLE_FILE), files[0])
    base = _base(settings.base, models[0])
    beside = f" beside its own base, {own}" if own else ""
    by_hand = (
        f"to use it{beside}, copy {result} to {models[0] / 'controlnet'} and choose it in Load "
        "ControlNet"
    )
    if own or base is None or os.name == "nt":
        return by_hand, ""
    condition = settings.data.condition
    workflow = _MADE.get(named(condition).name if condition else "", _GIVEN)
    run: Words = ("controlstack", "run", _near(_WORKFLOWS / workflow))
    if base.commands or models[0].is_dir():
        run = (*run, "--models", models[0])
    hint = " (and --set LoadImage.image=... for a hint of yours)" if workflow == _GIVEN else ""
    line = " && ".join(map(_line, (*base.commands, (*run, *base.flags, "--control-net", result))))
    return (f"to use it{hint}, paste the line below", line) if line.isprintable() else (by_hand, "")


def _base(settings: BaseSettings, models: Path) -> _Base | None:
    """None where no CheckpointLoaderSimple loads it."""
    path = Path(settings.path).expanduser()
    if not path.exists():
        return _Base(flags=("--demo",)) if settings.path == DEMO else None
    whole = path.is_file() or (path / "model_index.json").is_file()
    if not whole or settings.text_encoder or settings.vae:
        return None
    chosen = "CheckpointLoaderSimple.ckpt_name="
    if path.absolute().parent.name == "checkpoints":
        return _Base(
            flags=("--models", _near(path.absolute().parents[1]), "--set", chosen + path.name)
        )
    folder = models / "checkpoints"
    name = _free(folder, path.name)
    link: tuple[Words, ...] = (("mkdir", "-p", folder), ("ln", "-s", path.resolve(), folder / name))
    return _Base(link, ("--set", chosen + name))


def _free(folder: Path, name: str) -> str:
    ending = SINGLE_FILE if name.endswith(SINGLE_FILE) else ""
    stem = name.removesuffix(ending)
    names = chain([name], (f"{stem}-{number}{ending}" for number in count(2)))
    return next(one for one in names if not os.path.lexists(folder / one))


def _near(path: Path) -> Path:
    """`path` as told from the working folder, where it is in it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _line(words: Words) -> str:
    return shlex.join(_word(word) for word in words)


def _word(word: object) -> str:
    """A path that begins as a flag does is told from the folder it lies in."""
    return f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
