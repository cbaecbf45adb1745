"""A report as one picture: for each control where it acted, in which blocks and steps, and what is
said of it; then how the controls pull."""

from __future__ import annotations

import textwrap
import warnings
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from .report import Array, Line, Report, size_in_words

WIDTH, ROW, IDLE_ROW, CURVES, HEAD, WORDS = 11.0, 3.1, 1.9, 2.2, 0.6, 0.24
"""Inches: of the page, a control, one that added nothing, the curves of pairs, the title, a line of
words."""

DOTS = 100
LETTERS = 145
"""Of a line of words."""

INK, FAINT = "#22252b", "#8a8f98"
HEAT, GLOW = "magma", "inferno"
PICTURES = 4
"""Pictures of a batch that are shown, at most."""


def draw_report(report: Report, pictures: Array | None = None) -> Image.Image:
    """The picture, RGB. Maps are laid over `pictures` (B, H, W, 3) in 0..1, those that were made;
    without them over the hints."""
    from matplotlib.figure import Figure

    words = [_wrapped(line) for line in report.lines]
    below = [text for pair in report.pairs for text in textwrap.wrap(pair.sentence, LETTERS)]
    curves = CURVES + WORDS * len(below) if report.pairs else 0.0
    heights = [
        (ROW if line.acted else IDLE_ROW) + WORDS * len(text)
        for line, text in zip(report.lines, words, strict=True)
    ]
    height = HEAD + sum(heights) + curves
    figure = Figure(figsize=(WIDTH, height), dpi=DOTS, facecolor="white")
    top = height - HEAD
    title = report.title or "What the controls did"
    figure.text(0.03, 1 - 0.3 / height, title, size=15, color=INK, va="center")
    most = max((float(line.sizes.max()) for line in report.lines if line.acted), default=0.0)
    for line, text, row in zip(report.lines, words, heights, strict=True):
        _draw_line(figure, report, line, text, top, row, most, pictures)
        top -= row
    if report.pairs:
        _draw_pairs(figure, report, below, top)
    return _rendered(figure)


