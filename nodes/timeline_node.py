"""The plan of a stack, drawn before it runs."""

from __future__ import annotations

import io
import json
from typing import Any

from torch import Tensor

from ..ground.errors import UserError
from ..hosts import host
from ..inspection.cost import costs_of
from ..inspection.timeline import Timeline
from ..inspection.timeline_picture import draw
from ..model_patch.control import ControlStack
from ..model_patch.protocols import Model
from ..model_patch.schedule import Schedule, Window
from . import images
from .stack import CATEGORY
from .stack_list import STACKS, stack_of
from .widgets import filled

LAST = 10000
"""The most steps of ComfyUI's samplers; as the end it stands for the last there is."""


@filled
class ControlStackTimeline:
    """When each control of a stack acts, and how strongly."""

    DESCRIPTION = (
        "Draws, before sampling, in which steps each control of a stack acts, how strongly, on "
        "which side, and what its ControlNet costs. Give it the steps and scheduler of your "
        "sampler. Nothing is sampled."
    )
    SEARCH_ALIASES = (
        *("control timeline", "controlnet schedule", "plan", "preview steps", "show strength"),
        "控制时间线",
    )
    CATEGORY = CATEGORY
    FUNCTION = "plan"
    OUTPUT_NODE = True
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("timeline", "json")
    OUTPUT_TOOLTIPS = (
        "The plan as a picture.",
        "The plan as JSON: strengths a step, active steps, runs of the ControlNets.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        schedulers = host.schedulers()
        return {
            "required": {
                "model": (
                    "MODEL",
                    {"tooltip": "The model that samples: its noise levels are those of the plan."},
                ),
                "steps": (
                    "INT",
                    {
                        **{"default": 20, "min": 1, "max": LAST, "step": 1},
                        "tooltip": "The sampler's steps.",
                    },
                ),
                "scheduler": (
                    schedulers,
                    {"default": schedulers[0], "tooltip": "The sampler's scheduler."},
                ),
                "denoise": (
                    "FLOAT",
                    {
                        **{"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01},
                        "tooltip": "The sampler's denoise.",
                    },
                ),
            },
            "optional": {
                "stack": (STACKS, {"tooltip": "The controls, from Add ControlNet."}),
                "sigmas": (
                    "SIGMAS",
                    {
                        "tooltip": "The noise levels themselves, for SamplerCustom: they win over "
                        "steps, scheduler and denoise."
                    },
                ),
                "start_at_step": (
                    "INT",
                    {
                        **{"default": 0, "min": 0, "max": LAST, "step": 1},
                        "tooltip": "For KSampler (Advanced): its first step.",
                    },
                ),
                "end_at_step": (
                    "INT",
                    {
                        **{"default": LAST, "min": 0, "max": LAST, "step": 1},
                        "tooltip": "For KSampler (Advanced): its last step, without.",
                    },
                ),
            },
        }

    def plan(
        self,
        model: Model,
        steps: int,
        scheduler: str,
        denoise: float,
        *,
        start_at_step: int,
        end_at_step: int,
        stack: ControlStack = (),
        sigmas: Tensor | None = None,
    ) -> dict[str, Any]:
        """The plan as IMAGE (1, H, W, 3) and JSON; `sigmas` are (steps + 1,), descending."""
        stack = stack_of(stack)
        given = sigmas is not None
        levels = (
            host.current().sigmas(model, scheduler, steps, denoise) if sigmas is None else sigmas
        )
        whole = tuple(levels.tolist())
        first, last = start_at_step, min(end_at_step, len(whole) - 1)
        if first >= last:
            raise UserError(
                f"no step is left: the schedule has {max(len(whole) - 1, 0)} steps, and those from "
                f"{first} to {end_at_step} are asked for; look at denoise, start_at_step and "
                "end_at_step."
            )
        cut = (first, last) != (0, len(whole) - 1)
        window = Window(first, len(whole) - 1) if cut else Window()
        schedule = Schedule(model.model.model_sampling, whole[first : last + 1], window)
        how = "sigmas as given" if given else scheduler
        how += f", denoise {denoise:g}" if denoise < 1.0 and not given else ""
        title = (
            f"steps {first} to {last} of {len(whole) - 1}, {how}" if cut else f"{last} steps, {how}"
        )
        timeline = Timeline.of(stack, schedule, title, costs=costs_of(stack, model.model))
        return _shown(timeline)


def _shown(timeline: Timeline) -> dict[str, Any]:
    from PIL import Image

    with Image.open(io.BytesIO(draw([timeline]))) as opened:
        picture = opened.convert("RGB")
    text = json.dumps(timeline.json(), indent=2, ensure_ascii=False)
    shown = {"images": [host.current().preview(picture)]}
    return {"ui": shown, "result": (images.of_picture(picture), text)}
