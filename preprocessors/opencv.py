"""OpenCV, imported when a hint first needs it."""

from __future__ import annotations

from typing import Any

from ..ground.errors import UserError


def opencv() -> Any:
    """The module `cv2`. Raises UserError, with what to install, where there is none."""
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            f"This hint needs OpenCV, which cannot be imported here ({error}); install it into the "
            "Python that runs this: python -m pip install opencv-python-headless"
        ) from error
    return cv2
