"""What multiplies a control's strength within a step: pictures of a batch, blocks, a part of the
picture.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..ground.errors import UserError
from ..ground.wording import shown
from ..model_patch.blocks import (
    PARTS,
    Blocks,
    LogSpace,
    RelativeResolution,
    SoftWeights,
)
from ..model_patch.curve import BETWEEN, Between
from ..model_patch.factors import Factor, Span
from ..model_patch.frames import FrameStrengths
from ..model_patch.mask import MAX_EDGE, Mask, edged
from .factors import BEFORE, FactorNode, Factors, points_of
from .widgets import answer, answer_of_menu

RULES: dict[str, Factor] = {
    "soft weights": SoftWeights(),
    "logspace": LogSpace(),
    "resolution": RelativeResolution(),
}
WEIGHTS = "weights"
"""The rule that stands for the weights of the widget."""

ALL = next(iter(PARTS))


class ControlStackFrames(FactorNode):
    """A number a picture of the batch."""

    DESCRIPTION = (
        "A strength for each picture of a batch, or frame of a film: keyframes, or one number a "
        "picture. A picture at 0 costs no run of the ControlNet."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        return {
            "required": {
                "strengths": (
                    "STRING",
                    {
                        "default": "0:1, 8:0",
                        "tooltip": "picture:strength with commas, pictures from 0; or strengths "
                        "alone, one a picture. In films pictures are the latent's frames.",
                    },
                ),
                "between": (
                    list(BETWEEN),
                    {"default": BETWEEN[0], "tooltip": "How it goes from keyframe to keyframe."},
                ),
            },
            "optional": {"factor": BEFORE},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, strengths: str | None = None) -> bool | str:
        """Before anything runs: True, or what is wrong with the strengths."""
        return answer(_frames, strengths)

    def make(self, strengths: str, between: Between, factor: Factors = ()) -> tuple[Factors]:
        """One more factor."""
        return ((*factor, _frames(strengths, between)),)


class ControlStackBlocks(FactorNode):
    """A weight a block."""

    DESCRIPTION = (
        "How strongly each block of the ControlNet acts: the first ones add fine detail, the "
        "deepest the layout. By published rules, or by a weight for blocks of your choice."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        return {
            "required": {
                "rule": (
                    [*RULES, WEIGHTS],
                    {
                        "default": next(iter(RULES)),
                        "tooltip": "soft weights: sd-webui's, detail far less than layout. "
                        "logspace: diffusers' guess mode, from 0.1 to 1. resolution: the paper's, "
                        "1 at full size, 8 at an eighth. weights: those below.",
                    },
                ),
                "weights": (
                    "STRING",
                    {
                        "default": "first half:0.5, middle:1",
                        "tooltip": "name:weight with commas, only for the rule weights. Names: "
                        "input, middle, output; output 3, output 0-5; first half, second half, "
                        "first third, middle third, last third, all. Others stay at 1.",
                    },
                ),
            },
            "optional": {"factor": BEFORE},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, rule: str | None = None, weights: str | None = None) -> bool | str:
        """Before anything runs: True, or what is wrong with the weights, where they count."""
        return answer_of_menu("rule", rule, [*RULES, WEIGHTS], WEIGHTS, blocks_of, weights)

    def make(self, rule: str, weights: str, factor: Factors = ()) -> tuple[Factors]:
        """One more factor."""
        return ((*factor, blocks_of(weights if rule == WEIGHTS else rule)),)


class ControlStackMask(FactorNode):
    """A part of the picture."""

    DESCRIPTION = (
        "Where in the picture the control acts: a mask, grown or feathered, for the whole run or a "
        "part of it, for all blocks or some. Several of them multiply."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        percent = {"min": 0.0, "max": 1.0, "step": 0.001}
        return {
            "required": {
                "mask": (
                    "MASK",
                    {
                        "tooltip": "White: the control acts fully; black: not at all. One for all "
                        "pictures, or one each."
                    },
                ),
                "grow": (
                    "INT",
                    {
                        **{"default": 0, "min": -MAX_EDGE, "max": MAX_EDGE, "step": 1},
                        "tooltip": "Pixels of the mask that white grows by; below 0 it shrinks.",
                    },
                ),
                "feather": (
                    "INT",
                    {
                        **{"default": 0, "min": 0, "max": MAX_EDGE, "step": 1},
                        "tooltip": "Pixels of the mask over which its edge fades, to either side.",
                    },
                ),
                "start_percent": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        **percent,
                        "tooltip": "Where the mask begins to hold; before it, the control acts "
                        "everywhere.",
                    },
                ),
                "end_percent": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        **percent,
                        "tooltip": "Where the mask ends to hold; after it, the control acts "
                        "everywhere.",
                    },
                ),
                "blocks": (
                    "STRING",
                    {
                        "default": ALL,
                        "tooltip": "The blocks that it holds for, with commas, by the names of "
                        "Control Blocks: first half, middle, output 0-5 ...",
                    },
                ),
            },
            "optional": {"factor": BEFORE},
        }

    def make(
        self,
        mask: Tensor,
        grow: int,
        feather: int,
        start_percent: float,
        end_percent: float,
        blocks: str,
        factor: Factors = (),
    ) -> tuple[Factors]:
        """One more factor; `mask` is (N, H, W) in 0..1."""
        whole = (start_percent, end_percent) == (0.0, 1.0)
        names = tuple(name for one in blocks.split(",") if (name := _plain(one)))
        made = Mask(
            edged(mask, grow, feather),
            span=None if whole else Span(start_percent, end_percent),
            blocks=() if ALL in names else names,
        )
        return ((*factor, made),)


def _frames(text: str, between: Between = "linear") -> FrameStrengths:
    points, listed = points_of(text, "picture", "a list of keyframes")
    return FrameStrengths(points, "stepped" if listed else between, listed)


def blocks_of(text: str) -> Factor:
    """The factor of a rule by its name, or of weights as they are written.

    Raises:
        UserError: what is neither, and blocks that no net has.
    """
    return RULES[text] if text in RULES else Blocks(_weights_of(text))


def _weights_of(text: str) -> tuple[tuple[str, float], ...]:
    pairs = [one.partition(":") for one in text.split(",") if one.strip()]
    try:
        return tuple((_plain(name), float(weight)) for name, _, weight in pairs)
    except ValueError as error:
        raise UserError(
            f"the weights of blocks are {shown(text)}; write name:weight, with commas, such as "
            "first half:0.5, middle:1."
        ) from error


def _plain(name: str) -> str:
    """A block's name, with any spaces and in any letters."""
    return " ".join(name.lower().split())


# Without a type, so that ComfyUI-Manager's scanner finds it.
NODE_CLASS_MAPPINGS = {
    "ControlStackFrames": ControlStackFrames,
    "ControlStackBlocks": ControlStackBlocks,
    "ControlStackMask": ControlStackMask,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "ControlStackFrames": "Control Frames",
    "ControlStackBlocks": "Control Blocks",
    "ControlStackMask": "Control Mask",
}
