"""What multiplies a control's strength: exact steps, a curve over the run, sides of the guidance.

Each node gives a CONTROL_FACTOR; chained ones multiply, in any order.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ..ground.errors import UserError
from ..ground.wording import shown
from ..model_patch.curve import BETWEEN, OVER, PRESETS, Between, Curve, Over
from ..model_patch.factors import MAX_STRENGTH, Factor, Sides, StepSpan
from .stack import FACTOR
from .widgets import filled

Factors = tuple[Factor, ...]
POINTS = "points"
"""The preset that stands for the points of the widget."""

_BEFORE = (FACTOR, {"tooltip": "Factors so far: this one multiplies with them."})


class FactorNode:
    """What all of them share."""

    SEARCH_ALIASES: ClassVar[tuple[str, ...]] = (
        *("controlnet schedule", "control weight", "controlnet strength", "控制强度"),
    )
    CATEGORY = "ControlStack/factors"
    FUNCTION = "make"
    RETURN_TYPES = (FACTOR,)
    RETURN_NAMES = ("factor",)
    OUTPUT_TOOLTIPS = ("For the factor input of Add Control, or for another factor.",)


class ControlStackSteps(FactorNode):
    """Some of the sampler's steps."""

    DESCRIPTION = (
        "The control acts in exact steps of the sampler, counted from 0: from the first, up to but "
        "without the last. 0 to 7 are the first seven."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        steps = {"min": 0, "max": 10000, "step": 1}
        return {
            "required": {
                "first": ("INT", {"default": 0, **steps, "tooltip": "The first step it acts in."}),
                "last": (
                    "INT",
                    {"default": 10, **steps, "tooltip": "The first step it acts in no more."},
                ),
            },
            "optional": {"factor": _BEFORE},
        }

    def make(self, first: int, last: int, factor: Factors = ()) -> tuple[Factors]:
        """One more factor."""
        return ((*factor, StepSpan(first, last)),)


@filled
class ControlStackCurve(FactorNode):
    """A curve over the run."""

    DESCRIPTION = (
        "The control's strength follows a curve while the picture is made: faded in or out, held "
        "and released, or through points of your own. Where it is 0, the ControlNet is not run."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        return {
            "required": {
                "preset": (
                    [*PRESETS, POINTS],
                    {
                        "default": next(iter(PRESETS)),
                        "tooltip": "A curve by its name, over percent; or points, below.",
                    },
                ),
                "points": (
                    "STRING",
                    {
                        "default": "0:1, 0.5:1, 1:0",
                        "tooltip": "place:strength, with commas; or strengths alone, one a step. "
                        "Only for the preset points.",
                    },
                ),
                "between": (
                    list(BETWEEN),
                    {"default": BETWEEN[0], "tooltip": "How it goes from point to point."},
                ),
                "over": (
                    list(OVER),
                    {
                        "default": OVER[0],
                        "tooltip": "What places are. percent: 0 to 1, as start_percent. steps: of "
                        "the sampler, from 0. sigma: the noise level.",
                    },
                ),
            },
            "optional": {
                "factor": _BEFORE,
                "curve": (
                    "CURVE",
                    {"tooltip": "ComfyUI's Curve Editor, from left to right; wins over points."},
                ),
            },
        }

    def make(
        self,
        preset: str,
        points: str,
        between: Between,
        over: Over,
        factor: Factors = (),
        curve: Any = None,
    ) -> tuple[Factors]:
        """One more factor."""
        return ((*factor, _curve(preset, points, between, over, curve)),)


class ControlStackSides(FactorNode):
    """A number for each side of the guidance."""

    DESCRIPTION = (
        "How strongly the control acts for the prompt, and for the negative prompt. At 0 on one "
        "side the ControlNet is not run for it: half the work."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        number = {"default": 1.0, "min": 0.0, "max": MAX_STRENGTH, "step": 0.01}
        return {
            "required": {
                "cond": ("FLOAT", {**number, "tooltip": "A factor for the prompt's side."}),
                "uncond": (
                    "FLOAT",
                    {**number, "tooltip": "A factor for the negative prompt's side."},
                ),
            },
            "optional": {"factor": _BEFORE},
        }

    def make(self, cond: float, uncond: float, factor: Factors = ()) -> tuple[Factors]:
        """One more factor."""
        return ((*factor, Sides(cond, uncond)),)


def _curve(preset: str, points: str, between: Between, over: Over, drawn: Any) -> Curve:
    if drawn is not None:  # its own interpolation, in steps finer than any sampler's
        return Curve(tuple((i / 256, max(float(drawn.interp(i / 256)), 0.0)) for i in range(257)))
    if preset != POINTS:
        return Curve(PRESETS[preset], between)
    pairs = [one.partition(":") for one in points.split(",") if one.strip()]
    try:
        if not any(colon for _, colon, _ in pairs):
            strengths = tuple((float(i), float(one)) for i, (one, _, _) in enumerate(pairs))
            return Curve(strengths, "stepped", "steps")
        return Curve(tuple((float(a), float(b)) for a, _, b in pairs), between, over)
    except ValueError as error:
        raise UserError(
            f"the points of a curve are {shown(points)}; write place:strength, with commas, such "
            "as 0:1, 0.5:1, 1:0, or strengths alone."
        ) from error


# Without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackSteps": ControlStackSteps,
    "ControlStackCurve": ControlStackCurve,
    "ControlStackSides": ControlStackSides,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "ControlStackSteps": "Control Steps",
    "ControlStackCurve": "Control Curve",
    "ControlStackSides": "Control Sides",
}
