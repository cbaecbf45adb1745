"""Scribbles as the scribble ControlNets were trained on: white lines on black, nothing between.

Three ways to one: a drawing by its darkness, a photo by XDoG (a difference of two blurs), and the
soft edges of a network thinned and drawn again with a broad pen. The numbers are those of
https://github.com/lllyasviel/ControlNet (`gradio_scribble2image.py`),
https://github.com/lllyasviel/ControlNet-v1-1-nightly (`gradio_scribble.py`, `annotator/util.py`)
and https://github.com/Fannovel16/comfyui_controlnet_aux (`scribble/__init__.py`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .opencv import opencv

RIDGE, PEN, INK = 127, 3.0, 4
"""Of `from_edges`: how strong a ridge must be, the sigma of both blurs, and how much is drawn."""

_NEIGHBOURS = (
    ((0, 0, 0), (1, 1, 1), (0, 0, 0)),
    ((0, 1, 0), (0, 1, 0), (0, 1, 0)),
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
)
"""A pixel with its two neighbours along each of the four directions."""


def from_edges(edges: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Soft edges (uint8, H x W, white on black) -> a scribble (uint8, H x W, 0 or 255).

    The edges are blurred, thinned to their ridges where those pass RIDGE, and what a blur of the
    ridges leaves above INK becomes a line.
    """
    blurred = opencv().GaussianBlur(edges.astype(np.float32), (0, 0), PEN)
    ridges = (_highest_along_a_line(blurred) & (blurred > RIDGE)).astype(np.uint8) * 255
    drawn = opencv().GaussianBlur(ridges, (0, 0), PEN)
    return (drawn > INK).astype(np.uint8) * 255


def _highest_along_a_line(values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Where no neighbour along at least one of the four directions is higher."""
    highest = np.zeros(values.shape, bool)
    for line in _NEIGHBOURS:
        highest |= opencv().dilate(values, np.array(line, np.uint8)) == values
    return highest


def safe_steps(edges: npt.NDArray[np.floating], steps: int = 2) -> npt.NDArray[np.float32]:
    """Edges in 0..1 -> the same in `steps` + 1 even steps: 0, 1 / `steps`, ... 1.

    The "safe" edges of ControlNet 1.1: few levels hide the faint traces of the picture that a soft
    edge carries. The original makes 1.5 of an edge of exactly 1, which is white all the same.
    """
    levels = np.floor(edges.astype(np.float32) * (steps + 1))
    return np.minimum(levels / np.float32(steps), np.float32(1))
