"""The least memory that a step takes, told from the settings before anything is loaded."""

from __future__ import annotations

from ..ground.memory import require_memory
from .data.view import picture_size
from .settings import RunSettings
from .trainable import hint_channels

_FLOAT = 4
_KEPT = 4
"""Feature maps of a picture's full size that the hint encoder's first two convolutions and what
follows them keep for the way back (diffusers' ControlNetConditioningEmbedding)."""


def require_room(settings: RunSettings, on_cpu: bool) -> None:
    """Raise UserError where the pictures and hints of a batch, in fp32, and on a CPU what the hint
    encoder keeps of them do not fit into the memory that is free. The networks come on top.

    Raises UserError for a resolution and for hint channels that are none, too.
    """
    width, height = picture_size(settings.data)
    first = hint_channels(settings.network.hint_channels)[0]
    kept = _KEPT * first if on_cpu and not settings.network.start_from else 0
    batch = settings.training.batch
    require_memory(
        batch * width * height * (6 + kept) * _FLOAT,
        f"a step of {batch} pictures of {width} x {height} pixels",
    )
