"""Settings as the widgets of a node, and the widgets that a prompt leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from ..ground.errors import UserError
from ..ground.wording import listing, shown

if TYPE_CHECKING:
    from ..ground.parameters import Parameter

Widget = tuple[Any, dict[str, Any]]
"""A type, or the list of choices, and the options of an input, as INPUT_TYPES has them."""


Node = TypeVar("Node", bound=type)


def filled(node: Node) -> Node:
    """The node class `node`, whose call gets the default of each optional widget that a prompt
    leaves out or has None for: hosts pass on what the prompt has and nothing else."""
    made: Any = node
    call = getattr(node, made.FUNCTION)

    @wraps(call)
    def with_defaults(self: Any, *args: Any, **given: Any) -> Any:
        plain = defaults(self.INPUT_TYPES())
        told = {name: v for name, v in given.items() if v is not None or name not in plain}
        return call(self, *args, **{**plain, **told})

    setattr(node, made.FUNCTION, with_defaults)
    return node


def defaults(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What the optional widgets of INPUT_TYPES stand at before anyone touches them."""
    optional: Mapping[str, Widget] = inputs.get("optional", {})
    return {name: words["default"] for name, (_, words) in optional.items() if "default" in words}


def answer(check: Callable[[str], object], text: str | None) -> bool | str:
    """`check` as VALIDATE_INPUTS answers; None comes through a link and is not known yet."""
    try:
        if text is not None:
            check(text)
    except UserError as error:
        return str(error)
    return True


def answer_of_menu(
    name: str,
    chosen: str | None,
    choices: Sequence[str],
    own: str,
    check: Callable[[str], object],
    text: str | None,
) -> bool | str:
    """As `answer`, of a menu `name` whose choice `own` takes a text; `check` judges that. A text
    that is left empty waits until the node runs: something else may be wired in its place."""
    if chosen is not None and chosen not in choices:  # a host does not compare what is named here
        return f"{name} is {shown(chosen)}; choose one of {listing(choices)}"
    return answer(check, text if chosen == own and text and text.strip() else None)


def widget(parameter: Parameter) -> Widget:
    """The field of one setting."""
    words = {"default": parameter.default, "tooltip": parameter.tooltip}
    if parameter.choices:
        return list(parameter.choices), words
    match parameter.default:
        case bool():
            return "BOOLEAN", words
        case str():
            return "STRING", words
        case int():
            return "INT", {**words, **_range(parameter)}
        case float():
            return "FLOAT", {**words, **_range(parameter), "round": False}


def widgets(settings: Iterable[Parameter]) -> dict[str, Widget]:
    """The fields of several settings, by name."""
    return {parameter.name: widget(parameter) for parameter in settings}


def _range(parameter: Parameter) -> dict[str, float]:
    return {"min": parameter.low, "max": parameter.high, "step": parameter.step}
