"""Advanced-ControlNet's keyframes: over the run, and over the pictures of the batch.

By adv_control/nodes_keyframes.py of
https://github.com/Kosinkadink/ComfyUI-Advanced-ControlNet (1.5).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.log import log
from ...ground.wording import shown
from ..core_nodes.controlnet import RANGE
from ..core_nodes.declare import Declared, integer, number
from ..sampling.sample import Latent
from .declare import nodes_of

if TYPE_CHECKING:
    from .acn_weights import Weights

acn_node = nodes_of("ComfyUI-Advanced-ControlNet")

MENU = "Adv-ControlNet 🛂🅐🅒🅝/keyframes"
MOST = 2**53 - 1
"""The largest number of ComfyUI's front end."""

EASINGS = ("linear", "ease-in", "ease-out", "ease-in-out")

LatentKeyframes: TypeAlias = dict[int, float]
"""What a LATENT_KEYFRAME wire brings: strengths by the picture's number in the batch."""


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A moment of the run from which on other things hold.

    Args:
        start: percents of the run, 0..1.
        null: the strength of pictures that the latent keyframes do not name.
        inherits: whether weights, latent keyframes and mask that it does not have stay.
        guaranteed: how many steps it lasts at least.
    """

    start: float = 0.0
    strength: float = 1.0
    weights: Weights | None = None
    latents: LatentKeyframes | None = None
    null: float = 0.0
    inherits: bool = True
    guaranteed: int = 1
    mask: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Keyframes:
    """What a TIMESTEP_KEYFRAME wire brings: keyframes in the order of their starts."""

    each: tuple[Keyframe, ...] = (Keyframe(guaranteed=0),)

    def plus(self, keyframe: Keyframe) -> Keyframes:
        """With one more; of two that start together the later one comes later."""
        return Keyframes(tuple(sorted((*self.each, keyframe), key=lambda one: one.start)))

    def carried(self) -> tuple[Keyframe, ...]:
        """The keyframes with what each inherits from those before it.

        Raises UserError for masks that change: that pack goes on with the first one.
        """
        made: list[Keyframe] = []
        weights = latents = mask = None
        for one in self.each:
            weights = one.weights or (weights if one.inherits else None)
            latents = one.latents if one.latents is not None or not one.inherits else latents
            if mask is not None and one.mask is not mask and (one.mask is not None):
                raise UserError(
                    "its timestep keyframes have several masks, which has no equal here; give all "
                    "of them one"
                )
            mask = mask if one.mask is None else one.mask
            made.append(replace(one, weights=weights, latents=latents, mask=mask))
        return tuple(made)


_STRENGTH = number(1.0, 0.0, 10.0, 0.001)
_NULL = number(0.0, 0.0, 10.0, 0.001)
_YES: Declared = ("BOOLEAN", {"default": True})
_PRINT: Declared = ("BOOLEAN", {"default": False})
_LISTED: Declared = (
    "FLOAT",
    {"default": -1, "min": -1, "step": 0.001, "forceInput": True},
)
_INDEX = integer(0, -MOST, MOST, 1)


@acn_node(
    "TimestepKeyframe",
    MENU,
    {"start_percent": RANGE["start_percent"]},
    "TIMESTEP_KEYFRAME",
    optional={
        "prev_timestep_kf": "TIMESTEP_KEYFRAME",
        "strength": _STRENGTH,
        "cn_weights": "CONTROL_NET_WEIGHTS",
        "latent_keyframe": "LATENT_KEYFRAME",
        "null_latent_kf_strength": _NULL,
        "inherit_missing": _YES,
        "guarantee_steps": integer(1, 0, MOST),
        "mask_optional": "MASK",
    },
    RETURN_NAMES=("TIMESTEP_KF",),
)
def timestep_keyframe(
    start_percent: float,
    strength: float = 1.0,
    cn_weights: Weights | None = None,
    latent_keyframe: LatentKeyframes | None = None,
    prev_timestep_kf: Keyframes | None = None,
    null_latent_kf_strength: float = 0.0,
    inherit_missing: bool = True,
    guarantee_steps: int = 1,
    mask_optional: Tensor | None = None,
) -> Keyframes:
    """One keyframe more."""
    return (prev_timestep_kf or Keyframes()).plus(
        Keyframe(
            *(start_percent, strength, cn_weights, latent_keyframe, null_latent_kf_strength),
            *(inherit_missing, guarantee_steps, mask_optional),
        )
    )


_FURTHER: dict[str, Declared | str] = {
    "prev_timestep_kf": "TIMESTEP_KEYFRAME",
    "cn_weights": "CONTROL_NET_WEIGHTS",
    "latent_keyframe": "LATENT_KEYFRAME",
    "null_latent_kf_strength": _NULL,
    "inherit_missing": _YES,
    "mask_optional": "MASK",
    "print_keyframes": _PRINT,
}


@acn_node(
    "ACN_TimestepKeyframeInterpolation",
    MENU,
    {
        **RANGE,
        "strength_start": _STRENGTH,
        "strength_end": _STRENGTH,
        "interpolation": list(EASINGS),
        "intervals": integer(50, 2, 100, 1),
    },
    "TIMESTEP_KEYFRAME",
    optional=_FURTHER,
    RETURN_NAMES=("TIMESTEP_KF",),
)
def timestep_interpolation(
    start_percent: float,
    end_percent: float,
    strength_start: float,
    strength_end: float,
    interpolation: str,
    intervals: int,
    **further: Any,
) -> Keyframes:
    """Keyframes on the way from one strength to another."""
    strengths = eased(strength_start, strength_end, intervals, interpolation)
    return _in_a_row(strengths, start_percent, end_percent, **further)


@acn_node(
    "ACN_TimestepKeyframeFromStrengthList",
    MENU,
    {"float_strengths": _LISTED, **RANGE},
    "TIMESTEP_KEYFRAME",
    optional=_FURTHER,
    RETURN_NAMES=("TIMESTEP_KF",),
)
def timestep_list(
    float_strengths: Any, start_percent: float, end_percent: float, **further: Any
) -> Keyframes:
    """Keyframes at even distances, one a number."""
    strengths = [float_strengths] if isinstance(float_strengths, (int, float)) else float_strengths
    return _in_a_row(_numbers(strengths), start_percent, end_percent, **further)


def _in_a_row(
    strengths: Sequence[float],
    start: float,
    end: float,
    prev_timestep_kf: Keyframes | None = None,
    cn_weights: Weights | None = None,
    latent_keyframe: LatentKeyframes | None = None,
    null_latent_kf_strength: float = 0.0,
    inherit_missing: bool = True,
    mask_optional: Tensor | None = None,
    print_keyframes: bool = False,
) -> Keyframes:
    """Keyframes with `strengths`, of which the first has a step for sure."""
    made = prev_timestep_kf or Keyframes()
    places = torch.linspace(start, end, len(strengths)).tolist()
    for number_, (place, strength) in enumerate(zip(places, strengths, strict=True)):
        made = made.plus(
            Keyframe(
                *(place, strength, cn_weights, latent_keyframe, null_latent_kf_strength),
                *(inherit_missing, int(number_ == 0), mask_optional),
            )
        )
        if print_keyframes:
            log.info("timestep keyframe: start_percent %g, strength %g", place, strength)
    return made


@acn_node(
    "LatentKeyframe",
    MENU,
    {"batch_index": _INDEX, "strength": _STRENGTH},
    "LATENT_KEYFRAME",
    optional={"prev_latent_kf": "LATENT_KEYFRAME"},
    RETURN_NAMES=("LATENT_KF",),
)
def latent_keyframe(
    batch_index: int, strength: float, prev_latent_kf: LatentKeyframes | None = None
) -> LatentKeyframes:
    """A strength for one picture of the batch."""
    return {**(prev_latent_kf or {}), batch_index: strength}


@acn_node(
    "LatentKeyframeGroup",
    MENU,
    {"index_strengths": ("STRING", {"default": "", "multiline": True})},
    "LATENT_KEYFRAME",
    optional={
        "prev_latent_kf": "LATENT_KEYFRAME",
        "latent_optional": "LATENT",
        "print_keyframes": _PRINT,
    },
    RETURN_NAMES=("LATENT_KF",),
)
def latent_group(
    index_strengths: str,
    prev_latent_kf: LatentKeyframes | None = None,
    latent_optional: Latent | None = None,
    print_keyframes: bool = False,
) -> LatentKeyframes:
    """Strengths by a text: "0=0.5, 2:4, 7" are picture 0 at 0.5 and 2, 3 and 7 at 1.

    With a latent, numbers below 0 count from its end. Raises UserError for a text that is none.
    """
    count = None if latent_optional is None else len(latent_optional["samples"])
    made: LatentKeyframes = {}
    for part in index_strengths.split(",") if index_strengths else ():
        made.update(_part(part.strip(), count))
    return _with(made, prev_latent_kf, print_keyframes)


def _part(text: str, count: int | None) -> LatentKeyframes:
    place, equals, given = text.partition("=")
    try:
        strength = float(given.strip()) if equals else 1.0
        ends = [int(end.strip()) for end in place.split(":", 1)]
        if not 0 <= strength < math.inf:
            raise ValueError
    except ValueError as error:
        raise UserError(
            f"index_strengths holds {shown(text)}; write a number, a range such as 2:5, or either "
            "with =0.5 behind it"
        ) from error
    if len(ends) == 1:
        return {_within(ends[0], count): strength}
    named = range(*ends) if count is None else range(count)[slice(*ends)]
    return dict.fromkeys(named, strength)


def _within(index: int, count: int | None) -> int:
    if count is not None and -count <= index < count:
        return index % count
    if count is None and index >= 0:
        return index
    there = "without latent_optional they count from 0" if count is None else f"there are {count}"
    raise UserError(f"index_strengths names picture {index}; {there}")


@acn_node(
    "LatentKeyframeTiming",
    MENU,
    {
        "batch_index_from": _INDEX,
        "batch_index_to_excl": _INDEX,
        "strength_from": _STRENGTH,
        "strength_to": _STRENGTH,
        "interpolation": list(EASINGS),
    },
    "LATENT_KEYFRAME",
    optional={"prev_latent_kf": "LATENT_KEYFRAME", "print_keyframes": _PRINT},
    RETURN_NAMES=("LATENT_KF",),
)
def latent_interpolation(
    batch_index_from: int,
    batch_index_to_excl: int,
    strength_from: float,
    strength_to: float,
    interpolation: str,
    prev_latent_kf: LatentKeyframes | None = None,
    print_keyframes: bool = False,
) -> LatentKeyframes:
    """Strengths on the way from one picture to before another. Raises UserError where the first
    lies behind the last, or one counts from the end and the other does not."""
    if batch_index_from > batch_index_to_excl or batch_index_from < 0 <= batch_index_to_excl:
        raise UserError(
            f"batch_index_from is {batch_index_from} and batch_index_to_excl "
            f"{batch_index_to_excl}; the first must not be behind the last, and both count from "
            "the same end"
        )
    places = range(batch_index_from, batch_index_to_excl)
    strengths = eased(strength_from, strength_to, len(places), interpolation)
    made = dict(zip(places, strengths, strict=True))
    return _with(made, prev_latent_kf, print_keyframes)


@acn_node(
    "LatentKeyframeBatchedGroup",
    MENU,
    {"float_strengths": _LISTED},
    "LATENT_KEYFRAME",
    optional={"prev_latent_kf": "LATENT_KEYFRAME", "print_keyframes": _PRINT},
    RETURN_NAMES=("LATENT_KF",),
)
def latent_list(
    float_strengths: Any,
    prev_latent_kf: LatentKeyframes | None = None,
    print_keyframes: bool = False,
) -> LatentKeyframes:
    """A strength a picture, from the first on; of one number alone nothing is made, as there."""
    single = isinstance(float_strengths, (int, float))
    made = {} if single else dict(enumerate(_numbers(float_strengths)))
    return _with(made, prev_latent_kf, print_keyframes)


def eased(first: float, last: float, count: int, easing: str) -> list[float]:
    """`count` numbers from `first` to `last`, by one of EASINGS."""
    shares = torch.linspace(0, 1, count, dtype=torch.float64)
    curves = {
        "linear": shares,
        "ease-in": shares**2,
        "ease-out": 1 - (1 - shares) ** 2,
        "ease-in-out": (1 - torch.cos(shares * math.pi)) / 2,
    }
    found: list[float] = ((last - first) * curves[easing] + first).tolist()
    return found


def _with(made: LatentKeyframes, before: LatentKeyframes | None, tell: bool) -> LatentKeyframes:
    """Those before win, as there."""
    for picture, strength in made.items() if tell else ():
        log.info("latent keyframe: picture %d, strength %g", picture, strength)
    return {**made, **(before or {})}


def _numbers(given: Any) -> list[float]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise UserError(f"float_strengths is {shown(given)}; it has to be numbers")
    return [float(one) for one in given]
