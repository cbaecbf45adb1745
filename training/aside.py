"""Weights that are seldom needed, in a file instead of in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

ALIGNED = 64
"""Bytes: where torch's own allocator begins a tensor (c10/core/alignment.h, gAlignment)."""

Lend: TypeAlias = Callable[[torch.device], AbstractContextManager[None]]
"""Gives a block in which a module lies on a device, to be computed with."""

_Place: TypeAlias = tuple[nn.Parameter, int, int]
"""A weight, and where it lies in a file: from and to which byte."""


@contextmanager
def aside(module: nn.Module, folder: Path | None) -> Iterator[Lend]:
    """Inside the block the weights of `module` lie in a nameless file in `folder` (or where the
    system has such files), and after it where they were, bit for bit.

    They can be read all the while: the file is mapped, and what was read is memory that the system
    may take back. `Lend` gives it back at once, after it. Raises OSError, at the beginning alone,
    where the disk has no room.
    """
    before = next(module.parameters()).device
    with tempfile.TemporaryFile(dir=folder) as file:
        places = list(_written(module, file))
        file.flush()

        @contextmanager
        def lend(device: torch.device) -> Iterator[None]:
            module.to(device)
            try:
                yield
            finally:
                _map(places, file)

        _map(places, file)
        try:
            yield lend
        finally:
            for weight, _, _ in places:
                weight.data = weight.data.to(before, copy=True)
    # Windows keeps the file until its last map is gone, which is here.


def _written(module: nn.Module, file: IO[bytes]) -> Iterator[_Place]:
    for weight in module.parameters():
        plain = weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        start = -(-file.tell() // ALIGNED) * ALIGNED
        file.seek(start)
        file.write(plain.tobytes())
        yield weight, start, file.tell()


def _map(places: list[_Place], file: IO[bytes]) -> None:
    whole: Any = np.memmap(file, np.uint8, "c")  # what is written to it stays out of the file
    bytes_of: Tensor = torch.from_numpy(whole)
    for weight, start, end in places:
        weight.data = bytes_of[start:end].view(weight.dtype).view(weight.shape)
