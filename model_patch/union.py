"""Which kinds of hint a union ControlNet knows, and how it is told which one it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..ground.errors import UserError
from ..ground.wording import listing
from .protocols import ControlNet

ARGUMENT = "control_type"
"""What hosts call the list of types among a net's arguments."""

SDXL_TYPES = (
    *("openpose", "depth", "hed/pidi/scribble/ted", "canny/lineart/anime_lineart/mlsd"),
    *("normal", "segment", "tile", "repaint"),
)
"""xinsir's ControlNet++ union nets for SDXL, by number; the names are ComfyUI's
(`comfy/cldm/control_types.py`). The first of them know six, ProMax all."""

FLUX_TYPES = ("canny", "tile", "depth", "blur", "pose", "gray", "low quality")
"""InstantX's union net for Flux, by number (its model card's table of control modes)."""


def types_of(net: ControlNet) -> tuple[str, ...]:
    """The types that a net's file holds, by number; () of a net that is no union.

    A number stands for a type that has no name here.
    """
    network = getattr(net, "control_model", None)
    names: tuple[str, ...] = SDXL_TYPES
    count = getattr(network, "num_control_type", None)
    if count is None:
        embedder = getattr(network, "controlnet_mode_embedder", None)
        names, count = FLUX_TYPES, getattr(embedder, "num_embeddings", None)
    return tuple(names[i] if i < len(names) else str(i) for i in range(count or 0))


_ALIASES = {
    **{"pose": "openpose", "seg": "segment", "segmentation": "segment", "softedge": "hed"},
    **{"soft edge": "hed", "lineart_anime": "anime_lineart", "inpaint": "repaint"},
    **{"openpose": "pose", "grey": "gray", "lq": "low quality"},
}
"""Other names that users have for types."""


def numbers_of(chosen: Sequence[str], net: ControlNet, name: str) -> list[int]:
    """The numbers of types by name, a part of a name ("canny") or number; `name` is the control's.

    Raises:
        UserError: a type that the net does not have, several that are not one ("canny" and
            "lineart" are), or a net that is no union.
    """
    known = types_of(net)
    if not known:
        raise UserError(
            f"{name} is no union ControlNet, so it has no type {listing(chosen)}: choose auto."
        )
    numbers = {str(i): i for i in range(len(known))}
    for i, type_name in enumerate(known):
        numbers |= dict.fromkeys((type_name, *type_name.split("/")), i)
    found = list(dict.fromkeys(_number(one, numbers, known, name) for one in chosen))
    if len(found) > 1:  # neither network takes several for one hint
        raise UserError(
            f"{name} is given {len(found)} union types, {listing(chosen)}, and takes one for each "
            "hint: use an Add ControlNet for each, with the same net."
        )
    return found


def _number(one: str, numbers: Mapping[str, int], known: Sequence[str], name: str) -> int:
    asked = one.strip().lower()
    for spelling in (asked, _ALIASES.get(asked, "")):
        if spelling in numbers:
            return numbers[spelling]
    raise UserError(f"{name} has no union type {one!r}; it has {listing(known)}.")


def set_types(chosen: Sequence[str], net: ControlNet, name: str) -> None:
    """Tell a net which types its hint is of; none leaves it as it comes."""
    if chosen:
        net.set_extra_arg(ARGUMENT, numbers_of(chosen, net, name))
