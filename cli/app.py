"""The `controlstack` command: its subcommands, one file each. `main` runs it.

Nothing heavier than typer is imported before a subcommand runs, so `--help` answers at once.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from .cluster import LaterRayCommand, RayCommand
from .convert import convert_command
from .dataset import dataset_app
from .demo import demo_command
from .demo_model import model_app
from .evaluate import evaluate_command
from .gain import gain_command
from .hint import hint_app
from .inspect import inspect_command
from .nodes import nodes_command
from .plan import plan_command
from .run import run_command
from .say import say
from .serve import serve_command
from .study import study_app
from .sweep import sweep_command
from .train import train_command
from .transfer import transfer_command

app = typer.Typer(
    name="controlstack",
    help="Stack ControlNets on a locked U-Net: ComfyUI workflows, run without ComfyUI.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command("run")(run_command)
app.command("serve")(serve_command)
app.command("plan")(plan_command)
app.command("inspect")(inspect_command)
app.command("sweep", cls=RayCommand)(sweep_command)
app.command("convert")(convert_command)
app.command("demo")(demo_command)
app.command("train")(train_command)
app.command("transfer")(transfer_command)
app.command("gain")(gain_command)
app.command("evaluate", cls=LaterRayCommand)(evaluate_command)
app.command("nodes")(nodes_command)
app.add_typer(hint_app, name="hint")
app.add_typer(study_app, name="study")
app.add_typer(dataset_app, name="dataset")
app.add_typer(model_app, name="demo-model")


def _show_version(asked: bool) -> None:
    if asked:
        say(f"controlstack {version('controlstack')}")
        raise typer.Exit


@app.callback()
def _options(
    shown: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and leave."
        ),
    ] = False,
) -> None:
    """Stack ControlNets on a locked U-Net: ComfyUI workflows, run without ComfyUI."""
