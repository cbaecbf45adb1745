"""A small sweep in one run of a graph: numbers as lists, and the pictures of it on a sheet.

The host runs what is wired behind a list once for each of its values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..ground.contact_sheet import Cell, Row, draw_sheet, fitting_cell
from ..ground.errors import UserError, named
from ..ground.ranges import numbers_of
from .images import hints_of, of_picture
from .widgets import filled

GRID = "CONTROL_GRID"
"""A wire with what was swept: two `Axis`."""
MOST = 400
"""Pictures of one sweep in a graph: all of them are in memory at once."""
_EACH = "0.4,0.7,1.0 or 1..4 or 0.3..1.0:5"


@dataclass(frozen=True)
class Axis:
    """A setting that is swept: what it is called, and its values."""

    name: str
    values: tuple[float, ...]


@filled
class ControlStackSweep:
    """Numbers, one after the other."""

    DESCRIPTION = (
        "Sweeps a setting, or two against each other: what you wire its numbers to runs once for "
        "each of them, in one run of the workflow. Sweep Sheet puts the pictures side by side. For "
        "more than a sheet there is the command controlstack sweep."
    )
    SEARCH_ALIASES = ("xy plot", "grid", "parameter sweep", "compare strengths", "参数扫描", "网格")
    CATEGORY = "ControlStack"
    FUNCTION = "sweep"
    RETURN_TYPES = ("FLOAT", "INT", "FLOAT", "INT", GRID)
    RETURN_NAMES = ("number", "whole", "second_number", "second_whole", "grid")
    OUTPUT_IS_LIST = (True, True, True, True, False)
    OUTPUT_TOOLTIPS = (
        "The first setting's numbers, such as for strength of Add ControlNet.",
        "The same as whole numbers, such as for seed of KSampler.",
        "The second setting's numbers; 0 without one.",
        "The same as whole numbers.",
        "What was swept, for Sweep Sheet.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's widgets."""
        return {
            "required": {
                "name": (
                    "STRING",
                    {"default": "strength", "tooltip": "What the sheet calls the setting."},
                ),
                "values": (
                    "STRING",
                    {
                        "default": "0.4, 0.7, 1.0",
                        "tooltip": "Its numbers, with commas. 1..4 is every whole number, "
                        "0.3..1.0:5 five numbers from 0.3 to 1.0.",
                    },
                ),
            },
            "optional": {
                "second_name": (
                    "STRING",
                    {"default": "seed", "tooltip": "What the sheet calls the second setting."},
                ),
                "second_values": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "Numbers of a second setting, each against each of the first. "
                        "Empty: there is none.",
                    },
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, values: str | None = None, second_values: str | None = None
    ) -> bool | str:
        """Whether these are numbers, and not too many; None comes through a link."""
        try:
            one = numbers("values", "1" if values is None else values)
            other = (
                numbers("second_values", second_values)
                if second_values and second_values.strip()
                else (0.0,)
            )
            _require_few(len(one) * len(other))
        except UserError as error:
            return str(error)
        return True

    def sweep(
        self, name: str, values: str, second_name: str, second_values: str
    ) -> tuple[Any, ...]:
        """Lists of one length: of the first setting, and beside it of the second, which changes
        fastest. Raises UserError for what is no number, and for too many."""
        across = Axis(name, numbers("values", values))
        second = Axis(
            second_name, numbers("second_values", second_values) if second_values.strip() else ()
        )
        _require_few(len(across.values) * max(1, len(second.values)))
        pairs = list(product(across.values, second.values or (0.0,)))
        whole = list(product(_whole(values), _whole(second_values) or (0,)))
        lists = [[pair[at] for pair in kind] for at in (0, 1) for kind in (pairs, whole)]
        return (*lists, (across, second))


