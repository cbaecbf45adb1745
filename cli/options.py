"""Declared settings -> the options of a command: their words the help, their types the options'."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as types_of

import typer
from rich.markup import escape
from typer.core import TyperCommand

from ..ground.parameters import MODELS, OVERWRITE, Parameter
from .exit_codes import DebugOption, reported

Asked = TypeVar("Asked")
Option: TypeAlias = tuple[Any, Any]
"""What typer makes an option of: an annotation and a default."""


def path(text: str | Path) -> Path:
    """The parser of options and arguments that name a file or a folder: an empty text would be the
    working folder, as an unset variable of a shell makes it.
    """
    if not str(text):
        raise typer.BadParameter("it is empty; name a file or a folder.")
    return Path(text)


OverwriteOption = Annotated[bool, typer.Option("--overwrite", help=OVERWRITE)]
ModelsOption = Annotated[
    list[Path] | None, typer.Option("--models", parser=path, metavar="DIR", help=MODELS)
]


def command_of(
    kind: type[Asked],
    run: Callable[[Asked], None],
    words: Mapping[str, str] | None = None,
    without: Collection[str] = (),
    further: Mapping[str, Option] | None = None,
) -> Any:
    """The command, for typer, that asks for the fields of the dataclass `kind` and runs with it.

    Fields are made with `ground.parameters.setting`: a type, a default and words, and for an option
    whose look its type does not tell `metavar`, `panel` and `flag` (else its name). With
    `argument` it is one; `read` makes the value of what was typed, which is text then. A field
    without words is a dataclass whose own fields stand at its place. `words` are other words for
    some fields; those in `without` are not asked for and have their default. What is asked for
    `further` is given to `run` as keywords.
    """
    asked = _asked(kind, words or {}, without)

    def call(debug: bool, **given: Any) -> None:
        with reported(debug):
            run(_filled(kind, given), **{name: given[name] for name in further or {}})

    call.__doc__ = run.__doc__
    return with_options(call, {**asked, **(further or {}), "debug": (DebugOption, False)})


class Later(TyperCommand):
    """A command whose function returns that which is meant, made when it is asked for: the help of
    others needs its name and its words alone.
    """

    meant: type[TyperCommand] = TyperCommand

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """Of the command that is meant."""
        assert self.callback is not None
        app = typer.Typer(add_completion=False)
        made = app.command(
            self.name, cls=self.meant, help=self.help, no_args_is_help=self.no_args_is_help
        )
        made(self.callback())
        return typer.main.get_command(app).make_context(info_name, args, parent, **extra)


def option(parameter: Parameter, flag: str, panel: str, hidden: bool = False) -> Option:
    """The option `flag` of a parameter, None where it is not given; help shows its default."""
    default = parameter.default
    # Choices are shown by typer itself.
    limits = "" if parameter.choices else parameter.limits
    words: dict[str, Any] = {
        "help": escape(f"{parameter.tooltip} {limits}").rstrip(),
        "rich_help_panel": panel,
        "show_default": str(default) if default not in ("", False) else False,
        "hidden": hidden,
    }
    names = f"{flag}/--no-{flag[2:]}" if isinstance(parameter.default, bool) else flag
    kind = _choices(parameter.choices) if parameter.choices else type(parameter.default)
    return Annotated[kind | None, typer.Option(names, **words)], None


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


def _asked(
    kind: type[Any], words: Mapping[str, str], without: Collection[str]
) -> dict[str, Option]:
    types, found = types_of(kind), dict[str, Option]()
    for one in fields(kind):
        if _holds_others(one):
            found |= _asked(types[one.name], words, without)
        elif one.name not in without:
            found[one.name] = _option(one, types[one.name], words.get(one.name))
    return found


def _holds_others(one: Field[Any]) -> bool:
    return "words" not in one.metadata


def _option(one: Field[Any], kind: Any, words: str | None) -> Option:
    about = one.metadata["limits"]
    many = get_origin(kind) is tuple
    if get_origin(kind) in (Union, UnionType) or many:
        kind = get_args(kind)[0]
    if "read" in about:
        kind = str
    elif get_origin(kind) is Literal:
        kind = _choices(get_args(kind))
    asked: dict[str, Any] = {
        "help": escape(words or one.metadata["words"]),
        "metavar": about.get("metavar"),
        "min": about.get("low"),
        "max": about.get("high"),
        "parser": path if kind is Path else None,
        "rich_help_panel": about.get("panel"),
    }
    required = one.default is MISSING
    default = inspect.Parameter.empty if required else None if many else one.default
    if isinstance(kind, enum.EnumMeta) and default is not None:
        default = kind(default)
    if about.get("argument"):
        made: Any = typer.Argument(**asked)
    else:
        flag = about.get("flag") or f"--{one.name.replace('_', '-')}"
        made = typer.Option(flag, **asked, show_default=default not in (None, "", False))
    kind = list[kind] if many else kind
    return Annotated[kind if required else kind | None, made], default


def _filled(kind: Any, given: Mapping[str, Any]) -> Any:
    types = types_of(kind)
    return kind(
        **{
            one.name: _filled(types[one.name], given)
            if _holds_others(one)
            else _value(one, given.get(one.name))
            for one in fields(kind)
        }
    )


def _value(one: Field[Any], given: Any) -> Any:
    if given is None or given == []:
        return one.default
    if "read" in one.metadata["limits"]:
        return one.metadata["limits"]["read"](given)
    return tuple(given) if isinstance(given, list) else plain(given)


def _choices(names: Collection[str]) -> Any:
    make: Any = enum.Enum  # the kind of type that every typer takes for choices
    return make("choices", [(one, one) for one in names], type=str)
