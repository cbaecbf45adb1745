"""ComfyMathExpression: a formula of a shared graph, computed by simpleeval, which runs no code."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Mapping
from typing import Any

from ...ground.errors import UserError
from ...ground.wording import listing, one_line, shown
from .declare import core_node, growing

_MOST_POWER = 4000
"""ComfyUI's limit for `pow`; simpleeval has one of its own for `**`."""


def _sum(*numbers: Any) -> Any:
    alone = len(numbers) == 1 and isinstance(numbers[0], Iterable)
    return sum(numbers[0] if alone else numbers)


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) > _MOST_POWER:
        raise ValueError(f"{exponent} is more than {_MOST_POWER}, the largest exponent")
    return pow(base, exponent)


_FUNCTIONS: dict[str, Any] = {
    **{"sum": _sum, "pow": _power},
    **{one.__name__: one for one in (min, max, abs, round, int, float)},
    **{
        one.__name__: one
        for one in (math.sqrt, math.ceil, math.floor, math.log, math.log2, math.log10)
    },
    **{one.__name__: one for one in (math.sin, math.cos, math.tan)},
}


@core_node(
    "ComfyMathExpression",
    "utilities",
    {
        "expression": ("STRING", {"default": "a + b", "multiline": True}),
        "values": growing("FLOAT,INT,BOOLEAN", names=string.ascii_lowercase),
    },
    *("FLOAT", "INT", "BOOLEAN"),
    RETURN_NAMES=("FLOAT", "INT", "BOOL"),
)
def compute(expression: str, values: Mapping[str, float]) -> tuple[float, int, bool]:
    """What a formula of a, b, c ... and `values`, their list, comes to: as a number, cut to a whole
    one, and whether it is not 0.

    Raises UserError for a formula that is wrong, or whose value is no finite number.
    """
    from simpleeval import InvalidExpression, simple_eval

    if not expression.strip():
        raise UserError("the expression is empty; write one, such as a + b")
    names = {**values, "values": list(values.values())}
    try:
        found = simple_eval(expression, names=names, functions=_FUNCTIONS)
    except (InvalidExpression, SyntaxError, ArithmeticError, ValueError, TypeError) as error:
        raise _refusal(expression, values, error) from error
    except (LookupError, AttributeError, RecursionError, MemoryError) as error:
        raise _refusal(expression, values, error) from error
    if not isinstance(found, (int, float)):
        kind = type(found).__name__
        raise UserError(f"{shown(expression)} comes to a {kind}; it has to come to a number")
    try:
        number = float(found)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UserError(f"{shown(expression)} comes to no finite number that a FLOAT can hold")
    return number, int(found), bool(found)


def _refusal(expression: str, values: Mapping[str, float], error: Exception) -> UserError:
    reason = one_line(str(error)) or type(error).__name__
    return UserError(
        f"{shown(expression)} cannot be computed: {reason}; wired are {listing(sorted(values))}"
    )
