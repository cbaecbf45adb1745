"""The one way in: every preprocessor has its kind, and every kind its figures."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from controlstack.evaluation import edges
from controlstack.evaluation.edges import edge_agreement, paired_f1, tolerance_at, widened
from controlstack.evaluation.fidelity import KINDS, Drawn, Figure, asks_nothing, compare, means
from controlstack.ground.errors import UserError
from controlstack.preprocessors.canny import canny
from controlstack.preprocessors.pose.people import Joint, Person, Pose
from controlstack.preprocessors.registry import PREPROCESSORS

HEADLINES = {
    "edges": ("edge F1", True),
    "depth": ("depth RMSE, aligned", False),
    "normals": ("normal angle (degrees)", False),
    "segmentation": ("mean IoU", True),
    "picture": ("SSIM", True),
    "colours": ("colours in common", True),
    "pose": ("PCK@0.1", True),
    "points": ("point distance (px)", False),
}
PERSON = Person((Joint(10, 10), Joint(20, 40)) + (None,) * 16)


def _hint(seed: int, kind: str = "picture") -> np.ndarray | Pose:
    if kind == "pose":
        return Pose((PERSON,), (64, 64))
    noise = np.random.default_rng(seed).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    return noise if kind != "depth" else np.repeat(noise[..., :1], 3, axis=-1)


def test_every_kind_is_compared_and_none_is_for_nobody() -> None:
    """Points are for finders of users' own."""
    shown = {entry.shows for entry in PREPROCESSORS.values()}
    assert shown | {"points"} == set(KINDS) == set(HEADLINES) == {*get_args(Drawn), "pose"}
    assert all(
        (entry.shows == "pose") == (entry.finds_people or entry.takes == "pose")
        for entry in PREPROCESSORS.values()
    )


