"""How alike are two pictures?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .edges import same_size


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two 8-bit pictures; infinite when they are equal. Raises
    UserError when the sizes differ.
    """
    same_size(one, other, "pictures")
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
