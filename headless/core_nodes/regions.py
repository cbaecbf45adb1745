"""The core's nodes that say where and when a conditioning holds."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..resize import MAX_RESOLUTION

Conditioning = list[list[Any]]

STRENGTH = {"default": 1.0, "min": 0.0, "max": 10.0, "step": 0.01}


class ConditioningSetArea:
    """A text for a rectangle, in pixels."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "append"
    CATEGORY = "conditioning"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        side = {"default": 64, "min": 64, "max": MAX_RESOLUTION, "step": 8}
        offset = {"default": 0, "min": 0, "max": MAX_RESOLUTION, "step": 8}
        return {
            "required": {
                "conditioning": ("CONDITIONING",),
                "width": ("INT", side),
                "height": ("INT", side),
                "x": ("INT", offset),
                "y": ("INT", offset),
                "strength": ("FLOAT", STRENGTH),
            }
        }

    def append(
        self,
        conditioning: Conditioning,
        width: int,
        height: int,
        x: int,
        y: int,
        strength: float,
    ) -> tuple[Conditioning]:
        """Limit `conditioning` to the rectangle."""
        area = (height // 8, width // 8, y // 8, x // 8)
        return (_with(conditioning, area=area, strength=strength, set_area_to_bounds=False),)


class ConditioningSetAreaPercentage:
    """A text for a rectangle, in shares of the picture."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "append"
    CATEGORY = "conditioning"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        side = {"default": 1.0, "min": 0, "max": 1.0, "step": 0.01}
        offset = {"default": 0, "min": 0, "max": 1.0, "step": 0.01}
        return {
            "required": {
                "conditioning": ("CONDITIONING",),
                "width": ("FLOAT", side),
                "height": ("FLOAT", side),
                "x": ("FLOAT", offset),
                "y": ("FLOAT", offset),
                "strength": ("FLOAT", STRENGTH),
            }
        }

    def append(
        self,
        conditioning: Conditioning,
        width: float,
        height: float,
        x: float,
        y: float,
        strength: float,
    ) -> tuple[Conditioning]:
        """Limit `conditioning` to the rectangle."""
        area = ("percentage", height, width, y, x)
        return (_with(conditioning, area=area, strength=strength, set_area_to_bounds=False),)


class ConditioningSetAreaStrength:
    """How much a text's area counts where areas overlap."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "append"
    CATEGORY = "conditioning"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        return {"required": {"conditioning": ("CONDITIONING",), "strength": ("FLOAT", STRENGTH)}}

    def append(self, conditioning: Conditioning, strength: float) -> tuple[Conditioning]:
        """Set the strength."""
        return (_with(conditioning, strength=strength),)


class ConditioningSetMask:
    """A text for the white of a mask."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "append"
    CATEGORY = "conditioning"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        return {
            "required": {
                "conditioning": ("CONDITIONING",),
                "mask": ("MASK",),
                "strength": ("FLOAT", STRENGTH),
                "set_cond_area": (["default", "mask bounds"],),
            }
        }

    def append(
        self, conditioning: Conditioning, mask: Tensor, set_cond_area: str, strength: float
    ) -> tuple[Conditioning]:
        """Weigh `conditioning` by `mask` (B, H, W), evaluated in the mask's bounds if wanted."""
        bounds = set_cond_area == "mask bounds"
        mask = mask if mask.ndim == 3 else mask[None]
        return (_with(conditioning, mask=mask, set_area_to_bounds=bounds, mask_strength=strength),)


class ConditioningSetTimestepRange:
    """A text for a part of sampling."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "set_range"
    CATEGORY = "advanced/conditioning"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The core's inputs."""
        share = {"min": 0.0, "max": 1.0, "step": 0.001}
        return {
            "required": {
                "conditioning": ("CONDITIONING",),
                "start": ("FLOAT", {"default": 0.0, **share}),
                "end": ("FLOAT", {"default": 1.0, **share}),
            }
        }

    def set_range(
        self, conditioning: Conditioning, start: float, end: float
    ) -> tuple[Conditioning]:
        """Limit `conditioning` to shares of the training timesteps, 0 being pure noise."""
        return (_with(conditioning, start_percent=start, end_percent=end),)


def _with(conditioning: Conditioning, **settings: Any) -> Conditioning:
    """Return fresh entries with further settings."""
    return [[text, {**old, **settings}] for text, old in conditioning]


CORE_NODES = {
    "ConditioningSetArea": ConditioningSetArea,
    "ConditioningSetAreaPercentage": ConditioningSetAreaPercentage,
    "ConditioningSetAreaStrength": ConditioningSetAreaStrength,
    "ConditioningSetMask": ConditioningSetMask,
    "ConditioningSetTimestepRange": ConditioningSetTimestepRange,
}
