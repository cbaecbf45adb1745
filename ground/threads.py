"""How many threads torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core inside the block, which is for the demo models.

    Their tensors are too small to share out: two idle cores made a picture no faster than one, and
    two busy ones took many times as long. Nor do the last bits then depend on how many there are.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