def test_a_strange_name_is_said() -> None:
    with pytest.raises(UserError, match="no kind of hint 'canny'"):
        compare("canny", _hint(0), _hint(0))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_hint_is_perfect_and_the_headline_comes_first(kind: str) -> None:
    figures = compare(kind, _hint(0, kind), _hint(0, kind))
    assert (figures[0].name, figures[0].higher_is_better) == HEADLINES[kind]
    for figure in figures:
        assert figure.value == pytest.approx(1 if figure.higher_is_better else 0, abs=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pose"])
def test_bytes_and_floats_are_alike(kind: str) -> None:
    one, other = _hint(0, kind), _hint(1, kind)
    as_floats = [np.asarray(hint / 255, np.float32) for hint in (one, other)]
    for left, right in zip(compare(kind, one, other), compare(kind, *as_floats), strict=True):
        assert left.value == pytest.approx(right.value, abs=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pose"])
def test_sizes_must_agree(kind: str) -> None:
    with pytest.raises(UserError, match="40 x 32 pixels and the hint 32 x 32"):
        compare(kind, _hint(0), np.zeros((32, 32, 3), np.uint8))


def test_a_drawn_skeleton_is_no_pose() -> None:
    with pytest.raises(UserError, match="OpenPose JSON"):
        compare("pose", _hint(0), Pose((PERSON,)))
    with pytest.raises(UserError, match="one of the two is a pose"):
        compare("depth", _hint(0), Pose((PERSON,)))


def test_a_grey_map_is_no_hint() -> None:
    with pytest.raises(UserError, match="this one is 8 x 8"):
        compare("depth", np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8))


def test_floats_of_another_range_are_refused() -> None:
    with pytest.raises(UserError, match=r"in 0\.\.1, and this one goes up to 255"):
        compare("depth", np.full((8, 8, 3), 255.0, np.float32), np.ones((8, 8, 3), np.float32))


def test_edges_of_a_picture_moved_by_one_pixel_still_count() -> None:
    picture = np.full((128, 128, 3), 200, np.uint8)
    picture[40:90, 30:100] = (180, 20, 30)
    hint = canny(picture)
    moved, far = np.roll(hint, 1, axis=1), np.roll(hint, 9, axis=1)
    assert compare("edges", moved, hint)[0].value == 1
    assert compare("edges", far, hint)[0].value < 0.8


def test_soft_edges_are_cut_in_the_middle() -> None:
    soft, strong = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    soft[:, 10], soft[:, 40] = 127, 128
    strong[:, 40] = 255
    f1, precision, recall, paired, _ = compare("edges", soft, strong)
    assert (f1.value, precision.value, recall.value, paired.value) == (1, 1, 1, 1)


EMPTY = {
    "edges": np.full((32, 40, 3), 127, np.uint8),
    "depth": np.full((32, 40, 3), 90, np.uint8),
    "normals": np.zeros((32, 40, 3), np.uint8),
    "segmentation": np.zeros((32, 40, 3), np.uint8),
    "picture": np.full((32, 40, 3), (9, 200, 30), np.uint8),
    "colours": np.zeros((32, 40, 3), np.uint8),
    "points": np.full((32, 40, 3), 127, np.uint8),
    "pose": Pose((Person((None,) * 18),), (64, 64)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_beside_a_hint_that_asks_for_nothing_no_picture_counts(kind: str) -> None:
    """Neither where nothing was found, which would be full agreement, nor where much was."""
    empty, full = EMPTY[kind], _hint(0, kind)
    assert asks_nothing(kind, empty)
    assert not asks_nothing(kind, full)
    for found in (empty, full):
        figures = compare(kind, found, empty)
        assert figures
        assert all(math.isnan(figure.value) for figure in figures)
    assert not math.isnan(compare(kind, empty, full)[0].value)


def test_an_inpaint_hint_that_masks_all_asks_for_nothing() -> None:
    hint = np.full((32, 40, 3), -1, np.float32)
    assert asks_nothing("picture", hint)
    hint[:16, :, 0], hint[:16, :, 1:] = 0.3, 0.6
    assert asks_nothing("picture", hint)
    hint[0, 0] = 0
    assert not asks_nothing("picture", hint)


def test_what_an_inpaint_hint_masks_is_free() -> None:
    hint = np.random.default_rng(0).uniform(0, 1, (32, 32, 3)).astype(np.float32)
    picture = hint.copy()
    hint[8:24, 8:24] = -1
    assert [figure.value for figure in compare("picture", picture, hint)][1] == 0


def test_precision_and_recall() -> None:
    wanted, found = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    wanted[:, 4] = True
    found[:, 5] = found[:, 15] = True
    assert edge_agreement(found, wanted, 1) == pytest.approx((2 / 3, 0.5, 1))
    nothing = np.zeros_like(wanted)
    assert edge_agreement(nothing, wanted, 1) == (0, 0, 0)
    assert edge_agreement(nothing, nothing, 1) == (1, 1, 1)


def test_paired_off_a_pixel_counts_once() -> None:
    """Three columns near one: each may count by it, but only one of them has it for itself."""
    wanted, found = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    wanted[:, 5] = True
    found[:, 4:7] = True
    assert edge_agreement(found, wanted, 1).f1 == 1
    assert paired_f1(found, wanted, 1.4) == pytest.approx(2 * 20 / (60 + 20))
    nothing = np.zeros_like(wanted)
    assert paired_f1(nothing, wanted, 1) == 0
    assert paired_f1(nothing, nothing, 1) == 1


@pytest.mark.parametrize("distance", [1, 1.4, 2.3, 40])
def test_as_many_are_paired_off_as_can_be(distance: float) -> None:
    """Beside an assignment of all to all, where a pair that is too far costs 1."""
    draw = np.random.default_rng(0)
    for shape in ((9, 13), (1, 30), (12, 12)):
        found, wanted = draw.random(shape) < 0.4, draw.random(shape) < 0.3
        far = cdist(np.argwhere(found), np.argwhere(wanted)) > distance
        pairs = (~far[linear_sum_assignment(far)]).sum()
        expected = 2 * pairs / (found.sum() + wanted.sum())
        assert paired_f1(found, wanted, distance) == pytest.approx(expected)
        assert paired_f1(wanted, found, distance) == pytest.approx(expected)


def test_areas_are_not_paired_off(monkeypatch: pytest.MonkeyPatch) -> None:
    area = np.ones((30, 30), bool)
    assert paired_f1(area, area, 2) == 1
    monkeypatch.setattr(edges, "MAX_PAIRS", 1000)
    assert math.isnan(paired_f1(area, area, 2))
    with pytest.raises(UserError, match="differ in size"):
        paired_f1(area, area[:9], 2)


def test_the_tolerance_grows_with_the_picture() -> None:
    assert [tolerance_at(side, side) for side in (64, 128, 512, 1024)] == [1, 1, 5, 11]


@pytest.mark.parametrize("by", [0, 1, 3])
def test_widening_is_dilation_by_a_square(by: int) -> None:
    mask = np.random.default_rng(by).random((17, 9)) > 0.9
    square = np.ones((2 * by + 1, 2 * by + 1), bool)
    np.testing.assert_array_equal(widened(mask, by), binary_dilation(mask, square))


def test_means_leave_out_what_has_no_meaning() -> None:
    rows = [
        (Figure("PCK@0.1", 1.0, True), Figure("extra people", 0.0, False)),
        (Figure("PCK@0.1", math.nan, True), Figure("extra people", 3.0, False)),
        (Figure("PCK@0.1", 0.5, True), Figure("extra people", 0.0, False)),
    ]
    joints, extra = means(rows)
    assert (joints.name, joints.value, joints.count) == ("PCK@0.1", 0.75, 2)
    assert joints.deviation == pytest.approx(math.sqrt(2 * 0.25**2))
    assert (extra.value, extra.count, extra.higher_is_better) == (1.0, 3, False)
    assert means([]) == ()
    (alone,) = means([(Figure("SSIM", 0.4, True),)])
    assert alone.value == 0.4
    assert math.isnan(alone.deviation)