def draw_words(text: str) -> Image.Image:
    """A sentence where there is nothing to draw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 1.2), dpi=DOTS, facecolor="white")
    words = "\n".join(textwrap.wrap(text, LETTERS))
    figure.text(0.03, 0.5, words, size=11, color=INK, va="center")
    return _rendered(figure)


def beneath(pages: list[Image.Image]) -> Image.Image:
    """Several pictures as one, from top to bottom."""
    width, height = max(page.width for page in pages), sum(page.height for page in pages)
    whole = Image.new("RGB", (width, height), "white")
    top = 0
    for page in pages:
        whole.paste(page, (0, top))
        top += page.height
    return whole


def _rendered(figure: Any) -> Image.Image:
    png = BytesIO()
    with warnings.catch_warnings():
        # A name in letters that matplotlib's font lacks is drawn with boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(png, format="png")
    return Image.open(png).convert("RGB")


def _wrapped(line: Line) -> list[str]:
    more = [cause.sentence for cause in line.causes if cause.sentence not in line.sentence]
    said = [line.sentence, *(f"{text[0].upper()}{text[1:]}" for text in more)]
    return [part for one in said for part in textwrap.wrap(one, LETTERS)]


def _draw_line(
    figure: Any,
    report: Report,
    line: Line,
    text: list[str],
    top: float,
    height: float,
    most: float,
    pictures: Array | None,
) -> None:
    whole = figure.get_figheight()
    for number, part in enumerate(text):
        at = (top - WORDS * (number + 0.6)) / whole
        figure.text(0.03, at, part, size=9.5, color=INK, va="center")
    bottom = (top - height + 0.55) / whole
    high = (height - WORDS * len(text) - 0.75) / whole
    _draw_where(figure.add_axes((0.03, bottom, 0.24, high)), line, pictures)
    axes = figure.add_axes((0.39, bottom, 0.50, high))
    if not line.acted:
        axes.text(0.5, 0.5, "nothing was added", color=FAINT, ha="center", va="center")
        axes.set_axis_off()
        return
    _draw_heat(figure, axes, report, line, most, (0.905, bottom, 0.012, high))


def _draw_where(axes: Any, line: Line, pictures: Array | None) -> None:
    """The map as light over what is below it, dark where nothing was added."""
    axes.set_axis_off()
    count = min(len(line.where), PICTURES)
    columns = 1 if count == 1 else 2
    under = line.hint[None] if pictures is None else pictures
    tiles = [_lit(under[min(i, len(under) - 1)], line.where[i]) for i in range(count)]
    height, width = tiles[0].shape[:2]
    rows = -(-count // columns)
    sheet = np.ones((rows * height, columns * width, 3))
    for i, tile in enumerate(tiles):
        down, right = i // columns * height, i % columns * width
        sheet[down : down + height, right : right + width] = tile
    axes.imshow(sheet, interpolation="nearest")
    what = "its hint" if pictures is None else "the picture"
    said = f"where it acted, over {what}" if line.acted else what
    axes.set_title(said, size=8.5, color=FAINT, pad=4)


def _lit(under: Array, where: Array) -> Array:
    """What is below in grey (H, W, 3), with the map (h, w) laid over it as colour."""
    from matplotlib import colormaps

    grey = Image.fromarray((255 * under.mean(axis=2)).round().astype(np.uint8))
    large = max(1, -(-192 // max(grey.size)))  # a small picture is shown larger
    size = (grey.width * large, grey.height * large)
    base = np.asarray(grey.resize(size, Image.Resampling.BILINEAR), float)[..., None] / 255
    level = where / where.max() if where.max() > 0 else where
    smooth = Image.fromarray(level.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    strength = np.asarray(smooth, float).clip(0, 1)
    colour = np.asarray(colormaps[GLOW](0.15 + 0.85 * strength))[..., :3]
    opaque = (0.75 * strength)[..., None]
    lit: Array = (0.15 + 0.55 * base) * (1 - opaque) + colour * opaque
    return lit


def _draw_heat(
    figure: Any, axes: Any, report: Report, line: Line, most: float, beside: tuple[float, ...]
) -> None:
    from matplotlib.colors import PowerNorm

    first, end = report.steps.start, report.steps.stop
    count = len(report.blocks)
    scale = 100.0 if report.relative else 1.0
    image = axes.imshow(
        line.sizes * scale,
        aspect="auto",
        cmap=HEAT,
        norm=PowerNorm(0.5, 0.0, most * scale),  # one scale for all; weak controls show as well
        extent=(first, end, count, 0),
        interpolation="nearest",
    )
    skip = -(-count // 16)
    axes.set_yticks(np.arange(0, count, skip) + 0.5, report.blocks[::skip], size=7)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(axis="x", labelsize=8)
    acting, ran = line.sizes.any(axis=0), line.net_steps
    seldom = bool((acting & ~ran).any())
    if seldom:
        steps = first + 0.5 + np.flatnonzero(ran)
        axes.plot(steps, np.zeros(len(steps)), "v", color=INK, markersize=4, clip_on=False)
    marks = ", \N{BLACK DOWN-POINTING TRIANGLE} its net ran" if seldom else ""
    axes.set_xlabel(f"step, of {report.total}{marks}", size=8.5, color=INK, labelpad=1)
    sides = ", ".join(
        f"{name} {size_in_words(size, report.relative)}"
        for name, size in zip(("prompt", "negative prompt"), line.sides, strict=True)
    )
    unit = "% of the feature" if report.relative else "root mean square"
    pad = 8 if seldom else 4
    axes.set_title(f"what each block was given ({sides})", size=8.5, color=FAINT, pad=pad)
    bar = figure.colorbar(image, cax=figure.add_axes(beside))
    bar.set_label(unit, size=8)
    bar.ax.tick_params(labelsize=7)


def _draw_pairs(figure: Any, report: Report, text: list[str], top: float) -> None:
    whole = figure.get_figheight()
    for number, part in enumerate(text):
        at = (top - WORDS * (number + 0.6)) / whole
        figure.text(0.03, at, part, size=9.5, color=INK, va="center")
    bottom = 0.5 / whole
    axes = figure.add_axes((0.08, bottom, 0.81, (CURVES - 0.85) / whole))
    for pair in report.pairs:
        names = " / ".join(_short(report.lines[i].name) for i in (pair.one, pair.other))
        middles = np.arange(report.steps.start, report.steps.stop) + 0.5
        axes.plot(middles, pair.cosines, marker="o", markersize=3, linewidth=1.5, label=names)
    axes.axhline(0.0, color=FAINT, linewidth=0.8)
    axes.set_ylim(-1.05, 1.05)
    axes.set_yticks((-1, 0, 1), ("against", "0", "together"), size=8)
    axes.set_xlim(report.steps.start, report.steps.stop)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlabel(f"step, of {report.total}", size=8.5, color=INK, labelpad=1)
    axes.set_title("do they pull together? (cosine)", size=8.5, color=FAINT, pad=4)
    axes.legend(frameon=False, fontsize=8, loc="lower left", ncols=2)
    axes.spines[["top", "right"]].set_visible(False)


def _short(name: str) -> str:
    """What stands in brackets, the file, of "control 1 (file)"; else the name."""
    inner = name.partition("(")[2].rpartition(")")[0] or name
    return inner if len(inner) <= 48 else f"{inner[:45]}..."
