"""`controlstack demo-model`: the demo model made again, data to train on it, and its score."""

from __future__ import annotations

import enum
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .exit_codes import DebugOption, reported
from .options import path
from .progress import shown_progress
from .say import row, say, show, table, tell

if TYPE_CHECKING:
    from ..demo.score import Score
    from ..training.events import Point


model_app = typer.Typer(help="The demo model.", no_args_is_help=True)


class Kind(str, enum.Enum):
    """Kinds of hints of the demo's scenes."""

    canny = "canny"
    depth = "depth"
    pose = "pose"


@model_app.callback()
def _model_commands() -> None:
    """Make the demo model again, or data to train on it."""


@model_app.command("data")
def data_command(
    out: Annotated[
        Path, typer.Option(parser=path, metavar="DIR", help="A new folder for the data.")
    ] = Path("output/demo-data"),
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many scenes.")] = 500,
    kind: Annotated[Kind, typer.Option(help="What the hints show.")] = Kind.canny,
    debug: DebugOption = False,
) -> None:
    """Write scenes with hints and captions as a training set, for `controlstack train`."""
    with reported(debug):
        from ..demo.training_folder import write_folder

        with shown_progress():
            write_folder(out, count, kind.value)
        say(out)


@model_app.command("train")
def train_command(
    out: Annotated[
        Path, typer.Option(parser=path, metavar="DIR", help="Folder for the weights.")
    ] = Path("output/demo-model"),
    work: Annotated[
        Path | None,
        typer.Option(
            parser=path,
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
        say(out)


def print_progress(stage: str, point: Point) -> None:
    """One line on stderr; called in the processes that train."""
    tell(
        f"{stage}: step {point.step}, loss {point.loss:.4f}, "
        f"{point.images_per_second:.0f} images/s, {point.left / 60:.1f} min left"
    )


@model_app.command("score")
def score_command(
    pictures: Annotated[int, typer.Option(min=1, help="Held-out scenes a line.")] = 8,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            metavar="DIR",
            help="Keep the pictures, hints and prompts here, as controlstack evaluate takes them.",
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Score pictures of held-out scenes with no control, each, and several."""
    with reported(debug):
        from ..demo.score_host import HostScorer
        from ..demo.score_pictures import lines
        from ..ground.threads import one_thread

        with shown_progress(), one_thread(), tempfile.TemporaryDirectory() as scratch:
            found = list(lines(HostScorer(Path(scratch)), pictures, out))
        made = table(f"{pictures} pictures a line", ["scenes", "control"], SCORES)
        for line in found:
            row(made, line.scenes, line.stack, *score_cells(line.score))
        show(made)
        if out is not None:
            say(out)


SCORES = ("edge F1", "silhouette IoU", "joints", "colours")


def score_cells(score: Score) -> list[str]:
    """A score below SCORES; nothing where there was nothing to measure."""
    shares = (f"{score.edge_f1:.2f}", f"{score.silhouette_iou:.2f}")
    joints = f"{score.joints:.0%}" if score.joints == score.joints else ""
    return [*shares, joints, f"{score.colours:.0%}"]
