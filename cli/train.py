"""`controlstack train`: every setting a flag, made from the settings' Parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..ground.parameters import Value, pairs_of, parameters
from ..training.settings import SECTIONS
from .exit_codes import DebugOption, reported
from .options import ModelsOption, Option, option, plain, with_options
from .say import note_former

PANELS: Mapping[str, str] = {
    "base": "Base model",
    "data": "Data",
    "network": "Network",
    "training": "Training",
    "validation": "Validation",
    "out": "Results",
}
"""Section -> the heading of its flags."""
HINT_SETTINGS = ("data", "hint_settings")
"""Given one by one, as everywhere: `--set NAME=VALUE`."""
MAIN: Mapping[tuple[str, str], str] = {
    ("base", "path"): "base",
    ("data", "path"): "data",
    ("network", "kind"): "network",
    ("out", "folder"): "out",
    HINT_SETTINGS: "set",
}
"""Settings whose flag is another word than their name."""


def flag(section: str, name: str) -> str:
    """The flag of a setting: its name, behind its section's where that is validation."""
    bare = f"{section}_{name}" if section == "validation" else MAIN.get((section, name), name)
    return f"--{bare.replace('_', '-')}"


def flags(sections: Collection[str] = tuple(SECTIONS)) -> dict[str, Option]:
    """The options of all settings of `sections`, by "section_name"; `data` is among them."""
    found = {
        f"{section}_{one.name}": option(one, flag(section, one.name), PANELS[section])
        for section in sections
        for one in parameters(SECTIONS[section])
    }
    words = "A setting of the condition's preprocessor, such as low_threshold=50; repeat for more."
    more: Any = {"help": words, "metavar": "NAME=VALUE", "rich_help_panel": PANELS["data"]}
    found["_".join(HINT_SETTINGS)] = (
        Annotated[list[str] | None, typer.Option("--set", **more)],
        None,
    )
    return found


def _one_text(given: list[str] | None, former: str | None) -> str | None:
    """What `--set` was given as the file has it; `--hint-settings` was so up to version 0.1."""
    if former is not None:
        note_former("--hint-settings", [part.strip() for part in former.split(",")])
    if not given:
        return former
    pairs = [f"{name}={value}" for name, value in pairs_of(given).items()]
    return ",".join([*([former] if former else []), *pairs])


def given(
    typed: Mapping[str, Any],
    former: str | None = None,
    sections: Collection[str] = tuple(SECTIONS),
) -> dict[str, dict[str, Value]]:
    """What was typed for `flags`, by section and name; `former` is that of a former flag."""
    name = "_".join(HINT_SETTINGS)
    typed = {**typed, name: _one_text(typed[name], former)}
    return {
        section: {
            one.name: one.checked(plain(value), flag(section, one.name))
            for one in parameters(SECTIONS[section])
            if (value := typed[f"{section}_{one.name}"]) is not None
        }
        for section in sections
    }


def _train(
    config: Path | None,
    resume: bool,
    dry_run: bool,
    write_config: Path | None,
    models: list[Path] | None,
    download: bool,
    hint_settings: str | None,
    debug: bool,
    **typed: Any,
) -> None:
    with reported(debug):
        from .train_run import TrainRequest, carry_out

        carry_out(
            TrainRequest(
                config=config,
                given=given(typed, hint_settings),
                resume=resume,
                dry_run=dry_run,
                write_config=write_config,
                models=tuple(models or [Path("models")]),
                download=download,
            )
        )


def _switch(name: str, words: str) -> Option:
    return Annotated[bool, typer.Option(name, help=words)], False


_CONFIG = typer.Argument(metavar="CONFIG", help="TOML file of settings; flags win over it.")
_WRITE_CONFIG = typer.Option(
    metavar="FILE",
    help="Write all settings, as they are with CONFIG and the flags, to a TOML file with comments, "
    "and train nothing.",
)
train_command = with_options(
    _train,
    {
        "config": (Annotated[Path | None, _CONFIG], None),
        "resume": _switch("--resume", "Go on from the newest checkpoint in the folder."),
        "dry_run": _switch("--dry-run", "Check every row of the data, and train nothing."),
        "write_config": (Annotated[Path | None, _WRITE_CONFIG], None),
        "models": (ModelsOption, None),
        "download": _switch(
            "--download",
            "Download the weights that the condition's preprocessor needs if they are not on this "
            "machine. Without this no request is made for them.",
        ),
        "hint_settings": (
            Annotated[str | None, typer.Option("--hint-settings", hidden=True)],
            None,
        ),
        "debug": (DebugOption, False),
        **flags(),
    },
)
train_command.__doc__ = """Train a ControlNet on a locked base model."""
