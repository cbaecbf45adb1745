"""`controlstack run --report DIR`: what each control of a workflow did, without changing it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..ground.atomic import write_atomic
from ..ground.errors import UserError
from ..ground.ours import SOFTWARE, made_here
from ..ground.places import require_place
from .progress import report_node
from .say import note, say, tell

if TYPE_CHECKING:
    from ..headless.graph.execute import Event, OnEvent
    from ..inspection.report import Report
    from ..model_patch.record import Record

JSON, PICTURE = "report.json", "report.png"


@contextmanager
def reported(folder: Path | None) -> Iterator[OnEvent]:
    """Inside the block every stack that is put on a model is recorded; gives what is to hear how
    the graph goes. When it ends well the report is written to `folder` and named.

    Raises:
        UserError: at once, where nothing can be written there, or what somebody else made lies.
    """
    if folder is None:
        yield report_node
        return
    from ..inspection.report import report_of
    from ..model_patch.record import every_run

    require_place(folder, "the folder for the report", folder=True)
    for file in (folder / JSON, *folder.glob(f"{Path(PICTURE).stem}*.png")):
        if file.exists() and not made_here(file):
            raise UserError(
                f"{file} is there already and was not made by ControlStack; name another folder "
                "with --report"
            )
    reports: list[Report] = []
    at = [""]  # the node that runs

    def hear(event: Event) -> None:
        if event.kind == "start":
            at[0] = f"{event.node.title or event.node.type} ({event.node.id})"
        report_node(event)

    def keep(record: Record, goes_on: bool) -> None:
        # Words and figures at once: the record holds on to nets, which are let go after their use.
        title = f"{reports.pop().title} and {at[0]}" if goes_on else at[0]
        reports.append(report_of(record, title))

    with every_run(keep):
        yield hear
    _write(folder, reports)


def _write(folder: Path, reports: list[Report]) -> None:
    from PIL.PngImagePlugin import PngInfo

    from ..inspection.report import as_json
    from ..inspection.report_picture import draw_report

    if not reports:
        note("--report: no control stack was put on a model, so there is nothing to report")
    folder.mkdir(parents=True, exist_ok=True)
    for number, report in enumerate(reports, 1):
        name = PICTURE if len(reports) == 1 else PICTURE.replace(".", f"-{number}.")
        png, mark = io.BytesIO(), PngInfo()
        mark.add_text("Software", SOFTWARE)
        draw_report(report).save(png, format="PNG", pnginfo=mark)
        write_atomic(folder / name, png.getvalue())
        say(folder / name)
        for sentence in report.sentences:
            tell(sentence)
    write_atomic(folder / JSON, as_json(reports).encode())
    say(folder / JSON)
