"""A preprocessor's entry -> its command: its words the help, and what is asked of every one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, replace
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from ..ground.errors import UserError
from ..ground.parameters import MODELS, OVERWRITE, Parameter, Value, setting
from ..ground.wording import listing, shown
from ..preprocessors.making import FIT, RESOLUTION, resolution_of
from ..preprocessors.sizing import Fit, Size
from ..preprocessors.spec import Preprocessor, Weights
from .cluster import RayCommand, RayOptions
from .options import Option, command_of, option, plain
from .say import note, note_former

WITHOUT_WEIGHTS, WITH_WEIGHTS = "Without weights", "With weights"
"""Headings of the list of commands."""

_INPUTS = {
    "picture": "Pictures, folders of them, or globs.",
    "masked picture": "Pictures, folders of them, or globs.",
    "depth": "Depth maps (near is white; 16-bit grey keeps its steps), folders of them, or globs.",
    "labels": "Label maps (grey levels or a palette's indices are the classes), folders, or globs.",
    "pose": "OpenPose JSON files, folders of them, or globs.",
}
_MODEL = {"panel": "Model"}


def size_of(text: str) -> Size:
    """ "512x768" -> width and height. Raises UserError for another text."""
    sides = re.fullmatch(r"(\d{1,9})[xX×](\d{1,9})", text, re.ASCII)
    if sides is None:
        raise UserError(f"--size {shown(text)} is no size; write width x height, such as 512x768.")
    return int(sides[1]), int(sides[2])


@dataclass(frozen=True, kw_only=True)
class HintOptions:
    """What the command of a preprocessor asks for; some are for some preprocessors alone.

    `overwrite`: files in the way are replaced, whoever made them. `mask` is for every masked
    picture; `json` asks for the people that were found, too, and `deep` for 16 bits. `model` is ""
    for the first that is in the folders `models`, which are laid out as ComfyUI's.
    """

    inputs: tuple[str, ...] = setting(MISSING, "", metavar="IN", argument=True)
    settings: tuple[str, ...] = setting(
        (),
        "",
        flag="--set",
        metavar="NAME=VALUE",
    )
    out: Path = setting(Path("output"), "Folder for the hints, made if need be.", metavar="DIR")
    overwrite: bool = setting(False, OVERWRITE)
    size: Size | None = setting(
        None,
        "The hint's size in pixels. Default: its source's.",
        metavar="WxH",
        read=size_of,
    )
    fit: Fit = setting(FIT.default, FIT.tooltip)
    mask: Path | None = setting(
        None,
        "White or transparent where the picture is to be painted anew. Default: the picture's own "
        "transparency.",
        metavar="FILE",
    )
    json: bool = setting(False, "Write the people as OpenPose JSON, too.")
    deep: bool = setting(
        False, "Write 16-bit grey: for normal_from_depth, which shows steps of 8 bits."
    )
    resolution: int = setting(0, "", **_MODEL)
    model: str = setting("", "", metavar="NAME", **_MODEL)
    models: tuple[Path, ...] = setting((Path("models"),), MODELS, metavar="DIR")
    download: bool = setting(
        False,
        "Download the model if it is not on this machine, into the first of the models' folders. "
        "Without this no request is made.",
        **_MODEL,
    )
    cluster: RayOptions = field(default_factory=RayOptions)


def command_for(entry: Preprocessor) -> Any:
    """The command that makes hints with `entry`, as typer builds one."""

    def run(options: HintOptions, **former: Any) -> None:
        from .hint_run import make_hints

        if entry.told:
            note(entry.told)
        make_hints(entry, replace(options, settings=(*options.settings, *_former(entry, former))))

    app = typer.Typer(add_completion=False)
    app.command(
        entry.name,
        cls=RayCommand,
        help=_help(entry),
        short_help=_clause(entry.description),
        rich_help_panel=WITH_WEIGHTS if entry.downloads else WITHOUT_WEIGHTS,
        no_args_is_help=True,
    )(
        command_of(
            HintOptions,
            run,
            words=_words(entry),
            without=[name for name, asked in _asked(entry).items() if not asked],
            further={p.name: _former_option(p) for p in entry.parameters},
        )
    )
    return typer.main.get_command(app)


def _asked(entry: Preprocessor) -> dict[str, bool]:
    """Which of the options that not all preprocessors have this one has."""
    learning = entry.learning
    return {
        "settings": bool(entry.parameters),
        "mask": entry.takes == "masked picture",
        "json": entry.finds_people,
        "deep": entry.shows == "depth",
        "resolution": learning is not None and learning.any_size,
        **dict.fromkeys(("model", "models", "download"), entry.downloads),
    }


def _words(entry: Preprocessor) -> dict[str, str]:
    words = {"inputs": _INPUTS[entry.takes]}
    words["resolution"] = f"{resolution_of(entry).tooltip} {RESOLUTION.limits}"
    if entry.parameters:
        first = entry.parameters[0]
        such = f"{first.name}={_in_words(first.default)}"
        words["settings"] = f"One of the settings above, such as {such}; repeat for more."
    if entry.learning is not None and entry.downloads:
        names = ", ".join(model.name for model in entry.learning.models)
        own = ", or the name of a folder of yours" if entry.learning.model_types else ""
        words["model"] = f"{names}{own}. Default: the first that is on this machine."
    return words


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _former_option(parameter: Parameter) -> Option:
    """The option that a setting was up to version 0.1."""
    return option(parameter, _flag(parameter.name), "", hidden=True)


def _former(entry: Preprocessor, given: Mapping[str, Any]) -> list[str]:
    """NAME=VALUE of the settings that were given as options of their own."""
    found = [f"{name}={plain(value)}" for name, value in given.items() if value is not None]
    if found:
        note_former(listing(_flag(text.partition("=")[0]) for text in found), found)
    return found


def _help(entry: Preprocessor) -> str:
    paragraphs = [f"{entry.told}."] if entry.told else []
    paragraphs += [entry.description, f"Made for {entry.controls}."]
    if entry.parameters:
        paragraphs.append("Settings, each as --set NAME=VALUE:")
    paragraphs += [_of_setting(parameter) for parameter in entry.parameters]
    if entry.learning is not None:
        paragraphs += [_about(model) for model in (*entry.learning.models, *entry.learning.also)]
    return "\n\n".join(escape(text) for text in paragraphs)


def _of_setting(parameter: Parameter) -> str:
    limits = "True or false." if isinstance(parameter.default, bool) else parameter.limits
    default = _in_words(parameter.default)
    words = f"{parameter.name}: {parameter.tooltip} {limits}".rstrip()
    return f"{words} Default: {default}." if default else words


def _in_words(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _about(model: Weights) -> str:
    use = "" if model.commercial else ", not for commercial use"
    where = model.repo if model.shipped is None else "ships with ControlStack"
    return f"{model.name}: {where}, {model.megabytes} MB, licence {model.licence}{use}."


def _clause(description: str) -> str:
    """What comes before the description's first colon, semicolon or full stop."""
    return escape(re.split(r"[:;]|\. |\.$", description, maxsplit=1)[0])
