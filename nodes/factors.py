"""What multiplies a control's strength: exact steps, a curve over the run, sides of the guidance.

Each node gives a CONTROL_FACTOR; chained ones multiply, in any order. Those that tell pictures,
blocks and places apart are in `factors_within.py`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from ..ground.errors import UserError
from ..ground.wording import shown
from ..model_patch.curve import BETWEEN, OVER, PRESETS, Between, Curve, Over
from ..model_patch.factors import MAX_STRENGTH, Factor, Sides, StepSpan
from .stack import FACTOR
from .widgets import answer_of_menu, filled

Factors = tuple[Factor, ...]
POINTS = "points"
"""The preset that stands for the points of the widget."""

BEFORE = (FACTOR, {"tooltip": "Factors so far: this one multiplies with them."})


class FactorNode:
    """What all of them share."""

    SEARCH_ALIASES: ClassVar[tuple[str, ...]] = (
        *("controlnet schedule", "control weight", "controlnet strength", "控制强度"),
    )
    CATEGORY = "ControlStack/factors"
    FUNCTION = "make"
    RETURN_TYPES = (FACTOR,)
    RETURN_NAMES = ("factor",)
    OUTPUT_TOOLTIPS = ("For the factor input of Add ControlNet, or for another factor.",)


class ControlStackSteps(FactorNode):
    """Some of the sampler's steps."""

    DESCRIPTION = (
        "The control acts in exact steps of the sampler, counted from 0: from the first, up to but "
        "without the last. 0 to 7 are the first seven. In KSampler (Advanced) the steps that it "
        "leaves out count."
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
            "optional": {
                "factor": BEFORE,
                "sigmas": (
                    "SIGMAS",
                    {
                        "tooltip": "The whole schedule, where a sampler is given only a part of it "
                        "(Split Sigmas): steps are counted on this one then."
                    },
                ),
            },
        }

    def make(
        self, first: int, last: int, factor: Factors = (), sigmas: Tensor | None = None
    ) -> tuple[Factors]:
        """One more factor; `sigmas` are (steps + 1,) noise levels, descending."""
        levels = () if sigmas is None else tuple(sigmas.tolist())
        return ((*factor, StepSpan(first, last, levels)),)


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
                "factor": BEFORE,
                "curve": (
                    "CURVE",
                    {
                        "forceInput": True,  # newer front ends have a field for it, always filled
                        "tooltip": "ComfyUI's Curve Editor, from left to right; wins over points.",
                    },
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, preset: str | None = None, points: str | None = None) -> bool | str:
        """Before anything runs: True, or what is wrong with the points, where they count."""
        return answer_of_menu("preset", preset, [*PRESETS, POINTS], POINTS, _written, points)

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
            "optional": {"factor": BEFORE},
        }

    def make(self, cond: float, uncond: float, factor: Factors = ()) -> tuple[Factors]:
        """One more factor."""
        return ((*factor, Sides(cond, uncond)),)


def _curve(preset: str, points: str, between: Between, over: Over, drawn: Any) -> Curve:
    if drawn is not None:  # its own interpolation, in steps finer than any sampler's
        return Curve(tuple((i / 256, max(float(drawn.interp(i / 256)), 0.0)) for i in range(257)))
    return _written(points, between, over) if preset == POINTS else Curve(PRESETS[preset], between)


def _written(points: str, between: Between = "linear", over: Over = "percent") -> Curve:
    written, listed = points_of(points)
    return Curve(written, "stepped", "steps", listed) if listed else Curve(written, between, over)


def points_of(
    text: str, place_word: str = "place", whole: str = "a curve"
) -> tuple[tuple[tuple[float, float], ...], bool]:
    """Points (place, strength) as they are written, and whether they are strengths alone, one for
    each place from 0. `place_word` and `whole` are what errors call a place, and all points.

    Raises:
        UserError: what is neither.
    """
    pairs = [one.partition(":") for one in text.split(",") if one.strip()]
    listed = not any(colon for _, colon, _ in pairs)
    try:
        if listed:
            return tuple((float(i), float(one)) for i, (one, _, _) in enumerate(pairs)), True
        return tuple((float(a), float(b)) for a, _, b in pairs), False
    except ValueError as error:
        raise UserError(
            f"the points of {whole} are {shown(text)}; write {place_word}:strength, with commas, "
            "such as 0:1, 0.5:1, 1:0, or strengths alone."
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
