"""`controlstack study make` and `controlstack study read`: people rank pictures, blindly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exit_codes import DebugOption, reported
from .options import Later, OverwriteOption, command_of, path
from .progress import shown_progress
from .say import note, row, say, show, table

if TYPE_CHECKING:
    from ..evaluation.files.study import StudyOptions
    from ..evaluation.study_answers import Result

study_app = typer.Typer(
    help="A blind ranking of pictures by people: a page to rank on, and the average human rank.",
    no_args_is_help=True,
)


@study_app.command("make", cls=Later, no_args_is_help=True)
def make_command() -> Any:
    """Make a page on which people rank the methods' pictures, not knowing which is whose.

    Give study.html away: it is one file, works offline and on a phone, and each rater saves a file
    of ranks to send back. Keep key.json: it tells which picture is whose.
    """
    from ..evaluation.files.study import StudyOptions

    return command_of(StudyOptions, _make)


def _make(options: StudyOptions) -> None:
    from ..evaluation.files.study import write_study

    with shown_progress():
        written, notes = write_study(options)
    for words in notes:
        note(words)
    for file in written:
        say(file)


@study_app.command("read", no_args_is_help=True)
def read_command(
    folder: Annotated[
        Path, typer.Argument(parser=path, metavar="DIR", help="The folder with the key.")
    ],
    ranks: Annotated[
        list[str],
        typer.Argument(metavar="RANKS", help="The files that raters saved, folders, or globs."),
    ],
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:
    """Read the raters' ranks: every method's average human rank, by quality and by fidelity.

    Prints a table, and writes result.json and result.html beside the key.
    """
    with reported(debug):
        from ..evaluation.files.study import read_study
        from ..ground.inputs import files_of

        _, written = read_study(folder, files_of(ranks, (".json",)), overwrite, _print)
        for file in written:
            say(file)


def _print(result: Result) -> None:
    from ..evaluation.html import number
    from ..evaluation.study import CRITERIA

    raters = len(result.raters)
    titles = {one.name: f"{one.title} ↑" for one in CRITERIA if one.name in result.ranks}
    title = f"Average human rank, {raters} rater{'s' * (raters != 1)}"
    made = table(title, [""], list(titles.values()))
    by_method: dict[str, list[str]] = {}
    for name in titles:
        for rank in result.ranks[name]:
            spread = f" ± {number(rank.deviation)}" if rank.raters > 1 else ""
            by_method.setdefault(rank.method, []).append(f"{number(rank.mean)}{spread}")
    for method, cells in by_method.items():
        row(made, method, *cells)
    show(made)
    for words in result.notes:
        note(words)
