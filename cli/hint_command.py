"""A preprocessor's entry -> its command: each setting an option, its words the help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..ground.errors import UserError
from ..ground.wording import shown
from ..preprocessors.making import FIT, RESOLUTION, Sizing
from ..preprocessors.sizing import Size
from ..preprocessors.spec import Preprocessor, Weights
from .options import (
    ModelsOption,
    Option,
    OverwriteOption,
    option,
    path,
    plain,
    with_options,
)
from .outcome import DebugOption, reported

WITHOUT_WEIGHTS, WITH_WEIGHTS = "Without weights", "With weights"
"""Headings of the list of commands."""

_INPUTS = {
    "picture": "Pictures, folders of them, or globs.",
    "masked picture": "Pictures, folders of them, or globs.",
    "depth": "Depth maps (near is white; 16-bit grey keeps its steps), folders of them, or globs.",
    "labels": "Label maps (grey levels or a palette's indices are the classes), folders, or globs.",
    "pose": "OpenPose JSON files, folders of them, or globs.",
}


def command_of(entry: Preprocessor) -> Any:
    """The command that makes hints with `entry`, as typer builds one."""

    def run(debug: bool, **given: Any) -> None:
        with reported(debug):
            from .hint_run import Order, carry_out

            carry_out(
                Order(
                    entry=entry,
                    inputs=tuple(given["inputs"]),
                    settings=_settings(entry, given),
                    sizing=_sizing(entry, given),
                    out=given["out"],
                    overwrite=given["overwrite"],
                    mask=given.get("mask"),
                    json=given.get("json", False),
                    deep=given.get("deep", False),
                    model=given.get("model", ""),
                    models=tuple(given.get("models") or [Path("models")]),
                    download=given.get("download", False),
                )
            )

    app = typer.Typer(add_completion=False)
    app.command(
        entry.name,
        help=_help(entry),
        short_help=_clause(entry.description),
        rich_help_panel=WITHOUT_WEIGHTS if entry.learning is None else WITH_WEIGHTS,
        no_args_is_help=True,
    )(with_options(run, _asked(entry)))
    return typer.main.get_command(app)


def _asked(entry: Preprocessor) -> dict[str, Option]:
    """The command's options, in the order of its help."""
    return {
        "inputs": (
            Annotated[list[str], typer.Argument(metavar="IN", help=_INPUTS[entry.takes])],
            inspect.Parameter.empty,
        ),
        **{p.name: option(p, "Settings") for p in entry.parameters},
        **_common(entry),
        **(_of_models(entry) if entry.learning is not None else {}),
        "debug": (DebugOption, False),
    }


def _common(entry: Preprocessor) -> dict[str, Option]:
    out = typer.Option(parser=path, metavar="DIR", help="Folder for the hints, made if need be.")
    size = typer.Option(metavar="WxH", help="The hint's size in pixels. Default: its source's.")
    options: dict[str, Option] = {
        "out": (Annotated[Path, out], Path("output")),
        "overwrite": (OverwriteOption, False),
        "size": (Annotated[str | None, size], None),
        "fit": option(FIT),
    }
    if entry.takes == "masked picture":
        mask = typer.Option(
            parser=path,
            metavar="FILE",
            help="White or transparent where the picture is to be painted anew. Default: the "
            "picture's own transparency.",
        )
        options["mask"] = (Annotated[Path | None, mask], None)
    if entry.finds_people:
        people = typer.Option("--json", help="Write the people as OpenPose JSON, too.")
        options["json"] = (Annotated[bool, people], False)
    if entry.shows == "depth":
        deep = typer.Option(
            "--deep", help="Write 16-bit grey: for normal_from_depth, which shows steps of 8 bits."
        )
        options["deep"] = (Annotated[bool, deep], False)
    return options


def _of_models(entry: Preprocessor) -> dict[str, Option]:
    learning = entry.learning
    assert learning is not None
    panel = "Model"
    models = ", ".join(model.name for model in learning.models)
    own = ", or the name of a folder of yours" if learning.model_types else ""
    model = typer.Option(
        metavar="NAME",
        help=escape(f"{models}{own}. Default: the first that is on this machine."),
        rich_help_panel=panel,
        show_default=False,
    )
    download = typer.Option(
        "--download",
        help="Download the model if it is not on this machine, into the first of the models' "
        "folders. Without this no request is made.",
        rich_help_panel=panel,
    )
    return {
        **({"resolution": option(RESOLUTION, panel)} if learning.any_size else {}),
        "model": (Annotated[str, model], ""),
        "models": (ModelsOption, None),
        "download": (Annotated[bool, download], False),
    }


def _settings(entry: Preprocessor, given: Mapping[str, Any]) -> dict[str, Any]:
    return {parameter.name: plain(given[parameter.name]) for parameter in entry.parameters}


def _sizing(entry: Preprocessor, given: Mapping[str, Any]) -> Sizing:
    size = _size(given["size"]) if given["size"] is not None else None
    resolution: Any = RESOLUTION.checked(given.get(RESOLUTION.name, 0), entry.name)
    return Sizing(size, plain(given[FIT.name]), resolution)


def _size(text: str) -> Size:
    sides = re.fullmatch(r"(\d{1,9})[xX×](\d{1,9})", text, re.ASCII)
    if sides is None:
        raise UserError(f"--size {shown(text)} is no size; write width x height, such as 512x768.")
    return int(sides[1]), int(sides[2])


def _help(entry: Preprocessor) -> str:
    paragraphs = [entry.description, f"Made for {entry.controls}."]
    if entry.learning is not None:
        for model in (*entry.learning.models, *entry.learning.also):
            paragraphs.append(_about(model))
    return "\n\n".join(escape(text) for text in paragraphs)


def _about(model: Weights) -> str:
    use = "" if model.commercial else ", not for commercial use"
    return f"{model.name}: {model.repo}, {model.megabytes} MB, licence {model.licence}{use}."


def _clause(description: str) -> str:
    """What comes before the description's first colon, semicolon or full stop."""
    return escape(re.split(r"[:;]|\. |\.$", description, maxsplit=1)[0])
