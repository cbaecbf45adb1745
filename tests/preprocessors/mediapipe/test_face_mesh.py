"""Faces drawn as ControlNetMediaPipeFace was trained on them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from controlstack.preprocessors.making import Loaded, Sizing, make
from controlstack.preprocessors.mediapipe import face_mesh
from controlstack.preprocessors.mediapipe.face_mesh import MEDIAPIPE_FACE, OUTLINES, PUPILS
from controlstack.preprocessors.mediapipe.faces import EYES, IBUG, Face
from controlstack.preprocessors.mediapipe.weights import FOLDER
from controlstack.preprocessors.picture import Bytes
from tests.checkout import ROOT

RIGHT_EYE, LEFT_EYE = (180, 200, 10), (10, 200, 180)
LIPS = (10, 180, 10)
"""RGB. laion_face_common.py names them the other way round, and turns the picture's channels."""


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    assert MEDIAPIPE_FACE.learning is not None
    paths = [FOLDER / f"{name}.safetensors" for name in face_mesh.NETWORKS]
    return Loaded(MEDIAPIPE_FACE.learning.load(paths), torch.device("cpu"))


def photo(name: str) -> Bytes:
    with Image.open(ROOT / "tests" / "photos" / f"{name}.jpg") as image:
        return np.asarray(image.convert("RGB"))


def drawn(loaded: Loaded, picture: Bytes, **settings: int) -> Bytes:
    made = make(MEDIAPIPE_FACE, picture, MEDIAPIPE_FACE.settings(settings), Sizing(), loaded)
    assert made.hint.dtype == np.uint8
    return made.hint  # type: ignore[return-value]


def middle(hint: Bytes, colour: tuple[int, int, int]) -> tuple[float, float]:
    rows, columns = np.nonzero((hint == colour).all(axis=2))
    return float(columns.mean()), float(rows.mean())


def test_the_outlines_are_mediapipes() -> None:
    """Numbers of edges of face_mesh_connections.py: an oval of 36, eyes of 16, brows of 8, lips of
    40."""
    edges = [
        {frozenset(pair) for line in lines for pair in pairwise(line)} for lines, _ in OUTLINES
    ]
    assert [len(one) for one in edges] == [36, 16, 8, 16, 8, 40]
    assert len(frozenset.union(*(frozenset(one) for one in edges))) == 124


def test_a_face_has_its_outlines_where_they_are(loaded: Loaded) -> None:
    """The astronaut's pupils and mouth, placed by hand in tests/photos/astronaut.json."""
    hint = drawn(loaded, photo("astronaut"))
    assert middle(hint, RIGHT_EYE) == pytest.approx((203, 101), abs=6)
    assert middle(hint, LEFT_EYE) == pytest.approx((246.5, 102.5), abs=6)
    assert middle(hint, PUPILS[0]) == pytest.approx((203, 101), abs=6)
    assert middle(hint, PUPILS[1]) == pytest.approx((246.5, 102.5), abs=6)
    assert middle(hint, LIPS) == pytest.approx((224.5, 139.5), abs=6)
    colours = {tuple(map(int, colour)) for colour in np.unique(hint.reshape(-1, 3), axis=0)}
    assert colours == {(0, 0, 0), *PUPILS, *(colour for _, colour in OUTLINES)}


def test_in_a_mirror_left_is_right(loaded: Loaded) -> None:
    picture = photo("astronaut")
    hint = drawn(loaded, np.ascontiguousarray(picture[:, ::-1]))
    assert middle(hint, RIGHT_EYE) == pytest.approx((512 - 246.5, 102.5), abs=6)


def test_each_face_of_a_group_is_drawn_and_small_ones_are_not(loaded: Loaded) -> None:
    picture = photo("oath_four")
    every = drawn(loaded, picture, min_face_size=0)
    pupils = (every == PUPILS[0]).all(axis=2)
    assert np.count_nonzero(np.diff(np.nonzero(pupils.any(axis=0))[0]) > 8) == 3
    assert not drawn(loaded, picture, min_face_size=100).any(), "smaller, each of them"
    one = drawn(loaded, picture, min_face_size=0, max_faces=1)
    assert 0 < np.count_nonzero(one) < np.count_nonzero(every) / 2


def test_nobody_is_black(loaded: Loaded) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    assert not drawn(loaded, noise).any()


def test_a_face_at_the_edge_is_cut_off() -> None:
    points = np.random.default_rng(0).uniform(-40, 40, (468, 2))
    hint = np.zeros((64, 64, 3), np.uint8)
    face_mesh.draw_mesh(hint, Face(points, 1.0))
    assert hint.any()


def test_openpose_is_given_68_points_and_the_middles_of_the_eyes() -> None:
    assert len(set(IBUG)) == 68
    points = np.arange(936, dtype=float).reshape(468, 2)
    given = Face(points, 1.0).openpose
    assert given.shape == (70, 2)
    assert given[30] == pytest.approx(points[4]), "the tip of the nose"
    for pupil, eye in zip(given[68:], EYES, strict=True):
        assert pupil == pytest.approx(given[eye].mean(axis=0))
