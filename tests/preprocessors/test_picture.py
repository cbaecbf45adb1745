"""What a picture is, and how large one may be."""

import numpy as np
import pytest

from controlstack.ground.errors import UserError
from controlstack.preprocessors.picture import (
    MAX_EDGE,
    MAX_PIXELS,
    checked_rgb,
    checked_size,
    darkest_channel,
    grey_as_rgb,
)


@pytest.mark.parametrize(
    ("width", "height"), [(MAX_EDGE + 1, 1), (1, MAX_EDGE + 1), (8192, 8193), (0, 5), (5, -1)]
)
def test_a_size_over_the_limits_is_refused_with_both_numbers(width: int, height: int) -> None:
    with pytest.raises(UserError, match=rf"The hint is {width} x {height} .* 67 million pixels"):
        checked_size(width, height, "The hint")


@pytest.mark.parametrize(("width", "height"), [(MAX_EDGE, 4096), (8192, 8192), (1, 1)])
def test_the_limits_themselves_are_allowed(width: int, height: int) -> None:
    assert width * height <= MAX_PIXELS
    checked_size(width, height, "The hint")


def test_an_enormous_picture_is_refused_before_anything_is_computed() -> None:
    one = np.zeros((1, 1, 3), np.uint8)
    enormous = np.broadcast_to(one, (9000, 9000, 3))  # takes no memory
    with pytest.raises(UserError, match="The picture for Canny is 9000 x 9000"):
        checked_rgb(enormous, "Canny")


def test_three_equal_channels() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    rgb = grey_as_rgb(grey)
    assert rgb.shape == (2, 3, 3)
    assert all((rgb[:, :, channel] == grey).all() for channel in range(3))


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_the_darkest_channel(kind: type) -> None:
    picture = np.array([[[9, 5, 7], [1, 2, 3]], [[4, 4, 4], [8, 9, 0]]], kind)
    darkest = darkest_channel(picture)
    assert darkest.dtype == kind
    assert darkest.tolist() == [[5, 1], [4, 0]]
