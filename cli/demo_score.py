"""`controlstack demo-model score`: how well the demo model's pictures follow their hints."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .exit_codes import DebugOption, reported
from .options import path
from .progress import shown_progress
from .say import literal, say, show

if TYPE_CHECKING:
    from ..demo.score_pictures import Line


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
        from ..demo.models import one_thread
        from ..demo.score_host import HostScorer
        from ..demo.score_pictures import lines

        with shown_progress(), one_thread(), tempfile.TemporaryDirectory() as scratch:
            found = list(lines(HostScorer(Path(scratch)), pictures, out))
        _print_table(found, pictures)
        if out is not None:
            say(out)


def _print_table(lines: Sequence[Line], pictures: int) -> None:
    from rich import box
    from rich.table import Table

    table = Table("scenes", "control", box=box.SIMPLE_HEAD, title=f"{pictures} pictures a line")
    for heading in ("edge F1", "silhouette IoU", "joints", "colours"):
        table.add_column(heading, justify="right")
    for line in lines:
        score = line.score
        table.add_row(
            literal(line.scenes),
            literal(line.stack),
            f"{score.edge_f1:.2f}",
            f"{score.silhouette_iou:.2f}",
            f"{score.joints:.0%}" if score.joints == score.joints else "",
            f"{score.colours:.0%}",
        )
    show(table)
