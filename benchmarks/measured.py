"""What a run takes: multiply-adds and bytes, the same on every machine, and processor's seconds."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop


@contextmanager
def counting() -> Iterator[Callable[[], float]]:
    """Gives the multiply-adds, in thousands of millions, of what runs inside: of matrix products,
    convolutions and attention."""
    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop(query, key, value))

    with FlopCounterMode(display=False, custom_mapping={on_cpu: attention}) as counter:
        yield lambda: counter.get_total_flops() / 2e9  # it counts both of a multiply-add


class Bytes(TorchDispatchMode):
    """Counts the bytes of storages that operations made and that are held; `most` at once."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.most = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {
            id(one.untyped_storage())
            for one in tree_leaves((args, kwargs))
            if isinstance(one, torch.Tensor)
        }
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor):
                storage = one.untyped_storage()  # the same object as long as it lives
                if id(storage) not in given and storage not in self._known:
                    self._known.add(storage)
                    size = storage.nbytes()
                    self.held += size
                    self.most = max(self.most, self.held)
                    weakref.finalize(storage, self._freed, size)
        return made

    def _freed(self, size: int) -> None:
        self.held -= size


def seconds(run: Callable[..., Any], *given: Any) -> float:
    """The processor's seconds of `run(*given)`."""
    began = time.process_time()
    run(*given)
    return time.process_time() - began
