"""`controlstack transfer CONTROL --from OLD --to NEW`: a ControlNet for another base."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .exit_codes import DebugOption, reported
from .progress import shown_progress
from .say import say
from .train_use import DEMO

SINGLE_FILE = ".safetensors"


def transfer_command(
    control: Annotated[
        Path, typer.Argument(metavar="CONTROL", help="A ControlNet: a diffusers folder or a file.")
    ],
    old: Annotated[
        Path, typer.Option("--from", metavar="OLD", help="The base model that it was trained on.")
    ],
    new: Annotated[Path, typer.Option("--to", metavar="NEW", help="The base model it is for.")],
    out: Annotated[
        Path,
        typer.Option(
            help=f"What to write: a single file if it ends in {SINGLE_FILE}, else a diffusers "
            "folder. Nothing that is there already is written over."
        ),
    ],
    half: Annotated[bool, typer.Option("--half", help="Write fp16: half the size.")] = False,
    debug: DebugOption = False,
) -> None:
    """Move a ControlNet to another base without training: control + new base - old base.

    It suits bases that were fine-tuned from one model, as those of Stable Diffusion 1.5 are.
    """
    with reported(debug):
        import torch

        from ..demo.models import BASE
        from ..ground.atomic import new_folder
        from ..ground.errors import UserError
        from ..ground.places import require_place
        from ..ground.reporter import reporter
        from ..headless.transfer import transfer
        from ..training.data.file_names import typed
        from ..training.export import save_folder, save_single_file
        from ..training.ldm_layout import no_single_file

        out, control = typed(str(out), "--out"), typed(str(control), "CONTROL")
        given = {"--from": old, "--to": new}
        bases = [typed(str(base), flag, {DEMO: BASE}) for flag, base in given.items()]
        single = out.suffix.lower() == SINGLE_FILE
        require_place(out, "the result", folder=not single)
        if os.path.lexists(out):
            raise UserError(f"{out} is there already; name another file with --out.")
        with shown_progress():
            reporter().stage("moving the ControlNet")
            network = transfer(control, *bases)
        about = {"moved from": old.name, "to": new.name}
        dtype = torch.float16 if half else torch.float32
        if not single:
            with new_folder(out) as folder:
                save_folder(network, folder, about, dtype)
        elif why_not := no_single_file(network):
            raise UserError(f"{why_not} Name a folder with --out.")
        else:
            save_single_file(network, out, dtype, about, new=True)
        say(out)
