"""Label maps: ADE20K's colours as others state them, classes at their pixels, what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.preprocessors.ade20k import ADE20K
from controlstack.preprocessors.labels import SEGMENTATION_LABELS, color_labels

# As published: https://github.com/open-mmlab/mmsegmentation/blob/main/mmseg/datasets/ade.py
KNOWN = {
    0: ("wall", (120, 120, 120)),
    1: ("building", (180, 120, 120)),
    2: ("sky", (6, 230, 230)),
    4: ("tree", (4, 200, 3)),
    6: ("road", (140, 140, 140)),
    9: ("grass", (4, 250, 7)),
    12: ("person", (150, 5, 61)),
    20: ("car", (0, 102, 200)),
    21: ("water", (61, 230, 250)),
    48: ("skyscraper", (140, 140, 140)),
    149: ("flag", (92, 0, 255)),
}


def test_the_palette_is_the_one_that_controlnet_aux_keeps() -> None:
    util = pytest.importorskip("controlnet_aux.util")
    assert [list(colour) for _, colour in ADE20K] == util.ade_palette()


@pytest.mark.parametrize("number", list(KNOWN))
def test_names_and_colours_as_published(number: int) -> None:
    assert ADE20K[number] == KNOWN[number]


def test_only_road_and_skyscraper_share_a_colour() -> None:
    colours = [colour for _, colour in ADE20K]
    assert len(colours) == 150
    assert len(set(colours)) == 149
    assert colours[6] == colours[48] == (140, 140, 140)


def test_each_pixel_has_its_class_s_colour() -> None:
    labels = np.array([[0, 2, 255], [149, 12, 6]], np.uint8)
    sky, person, flag = KNOWN[2][1], KNOWN[12][1], KNOWN[149][1]
    expected = [
        [(120, 120, 120), sky, (0, 0, 0)],
        [flag, person, (140, 140, 140)],
    ]
    assert color_labels(labels).tolist() == [[list(c) for c in row] for row in expected]


def test_ade20k_s_own_numbers_begin_at_one() -> None:
    labels = np.array([[0, 1, 3, 150, 255]], np.uint8)
    assert color_labels(labels, zero_is_unlabelled=True).tolist() == [
        [[0, 0, 0], [120, 120, 120], [6, 230, 230], [92, 0, 255], [0, 0, 0]]
    ]


@pytest.mark.parametrize(("first", "last"), [(False, 149), (True, 150)])
def test_a_class_too_many_says_which_where_and_the_limit(first: bool, last: int) -> None:
    labels = np.zeros((5, 7), np.uint8)
    labels[3, 4] = last
    color_labels(labels, first)
    labels[3, 4], labels[4, 0] = last + 1, 254
    with pytest.raises(UserError, match=rf"class {last + 1} at column 4, row 3.*2 pix.*{last}"):
        color_labels(labels, first)


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((2, 2, 3), np.uint8),
        np.zeros((2, 2), np.int64),
        np.zeros((0, 2), np.uint8),
        np.zeros((), np.uint8),
    ],
)
def test_what_is_no_label_map_is_refused(labels: np.ndarray) -> None:
    with pytest.raises(UserError, match="label map"):
        color_labels(labels)


@given(height=st.integers(1, 9), width=st.integers(1, 2048), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_any_size_and_every_class(height: int, width: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 150, (height, width), np.uint8)
    colours = color_labels(labels)
    assert colours.shape == (height, width, 3)
    assert colours.dtype == np.uint8
    row, column = height // 2, width // 2
    assert tuple(colours[row, column]) == ADE20K[labels[row, column]][1]


def test_colours_are_never_blended_in_resizing() -> None:
    assert SEGMENTATION_LABELS.drawn
    assert SEGMENTATION_LABELS.takes == "labels"
