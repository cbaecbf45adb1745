"""A named setting with its range and its words, from which nodes, flags and help are made.

Imports only its own room, so every layer may declare settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias, TypeVar

from .errors import UserError
from .structured import is_text
from .wording import shown

Value: TypeAlias = bool | int | float | str
Kind = TypeVar("Kind")

YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
"""Words for a switch; capitals do not count."""

OVERWRITE = "Replace files in the way that ControlStack did not make. Inputs are never replaced."
MODELS = (
    "Folder laid out as ComfyUI's, with weights in controlstack/ or depth/; repeat for more. "
    "Default: models."
)
"""Words of options that several commands have."""


@dataclass(frozen=True)
class Parameter:
    """One named setting, its default that of the original annotator.

    The default's type is the setting's type; numbers have `low`, `high` (both allowed) and `step`,
    a choice has `choices`.
    """

    name: str
    default: Value
    tooltip: str
    low: float = 0
    high: float = 1
    step: float = 1
    choices: tuple[str, ...] = ()

    @property
    def limits(self) -> str:
        """A sentence on what the setting may be: its range or its choices; "" for other kinds."""
        if self.choices:
            return f"One of {', '.join(self.choices)}."
        if isinstance(self.default, (bool, str)):
            return ""
        return f"From {_number(self.low)} to {_number(self.high)}."

    def checked(self, value: Value, who: str) -> Value:
        """`value` as this setting's type; UserError, naming `who`, where it is out of range."""
        if self.choices:
            if value not in self.choices:
                choices = ", ".join(self.choices)
                raise UserError(f"{who}: {self.name} is {shown(value)}; choose one of {choices}.")
            return value
        if isinstance(self.default, (bool, str)):
            if isinstance(value, str) and not is_text(value):
                raise UserError(f"{who}: {self.name} is {shown(value)}, which is no text in UTF-8.")
            return type(self.default)(value)
        try:
            number = type(self.default)(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(
                f"{who}: {self.name} is {shown(value)}; give a number from "
                f"{_number(self.low)} to {_number(self.high)}."
            ) from error
        if not self.low <= number <= self.high:
            raise UserError(
                f"{who}: {self.name} is {_number(number)}; give a number from "
                f"{_number(self.low)} to {_number(self.high)}."
            )
        return number

    def read(self, text: str, who: str) -> Value:
        """The value that `text` names, of this setting's kind; UserError, naming `who`, where it
        names none. Its range is not looked at.
        """
        kind = type(self.default)
        if kind is bool and text.lower() in (*YES, *NO):
            return text.lower() in YES
        if kind is not bool:
            with suppress(ValueError):
                return kind(text)
        asked = {bool: "true or false", int: "a whole number"}.get(kind, "a number")
        raise UserError(f"{who}: {self.name} is {shown(text)}; give {asked}.")


def setting(default: Any, words: str, **limits: Any) -> Any:
    """A dataclass field with a Parameter's words and its `low`, `high`, `step` or `choices`.

    A field of what a command asks for may have what `cli.options.command_of` knows besides. Without
    a default (`dataclasses.MISSING`) it has to be given.
    """
    return field(default=default, metadata={"words": words, "limits": limits})


def parameters(kind: type[Any]) -> tuple[Parameter, ...]:
    """The settings of a dataclass whose fields were made with `setting`, in their order."""
    return tuple(
        Parameter(f.name, f.default, f.metadata["words"], **f.metadata["limits"])  # type: ignore[arg-type]  # a default is a Value here
        for f in fields(kind)
    )


def settings_of(kind: type[Kind], given: Mapping[str, Any], who: str) -> Kind:
    """`kind` with the values `given` and the defaults of the rest, all in range; None is not given.

    Raises UserError, naming `who` and the setting, for a name that is none and a value that does
    not fit.
    """
    known = {parameter.name: parameter for parameter in parameters(kind)}
    strange = sorted(set(given) - set(known))
    if strange:
        raise UserError(f"{who} has no setting {strange[0]}; it has {', '.join(known)}.")
    return kind(
        **{
            name: known[name].checked(value, who)
            for name, value in given.items()
            if value is not None
        }
    )


def pairs_of(texts: Sequence[str]) -> dict[str, str]:
    """What `--set NAME=VALUE` was given, by name; a later one wins. Raises UserError for a text
    without "=".
    """
    for text in texts:
        if "=" not in text:
            raise UserError(f"--set {shown(text)}: write NAME=VALUE, such as low_threshold=50.")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else shown(value)  # all digits of a seed