@filled
class ControlStackSweepSheet:
    """The pictures of a sweep on one sheet."""

    DESCRIPTION = (
        "Puts the pictures of Control Sweep on one sheet: the first setting across, the second one "
        "down. With the figures of Condition Fidelity it also says which value follows the hint "
        "best."
    )
    SEARCH_ALIASES = ("xy plot", "grid", "contact sheet", "compare pictures", "对比图", "网格")
    CATEGORY = "ControlStack"
    FUNCTION = "draw"
    INPUT_IS_LIST = True
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("sheet", "best")
    OUTPUT_TOOLTIPS = (
        "The sheet, for Preview Image or Save Image.",
        "The best value in words; empty without figures.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        return {
            "required": {
                "images": (
                    "IMAGE",
                    {"tooltip": "The sweep's pictures. Of a batch, the first is shown."},
                ),
                "grid": (GRID, {"tooltip": "What was swept, from Control Sweep."}),
                "title": (
                    "STRING",
                    {"default": "Sweep", "tooltip": "What stands above the sheet."},
                ),
            },
            "optional": {
                "figures": (
                    "FLOAT",
                    {
                        "forceInput": True,
                        "tooltip": "A number for each picture, such as fidelity of Condition "
                        "Fidelity: it stands below the picture.",
                    },
                ),
                "lower_is_better": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "tooltip": "On: the smallest figure is the best, as for depth and normals.",
                    },
                ),
            },
        }

    def draw(
        self,
        images: Sequence[Tensor],
        grid: Sequence[tuple[Axis, Axis]],
        title: Sequence[str],
        figures: Sequence[float] = (),
        lower_is_better: Sequence[bool] | bool = False,
    ) -> tuple[Tensor, str]:
        """`images`: IMAGE (B, H, W, 3) in 0..1 a value, in the sweep's order -> the sheet (1, H, W,
        3), and the best value in words. Raises UserError for another number of pictures or figures
        than the sweep has."""
        across, down = grid[0]
        count = len(across.values) * max(1, len(down.values))
        for what, given in (("pictures", images), ("figures", figures)):
            if len(given) != count and (what == "pictures" or given):
                raise UserError(
                    f"the sweep has {count} values and there are {len(given)} {what}: wire what "
                    "Control Sweep's numbers made"
                )
        known = list(figures) or [math.nan] * count
        notes = ["" if math.isnan(value) else f"{value:.3g}" for value in known]
        cells = [Cell(_picture(one), note) for one, note in zip(images, notes, strict=True)]
        rows = [
            Row(
                tuple(cells[row :: max(1, len(down.values))]),
                f"{down.name} {value:g}" if down.values else "",
            )
            for row, value in enumerate(down.values or (0.0,))
        ]
        columns = [f"{value:g}" for value in across.values]
        cell = fitting_cell(len(columns))
        sheet = draw_sheet(title[0], f"across: {across.name}", columns, rows, cell)
        lower = lower_is_better if isinstance(lower_is_better, bool) else lower_is_better[0]
        return of_picture(sheet), _best(across, down, known, lower)


def numbers(what: str, text: str) -> tuple[float, ...]:
    """The numbers of a list; UserError, which calls it `what`, where it has none."""
    with named(what):
        if not text.strip():
            raise UserError(f"it is empty; write numbers such as {_EACH}")
        return tuple(map(float, numbers_of(text, whole=False)))


def _require_few(count: int) -> None:
    if count > MOST:
        raise UserError(
            f"this sweep has {count} values, and a graph takes {MOST} at once: write fewer, or use "
            "the command controlstack sweep"
        )


def _whole(text: str) -> tuple[int, ...]:
    """The numbers of a list as whole ones: with all digits of seeds, and fractions rounded."""
    if not text.strip():
        return ()
    try:
        return tuple(map(int, numbers_of(text, whole=True)))
    except UserError:
        return tuple(map(round, numbers_of(text, whole=False)))


def _picture(image: Tensor) -> Image.Image:
    """The first of a batch, as RGB."""
    (pixels,) = hints_of(image[:1])
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


def _best(across: Axis, down: Axis, figures: Sequence[float], lower: bool) -> str:
    """The value of the first setting whose mean over the second is the best."""
    per = max(1, len(down.values))
    groups = [figures[at * per : (at + 1) * per] for at in range(len(across.values))]
    known = [
        (np.mean(real), value, len(real))
        for group, value in zip(groups, across.values, strict=True)
        if (real := [figure for figure in group if not math.isnan(figure)])
    ]
    if not known:
        return ""
    mean, value, count = (min if lower else max)(known, key=lambda one: one[0])
    over = f", the mean of {count} {down.name}" if down.values else ""
    return f"Best: {across.name} {value:g}, with {mean:.3g}{over}."
