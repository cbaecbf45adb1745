"""The curve of a run as a file: a line of JSON for each point and each validation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..ground.atomic import write_atomic
from ..ground.errors import UserError
from .watch import Point, Validation


def read_curve(path: Path) -> tuple[list[Point], list[Validation]]:
    """The points and validations of a curve's file, in their order; none where there is no file."""
    points: list[Point] = []
    validations: list[Validation] = []
    for line in _lines(path):
        if "figures" in line:
            sheet = path.parent / line["sheet"] if line["sheet"] else None
            figures = {n: math.nan if v is None else v for n, v in line["figures"].items()}
            validations.append(Validation(line["step"], figures, sheet))
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
        write_atomic(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._board = _board(folder / "tensorboard", step)

    def point(self, point: Point) -> None:
        """Add a point."""
        self._add(asdict(point))

        def show(board: Any) -> None:
            board.add_scalar("loss", point.loss, point.step)
            board.add_scalar("learning rate", point.rate, point.step)
            board.add_scalar("images per second", point.images_per_second, point.step)

        self._show(show)

    def validation(self, validation: Validation) -> None:
        """Add the figures of a validation; TensorBoard shows its sheet, too."""
        sheet = validation.sheet
        name = sheet and _within(self.path.parent, sheet)
        # JSON has no NaN.
        figures = {n: None if math.isnan(v) else v for n, v in validation.figures.items()}
        self._add({"step": validation.step, "figures": figures, "sheet": name})

        def show(board: Any) -> None:
            for figure, value in validation.figures.items():
                board.add_scalar(f"validation/{figure}", value, validation.step)
            if sheet and sheet.exists():
                board.add_image("sheet", _pixels(sheet), validation.step, dataformats="HWC")

        self._show(show)

    def close(self) -> None:
        """Write what TensorBoard's writer still holds."""
        self._show(lambda board: board.close())

    def _add(self, line: dict[str, Any]) -> None:
        try:
            with self.path.open("a") as lines:
                lines.write(json.dumps(line) + "\n")
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}.") from error

    def _show(self, show: Callable[[Any], None]) -> None:
        """TensorBoard's files repeat the curve: where the disk refuses them, they end."""
        if self._board:
            try:
                show(self._board)
            except OSError:
                self._board = None


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
