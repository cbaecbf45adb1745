"""`controlstack demo`: the contact sheet, and how well its pictures follow their hints."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .exit_codes import DebugOption, reported
from .options import OverwriteOption, path
from .progress import shown_progress
from .say import literal, say, show, tell

if TYPE_CHECKING:
    from ..demo.sheet import Result


def demo_command(
    out: Annotated[
        Path, typer.Option(parser=path, metavar="FILE", help="The PNG to write.")
    ] = Path("output/demo.png"),
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:
    """Make one contact sheet: a pose, a depth map, and pictures that follow both."""
    began = time.perf_counter()
    with reported(debug):
        from ..demo.sheet import make_sheet

        with shown_progress():
            results = make_sheet(out, overwrite=overwrite)
        _print_results(results)
        say(out)
        memory = f", peak memory {peak} MiB" if (peak := _peak_mebibytes()) else ""
        tell(f"{time.perf_counter() - began:.1f} s{memory}")


def _print_results(results: Sequence[Result]) -> None:
    from rich import box
    from rich.table import Table

    table = Table("", box=box.SIMPLE_HEAD, title="How well the pictures follow their scenes")
    for heading in ("joints", "silhouette IoU", "edge F1", "colours", "seconds"):
        table.add_column(heading, justify="right")
    for result in results:
        score = result.score
        table.add_row(
            literal(result.label),
            f"{score.joints:.0%}",
            f"{score.silhouette_iou:.2f}",
            f"{score.edge_f1:.2f}",
            f"{score.colours:.0%}",
            f"{result.seconds:.2f}",
        )
    show(table)


def _peak_mebibytes() -> int | None:
    """The most memory this process held at once, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, but bytes on macOS
    return peak // (2**20 if sys.platform == "darwin" else 2**10)
