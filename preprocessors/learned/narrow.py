"""Pictures of every size for networks that cannot take each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ...ground.errors import UserError
from ...ground.wording import first_line
from ..picture import Bytes

LEAST = 32
"""Pixels: backbones that halve five times need as many, and processors that pad by reflection."""

NARROWEST = 8
"""How many times longer than wide a picture may be. Processors that keep the shape of a longer one
leave its short side no whole patch."""


def widened(picture: Bytes, least: int = LEAST) -> Bytes:
    """`picture` (H x W x 3), a side that is too short for transformers' processors made longer.

    Its last row or column is repeated, so each pixel stays where it was; the result's first H x W
    are the picture's.
    """
    height, width = picture.shape[:2]
    down = max(0, least - height, -(-width // NARROWEST) - height)
    right = max(0, least - width, -(-height // NARROWEST) - width)
    if not (down or right):
        return picture
    return np.pad(picture, ((0, down), (0, right), (0, 0)), mode="edge")


@contextmanager
def taking(picture: Bytes, what: str) -> Iterator[None]:
    """Turn what a library raises over `picture` (H x W x 3) into a UserError that names `what`.

    A device's own failures pass to the host, which frees memory or says what is wrong there.
    """
    import torch

    device_errors = (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", MemoryError))
    try:
        yield
    except UserError:
        raise
    except (ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        if isinstance(error, device_errors):
            raise
        height, width = picture.shape[:2]
        raise UserError(
            f"This {what} cannot take a picture of {width} x {height} pixels "
            f"({first_line(error)}); give it another size, or take another model."
        ) from error
