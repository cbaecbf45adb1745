"""Content shuffle: the picture's colours and textures, swept about by a smooth random flow.

The flow is that of `ContentShuffleDetector` in
https://github.com/lllyasviel/ControlNet-v1-1-nightly (`annotator/shuffle`, `annotator/util.py`):
for each pixel a place in the picture, from noise on a grid that is interpolated with cubics and
stretched to the whole picture. There the noise comes from NumPy's global state; here from a
generator of its own, so that a seed and a size say all.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..ground.parameters import Parameter
from .opencv import opencv
from .picture import Bytes, Floats, checked_rgb
from .spec import Preprocessor

CELL = 256
"""Pixels between the points of the noise."""

MAX_SEED = 2**64 - 1
"""The largest seed of ComfyUI's own nodes."""


def shuffle(picture: Bytes, seed: int = 0) -> Bytes:
    """`picture` (uint8 RGB, H x W x 3) with its content moved about, by `seed` (0..MAX_SEED).

    The same seed and size move it the same way on every machine. Raises UserError for another kind
    of picture.
    """
    cv2 = opencv()
    whole = checked_rgb(picture, "Shuffle")
    height, width = whole.shape[:2]
    generator = np.random.default_rng(seed)
    from_x = _flow(generator, height, width, width - 1)
    from_y = _flow(generator, height, width, height - 1)
    moved: Bytes = cv2.remap(whole, from_x, from_y, cv2.INTER_LINEAR)
    return moved


def _flow(generator: np.random.Generator, height: int, width: int, reach: int) -> Floats:
    """Noise of H x W from 0 to `reach`, both touched, smooth over about CELL pixels."""
    cv2 = opencv()
    grid = generator.uniform(size=(height // CELL + 2, width // CELL + 2))
    size = (width + 2 * CELL, height + 2 * CELL)
    fine = cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)
    noise: npt.NDArray[np.float64] = fine[CELL : CELL + height, CELL : CELL + width]
    above = noise - noise.min()
    highest = float(above.max()) or 1.0  # one pixel has no range to stretch
    flow: npt.NDArray[np.float64] = above / highest * reach
    return flow.astype(np.float32)


SHUFFLE = Preprocessor(
    name="shuffle",
    node="ControlStackShuffle",
    title="Shuffle Hint",
    shows="colours",
    description=(
        "Sweeps the picture's content about at random, so that its colours and style are left and "
        "its composition is not, for the shuffle ControlNet."
    ),
    aliases=(
        *("shuffle", "content shuffle", "ShufflePreprocessor", "style transfer", "restyle"),
        *("内容重组", "随机洗牌", "风格"),
    ),
    controls="Shuffle: control_v11e_sd15_shuffle",
    parameters=(
        Parameter(
            "seed", 0, "The same seed moves pictures of one size the same way.", high=MAX_SEED
        ),
    ),
    run=shuffle,
)
