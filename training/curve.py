"""The curve of a run as a file: a line of JSON for each point and each validation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from ..ground.atomic import write_atomic
from ..ground.errors import UserError
from ..ground.reading import read_bytes
from ..ground.structured import JsonObject, read_json
from .events import Point, Validation

CURVE = "curve.jsonl"
"""The curve's name in the folder of a run; it is there as soon as the run begins."""

Entry = TypeVar("Entry", Point, Validation)


@dataclass(frozen=True)
class Lines:
    """The entries of a curve's file, in their order, and the numbers of lines that are none."""

    entries: tuple[Point | Validation, ...]
    damaged: tuple[int, ...]


def read_curve(path: Path) -> tuple[list[Point], list[Validation]]:
    """The points and validations of a curve's file, in their order; none where there is no file.

    Lines that are damaged are left out. Raises UserError for a file that cannot be read.
    """
    entries = read_lines(path).entries
    points = [one for one in entries if isinstance(one, Point)]
    return points, [one for one in entries if isinstance(one, Validation)]


def read_lines(path: Path) -> Lines:
    """The file line by line. A last line without its end, which a killed process leaves, does not
    count as damaged.
    """
    if not path.exists():
        return Lines((), ())
    *whole, last = read_bytes(path, "the curve").split(b"\n")
    entries = [_entry(line, path) for line in whole]
    damaged = tuple(number for number, entry in enumerate(entries, 1) if entry is None)
    found = [entry for entry in (*entries, _entry(last, path)) if entry is not None]
    return Lines(tuple(found), damaged)


class Curve:
    """Adds to `folder/curve.jsonl` and, where tensorboard is installed, to `folder/tensorboard/`.

    It goes on after `step`; what a run that went further has left there is cut off. `damaged` are
    the numbers of the lines that could not be read and are gone, too; `validations` are those that
    are kept.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / CURVE
        folder.mkdir(parents=True, exist_ok=True)
        lines = read_lines(self.path)
        self.damaged = lines.damaged
        # What a run does before its first step it does again.
        kept = [entry for entry in lines.entries if step and entry.step <= step]
        self.validations = [one for one in kept if isinstance(one, Validation)]
        write_atomic(self.path, "".join(map(self._line, kept)).encode())
        self._board = _board(folder / "tensorboard", step)

    def add(self, entry: Entry) -> None:
        """Add a point or a validation; TensorBoard shows a validation's sheet, too."""
        try:
            with self.path.open("a", encoding="utf-8") as lines:
                lines.write(self._line(entry))
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}.") from error
        self._show(lambda board: _draw(board, entry))

    def close(self) -> None:
        """Write what TensorBoard's writer still holds."""
        self._show(lambda board: board.close())

    def _line(self, entry: Point | Validation) -> str:
        told = asdict(entry)
        if isinstance(entry, Validation):
            # JSON has neither NaN nor infinities.
            figures = {n: v if math.isfinite(v) else None for n, v in entry.figures.items()}
            told["figures"] = figures
            told["sheet"] = entry.sheet and _within(self.path.parent, entry.sheet)
        return json.dumps(told) + "\n"

    def _show(self, show: Callable[[Any], None]) -> None:
        """TensorBoard's files repeat the curve: where the disk refuses them, they end."""
        if self._board:
            try:
                show(self._board)
            except OSError:
                self._board = None


def _draw(board: Any, entry: Point | Validation) -> None:
    if isinstance(entry, Point):
        numbers = {"loss": entry.loss, "learning rate": entry.rate}
        numbers["images per second"] = entry.images_per_second
    else:
        numbers = {f"validation/{figure}": value for figure, value in entry.figures.items()}
        if entry.sheet and entry.sheet.exists():
            board.add_image("sheet", _pixels(entry.sheet), entry.step, dataformats="HWC")
    for name, value in numbers.items():
        board.add_scalar(name, value, entry.step)


def _entry(line: bytes, path: Path) -> Point | Validation | None:
    """What a line says; None for one that is damaged."""
    try:
        told = read_json(line.decode(), str(path), "curve")
        if not isinstance(told, dict):
            return None
        if "figures" in told:
            return _validation(told, path.parent)
        values = {f.name: _number(told[f.name]) for f in fields(Point) if f.name != "step"}
        return Point(_step(told), **values)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _validation(told: JsonObject, folder: Path) -> Validation:
    figures: Any = told["figures"]
    sheet: Any = told["sheet"]
    values = {n: math.nan if v is None else _number(v) for n, v in figures.items()}
    return Validation(_step(told), values, folder / sheet if sheet else None)


def _step(told: JsonObject) -> int:
    step = told["step"]
    if type(step) is not int or step < 0:
        raise ValueError("no step")
    return step


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError("no number")
    return float(value)


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
