"""`controlstack convert WORKFLOW`: chains of controls become a ControlNet Stack, and back."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .exit_codes import DebugOption, reported
from .options import OverwriteOption, path
from .say import note, say, tell

HOW = {"core": "; of Add ControlNet nodes --to stack makes one"}
"""What is said where there is nothing to convert into these."""


class _To(str, Enum):
    stack = "stack"
    nodes = "nodes"
    core = "core"


def convert_command(
    workflow: Annotated[
        Path,
        typer.Argument(
            parser=path,
            metavar="WORKFLOW",
            help="JSON as saved or as sent (API), or a PNG that holds one.",
        ),
    ],
    to: Annotated[
        _To,
        typer.Option(
            help="stack: chains of apply nodes, of Add ControlNet and of other packs' lists become "
            "a ControlNet Stack. nodes: that becomes Add ControlNet nodes; core: ComfyUI's own."
        ),
    ] = _To.stack,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            parser=path,
            metavar="FILE",
            help="The JSON to write; else beside the workflow, as NAME-stack.json.",
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a workflow anew with other nodes that make the same picture.

    What has no equal stays as it is, and is said.
    """
    with reported(debug):
        from ..conversion.convert import convert
        from ..ground.errors import UserError
        from ..ground.ours import Results
        from ..headless.graph.workflow import read_saved

        document = read_saved(workflow)
        out = out or workflow.with_name(f"{workflow.stem}-{to.value}.json")
        results = Results([workflow], overwrite)
        results.expect(out)
        converted = convert(document, to.value)
        if not converted.done:
            what = "ControlNet Stack" if to is not _To.stack else "chain of controls"
            why = converted.left or [f"it holds no {what} that is known{HOW.get(to.value, '')}"]
            raise UserError(f"nothing of {workflow} is converted", why)
        for said in converted.done:
            tell(said)
        for said in converted.left:
            note(said)
        text = json.dumps(converted.document, indent=2, ensure_ascii=False)
        results.write(out, f"{text}\n".encode())
        say(out)
