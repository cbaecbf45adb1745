"""Advanced-ControlNet's nodes of weights: a number a block, and one for the negative prompt.

Those for SD 1.5, SDXL and T2I adapters (adv_control/nodes_weight.py, nodes_deprecated.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...model_patch.factors import Factor, Sides
from ..core_nodes.declare import Declared, number
from .acn_factors import BlockWeights, ScaledSoft
from .acn_keyframes import Keyframe, Keyframes, acn_node

SOFT = tuple(0.825 ** (12 - i) for i in range(13))
"""sd-webui's soft injection: the twelve skips of SD 1.5, and the middle."""
SOFT_T2I = (0.25, 0.62, 0.825, 1.0)

MIDDLE = "middle_mult"
"""The one extra of weights that acts on U-Nets."""

Extras = Mapping[str, float]


@dataclass(frozen=True)
class Weights:
    """What a CONTROL_NET_WEIGHTS wire brings."""

    factors: tuple[Factor, ...] = ()


Both = tuple[Weights, Keyframes]

_UNCOND: dict[str, Declared | str] = {
    "uncond_multiplier": number(1.0, 0.0, 1.0, 0.01),
    "cn_extras": "CN_WEIGHTS_EXTRAS",
}
_OUTPUTS = ("CONTROL_NET_WEIGHTS", "TIMESTEP_KEYFRAME")
_NAMES = ("CN_WEIGHTS", "TK_SHORTCUT")
_FLIP = {"flip_weights": ("BOOLEAN", {"default": False})}


def _both(blocks: Factor | None, uncond: float) -> Both:
    sides = () if uncond == 1.0 else (Sides(cond=1.0, uncond=uncond),)
    weights = Weights((*(() if blocks is None else (blocks,)), *sides))
    return weights, Keyframes((Keyframe(weights=weights),))


def _middle(extras: Extras | None) -> float:
    return (extras or {}).get(MIDDLE, 1.0)


@acn_node(
    "ACN_DefaultUniversalWeights",
    "Adv-ControlNet 🛂🅐🅒🅝/weights",
    {},
    *_OUTPUTS,
    optional={"cn_extras": "CN_WEIGHTS_EXTRAS"},
    RETURN_NAMES=_NAMES,
)
def default_weights(cn_extras: Extras | None = None) -> Both:
    """All blocks at 1, but for what the extras say of the middle."""
    middle = _middle(cn_extras)
    return _both(None if middle == 1.0 else BlockWeights("output", (), middle), 1.0)


def _soft(base_multiplier: float, uncond: float, extras: Extras | None) -> Both:
    return _both(ScaledSoft(base_multiplier, _middle(extras)), uncond)


_BASE = {"base_multiplier": number(0.825, 0.0, 1.0, 0.001)}


@acn_node(
    "ACN_ScaledSoftControlNetWeights",
    "Adv-ControlNet 🛂🅐🅒🅝/weights",
    _BASE,
    *_OUTPUTS,
    optional=_UNCOND,
    RETURN_NAMES=_NAMES,
)
def scaled_soft(
    base_multiplier: float, uncond_multiplier: float = 1.0, cn_extras: Extras | None = None
) -> Both:
    """Powers of a base, the deepest block at 1."""
    return _soft(base_multiplier, uncond_multiplier, cn_extras)


@acn_node(
    "ScaledSoftControlNetWeights",
    "ControlNet",
    {**_BASE, **_FLIP},
    *_OUTPUTS,
    optional=_UNCOND,
    RETURN_NAMES=_NAMES,
)
def scaled_soft_before(
    base_multiplier: float,
    flip_weights: bool,
    uncond_multiplier: float = 1.0,
    cn_extras: Extras | None = None,
) -> Both:
    """The same under its older id; `flip_weights` does nothing, as there."""
    return _soft(base_multiplier, uncond_multiplier, cn_extras)


def _listed(
    node: str, category: str, names: Sequence[str], defaults: Sequence[float], more: Any
) -> Callable[..., Any]:
    """A node with a field a weight; T2I adapters have four, ControlNets twelve and the middle."""
    fields = {
        name: number(default, 0.0, 10.0, 0.001)
        for name, default in zip(names, defaults, strict=True)
    }

    @acn_node(node, category, {**fields, **more}, *_OUTPUTS, optional=_UNCOND, RETURN_NAMES=_NAMES)
    def weigh(
        uncond_multiplier: float = 1.0, cn_extras: Extras | None = None, **given: float
    ) -> Both:
        """A weight a block, the first, finest, first."""
        weights = tuple(given[name] for name in names)
        middle = _middle(cn_extras)
        if len(weights) == len(SOFT_T2I):
            return _both(BlockWeights("input", weights, middle), uncond_multiplier)
        blocks = BlockWeights("output", weights[:-1], weights[-1] * middle)
        return _both(blocks, uncond_multiplier)

    return weigh


_BLOCKS = (*(f"output_{i}" for i in range(12)), "middle_0")
_NUMBERED = tuple(f"weight_{i:02}" for i in range(13))
_INPUTS = tuple(f"input_{i}" for i in range(4))
_OF_NETS = "Adv-ControlNet 🛂🅐🅒🅝/weights/ControlNet"
_OF_T2I = "Adv-ControlNet 🛂🅐🅒🅝/weights/T2IAdapter"
_ONES, _ONES_T2I = (1.0,) * 13, (1.0,) * 4

for _node, _category, _names, _defaults, _more in (
    ("ACN_SoftControlNetWeightsSD15", _OF_NETS, _BLOCKS, SOFT, {}),
    ("ACN_CustomControlNetWeightsSD15", _OF_NETS, _BLOCKS, _ONES, {}),
    ("ACN_SoftT2IAdapterWeights", _OF_T2I, _INPUTS, SOFT_T2I, {}),
    ("ACN_CustomT2IAdapterWeights", _OF_T2I, _INPUTS, _ONES_T2I, {}),
    ("SoftControlNetWeights", _OF_NETS, _NUMBERED, SOFT, _FLIP),
    ("CustomControlNetWeights", _OF_NETS, _NUMBERED, _ONES, _FLIP),
    ("SoftT2IAdapterWeights", _OF_T2I, _NUMBERED[:4], SOFT_T2I, _FLIP),
    ("CustomT2IAdapterWeights", _OF_T2I, _NUMBERED[:4], _ONES_T2I, _FLIP),
):
    _listed(_node, _category, _names, _defaults, _more)


@acn_node(
    "ACN_ExtrasMiddleMult",
    "Adv-ControlNet 🛂🅐🅒🅝/weights/extras",
    {"middle_mult": number(1.0, 0.0, 10.0, 0.001)},
    "CN_WEIGHTS_EXTRAS",
    optional={"cn_extras": "CN_WEIGHTS_EXTRAS"},
    RETURN_NAMES=("cn_extras",),
)
def middle_extra(middle_mult: float, cn_extras: Extras | None = None) -> Extras:
    """What the middle block's weight is multiplied by."""
    return {**(cn_extras or {}), MIDDLE: middle_mult}
