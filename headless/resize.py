"""Pictures and latents made larger or smaller by the core's rules."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..ground.memory import require_memory
from ..model_patch.view import middle

IMAGE_METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
CROPS = ["disabled", "center"]
# The core's limit on the edges of pictures, in pixels.
MAX_RESOLUTION = 16384


def resize(samples: Tensor, width: int, height: int, method: str, crop: str = "disabled") -> Tensor:
    """`samples` (B, C, H, W) at `height` x `width`.

    `method` is one of IMAGE_METHODS; "lanczos" goes through 8 bits, as in the core, and wants 0..1.
    `crop` "center" first cuts the middle to the new aspect ratio, "disabled" stretches.
    """
    batch, channels = samples.shape[:2]
    copies = 2 if method == "lanczos" else 1  # each picture, then all of them together
    require_memory(
        batch * channels * height * width * 4 * copies, f"{batch} x {width} x {height} pixels"
    )
    if crop == "center":
        samples = middle(samples, width / height)
    if method == "lanczos":
        return _lanczos(samples, width, height)
    return F.interpolate(samples, size=(height, width), mode=method)


def _lanczos(samples: Tensor, width: int, height: int) -> Tensor:
    resized = [_lanczos_one(image, width, height) for image in samples.movedim(1, -1)]
    return torch.stack(resized).movedim(-1, 1).to(samples)


def _lanczos_one(image: Tensor, width: int, height: int) -> Tensor:
    pixels = (255.0 * image.cpu().float().numpy()).clip(0, 255).astype(np.uint8)  # (H, W, C)
    grey = pixels.shape[-1] == 1
    picture = Image.fromarray(pixels[..., 0] if grey else pixels)
    small = picture.resize((width, height), Image.Resampling.LANCZOS)
    array = np.asarray(small, dtype=np.float32) / 255.0
    return torch.from_numpy(array[..., None] if grey else array)
