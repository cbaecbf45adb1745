"""Tensors and numbers of a checkpoint, which are looked at before they are learnt from: of the same
names, shapes and types as what they are for, and finite.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..ground.reading import require_regular
from .manifest import DamagedError, reason

STATE = "state.pt"
"""What the loop and the optimiser have to remember, besides the weights."""


def read_state(file: Path, like: Callable[[Any], Mapping[str, Any]]) -> dict[str, Any]:
    """The entries of a checkpoint's state that `like` names; each is like the one that it gives.

    `like` is told what was found. Raises DamagedError for a file that cannot be read or holds
    something else.
    """

    def read() -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch thinks of a file that is none
            found = torch.load(file, map_location="cpu", weights_only=True)
        wanted = like(found)
        kept = {name: found[name] for name in wanted}
        require_like(kept, wanted, "the state")
        return kept

    found: dict[str, Any] = _read(file, read)
    return found


def load_weights(module: nn.Module, file: Path, exact: bool = True) -> None:
    """Give `module` the weights in a safetensors file, in its own numbers or, unless they have to
    be `exact`, in halves of them. Raises DamagedError as `read_state` does.
    """
    from safetensors.torch import load_file

    def read() -> dict[str, Tensor]:
        found: dict[str, Tensor] = load_file(file)
        if not exact:
            found = {n: one.float() if one.is_floating_point() else one for n, one in found.items()}
        require_like(found, module.state_dict(), "the weights")
        return found

    module.load_state_dict(_read(file, read))


def is_finite(value: Any) -> bool:
    """Whether all numbers in tensors, lists and mappings are."""
    if isinstance(value, Mapping):
        return all(map(is_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_finite, value))
    if isinstance(value, Tensor):
        return bool(torch.isfinite(value).all())
    return not isinstance(value, (int, float)) or math.isfinite(value)


def require_like(found: Any, wanted: Any, name: str) -> None:
    """Raise ValueError, which says what of `name` is wrong, unless `found` is as `wanted` in
    everything but its numbers, and those are finite.
    """
    if isinstance(wanted, list) and isinstance(found, list):
        wanted, found = dict(enumerate(wanted)), dict(enumerate(found))
    if isinstance(wanted, Mapping):
        strange = set(found) ^ set(wanted) if isinstance(found, Mapping) else {"no names at all"}
        if strange:
            first = min(strange, key=str)
            raise ValueError(f"{name} and what they are for differ in {first!r}")
        for key in wanted:
            require_like(found[key], wanted[key], f"{key} of {name}")
    elif _kind(found) != _kind(wanted):
        raise ValueError(f"{name} is {_kind(found)}, where {_kind(wanted)} belongs")
    elif not is_finite(found):
        raise ValueError(f"{name} holds numbers that are not finite")


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        dtype, layout = str(value.dtype).removeprefix("torch."), value.layout
        sparse = "" if layout == torch.strided else f" of layout {layout}"
        return f"{dtype} {tuple(value.shape)}{sparse}"
    return type(value).__name__


def _read(file: Path, read: Callable[[], Any]) -> Any:
    """What `read` gives of `file`; whatever goes wrong in it is the file's damage."""
    try:
        require_regular(file, "the file")
        return read()
    except KeyError as error:
        raise DamagedError(file, f"it has no entry {error}") from error
    except Exception as error:  # a damaged file makes a reader raise anything
        raise DamagedError(file, reason(error)) from error
