"""`controlstack evaluate PICTURES --hints DIR --preprocessor NAME`: do pictures obey?"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import ModelsOption
from .outcome import DebugOption, reported
from .progress import shown_progress
from .say import literal, note, say, show

if TYPE_CHECKING:
    from ..evaluation.report import Report

QUALITY, MODEL = "Quality, with weights of yours", "Model of the preprocessor"


def _weights(figure: str, what: str = "Weights") -> str:
    return f"{what} for the {figure}. Default: looked for in the models' controlstack/ folder."


class FitChoice(str, enum.Enum):
    """How pictures of another size are brought to their hint's."""

    fill = "fill"
    fit = "fit"
    stretch = "stretch"


def evaluate_command(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURES",
            help="Folders, files or globs. Each folder is a group of its own, named after it or by "
            "NAME=FOLDER; files given singly are one group.",
        ),
    ],
    preprocessor: Annotated[
        str, typer.Option(metavar="NAME", help="What made the hints; see controlstack hint --help.")
    ],
    hints: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR",
            help="The hints that the pictures were made from, named as the pictures: a folder, "
            "file or glob; OpenPose JSON for poses.",
        ),
    ] = None,
    originals: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR",
            help="Instead of hints the pictures that they were made of, by the same preprocessor.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the preprocessor, such as low_threshold=50; repeat for more.",
        ),
    ] = None,
    fit: Annotated[
        FitChoice | None,
        typer.Option(
            help="Bring pictures of another size to their hint's: fill cuts off what does not fit, "
            "fit puts bars around, stretch bends. Without it such pictures are refused.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for report.json and report.html.")
    ] = Path("output/evaluation"),
    resolution: Annotated[
        int,
        typer.Option(
            min=0,
            help="The shorter side at which the network looks; 0 is the picture's own.",
            rich_help_panel=MODEL,
        ),
    ] = 0,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Default: the first that is on this machine.",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = "",
    models: ModelsOption = None,
    download: Annotated[
        bool,
        typer.Option(
            "--download",
            help="Download the preprocessor's model if it is not on this machine. Without this no "
            "request is made.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    real: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR", help="FID against these real pictures.", rich_help_panel=QUALITY
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CLIP score with the prompts in this file, by picture's name: JSON, JSON lines, "
            "CSV, or lines of `name: prompt`.",
            rich_help_panel=QUALITY,
        ),
    ] = None,
    aesthetic: Annotated[
        bool, typer.Option("--aesthetic", help="The aesthetic score.", rich_help_panel=QUALITY)
    ] = False,
    inception: Annotated[
        Path | None, typer.Option(metavar="FILE", help=_weights("FID"), rich_help_panel=QUALITY)
    ] = None,
    clip: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help=_weights("CLIP and aesthetic score", "CLIP folder"),
            rich_help_panel=QUALITY,
        ),
    ] = None,
    aesthetic_weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=_weights("aesthetic score"), rich_help_panel=QUALITY),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Extract the condition from pictures again, and compare it with the hints they were made from.

    Prints a table, and writes report.json and report.html: one page with all pictures, which needs
    no network.
    """
    with reported(debug):
        from ..evaluation.files.evaluate import Order, entry_of, evaluate, write_report
        from ..evaluation.files.measure import failed
        from ..evaluation.files.quality import QualityOrder
        from ..ground.errors import UserError
        from ..headless.folders import IMAGE_SUFFIXES
        from .groups import files_of, groups_of, pairs_of

        if bool(hints) == bool(originals):
            raise UserError("give either --hints or --originals: what the pictures are held to.")
        if out.exists() and not out.is_dir():
            raise UserError(f"{out} is a file; name a folder for the report with --out.")
        entry = entry_of(preprocessor)
        as_json = bool(hints) and entry.finds_people
        folders = tuple(models or [Path("models")])
        order = Order(
            entry=entry,
            groups=groups_of(pictures),
            hints=files_of(hints or originals or (), (".json",) if as_json else IMAGE_SUFFIXES),
            originals=bool(originals),
            settings=pairs_of(set_ or (), "--set"),
            fit=fit.value if fit is not None else None,
            resolution=resolution,
            model=model,
            models=folders,
            download=download,
            quality=QualityOrder(
                real=files_of(real or (), IMAGE_SUFFIXES),
                prompts=prompts,
                aesthetic=aesthetic,
                inception=inception,
                clip=clip,
                predictor=aesthetic_weights,
                models=folders,
            ),
        )
        with shown_progress():
            outcome = evaluate(order)
            written = write_report(outcome, out)
        _print_table(outcome.report)
        for line in outcome.report.notes:
            if line not in outcome.failures:
                note(line)
        for path in written:
            say(path)
        if outcome.failures:
            raise failed(outcome.failures)


def _print_table(report: Report) -> None:
    from rich import box
    from rich.table import Table

    from ..evaluation.html import number
    from ..evaluation.report import summary

    table = Table(
        "", box=box.SIMPLE_HEAD, title=literal(f"{report.about['preprocessor']}, extracted again")
    )
    for group in report.groups:
        table.add_column(literal(f"{group} ({len(report.of(group))})"), justify="right")
    for line in summary(report):
        cells = []
        for group in report.groups:
            mean, chance = line.by_group.get(group), line.shuffled.get(group)
            text = "" if mean is None else number(mean.value)
            if mean is not None and mean.deviation == mean.deviation:
                text += f" ± {number(mean.deviation)}"
            cells.append(text + (f"\n[dim]({number(chance.value)})[/dim]" if chance else ""))
        table.add_row(f"{line.name} {'↑' if line.higher_is_better else '↓'}", *cells)
    below = literal(
        "Mean ± standard deviation; ↑ higher, ↓ lower is better. In brackets: by chance, each "
        "picture beside another picture's hint."
    )
    below.style = "dim"
    show(table, below)
