"""A Parameter -> an option of a command: its words the help, its type the option's."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from rich.markup import escape

from ..ground.parameters import Parameter


def path(text: str | Path) -> Path:
    """The parser of options and arguments that name a file or a folder: an empty text would be the
    working folder, as an unset variable of a shell makes it.
    """
    if not str(text):
        raise typer.BadParameter("it is empty; name a file or a folder.")
    return Path(text)


OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace files in the way that ControlStack did not make. Inputs are never replaced.",
    ),
]
ModelsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--models",
        parser=path,
        metavar="DIR",
        help="Folder laid out as ComfyUI's, with weights in controlstack/ or depth/; repeat for "
        "more. Default: models.",
    ),
]
Option: TypeAlias = tuple[Any, Any]
"""What typer makes an option of: an annotation and a default."""


def option(parameter: Parameter, panel: str | None = None) -> Option:
    """The option of a parameter, with its default."""
    words: dict[str, Any] = {"help": _help(parameter), "rich_help_panel": panel}
    kind = _kind(parameter)
    default = kind(parameter.default) if parameter.choices else parameter.default
    return Annotated[kind, typer.Option(**words)], default


def optional(parameter: Parameter, flag: str, panel: str, shown: str | None = None) -> Option:
    """The option `flag` of a parameter, None where it is not given; help shows `shown`, or the
    parameter's default."""
    default = parameter.default if shown is None else shown
    words: dict[str, Any] = {
        "help": _help(parameter),
        "rich_help_panel": panel,
        "show_default": str(default) if default not in ("", False) else False,
    }
    names = f"{flag}/--no-{flag[2:]}" if isinstance(parameter.default, bool) else flag
    return Annotated[_kind(parameter) | None, typer.Option(names, **words)], None


def plain(value: Any) -> Any:
    """An option's value as the parameter's: a choice as its text."""
    return value.value if isinstance(value, enum.Enum) else value


def with_options(function: Callable[..., None], asked: Mapping[str, Option]) -> Any:
    """`function`, which takes keywords, with the signature that makes typer ask for `asked`."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature(
        [
            inspect.Parameter(name, keyword, default=value, annotation=kind)
            for name, (kind, value) in asked.items()
        ]
    )
    made: Any = function
    made.__signature__ = signature
    made.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return made


def _kind(parameter: Parameter) -> Any:
    if not parameter.choices:
        return type(parameter.default)
    make: Any = enum.Enum  # the kind of type that every typer takes for choices
    return make("choices", [(one, one) for one in parameter.choices], type=str)


def _help(parameter: Parameter) -> str:
    # Choices are shown by typer itself.
    more = "" if parameter.choices else f" {parameter.limits}"
    return escape(parameter.tooltip + more).rstrip()
