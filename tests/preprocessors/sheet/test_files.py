"""Hints in PNG files: bytes, floats, masks; names that never meet."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controlstack.ground.ours import made_here
from controlstack.preprocessors.sheet.files import encode_hint, free_names


def test_bytes_stay_and_floats_are_rounded() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    for hint in (levels, levels.astype(np.float32) / 255):
        with Image.open(BytesIO(encode_hint(hint))) as image:
            assert image.mode == "RGB"
            assert np.array_equal(np.asarray(image), levels)


def test_a_deep_hint_has_sixteen_bits_of_grey() -> None:
    steps = np.arange(1000, 1016, dtype=np.uint16).reshape(4, 4)
    hint = (steps / 65535).astype(np.float32)[..., None].repeat(3, axis=2)
    with Image.open(BytesIO(encode_hint(hint, deep=True))) as image:
        assert np.array_equal(np.asarray(image), steps)


def test_what_is_over_one_is_white() -> None:
    with Image.open(BytesIO(encode_hint(np.full((1, 1, 3), 1.5, np.float32)))) as image:
        assert image.getpixel((0, 0)) == (255, 255, 255)


def test_what_is_masked_is_transparent_black() -> None:
    hint = np.full((2, 2, 3), 0.2, np.float32)
    hint[0, 1] = -1
    with Image.open(BytesIO(encode_hint(hint))) as image:
        assert image.mode == "RGBA"
        assert image.getpixel((1, 0)) == (0, 0, 0, 0)
        assert image.getpixel((0, 0)) == (51, 51, 51, 255)


def test_a_hint_says_who_made_it(tmp_path: Path) -> None:
    (tmp_path / "h.png").write_bytes(encode_hint(np.zeros((2, 2, 3), np.uint8)))
    assert made_here(tmp_path / "h.png")
    with Image.open(tmp_path / "h.png") as image:
        assert image.info == {"Software": "ControlStack"}


def names(sources: list[str], taken: list[str], out: str = "out") -> list[str]:
    chosen = free_names([Path(s) for s in sources], "canny", Path(out), [Path(t) for t in taken])
    return [path.as_posix() for path in chosen]


@pytest.mark.parametrize(
    ("sources", "taken", "out", "expected"),
    [
        (["a/x.png", "b/x.png", "x.jpg"], [], "out",
         ["out/x_canny", "out/x_canny_2", "out/x_canny_3"]),
        (["X.png", "x.png"], [], "out", ["out/X_canny", "out/x_canny_2"]),
        (["one.two.png"], [], "out", ["out/one.two_canny"]),
        (["x.png"], ["x_canny.png"], ".", ["x_canny_2"]),
        (["x.png"], ["x_canny.png"], "out", ["out/x_canny"]),
        (["x.png"], ["x_canny.webp", "x_canny_2.png"], ".", ["x_canny_3"]),
    ],
)  # fmt: skip
def test_names(sources: list[str], taken: list[str], out: str, expected: list[str]) -> None:
    assert names(sources, taken, out) == expected
