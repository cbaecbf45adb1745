"""Between a picture and what a network takes and gives; nothing here moves a shape.

A network that halves its picture some times needs sides that divide. The picture is padded to the
right and below with its own last pixels, and the hint cut back, where the annotators stretch it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ground.errors import UserError
from ..picture import Bytes, checked_rgb
from ..scribble import safe_steps
from ..spec import Hint

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from ..pose.people import Pose


@dataclass(frozen=True)
class Networks:
    """The Annotator of one or more networks and a function that makes a hint with them.

    `draw` is given the picture, the device, the networks one by one, and the settings by name; it
    runs in inference mode. `who` names the preprocessor in sentences.
    """

    who: str
    networks: Sequence[nn.Module] = field(repr=False)
    draw: Callable[..., Hint | Pose]

    def __call__(self, picture: Bytes, device: torch.device, **settings: Any) -> Hint | Pose:
        """The hint of `picture` (uint8 RGB, H x W x 3), of the same H x W, or the people in it.

        Raises UserError for another kind of picture, and where a network's numbers are not finite.
        """
        import torch

        checked = checked_rgb(picture, self.who)
        with torch.inference_mode():
            return self.draw(checked, device, *self.networks, **settings)


def batch(picture: Bytes, device: torch.device, multiple: int, least: int = 1) -> Tensor:
    """`picture` (H x W x 3) as 1 x 3 x H' x W', float32 in 0..255 on `device`, `padded`."""
    import torch

    # Bytes travel, a quarter of the floats; writing to the tensor would write to the picture.
    pixels = torch.from_numpy(np.require(picture, requirements="W")).to(device)
    return padded(pixels.permute(2, 0, 1)[None].float(), multiple, least)


def padded(values: Tensor, multiple: int, least: int = 1) -> Tensor:
    """N x C x H x W with H and W brought up to a multiple of `multiple` that is `least` or more.

    The last row and the last column are repeated, so each pixel stays where it was.
    """
    import torch

    down, right = (-(-max(side, least) // multiple) * multiple - side for side in values.shape[-2:])
    if not (down or right):
        return values
    return torch.nn.functional.pad(values, (0, right, 0, down), mode="replicate")


def finite(values: Tensor, who: str) -> Tensor:
    """`values`, or a UserError that names `who` where some are infinite or no numbers."""
    import torch

    if not bool(torch.isfinite(values).all()):
        raise UserError(f"{who}'s network gave no finite numbers; its weights are damaged.")
    return values


def soft_edges(values: Tensor, size: tuple[int, int], who: str, steps: int) -> Bytes:
    """H' x W' in 0..1 as `levels` makes them, in `steps` + 1 even levels first unless that is 0."""
    import torch

    if steps:
        values = torch.from_numpy(safe_steps(values.cpu().numpy(), steps))
    return levels(values, size, who)


def levels(values: Tensor, size: tuple[int, int], who: str) -> Bytes:
    """... x H' x W' in 0..1 as bytes on the CPU, cut to the first H x W of `size`.

    A value falls to the byte below it, as in the annotators. Raises UserError as `finite` does.
    """
    cut = finite(values[..., : size[0], : size[1]], who)
    found: Bytes = (cut * 255).clamp(0, 255).byte().cpu().numpy()
    return found
