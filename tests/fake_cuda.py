"""A CUDA device that is none: its tensors say "cuda:0", and a CPU computes with them.

What it shows is that nothing of a run stays on another device: an operation on tensors of both
raises, as CUDA's own does. It says nothing of CUDA's kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("cuda:0")
# These copy between devices.
_BETWEEN = ("aten::_to_copy", "aten::copy_")


class _OnCuda(Tensor):
    """A tensor that says it lies on `DEVICE`; `held` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> _OnCuda:
        # To torch's own C++ it is on "meta", or it would look for a driver.
        made: _OnCuda = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device="meta"
        )
        made.held = held
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return DEVICE

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return False

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.held.tolist()

    def __repr__(self) -> str:
        return f"on {DEVICE}: {self.held!r}"


class _Everything(TorchDispatchMode):
    """Sees operations that have no such tensor yet: those that move one there, or make one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    flat = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
    here = any(isinstance(one, _OnCuda) for one in flat)
    name = func._schema.name
    strangers = [one for one in flat if not isinstance(one, _OnCuda) and one.ndim > 0]
    indexing = name.startswith(("aten::index", "aten::_index_put"))  # CUDA takes indices of a CPU's
    if here and strangers and name not in _BETWEEN and not indexing:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device")
    asked = kwargs.get("device")
    there = here if asked is None else torch.device(asked).type in ("cuda", "meta")
    if name == "aten::copy_":
        there = isinstance(args[0], _OnCuda)
    wrappers = {id(one.held): one for one in flat if isinstance(one, _OnCuda)}
    args, kwargs = tree_map(
        lambda one: one.held if isinstance(one, _OnCuda) else one, (args, kwargs)
    )
    with torch._C._DisableTorchDispatch():
        made = func(*_on_cpu(args), **_on_cpu(kwargs))

    def wrapped(one: Any) -> Any:
        if not isinstance(one, Tensor) or not there:
            return one
        known = wrappers.get(id(one))
        return _OnCuda(one) if known is None else known

    return tree_map(wrapped, made)


class _Generator(torch.Generator):
    """Draws on a CPU, wherever it is asked to."""

    def __new__(cls, device: object = "cpu") -> _Generator:
        made: _Generator = super().__new__(cls, "cpu")
        return made


def _on_cpu(given: Any) -> Any:
    """Arguments with a CPU for every device."""
    cpu = torch.device("cpu")
    return tree_map(lambda one: cpu if isinstance(one, torch.device) else one, given)


@contextmanager
def fake_cuda() -> Iterator[None]:
    """Have one such device inside the block."""
    cuda = {"_lazy_init": lambda: None, "device_count": lambda: 1, "is_available": lambda: True}
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with (
            mock.patch.multiple(torch.cuda, **cuda),
            mock.patch("torch.Generator", _Generator),
            _Everything(),
        ):
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
