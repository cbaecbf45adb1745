"""Every preprocessor through `make`: any size, any kind of picture, and shapes that stay in place.

`test_exact_hints` has the exact ones at their pictures' own size, `test_making` and `test_sizing`
what becomes of a size; here is what they do together.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from controlstack.nodes import hints, images
from controlstack.preprocessors.learned.openpose import openpose
from controlstack.preprocessors.learned.vitpose import vitpose
from controlstack.preprocessors.making import Loaded, Sizing, Source, make
from controlstack.preprocessors.mediapipe.pose_body import pose_body
from controlstack.preprocessors.pose.draw import DRAWING, draw_pose
from controlstack.preprocessors.pose.people import Joint, Person, Pose
from controlstack.preprocessors.registry import EXACT, PREPROCESSORS
from controlstack.preprocessors.sizing import FITS, Fit
from controlstack.preprocessors.sources import read_sources
from controlstack.preprocessors.spec import Hint, Preprocessor, Takes
from tests import passing_networks

CPU = torch.device("cpu")
CLASSES = 150

OF_PICTURES = [entry for entry in EXACT if entry.takes != "pose"]
exact = pytest.mark.parametrize("entry", EXACT, ids=lambda entry: entry.name)
of_pictures = pytest.mark.parametrize("entry", OF_PICTURES, ids=lambda entry: entry.name)
LONG, SHORT = st.integers(1, 2048), st.integers(1, 12)


def sizes(one: st.SearchStrategy[int], other: st.SearchStrategy[int]) -> Any:
    """Widths and heights, either of which may be the long one."""
    return st.tuples(one, other) | st.tuples(other, one)


def source(takes: Takes, size: tuple[int, int], seed: int) -> Source:
    """Noise of a width and height, as what a preprocessor takes."""
    noise = np.random.default_rng(seed)
    width, height = size
    match takes:
        case "picture":
            return noise.integers(0, 256, (height, width, 3), np.uint8)
        case "masked picture":
            return noise.random((height, width, 3), np.float32), noise.random(
                (height, width), np.float32
            )
        case "depth":
            return noise.random((height, width), np.float32)
        case "labels":
            return noise.integers(0, CLASSES, (height, width), np.uint8)
        case "pose":
            return Pose((Person(body=_body(noise, size)),), canvas=size)


def _body(noise: np.random.Generator, size: tuple[int, int]) -> tuple[Joint, ...]:
    return tuple(Joint(x * size[0], y * size[1]) for x, y in noise.random((18, 2)))


def check_hint(hint: Hint, size: tuple[int, int]) -> None:
    """What `spec.Hint` promises."""
    assert hint.shape == (size[1], size[0], 3)
    assert hint.dtype in (np.uint8, np.float32)
    if hint.dtype == np.float32:
        assert np.isfinite(hint).all()
        assert hint.min() >= -1
        assert hint.max() <= 1


@exact
@given(
    size=sizes(LONG, SHORT),
    wanted=sizes(LONG, SHORT) | st.none(),
    fit=st.sampled_from(FITS),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=15, deadline=None)
def test_any_size_becomes_any_other(
    entry: Preprocessor,
    size: tuple[int, int],
    wanted: tuple[int, int] | None,
    fit: Fit,
    seed: int,
) -> None:
    if entry.takes == "pose":
        fit = "stretch"  # of a long strip, what is cut off would lie miles away, and is refused
    made = make(entry, source(entry.takes, size, seed), entry.settings({}), Sizing(wanted, fit))
    check_hint(made.hint, wanted or size)


@of_pictures
@given(
    batch=st.integers(1, 4),
    size=sizes(st.integers(1, 70), st.integers(1, 9)),
    channels=st.sampled_from([1, 3, 4]),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]),
    strange=st.sampled_from([0.0, -3.0, 1e4, float("nan"), float("inf"), float("-inf")]),
    latent=st.none() | st.tuples(st.integers(1, 9), st.integers(1, 9)),
    fit=st.sampled_from(FITS),
)
@settings(max_examples=15, deadline=None)
def test_any_image_becomes_a_hint_in_a_node(
    entry: Preprocessor,
    batch: int,
    size: tuple[int, int],
    channels: int,
    dtype: torch.dtype,
    strange: float,
    latent: tuple[int, int] | None,
    fit: Fit,
) -> None:
    width, height = size
    image = (torch.rand(batch, height, width, channels) * (CLASSES - 1) / 255).to(dtype)
    if entry.takes != "labels":  # a label map with a class over 149 is refused, in words
        image[0, 0, 0] = strange
    inputs: dict[str, Any] = {"image": image, "fit": fit}
    if entry.takes == "masked picture":
        inputs["mask"] = torch.rand(batch, height, width)
    expected = size
    if latent is not None:
        inputs["latent"] = {"samples": torch.zeros(batch, 4, latent[1], latent[0])}
        expected = 8 * latent[0], 8 * latent[1]
    before = image.clone()
    (found,) = hints.NODE_CLASS_MAPPINGS[entry.node]().make(**inputs)
    assert found.dtype == torch.float32
    assert found.shape == (batch, expected[1], expected[0], 3)
    for hint in found.numpy():
        check_hint(hint, expected)
    assert torch.equal(image.nan_to_num(0.5), before.nan_to_num(0.5)), "the input stays as it is"


@of_pictures
def test_a_batch_is_its_pictures_one_by_one(entry: Preprocessor) -> None:
    node = hints.NODE_CLASS_MAPPINGS[entry.node]
    image, mask = torch.rand(3, 20, 30, 3) * 0.5, torch.rand(3, 20, 30)
    masks = [{"mask": mask[i : i + 1]} for i in range(3)]
    whole = {"mask": mask}
    if entry.takes != "masked picture":
        masks, whole = [{}] * 3, {}
    (found,) = node().make(image=image, **whole)
    apart = [node().make(image=image[i : i + 1], **masks[i])[0] for i in range(3)]
    assert torch.equal(found, torch.cat(apart))


GREY = np.random.default_rng(2).integers(0, CLASSES, (24, 33), np.uint8)
SAVED: dict[str, Callable[[], Image.Image]] = {
    "grey.png": lambda: Image.fromarray(GREY),
    "rgb.png": lambda: Image.fromarray(GREY).convert("RGB"),
    "rgba.png": lambda: Image.fromarray(GREY).convert("RGBA"),
    "grey and alpha.png": lambda: Image.fromarray(GREY).convert("LA"),
    "16 bits.png": lambda: Image.fromarray(GREY.astype(np.uint16) * 257),
    "rgb.tiff": lambda: Image.fromarray(GREY).convert("RGB"),
    "rgb.bmp": lambda: Image.fromarray(GREY).convert("RGB"),
}
"""One picture, saved in many ways."""


@of_pictures
@pytest.mark.parametrize("name", SAVED)
def test_a_file_s_hint_does_not_depend_on_how_its_picture_was_saved(
    entry: Preprocessor, name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    SAVED[name]().save(path)
    if entry.takes == "labels" and name == "16 bits.png":
        # A class is a number, and not a brightness that 16 bits could tell more exactly.
        Image.fromarray(GREY.astype(np.uint16)).save(path)
    mask = np.zeros(GREY.shape, np.float32)
    mask[5:9, 20:30] = 1
    (read,) = read_sources(entry.takes, path, mask).sources
    rgb = np.repeat(GREY[:, :, None], 3, axis=2)
    floats = GREY.astype(np.float32) / np.float32(255)
    wanted: dict[Takes, Source] = {
        "picture": rgb,
        "masked picture": (np.repeat(floats[:, :, None], 3, axis=2), mask),
        "depth": floats,
        "labels": GREY,
    }
    hint = make(entry, read, entry.settings({}), Sizing()).hint
    expected = make(entry, wanted[entry.takes], entry.settings({}), Sizing()).hint
    if hint.dtype == np.float32:
        assert np.abs(hint - expected).max() < 1e-6
    else:
        # Depth from 16 bits may round another way, by a byte of a normal.
        assert np.abs(hint.astype(int) - expected).max() <= (entry.takes == "depth")


@of_pictures
def test_a_node_and_a_file_give_the_same_hint(entry: Preprocessor, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    SAVED["rgb.png"]().save(path)
    mask = (GREY > 80).astype(np.float32)
    (read,) = read_sources(entry.takes, path, mask).sources
    image = torch.from_numpy(GREY)[None, :, :, None].repeat(1, 1, 1, 3) / 255
    (loaded,) = images.sources(entry.takes, image, torch.from_numpy(mask)[None])
    for one, other in zip(_parts(read), _parts(loaded), strict=True):
        assert np.abs(one.astype(np.float64) - other).max() < 1e-6
        assert one.dtype == other.dtype


def _parts(one: Source) -> tuple[np.ndarray, ...]:
    assert not isinstance(one, Pose)
    return one if isinstance(one, tuple) else (one,)


# A square of 32 pixels, off the middle to both sides, in a picture of 256 x 128, and where it has
# to lie in hints of other sizes: (left, top, right, bottom), and the part that the picture fills.
SQUARE = (128, 32, 160, 64)
PLACES: dict[str, tuple[tuple[int, int], Fit, tuple[int, ...], tuple[int, ...]]] = {
    "its own": ((256, 128), "fill", SQUARE, (0, 0, 256, 128)),
    "twice as large": ((512, 256), "fill", (256, 64, 320, 128), (0, 0, 512, 256)),
    "cut to a square": ((256, 256), "fill", (128, 64, 192, 128), (0, 0, 256, 256)),
    "between bars": ((512, 512), "fit", (256, 192, 320, 256), (0, 128, 512, 384)),
    "stretched": ((512, 512), "stretch", (256, 128, 320, 256), (0, 0, 512, 512)),
    "smaller": ((128, 64), "fill", (64, 16, 80, 32), (0, 0, 128, 64)),
}
MOVES = {
    "shuffle": "moves the content: that is what it is for",
    "pose": "is drawn from joints: tests/preprocessors/pose/test_body.py, test_making.py",
    "pose_body": "tests/preprocessors/mediapipe/test_pose_body.py sees joints in real pictures",
    "mediapipe_face": "tests/preprocessors/mediapipe/test_face_mesh.py sees faces in real pictures",
    "pose_vitpose": "tests/preprocessors/learned/test_vitpose.py sees joints in a real picture",
    "pose_openpose": "tests/preprocessors/learned/test_openpose*.py see joints in made maps",
}
"""Preprocessors without a square in this test, and why."""
WHOLE_CELLS = ("color_palette",)
"""A flat colour for each 64 x 64 pixels: only a square of whole cells can stay in place."""


def test_every_preprocessor_is_looked_at_or_said_why_not() -> None:
    looked_at = {entry.name for entry in EXACT} | set(passing_networks.NAMES)
    assert set(PREPROCESSORS) <= looked_at | set(MOVES)


def _places(name: str) -> list[str]:
    """Where a square can be looked for in the hint of the preprocessor `name`."""
    if name in WHOLE_CELLS:
        return [place for place, (_, _, square, _) in PLACES.items() if square[0] + 64 <= square[2]]
    return list(PLACES)


@pytest.mark.parametrize(
    ("name", "place"),
    [(name, place) for name in PREPROCESSORS if name not in MOVES for place in _places(name)],
)
def test_a_shape_stays_within_a_pixel_of_where_it_was(name: str, place: str) -> None:
    entry = PREPROCESSORS[name]
    size, fit, square, inner = PLACES[place]
    loaded = None
    if entry.learning is not None:
        loaded = Loaded(passing_networks.annotator(name), CPU)
    sizing = Sizing(size, fit)
    made = make(entry, _squared(entry.takes), entry.settings({}), sizing, loaded)
    left, top, right, bottom = inner
    seen = made.hint[top:bottom, left:right].astype(np.float64)
    seen = np.abs(seen - np.median(seen, axis=(0, 1))).sum(axis=2)
    rows, columns = np.indices(seen.shape)
    middle = np.average(columns, weights=seen) + left, np.average(rows, weights=seen) + top
    wanted = (square[0] + square[2] - 1) / 2, (square[1] + square[3] - 1) / 2
    assert middle == pytest.approx(wanted, abs=1)


def _squared(takes: Takes) -> Source:
    left, top, right, bottom = SQUARE
    dark = np.zeros((128, 256), bool)
    dark[top:bottom, left:right] = True
    match takes:
        case "masked picture":
            return np.full((*dark.shape, 3), 0.5, np.float32), dark.astype(np.float32)
        case "depth":
            return np.where(dark, np.float32(0.9), np.float32(0.3))
        case "labels":
            return np.where(dark, np.uint8(12), np.uint8(2))
        case _:
            light = np.where(dark, np.uint8(20), np.uint8(230))
            return np.repeat(light[:, :, None], 3, axis=2)


FINDERS: dict[str, Callable[..., Any]] = {
    "pose_body": pose_body,
    "pose_openpose": openpose,
    "pose_vitpose": vitpose,
}
"""What takes the settings of those that find people."""
OTHER_DRAWING = {"style": "v1.0", "scale_sticks": True, "body": True}


@pytest.mark.parametrize("name", FINDERS)
def test_a_finder_of_people_is_told_its_own_settings_and_the_drawing_is_told_the_rest(
    name: str,
) -> None:
    entry = PREPROCESSORS[name]
    body = _body(np.random.default_rng(0), (600, 600))
    pose = Pose((Person(body=body),), canvas=(600, 600))
    told: dict[str, Any] = {}

    class Finder:
        networks = ()

        def __call__(self, picture: Any, device: Any, **settings: Any) -> Pose:
            inspect.signature(FINDERS[name]).bind_partial(picture, device, **settings)
            told.update(settings)
            return pose

    known = {parameter.name for parameter in entry.parameters}
    drawing = {key: value for key, value in OTHER_DRAWING.items() if key in known}
    picture = np.zeros((600, 600, 3), np.uint8)
    made = make(entry, picture, entry.settings(drawing), Sizing(), Loaded(Finder(), CPU))
    assert told.keys() == known - {parameter.name for parameter in DRAWING}
    assert (made.hint == draw_pose(pose, 600, 600, **drawing)).all()
    assert (made.hint != draw_pose(pose, 600, 600)).any()


def test_what_says_how_people_are_drawn_is_the_setting_of_nothing_else() -> None:
    """`make` keeps it from whatever makes a hint, and would do so without a word."""
    drawing = {parameter.name for parameter in DRAWING}
    for entry in PREPROCESSORS.values():
        if entry.name not in (*FINDERS, "pose"):
            assert not drawing & {parameter.name for parameter in entry.parameters}, entry.name
