"""`--models` and `--input`: where commands on workflows look for models and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..ground.parameters import setting
from .say import note

if TYPE_CHECKING:
    from ..headless.folders import Folders


@dataclass(frozen=True, kw_only=True)
class PlaceOptions:
    """The folders that a command is given."""

    models: tuple[Path, ...] = setting(
        (), "Folder laid out as ComfyUI's; repeat for more.", metavar="DIR"
    )
    input: tuple[Path, ...] = setting(
        (), "Folder with input pictures; repeat for more.", metavar="DIR"
    )

    def folders(self, workflow: Path, out: Path) -> Folders:
        """Where models and pictures of `workflow` are looked for, and results go to: without
        options ./models, and ./input or "input" beside it. A folder that is none is noted.
        """
        from ..headless.folders import Folders

        for flag, given in (("--models", self.models), ("--input", self.input)):
            for folder in given:
                if not folder.is_dir():
                    note(f"{flag} {folder} is no folder, so nothing is found in it")
        return Folders(
            models=self.models or (Path("models"),),
            input=self.input or (Path("input"), workflow.parent / "input"),
            output=out,
            temp=out / "previews",
        )
