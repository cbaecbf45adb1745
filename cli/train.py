"""`controlstack train`: every setting a flag, made from the settings' Parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..ground.parameters import Value, parameters
from ..training.settings import SECTIONS
from .options import ModelsOption, Option, optional, plain, with_options
from .outcome import DebugOption, reported

PANELS: Mapping[str, str] = {
    "base": "Base model",
    "data": "Data",
    "network": "Network",
    "training": "Training",
    "validation": "Validation",
    "out": "Results",
}
"""Section -> the heading of its flags."""
MAIN: Mapping[tuple[str, str], str] = {
    ("base", "path"): "base",
    ("data", "path"): "data",
    ("network", "kind"): "network",
    ("out", "folder"): "out",
}
"""Settings whose flag is their section."""


def flag(section: str, name: str) -> str:
    """The flag of a setting: its name, behind its section's where that is validation."""
    bare = f"{section}_{name}" if section == "validation" else MAIN.get((section, name), name)
    return f"--{bare.replace('_', '-')}"


def _flags() -> dict[str, Option]:
    return {
        f"{section}_{one.name}": optional(one, flag(section, one.name), PANELS[section])
        for section, kind in SECTIONS.items()
        for one in parameters(kind)
    }


def _given(flags: Mapping[str, Any]) -> dict[str, dict[str, Value]]:
    return {
        section: {
            one.name: one.checked(plain(value), flag(section, one.name))
            for one in parameters(kind)
            if (value := flags[f"{section}_{one.name}"]) is not None
        }
        for section, kind in SECTIONS.items()
    }


def _train(
    config: Path | None,
    resume: bool,
    dry_run: bool,
    write_config: Path | None,
    models: list[Path] | None,
    download: bool,
    debug: bool,
    **flags: Any,
) -> None:
    with reported(debug):
        from .train_run import TrainRequest, carry_out

        carry_out(
            TrainRequest(
                config=config,
                given=_given(flags),
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
        "debug": (DebugOption, False),
        **_flags(),
    },
)
train_command.__doc__ = """Train a ControlNet on a locked base model."""
