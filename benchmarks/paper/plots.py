"""Plots and pictures of the paper's page, in one style."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from .sampling import Pictures

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's palette, which colour-blind readers can tell apart
(https://jfly.uni-koeln.de/color/).
"""
MARKERS = "osD^vP"
Bars = Mapping[str, Sequence[Mapping[str, float]]]
"""Series -> a figure (mean, error) for each group."""


@contextmanager
def figure(path: Path, panels: int, width: float = 4.4) -> Iterator[Sequence[Any]]:
    """Axes of `panels` side by side; written to `path` as PNG at the end."""
    from matplotlib.figure import Figure

    page = Figure(figsize=(width * panels, 3.8), layout="constrained")
    axes = page.subplots(1, panels, squeeze=False)[0]
    yield axes
    path.parent.mkdir(parents=True, exist_ok=True)
    page.savefig(path, dpi=110)


def bars(axes: Any, groups: Sequence[str], series: Bars, label: str) -> None:
    """Bars of each series in each group, with standard errors."""
    width = 0.8 / len(series)
    for i, (name, found) in enumerate(series.items()):
        places = [g + (i - (len(series) - 1) / 2) * width for g in range(len(groups))]
        means, errors = ([one[key] for one in found] for key in ("mean", "error"))
        axes.bar(places, means, width * 0.92, yerr=errors, color=COLOURS[i], label=name, capsize=2)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel(label)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def legend(axes: Any) -> None:
    """The names of bars of shares, 0..1, above them."""
    axes.set_ylim(0, 1.2)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.legend(loc="upper center", ncols=3, fontsize=8, frameon=False)


def curves(
    axes: Any, series: Mapping[str, Sequence[tuple[float, float]]], across: str, label: str
) -> None:
    """A line through the points (x, y) of each series."""
    for (name, points), colour, marker in zip(series.items(), COLOURS, MARKERS, strict=False):
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, color=colour, marker=marker, markersize=3.5, linewidth=1.3, label=name)
    axes.set_xlabel(across)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)


def contact_sheet(path: Path, columns: Mapping[str, Pictures], scale: int = 1) -> None:
    """One column of pictures under each name, as a JPEG."""
    edge, head, gap = 128 * scale, 30, 4
    rows = min(len(pictures) for pictures in columns.values())
    page = Image.new(
        "RGB", (len(columns) * (edge + gap) + gap, head + rows * (edge + gap)), "white"
    )
    pen = ImageDraw.Draw(page)
    for x, (name, pictures) in enumerate(columns.items()):
        left = gap + x * (edge + gap)
        pen.multiline_text(
            (left + edge // 2, head // 2), name, "black", anchor="mm", align="center"
        )
        for y in range(rows):
            cell = Image.fromarray(pictures[y]).resize((edge, edge), Image.Resampling.NEAREST)
            page.paste(cell, (left, head + y * (edge + gap)))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path, quality=85)


def one_by_one(folder: Path, pictures: Pictures) -> None:
    """Each picture as a PNG of its own, called by its place: 00.png, 01.png ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{place:02d}.png")
