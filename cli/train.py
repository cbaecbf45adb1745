"""`controlstack demo-model train`: the demo model made again from its seeds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .outcome import DebugOption, reported

if TYPE_CHECKING:
    from ..training.loop import Progress


def train_command(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the weights.")] = Path(
        "output/demo-model"
    ),
    work: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for scenes (4 GB) and unfinished weights; what it holds is not made "
            "again; OUT/work without it.",
        ),
    ] = None,
    share: Annotated[
        float,
        typer.Option(
            min=0.0001, max=1.0, help="Part of the recipe's scenes and steps; 0.01 for a trial."
        ),
    ] = 1.0,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Processes; all cores without it.")
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Train VAE, text encoder, U-Net, joint reader and three ControlNets from nothing."""
    with reported(debug):
        from ..demo.build import RECIPE, build

        recipe = RECIPE if share == 1.0 else RECIPE.shorter(share)
        build(out, work or out / "work", print_progress, recipe, cores or os.cpu_count() or 1)
        typer.echo(out)


def print_progress(stage: str, progress: Progress) -> None:
    """One line on stderr; called in the processes that train."""
    typer.echo(
        f"{stage}: step {progress.step}, loss {progress.loss:.4f}, "
        f"{progress.images_per_second:.0f} images/s, {progress.left / 60:.1f} min left",
        err=True,
    )
