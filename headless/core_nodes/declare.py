"""How a core node is declared: a function, and before it what ComfyUI tells of the node."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeAlias, TypeVar

from ...ground.errors import UserError
from .. import folders
from ..graph.registry import DYNAMIC_COMBO, GROWING

CORE_NODES: dict[str, type[Any]] = {}
"""The core nodes that were declared, by id: V1 classes, as ComfyUI has them."""

Declared: TypeAlias = tuple[Any, ...]
"""(type or list of choices,) or (the same, options): an input as INPUT_TYPES has it."""
Input: TypeAlias = "str | list[str] | Declared | Callable[[], Declared]"
"""The type of a link, choices, a whole declaration, or a function that gives one when asked."""


@dataclass(frozen=True)
class ModelFile:
    """A choice among the model files of a kind that are there when it is asked, behind words for
    none of them. Its node's class names it in MODEL_FILES."""

    kind: str
    none: tuple[str, ...]
    options: Mapping[str, Any]
    endings: Collection[str] = folders.MODEL_SUFFIXES

    def __call__(self) -> Declared:
        """As INPUT_TYPES has it."""
        choices = [*self.none, *folders.names(self.kind, self.endings)]
        return (choices, dict(self.options)) if self.options else (choices,)


Function = TypeVar("Function", bound=Callable[..., Any])


def core_node(
    node_id: str,
    category: str,
    inputs: Mapping[str, Input],
    *outputs: str,
    optional: Mapping[str, Input] | None = None,
    hidden: Mapping[str, str] | None = None,
    check: Callable[..., object] | None = None,
    checked: Collection[str] | None = None,
    among: dict[str, type[Any]] = CORE_NODES,
    **attributes: Any,
) -> Callable[[Function], Function]:
    """Declare a function as ComfyUI's node `node_id`, which takes these inputs by their names.

    The function gives the one value of `outputs`, or all as a V1 node gives them. An input that
    `growing` or `choices` declares is a dict of its inputs, as in ComfyUI's newer nodes. `check`
    takes some of the inputs before anything runs, those of its signature or else those `checked`,
    and raises UserError for what it refuses. The class goes `among` the declared ones; its
    MODEL_FILES are the inputs that name files of models, with their kinds. `attributes` are further
    ones of it, by ComfyUI's names.
    """

    nesting = [name for name, one in inputs.items() if _type_of(one) in (GROWING, DYNAMIC_COMBO)]

    def declare(function: Function) -> Function:
        def run(self: object, **values: Any) -> Any:
            result = function(**_nested(values, nesting))
            whole = isinstance(result, dict) and "result" in result
            return (result,) if len(outputs) == 1 and not whole else result

        def input_types() -> dict[str, dict[str, Any]]:
            sections = {"required": inputs, "optional": optional or {}}
            found = {
                section: {name: _declared(one) for name, one in fields.items()}
                for section, fields in sections.items()
                if fields or section == "required"
            }
            return {**found, "hidden": dict(hidden)} if hidden else found

        made = {
            "__doc__": function.__doc__,
            "INPUT_TYPES": staticmethod(input_types),
            "RETURN_TYPES": outputs,
            "FUNCTION": "run",
            "CATEGORY": category,
            "run": run,
            "MODEL_FILES": {
                name: one.kind
                for name, one in {**inputs, **(optional or {})}.items()
                if isinstance(one, ModelFile)
            },
            **(
                {}
                if check is None
                else {"VALIDATE_INPUTS": staticmethod(_answering(check, checked))}
            ),
            **attributes,
        }
        among[node_id] = type(node_id, (), made)
        return function

    return declare


def integer(default: int, least: int, most: int, step: int | None = None, **more: Any) -> Declared:
    """An INT field; `more` are options by ComfyUI's names, such as `tooltip`."""
    stepped = {} if step is None else {"step": step}
    return "INT", {"default": default, "min": least, "max": most, **stepped, **more}


def number(default: float, least: float, most: float, step: float, **more: Any) -> Declared:
    """A FLOAT field; `more` as in `integer`."""
    return "FLOAT", {"default": default, "min": least, "max": most, "step": step, **more}


def growing(
    kind: str, *, names: Sequence[str] = (), prefix: str = "", least: int = 1, most: int = 10
) -> Declared:
    """A socket of type `kind` that comes again when it is wired: under these `names`, or `prefix`
    and a number from 0 on; `least` of them are required."""
    field: dict[str, dict[str, Declared]] = {"required": {prefix or "value": (kind, {})}}
    called = {"names": list(names)} if names else {"prefix": prefix, "max": most}
    return GROWING, {"template": {"input": field, "min": least, **called}}


def choices(fields: Mapping[str, Mapping[str, Declared]]) -> Declared:
    """A menu whose choices have inputs of their own, by choice."""
    options = [{"key": key, "inputs": {"required": dict(own)}} for key, own in fields.items()]
    return DYNAMIC_COMBO, {"options": options}


def model_file(kind: str, *none: str, **options: Any) -> ModelFile:
    """A choice among the model files of `kind` ("vae"), behind words for `none`; `options` as in
    `integer`."""
    return ModelFile(kind, none, options)


def _type_of(field: Input) -> object:
    return field[0] if isinstance(field, tuple) else None


def _nested(values: Mapping[str, Any], nesting: Collection[str]) -> dict[str, Any]:
    """`{"size": "by", "size.factor": 2}` as `{"size": {"size": "by", "factor": 2}}`, for names that
    are `nesting`; with nothing inside where nothing is wired."""
    found: dict[str, Any] = {name: {} for name in nesting}
    for name, value in values.items():
        outer, _, inner = name.partition(".")
        if outer not in nesting:
            found[name] = value
        elif not inner and isinstance(value, dict):
            found[outer] = value
        else:
            found[outer][inner or outer] = value
    return found


def _declared(field: Input) -> Declared:
    if callable(field):
        return field()
    return field if isinstance(field, tuple) else (field,)


def _answering(
    check: Callable[..., object], checked: Collection[str] | None
) -> Callable[..., bool | str]:
    """VALIDATE_INPUTS: True, or the sentence of the UserError that `check` raised. Hosts read from
    its signature which inputs it takes.
    """

    @wraps(check)
    def validate(*args: Any, **inputs: Any) -> bool | str:
        try:
            check(*args, **inputs)
        except UserError as error:
            return error.sentence
        return True

    if checked is not None:
        keyword = inspect.Parameter.KEYWORD_ONLY
        named = [inspect.Parameter(name, keyword, default=None) for name in checked]
        vars(validate)["__signature__"] = inspect.Signature(named)
    return validate
