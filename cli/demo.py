"""`controlstack demo`: the contact sheet, and how well its pictures follow their hints."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ..ground.garbage import uncollected
from .demo_model import SCORES, score_cells
from .exit_codes import DebugOption, reported
from .options import OverwriteOption, path
from .progress import shown_progress
from .say import row, say, show, table, tell


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
        with uncollected():
            from ..demo.sheet import make_sheet

        with shown_progress():
            results = make_sheet(out, overwrite=overwrite)
        title = "How well the pictures follow their scenes"
        made = table(title, [""], [*SCORES, "seconds"])
        for result in results:
            row(made, result.label, *score_cells(result.score), f"{result.seconds:.2f}")
        show(made)
        say(out)
        memory = f", peak memory {peak} MiB" if (peak := _peak_mebibytes()) else ""
        tell(f"{time.perf_counter() - began:.1f} s{memory}")


def _peak_mebibytes() -> int | None:
    """The most memory this process held at once, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, but bytes on macOS
    return peak // (2**20 if sys.platform == "darwin" else 2**10)
