"""`controlstack hint NAME IN...`: hints of files; `--sheet IMAGE`: all of them on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .exit_codes import DebugOption, reported
from .options import ModelsOption, OverwriteOption, path
from .progress import shown_progress
from .say import note, say

SHEET = Path("output/hint_sheet.png")


class HintCommands(TyperGroup):
    """A command for each preprocessor, made when one is asked for: not for the help of others.

    Names may be written with dashes, too, and may be another pack's (`preprocessors.names`).
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """The preprocessors' names, in the registry's order."""
        from ..preprocessors.registry import PREPROCESSORS

        return list(PREPROCESSORS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a preprocessor; None for an unknown name."""
        from ..preprocessors.names import is_name, named
        from ..preprocessors.registry import PREPROCESSORS
        from .hint_command import command_for

        if is_name(cmd_name):
            with reported(debug=False):
                return command_for(named(cmd_name))
        # An unknown name is compared with all commands, for a suggestion.
        self.commands.update({name: command_for(entry) for name, entry in PREPROCESSORS.items()})
        return None


hint_app = typer.Typer(
    cls=HintCommands,
    help="Make hints of files, or a sheet of all hints of one picture. Names that "
    "comfyui_controlnet_aux and sd-webui-controlnet have for preprocessors are taken too.",
    invoke_without_command=True,
    no_args_is_help=True,
)


@hint_app.callback()
def sheet_command(
    context: typer.Context,
    sheet: Annotated[
        Path | None,
        typer.Option(
            parser=path, metavar="IMAGE", help="Draw every hint of this picture on one page."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            metavar="FILE",
            help=f"The page: a PNG. Default: {SHEET}.",
            show_default=False,
        ),
    ] = None,
    models: ModelsOption = None,
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:
    """Make hints of files, or a sheet of all hints of one picture."""
    given = {"--sheet": sheet, "--out": out, "--models": models, "--overwrite": overwrite}
    named = context.invoked_subcommand
    if named is not None and not any(given.values()):
        return
    with reported(debug):
        from ..ground.errors import UserError

        if named is not None:
            flags = ", ".join(flag for flag, value in given.items() if value)
            raise UserError(
                f"{flags} before {named} would do nothing: write options after {named}, and "
                "--sheet without a preprocessor"
            )
        if sheet is None:
            raise UserError("name a preprocessor, or a picture with --sheet; see --help.")
        from ..preprocessors.sheet.sheet import make_sheet

        page = out or SHEET
        with shown_progress():
            missing, replaced = make_sheet(
                sheet, page, tuple(models or [Path("models")]), overwrite
            )
        if replaced:
            note(f"the earlier {page} is replaced")
        say(page)
        if missing:
            say("Not on the page:")
        for one in missing:
            say(f"  {one.name}: {one.why}")
