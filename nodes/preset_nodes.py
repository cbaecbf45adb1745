"""A stack's settings put on, saved and loaded as presets; and a stack cut to some of its lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from ..ground.atomic import write_free
from ..ground.errors import UserError
from ..ground.names import inner_name, require_bare_name, without_ending
from ..ground.places import require_place
from ..ground.reading import read_text
from ..hosts import host
from ..model_patch import preset as presets
from ..model_patch.control import ControlStack
from ..model_patch.lines import DO, Do, cut
from .stack import CATEGORY
from .stack_list import STACK, STACKS, stack_of
from .widgets import answer

ENDING = ".json"
WHAT = "the preset"


class ControlStackPreset:
    """A stack with the settings of a preset."""

    DESCRIPTION = (
        "Puts saved settings on a stack: strengths, ranges, modes and factors. Hints, masks and "
        "ControlNets stay as they are wired. The text is part of the workflow, so whoever gets "
        "that gets the preset."
    )
    SEARCH_ALIASES = ("controlnet preset", "controlnet settings", "控制预设")
    CATEGORY = CATEGORY
    FUNCTION = "apply"
    RETURN_TYPES = (STACK, "STRING")
    RETURN_NAMES = ("stack", "preset")
    OUTPUT_TOOLTIPS = ("The stack with these settings.", "The stack's settings as a preset.")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        return {
            "required": {
                "stack": (STACKS, {"tooltip": "The controls, from Add ControlNet."}),
                "preset": (
                    "STRING",
                    {
                        "default": "",
                        "multiline": True,
                        "tooltip": "The preset's text (JSON); empty changes nothing. Its lines go "
                        "to the controls of the same ControlNet file, or by number. What a line "
                        "does not name stays as it is.",
                    },
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, preset: str | None = None) -> bool | str:
        """Whether it is a preset; None where it comes through a link."""
        return answer(_read, preset)

    def apply(self, stack: ControlStack, preset: str) -> tuple[ControlStack, str]:
        """The stack changed, and what its settings are then."""
        changed = presets.applied(_read(preset), stack_of(stack))
        return changed, presets.written(presets.lines_of(changed))


class ControlStackSavePreset:
    """A stack's settings -> a file."""

    DESCRIPTION = (
        "Saves a stack's settings as a preset: strengths, ranges, modes and factors, without "
        "pictures, masks and ControlNets. Nothing is overwritten."
    )
    SEARCH_ALIASES = ("export controlnet settings", "save controlnet preset", "保存控制预设")
    CATEGORY = CATEGORY
    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ("STRING", "STRING")
    RETURN_NAMES = ("preset", "path")
    OUTPUT_TOOLTIPS = ("The preset's text, for Control Preset.", "Where the file is.")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        return {
            "required": {
                "stack": (STACKS, {"tooltip": "The controls whose settings are saved."}),
                "name": (
                    "STRING",
                    {
                        "default": "my_preset",
                        "tooltip": "The file's name, in controlstack/presets of the output folder. "
                        "A number is added if it is taken.",
                    },
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, name: str | None = None) -> bool | str:
        """Whether a file of the name can be written; None where it comes through a link."""
        return answer(_require_place, name)

    def save(self, stack: ControlStack, name: str) -> dict[str, Any]:
        """Write the file, and say where and what."""
        _require_place(name)
        text = presets.written(presets.lines_of(stack_of(stack)))
        try:
            _folder().mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {_folder()}: {error.strerror}") from error
        path = write_free(_names(name), text.encode())
        return {"ui": {"text": [str(path), text]}, "result": (text, str(path))}


class ControlStackLoadPreset:
    """A file -> the text of a preset."""

    DESCRIPTION = (
        "Loads a preset that Save Control Preset made, for Control Preset. A workflow that you "
        "share does not hold the file: paste its text into Control Preset for that."
    )
    SEARCH_ALIASES = ("controlnet preset", "load controlnet settings", "加载控制预设")
    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("preset",)
    OUTPUT_TOOLTIPS = ("The preset's text, for Control Preset.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's widget."""
        return {
            "required": {
                "file": (
                    _files(),
                    {"tooltip": "A preset in controlstack/presets of the output folder."},
                )
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, file: str | None = None) -> bool | str:
        """Whether the file is there and holds a preset; None where it comes through a link."""
        return answer(_text_of, file)

    @classmethod
    def IS_CHANGED(cls, file: str | None = None) -> str:
        """Another text is another preset."""
        return "" if file is None else hashlib.sha256(_text_of(file).encode()).hexdigest()

    def load(self, file: str) -> tuple[str]:
        """The file's text."""
        return (_text_of(file),)


class ControlStackCut:
    """Some lines of a stack."""

    DESCRIPTION = (
        "Lets some controls of a stack act and switches the others off, to see what each one does. "
        "They keep their numbers. To save loading a ControlNet as well, use enabled on Add "
        "ControlNet."
    )
    SEARCH_ALIASES = ("mute controlnet", "disable controlnet", "solo", "关闭控制")
    CATEGORY = CATEGORY
    FUNCTION = "cut"
    RETURN_TYPES = (STACK,)
    RETURN_NAMES = ("stack",)
    OUTPUT_TOOLTIPS = ("The stack, some of its controls switched off.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        return {
            "required": {
                "stack": (STACKS, {"tooltip": "The controls, from Add ControlNet."}),
                "lines": (
                    "STRING",
                    {
                        "default": "1",
                        "tooltip": "Numbers from 1, or parts of a ControlNet's file name, with "
                        "commas: 1, depth. Empty changes nothing.",
                    },
                ),
                "mode": (
                    list(DO),
                    {
                        "default": DO[0],
                        "tooltip": "keep: these controls act, all others are off. switch off: "
                        "these are off, the others stay as they are.",
                    },
                ),
            }
        }

    def cut(self, stack: ControlStack, lines: str, mode: Do) -> tuple[ControlStack]:
        """The stack with some lines off."""
        return (cut(stack_of(stack), lines, mode),)


def _read(text: str) -> tuple[presets.Line, ...]:
    return presets.read(text) if text.strip() else ()


def _folder() -> Path:
    return host.current().output() / "controlstack" / "presets"


def _names(name: str) -> Iterator[Path]:
    """name, name_2, name_3 ...; the name's own ending goes."""
    name = without_ending(name, ENDING)
    yield _folder() / f"{name}{ENDING}"
    yield from (_folder() / f"{name}_{number}{ENDING}" for number in count(2))


def _require_place(name: str) -> None:
    """Raise UserError for a name that is none, or that no file can be written under."""
    require_bare_name(name, "a preset's")
    try:
        free = next(path for path in _names(name) if not path.exists())
    except OSError as error:  # before Python 3.12 for a name that is too long
        raise UserError(
            f"{WHAT} {name} cannot be written: {error.strerror}; choose another name"
        ) from error
    require_place(free, WHAT)


def _files() -> list[str]:
    """The presets that are there; none where no host runs."""
    if not host.is_running():
        return []
    return sorted(path.name for path in _folder().glob(f"*{ENDING}") if path.name[0] != ".")


def _text_of(file: str) -> str:
    """The text of a preset's file, which is checked."""
    path = _folder() / inner_name(file, WHAT, _folder())
    text = read_text(path, WHAT, presets.MAX_FILE)
    presets.read(text, str(path))
    return text
