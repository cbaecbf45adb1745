"""Guidance between three conditionings, with ComfyUI's order of them: the model counts the sides in
it, so that what acts on the prompt alone acts on the same side in both hosts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .conditioning import Cond, Conditioning
from .guider import ALWAYS_BOTH, Guider
from .model import Model


class DualGuider(Guider):
    """Two guidances: from "negative" towards "middle" by `lower`, and from there towards "positive"
    by `cfg`; `nested`, the first begins at "negative" and ends where the second does."""

    def __init__(
        self,
        model: Model,
        sides: Mapping[str, Conditioning],
        cfg: float,
        lower: float,
        nested: bool,
    ) -> None:
        super().__init__(model, sides, cfg)
        self.lower = lower
        self.nested = nested

    def asked(self, options: Mapping[str, Any]) -> list[list[Cond] | None]:
        """Negative, middle and positive; without the first ones where they cancel out."""
        no_negative = (
            not self.nested and not options.get(ALWAYS_BOTH) and math.isclose(self.lower, 1.0)
        )
        no_middle = no_negative and math.isclose(self.cfg, 1.0)
        return [
            None if no_negative else self.conds["negative"],
            None if no_middle else self.conds["middle"],
            self.conds["positive"],
        ]

    def predict_noise(
        self, x: Tensor, sigma: Tensor, model_options: dict[str, Any], seed: int | None = None
    ) -> Tensor:
        """As Brooks et al. 2022 (https://arxiv.org/abs/2211.09800, equation 3) has it for two
        scales, or one guidance inside the other.
        """
        sides = self.asked(model_options)
        negative, middle, positive = self.evaluated(sides, x, sigma, model_options)
        if self.nested:
            upper = (positive, middle), (sides[2], sides[1]), self.cfg
            inner = self.guided(*upper, x, sigma, model_options)
            return negative + self.lower * (inner - negative)
        below = (middle, negative), (sides[1], sides[0]), self.lower
        return self.guided(*below, x, sigma, model_options) + (positive - middle) * self.cfg


class PerpendicularGuider(Guider):
    """Guidance away from that part of "negative" which is perpendicular to "positive", both as seen
    from "empty" (Armandpour et al. 2023, https://arxiv.org/abs/2304.04968)."""

    def __init__(
        self, model: Model, sides: Mapping[str, Conditioning], cfg: float, scale: float
    ) -> None:
        super().__init__(model, sides, cfg)
        self.scale = scale

    def asked(self, options: Mapping[str, Any]) -> list[list[Cond] | None]:
        """Positive, negative and empty; without the last ones where they cancel out."""
        no_negative = not options.get(ALWAYS_BOTH) and math.isclose(self.scale, 0.0)
        no_empty = no_negative and math.isclose(self.cfg, 1.0)
        return [
            self.conds["positive"],
            None if no_negative else self.conds["negative"],
            None if no_empty else self.conds["empty"],
        ]

    def predict_noise(
        self, x: Tensor, sigma: Tensor, model_options: dict[str, Any], seed: int | None = None
    ) -> Tensor:
        """The part along "positive" is taken out of "negative" over the whole batch, as in ComfyUI;
        a function in guidance's place is not asked.
        """
        sides = self.asked(model_options)
        made = self.evaluated(sides, x, sigma, model_options)
        made = self.before_guidance(made, sides, x, sigma, model_options)
        positive, negative, empty = made
        towards, away = positive - empty, negative - empty
        along = (away * towards).sum() / towards.norm() ** 2
        result = empty + self.cfg * (towards - (away - along * towards) * self.scale)
        seen = {
            **self.told(x, sigma, model_options),
            **{"cond": sides[0], "uncond": sides[1], "empty_cond": sides[2]},
            **{"cond_denoised": positive, "uncond_denoised": negative},
            "empty_cond_denoised": empty,
        }
        return self.after_guidance(result, seen)
