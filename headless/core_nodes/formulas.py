"""ComfyMathExpression: a formula of a shared graph, computed by simpleeval, which runs no code."""

from __future__ import annotations

import math
import string
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from ...ground.errors import UserError
from ...ground.log import log
from ...ground.wording import listing, one_line, shown
from .declare import core_node, growing

_MOST_POWER = 4000
"""ComfyUI's limit for `pow`; simpleeval has one of its own for `**`."""

_MOST_BITS = 1_000_000
"""Of a whole number that `pow` makes, which ComfyUI does not limit: of powers of powers it could
not be computed in a day."""


def _sum(*numbers: Any) -> Any:
    alone = len(numbers) == 1 and isinstance(numbers[0], Iterable)
    return sum(numbers[0] if alone else numbers)


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) > _MOST_POWER:
        raise ValueError(f"an exponent is larger than {_MOST_POWER}, the largest there may be")
    if isinstance(base, int) and base.bit_length() * exponent > _MOST_BITS:
        raise ValueError("a power is too large to be computed")
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
    one, and whether it is not 0. Of several lines the first alone is computed, as in ComfyUI; the
    log says so.

    Raises UserError for a formula that is wrong, or whose value is no finite number.
    """
    from simpleeval import InvalidExpression, OperatorNotDefined, simple_eval

    if not expression.strip():
        raise UserError("the expression is empty; write one, such as a + b")
    names = {**values, "values": list(values.values())}
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            found = simple_eval(expression, names=names, functions=_FUNCTIONS)
    except OperatorNotDefined as error:
        raise _refusal(expression, values, "it has an operator that formulas lack") from error
    except (InvalidExpression, SyntaxError, ArithmeticError, ValueError, TypeError) as error:
        raise _refusal(expression, values, str(error)) from error
    except (LookupError, AttributeError, RecursionError, MemoryError) as error:
        raise _refusal(expression, values, str(error) or "it is too large") from error
    if warned:
        log.warning(
            "ComfyMathExpression computes the first formula of %s alone, as in ComfyUI: a formula "
            "goes on in the next line only inside of brackets",
            shown(expression),
        )
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


def _refusal(expression: str, values: Mapping[str, float], reason: str) -> UserError:
    return UserError(
        f"{shown(expression)} cannot be computed: {one_line(reason)}; "
        f"wired are {listing(sorted(values))}"
    )
