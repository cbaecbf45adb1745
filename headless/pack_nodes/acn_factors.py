"""What Advanced-ControlNet's weights and keyframes are as factors of ours.

By `ControlWeights`, `AdvancedControlBase` (adv_control/utils.py) and `get_universal_weights`
(adv_control/control.py) of https://github.com/Kosinkadink/ComfyUI-Advanced-ControlNet (1.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ...ground.errors import UserError
from ...model_patch.factors import Factor
from ...model_patch.frames import FrameStrengths
from ...model_patch.residuals import Place
from ...model_patch.schedule import Schedule

T2I_POWERS = (7, 2, 1, 0)
"""Powers of the base for a T2I adapter's four residuals, the finest first."""


@dataclass(frozen=True)
class ScaledSoft(Factor):
    """`base` ** (n - i) for residual i of 0 to n, the deepest at 1; `middle` for the middle block.

    At 0.825 that is `SoftWeights`, but for T2I adapters, which have T2I_POWERS.
    """

    base: float
    middle: float = 1.0

    @property
    def words(self) -> str:
        return f"soft weights by {self.base:g}"

    def of_block(self, place: Place) -> float:
        if place.group == "middle":
            return self.middle
        if place.group == "input" and place.residuals == len(T2I_POWERS):
            return float(self.base ** T2I_POWERS[place.depth])
        return float(self.base ** (place.residuals - 1 - place.depth))


@dataclass(frozen=True)
class BlockWeights(Factor):
    """One of `weights` for each residual of a group, the first first, and `middle` for the middle
    block; residuals beyond the weights have 1.

    Args:
        group: "output" for ControlNets, "input" for T2I adapters.
    """

    group: str
    weights: tuple[float, ...]
    middle: float = 1.0

    @property
    def words(self) -> str:
        return f"{len(self.weights)} weights of blocks"

    def require_blocks(self, places: Sequence[Place]) -> None:
        if self.weights and not any(place.group == self.group for place in places):
            kind = "T2I adapters" if self.group == "input" else "ControlNets"
            raise UserError(
                f"its weights are for {kind}, and this net is none; take weights of its kind"
            )

    def of_block(self, place: Place) -> float:
        if place.group == "middle":
            return self.middle
        within = place.group == self.group and place.depth < len(self.weights)
        return self.weights[place.depth] if within else 1.0


@dataclass(frozen=True)
class WhileHeld(Factor):
    """A strength a keyframe, while that keyframe holds.

    A keyframe begins at its percent, as ComfyUI counts percents, and holds until the next one
    begins; one that began in the run holds for `guaranteed` steps at least. Evaluations between two
    steps belong to the step that they lie in.
    """

    starts: tuple[float, ...]
    guaranteed: tuple[int, ...]
    strengths: tuple[float, ...]

    @property
    def silences(self) -> bool:
        return not any(self.strengths)

    @property
    def words(self) -> str:
        return f"{len(self.starts)} timestep keyframes"

    def on(self, schedule: Schedule) -> Factor:
        begins = [schedule.sampling.percent_to_sigma(percent) for percent in self.starts]
        starts = torch.tensor(begins, dtype=torch.float32).tolist()
        steps = torch.tensor(schedule.sigmas[:-1], dtype=torch.float32).tolist()
        held = held_in(steps, starts, self.guaranteed)
        return _Held(tuple(steps), tuple(self.strengths[each] for each in held))


@dataclass(frozen=True)
class _Held(Factor):
    """The strengths of a run's steps, which begin at `sigmas`."""

    sigmas: tuple[float, ...]
    strengths: tuple[float, ...]

    def at(self, sigma: float) -> float:
        begun = sum(1 for start in self.sigmas if start >= sigma)
        return self.strengths[max(begun - 1, 0)] if self.strengths else 1.0


def held_in(
    sigmas: Sequence[float], starts: Sequence[float], guaranteed: Sequence[int]
) -> list[int]:
    """The keyframe that holds in each step of noise levels `sigmas`, which descend.

    `starts` are the levels at which keyframes begin, descending. A keyframe that is passed over on
    the way to a later one lasts no step, but for one with guaranteed steps that begins within the
    run: the search for a later one stops at it, and starts again when it has had them.
    """
    top = max(sigmas, default=0.0)
    lasts = [0 if start > top else steps for start, steps in zip(starts, guaranteed, strict=True)]
    now, used, found = 0, 0, []
    for number, sigma in enumerate(sigmas):
        if number == 0 or used >= lasts[now]:
            first = 0 if number == 0 else now + 1
            for later in range(first, len(starts)):
                if starts[later] < sigma:
                    break
                now, used = later, 0
                if lasts[later] > 0:
                    break
        used += 1
        found.append(now)
    return found


def frame_strengths(strengths: Mapping[int, float], others: float) -> FrameStrengths:
    """A strength for some pictures of the batch, and one for all `others`.

    Raises UserError for a picture that is counted from the end.
    """
    if any(picture < 0 for picture in strengths):
        raise UserError(
            f"batch_index {min(strengths)} counts from the end of the batch, which has no equal "
            "here; count from 0"
        )
    points = {0: others, **{picture + 1: others for picture in strengths}, **strengths}
    return FrameStrengths(tuple((float(at), points[at]) for at in sorted(points)))
