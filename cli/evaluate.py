"""`controlstack evaluate PICTURES --hints DIR --preprocessor NAME`: do pictures obey?"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .letters import readable
from .options import ModelsOption, OverwriteOption, path
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
        Path,
        typer.Option(parser=path, metavar="DIR", help="Folder for report.json and report.html."),
    ] = Path("output/evaluation"),
    overwrite: OverwriteOption = False,
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
            parser=path,
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
        Path | None,
        typer.Option(parser=path, metavar="FILE", help=_weights("FID"), rich_help_panel=QUALITY),
    ] = None,
    clip: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            metavar="DIR",
            help=_weights("CLIP and aesthetic score", "CLIP folder"),
            rich_help_panel=QUALITY,
        ),
    ] = None,
    aesthetic_weights: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            metavar="FILE",
            help=_weights("aesthetic score"),
            rich_help_panel=QUALITY,
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Extract the condition from pictures again, and compare it with the hints they were made from.

    Prints a table, and writes report.json and report.html: one page with all pictures, which needs
    no network.
    """
    with reported(debug):
        from ..evaluation.files.evaluate import Order, entry_of, evaluate, prepare, write_report
        from ..evaluation.files.measure import failed
        from ..evaluation.files.quality import QualityOrder
        from ..ground.errors import UserError
        from ..ground.lock import working_in
        from ..headless.folders import IMAGE_SUFFIXES
        from .groups import files_of, groups_of, pairs_of

        if bool(hints) == bool(originals):
            raise UserError("give either --hints or --originals: what the pictures are held to.")
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
            ready = prepare(order, out, overwrite)
        with working_in(out, "evaluating"):
            with shown_progress():
                outcome = evaluate(ready)
            # What was measured is not lost where it cannot be written.
            _print_table(outcome.report)
            for words in outcome.report.notes:
                if words not in outcome.failures:
                    note(words)
            written = write_report(outcome, ready)
        if ready.results.replaced:
            note(f"an earlier report in {out} is replaced")
        for file in written:
            say(file)
        if outcome.failures:
            raise failed(outcome.failures)


def _print_table(report: Report) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from ..evaluation.html import number
    from ..evaluation.report import summary

    title = literal(f"{report.about['preprocessor']}, extracted again")
    table = Table("", box=box.SIMPLE_HEAD, title=title)
    for group in report.groups:
        heading = literal(readable(f"{group} ({len(report.of(group))})"))
        table.add_column(heading, justify="right", overflow="fold")
    lines = summary(report)
    has_chance = any(line.shuffled for line in lines)
    if has_chance:
        table.add_column("by chance", justify="right", style="dim")
    for line in lines:
        cells = []
        for group in report.groups:
            mean = line.by_group.get(group)
            words = "" if mean is None else number(mean.value)
            if mean is not None and mean.deviation == mean.deviation:
                words += f" ± {number(mean.deviation)}"
            cells.append(readable(words))
        if has_chance:
            known = [line.shuffled.get(group) for group in report.groups if line.shuffled]
            cells.append(readable(" ".join(number(m.value) if m else "–" for m in known)))
        table.add_row(readable(f"{line.name} {'↑' if line.higher_is_better else '↓'}"), *cells)
    below = (
        "Mean ± standard deviation; ↑ higher, ↓ lower is better. By chance: each picture beside "
        "another picture's hint, group by group."
    )
    show(table, Text(readable(below), style="dim"))
