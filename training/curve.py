"""The curve of a run as a file: a line of JSON for each point and each validation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .watch import Point, Validation


def read_curve(path: Path) -> tuple[list[Point], list[Validation]]:
    """The points and validations of a curve's file, in their order; none where there is no file."""
    points: list[Point] = []
    validations: list[Validation] = []
    for line in _lines(path):
        if "figures" in line:
            sheet = path.parent / line["sheet"] if line["sheet"] else None
            validations.append(Validation(line["step"], line["figures"], sheet))
        else:
            points.append(Point(**line))
    return points, validations


class Curve:
    """Adds to `folder/curve.jsonl` and, where tensorboard is installed, to `folder/tensorboard/`.

    It goes on after `step`; what a run that went further has left there is cut off.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / "curve.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        kept = [line for line in _lines(self.path) if line["step"] <= step]
        unfinished = self.path.with_suffix(".tmp")
        unfinished.write_text("".join(json.dumps(line) + "\n" for line in kept))
        unfinished.replace(self.path)
        self._board = _board(folder / "tensorboard", step)

    def point(self, point: Point) -> None:
        """Add a point."""
        self._add(asdict(point))
        if self._board:
            self._board.add_scalar("loss", point.loss, point.step)
            self._board.add_scalar("learning rate", point.rate, point.step)
            self._board.add_scalar("images per second", point.images_per_second, point.step)

    def validation(self, validation: Validation) -> None:
        """Add the figures of a validation; TensorBoard shows its sheet, too."""
        sheet = validation.sheet
        name = sheet and _within(self.path.parent, sheet)
        self._add({"step": validation.step, "figures": validation.figures, "sheet": name})
        if self._board:
            for figure, value in validation.figures.items():
                self._board.add_scalar(f"validation/{figure}", value, validation.step)
            if sheet and sheet.exists():
                self._board.add_image("sheet", _pixels(sheet), validation.step, dataformats="HWC")

    def close(self) -> None:
        """Write what TensorBoard's writer still holds."""
        if self._board:
            self._board.close()

    def _add(self, line: dict[str, Any]) -> None:
        with self.path.open("a") as lines:
            lines.write(json.dumps(line) + "\n")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """All whole lines: the last one may have been cut by a power failure."""
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            yield json.loads(text)
        except ValueError:
            return


def _within(folder: Path, file: Path) -> str:
    """`file` as told from `folder`, where it is in it, so that the folder may be moved."""
    whole = file.resolve()
    return str(whole.relative_to(folder.resolve()) if folder.resolve() in whole.parents else whole)


def _board(folder: Path, step: int) -> Any:
    """TensorBoard's writer; None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    writer: Any = SummaryWriter  # it has no types
    return writer(folder, purge_step=step + 1)


def _pixels(file: Path) -> Any:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(file).convert("RGB"))
