"""The core nodes that ControlNet workflows use, under ComfyUI's own ids, inputs and defaults.
Knows the host's models and samplers; knows nothing of our own nodes or the command line."""

from __future__ import annotations

from typing import Any

from . import image

NODE_CLASS_MAPPINGS: dict[str, type[Any]] = {
    **image.NODE_CLASS_MAPPINGS,
}
