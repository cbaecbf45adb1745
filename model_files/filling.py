"""Tensors by name -> a network that has exactly these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..ground.errors import UserError
from ..ground.wording import shown

if TYPE_CHECKING:
    from torch import Tensor, nn

AnyModule = TypeVar("AnyModule", bound="nn.Module")


def fill(
    module: AnyModule,
    state: Mapping[str, Tensor],
    source: Path,
    what: str = "",
    seems: str = "",
    whole: bool = True,
) -> AnyModule:
    """`module` with the weights `state`, on the CPU, in eval mode, without gradients, as float32;
    in their own types where they need not be `whole`.

    A module on the meta device takes the tensors themselves, another one copies them. Every tensor
    must be there with its shape, and no other: UserError otherwise, which names `source`, and as
    what its configuration asks for, or as the `what` that a published file holds and what it
    `seems` to be instead.
    """
    wanted = module.state_dict()
    # Counters of training steps, which older files lack.
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    strange = [name for name in state if name not in wanted]
    others = [k for k in wanted if k in state and wanted[k].shape != state[k].shape]
    if what and (missing or strange or others):
        parts = [
            *(f"{name} is missing" for name in missing[:1]),
            *(f"{name} {_size(state[name])} does not belong to it" for name in strange[:1]),
        ] or [f"{k} is {_size(state[k])} and has to be {_size(wanted[k])}" for k in others[:1]]
        raise UserError(
            f"{source} does not hold {what}{seems and f', it seems to be {seems}'}: "
            f"{', '.join(parts)}; put the published file there."
        )
    if missing:
        raise UserError(
            f"{source} lacks {len(missing)} of {len(wanted)} tensors that its configuration asks "
            f"for, the first {min(missing)}: fetch it again, or another version."
        )
    if strange:
        raise UserError(
            f"{source} has {len(strange)} tensors that its configuration has no place for, the "
            f"first {shown(min(strange))}: it is another model than it says."
        )
    for name in others:
        raise UserError(
            f"{source}: {name} is {tuple(state[name].shape)} and its configuration asks for "
            f"{tuple(wanted[name].shape)}."
        )
    module.load_state_dict(state, assign=all(tensor.is_meta for tensor in wanted.values()))
    return (module.float() if whole else module).eval().requires_grad_(False)


def _size(tensor: Tensor) -> str:
    return str(list(tensor.shape))
