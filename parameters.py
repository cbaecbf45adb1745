"""A named setting with its range and its words, from which nodes, flags and help are made.

Imports only the error, so every layer may declare settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .errors import UserError

Value: TypeAlias = bool | int | float | str


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
                raise UserError(
                    f"{who}: {self.name} is {value!r}; choose one of {', '.join(self.choices)}."
                )
            return value
        if isinstance(self.default, (bool, str)):
            return type(self.default)(value)
        number = type(self.default)(value)
        if not self.low <= number <= self.high:
            raise UserError(
                f"{who}: {self.name} is {_number(number)}; give a number from "
                f"{_number(self.low)} to {_number(self.high)}."
            )
        return number


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value}"  # all digits of a seed
