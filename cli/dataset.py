"""`controlstack dataset`: public data sets, from a local copy, as training data."""

from __future__ import annotations

import enum
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .exit_codes import DebugOption, reported
from .options import path
from .progress import shown_progress
from .say import note, say, tell

if TYPE_CHECKING:
    from ..training.data.public_sets import Found

dataset_app = typer.Typer(help="Public data sets as training data.", no_args_is_help=True)

OutOption = Annotated[
    Path, typer.Option("--out", "-o", parser=path, metavar="DIR", help="A new folder for the set.")
]
CopyOption = Annotated[
    bool,
    typer.Option(
        "--copy", help="Copy the files into it; else its table names them where they lie."
    ),
]


class Split(str, enum.Enum):
    """Splits of ADE20K."""

    training = "training"
    validation = "validation"


@dataset_app.callback()
def _dataset_commands() -> None:
    """Bring a local copy of a public data set into a layout that train reads."""


@dataset_app.command("coco")
def coco_command(
    annotations: Annotated[
        Path,
        typer.Argument(parser=path, metavar="FILE", help="annotations/captions_train2017.json"),
    ],
    images: Annotated[
        Path, typer.Option(parser=path, metavar="DIR", help="Its pictures, such as train2017.")
    ],
    out: OutOption,
    copy: CopyOption = False,
    debug: DebugOption = False,
) -> None:
    """COCO's pictures with all captions of each; hints are made of the pictures."""
    with reported(debug):
        from ..training.data.public_sets import coco_captions

        _write(coco_captions(annotations, images), out, copy, "--condition canny")


@dataset_app.command("ade20k")
def ade20k_command(
    folder: Annotated[
        Path, typer.Argument(parser=path, metavar="DIR", help="The folder ADEChallengeData2016.")
    ],
    out: OutOption,
    split: Annotated[Split, typer.Option(help="Which of its pictures.")] = Split.training,
    labels: Annotated[
        bool, typer.Option("--labels", help="Put the names of what is on a picture into its text.")
    ] = False,
    copy: CopyOption = False,
    debug: DebugOption = False,
) -> None:
    """ADE20K's pictures with their label maps as hints; texts are the names of scenes.

    ADE20K has no captions.
    """
    with reported(debug):
        from ..ground.reporter import reporter
        from ..training.data.public_sets import ade20k

        with shown_progress():
            found = ade20k(folder, split.value, labels, reporter().steps)
        _write(
            found, out, copy, "--condition seg_labels --hints made --set zero_is_unlabelled=true"
        )


def _write(found: Found, out: Path, copy: bool, condition: str) -> None:
    from ..ground.reporter import reporter
    from ..training.data.public_sets import write_set

    with shown_progress():
        table, outside = write_set(found, out, copy, reporter().steps)
    for words in found.notes:
        note(words)
    say(table)
    more = " --outside" if outside else ""
    tell(
        f"{len(found.entries)} rows; look at them with: controlstack train --data "
        f"{shlex.quote(str(out))}{more} {condition} --dry-run"
    )
