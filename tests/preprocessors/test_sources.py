"""Files as what preprocessors take: values of label maps and depths, masks, first frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.preprocessors.pose.people import Pose
from controlstack.preprocessors.sources import read_hint_picture, read_mask, read_sources
from controlstack.preprocessors.spec import Takes

LABELS = np.array([[0, 149, 7], [255, 6, 0]], np.uint8)


def saved(folder: Path, image: Image.Image, ending: str = "png", **options: Any) -> Path:
    path = folder / f"picture.{ending}"
    image.save(path, **options)
    return path


def one(takes: Takes, path: Path) -> Any:
    (source,) = read_sources(takes, path).sources
    return source


def palette_of(labels: Any) -> Image.Image:
    image = Image.fromarray(labels, "P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    return image


@pytest.mark.parametrize(
    "image",
    [
        palette_of(LABELS),
        Image.fromarray(LABELS),
        Image.fromarray(LABELS.astype(np.uint16)),
        Image.fromarray(LABELS.astype(np.int32)),
        Image.fromarray(np.dstack([LABELS] * 3)),
        Image.merge("LA", [Image.fromarray(LABELS), Image.new("L", (3, 2), 9)]),
    ],
    ids=lambda image: image.mode,
)
def test_labels_are_the_numbers_of_the_file(tmp_path: Path, image: Image.Image) -> None:
    source = one("labels", saved(tmp_path, image, "tiff" if image.mode == "I" else "png"))
    assert source.dtype == np.uint8
    assert np.array_equal(source, LABELS)


def test_a_palette_of_few_colours_keeps_its_indices(tmp_path: Path) -> None:
    few = palette_of(np.array([[0, 1], [2, 3]], np.uint8))
    assert np.array_equal(one("labels", saved(tmp_path, few, bits=2)), [[0, 1], [2, 3]])


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image.new("RGB", (2, 2), (1, 2, 1)), "coloured picture"),
        (Image.fromarray(np.full((2, 2), 300, np.uint16)), "300"),
    ],
)
def test_what_is_no_label_map(tmp_path: Path, image: Image.Image, said: str) -> None:
    path = saved(tmp_path, image)
    with pytest.raises(UserError) as raised:
        read_sources("labels", path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_depth_keeps_sixteen_bits(tmp_path: Path) -> None:
    steps = np.arange(40_000, 40_256, dtype=np.uint16).reshape(16, 16)
    depth = one("depth", saved(tmp_path, Image.fromarray(steps)))
    assert depth.dtype == np.float32
    assert np.array_equal(np.round(depth * 65535), steps)


def test_depth_in_floats_is_taken_as_it_is_or_refused(tmp_path: Path) -> None:
    depth = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    path = saved(tmp_path, Image.fromarray(depth), "tiff")
    assert np.array_equal(one("depth", path), depth)
    for wrong in (depth * 80, depth * np.nan):
        path = saved(tmp_path, Image.fromarray(wrong), "tiff")
        with pytest.raises(UserError, match="from 0"):
            read_sources("depth", path)


def test_a_depth_of_eight_bits_is_its_grey(tmp_path: Path) -> None:
    grey = np.array([[0, 51], [204, 255]], np.uint8)
    expected = np.array([[0, 0.2], [0.8, 1]])
    for image in (Image.fromarray(grey), Image.fromarray(np.dstack([grey] * 3))):
        assert np.allclose(one("depth", saved(tmp_path, image)), expected, atol=1e-6)


def test_a_picture_is_its_own_bytes_in_every_mode(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    rgb = np.dstack([grey] * 3)
    images = (
        Image.fromarray(grey),
        Image.fromarray(rgb),
        Image.fromarray(grey.astype(np.uint16) * 257),
        Image.fromarray(np.dstack((rgb, np.full_like(grey, 255)))),
        Image.fromarray(grey / np.float32(255)),
        Image.fromarray(grey).convert("P"),
    )
    for image in images:
        source = one("picture", saved(tmp_path, image, "tiff" if image.mode == "F" else "png"))
        assert source.dtype == np.uint8
        assert np.array_equal(source, rgb), image.mode


@pytest.mark.parametrize("takes", ["picture", "depth", "masked picture"])
@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (
            np.array([[0, 0.5, 80]], np.float32),
            "holds floats from 0 to 80; they .* from 0 .* to 1 ",
        ),
        (np.array([[-0.25, 1, 0]], np.float32), "floats from -0.25 to 1"),
        (np.array([[0, 1, np.nan]], np.float32), "floats from nan to nan"),
        (np.array([[0, 5, 70_000]], np.int32), "whole numbers from 0 to 70000; .* to 65535"),
    ],
)
def test_numbers_that_are_no_grey_are_refused(
    tmp_path: Path, takes: Takes, numbers: Any, said: str
) -> None:
    """Most of them would be black or white, and their hint empty in silence."""
    path = saved(tmp_path, Image.fromarray(numbers), "tiff")
    for read in (lambda: read_sources(takes, path), lambda: read_hint_picture(path)):
        with pytest.raises(UserError, match=said) as raised:
            read()
        assert str(path) in str(raised.value)


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    path = saved(tmp_path, Image.new("RGB", (4, 2)), "jpg", exif=exif)
    assert one("picture", path).shape == (4, 2, 3)


def test_of_an_animation_the_first_frame_is_taken_and_said(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "lime", "blue")]
    path = saved(tmp_path, frames[0], save_all=True, append_images=frames[1:])
    read = read_sources("picture", path)
    assert read.notes == (f"{path} has 3 frames; the first is used",)
    assert np.array_equal(read.sources[0], np.full((3, 3, 3), (255, 0, 0)))


def test_a_mask_is_white_or_transparent(tmp_path: Path) -> None:
    wanted = np.array([[0, 1, 1], [1, 0, 0]], np.float32)
    white = Image.fromarray((wanted * 255).astype(np.uint8))
    assert np.array_equal(read_mask(saved(tmp_path, white)), wanted)
    cut = Image.merge("RGBA", [white] * 3 + [Image.eval(white, lambda level: 255 - level)])
    assert np.array_equal(read_mask(saved(tmp_path, cut)), wanted)
    picture, mask = one("masked picture", saved(tmp_path, cut))
    assert np.array_equal(mask, wanted)
    assert picture.shape == (2, 3, 3)


def test_a_picture_without_mask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--mask"):
        read_sources("masked picture", saved(tmp_path, Image.new("RGB", (2, 2))))


def test_every_frame_of_a_pose_is_a_source(tmp_path: Path) -> None:
    path = tmp_path / "pose.json"
    path.write_text(json.dumps([{"people": []}] * 3))
    assert read_sources("pose", path).sources == (Pose(()),) * 3


@pytest.mark.parametrize("takes", get_args(Takes))
@given(data=st.binary(max_size=200))
@settings(max_examples=20, deadline=None)
def test_junk_is_one_sentence_with_its_name(
    tmp_path_factory: pytest.TempPathFactory, takes: Takes, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("junk") / "junk.png"
    path.write_bytes(data)
    with pytest.raises(UserError) as raised:
        read_sources(takes, path)
    assert str(path) in str(raised.value)


def test_a_given_hint_keeps_the_steps_it_has(tmp_path: Path) -> None:
    levels = np.array([[0, 1, 40_000, 65_535]])
    wanted = np.repeat(levels[..., None] / 65_535, 3, axis=-1)
    deep = read_hint_picture(saved(tmp_path, Image.fromarray(levels.astype(np.uint16))))
    assert np.abs(deep - wanted).max() < 1e-6
    path = tmp_path / "depth.tiff"
    Image.fromarray((levels / 65_535).astype(np.float32)).save(path)
    assert np.abs(read_hint_picture(path) - wanted).max() < 1e-6
    colour = read_hint_picture(saved(tmp_path, Image.new("RGB", (2, 1), (1, 2, 3))))
    assert (colour.dtype, colour.tolist()) == (np.uint8, [[[1, 2, 3], [1, 2, 3]]])
