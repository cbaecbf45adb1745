"""Pictures, normals and label maps: known pairs, and torchmetrics beside ours."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from controlstack.evaluation.normals import normal_agreement
from controlstack.evaluation.pictures import colour_intersection, rmse, ssim
from controlstack.evaluation.segmentation import (
    labels_of,
    mean_iou,
    overlap,
    pixel_accuracy,
)
from controlstack.preprocessors.labels import UNLABELLED, color_labels


def _pair() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    one = generator.uniform(0, 1, (24, 30, 3))
    return one, np.clip(one + generator.normal(0, 0.2, one.shape), 0, 1)


def test_ssim_is_that_of_torchmetrics() -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    one, other = _pair()
    _, theirs = structural_similarity_index_measure(
        *(torch.from_numpy(p).permute(2, 0, 1)[None] for p in (one, other)),
        data_range=1.0,
        return_full_image=True,
    )
    # Theirs has windows over the border, too, on mirrored pictures; the original has none.
    assert ssim(one, other) == pytest.approx(float(theirs[..., 5:-5, 5:-5].mean()), abs=1e-6)
    assert ssim(one, one) == pytest.approx(1)
    assert ssim(other, one) == pytest.approx(ssim(one, other))


def test_what_is_masked_does_not_count() -> None:
    one, other = _pair()
    asked = np.zeros(one.shape[:2], bool)
    asked[:, :10] = True
    spoilt = other.copy()
    spoilt[:, 20:] = 0  # out of reach of the windows of what is asked
    assert ssim(one, spoilt, asked) == ssim(one, other, asked)
    assert rmse(one, spoilt, asked) == rmse(one, other, asked)
    assert rmse(one, spoilt) > rmse(one, other)
    nothing = np.zeros_like(asked)
    assert math.isnan(ssim(one, other, nothing))
    assert math.isnan(rmse(one, other, nothing))


def test_rmse_of_a_known_pair() -> None:
    one = np.zeros((2, 2, 3))
    other = one.copy()
    other[0, 0] = 1
    assert rmse(one, other) == 0.5


def test_a_picture_smaller_than_the_window_has_no_ssim() -> None:
    assert math.isnan(ssim(np.zeros((10, 40, 3)), np.zeros((10, 40, 3))))


def test_colours_count_wherever_they_are() -> None:
    left = np.zeros((4, 4, 3))
    left[:, :2] = (1, 0, 0)
    assert colour_intersection(left, left[:, ::-1]) == 1
    quarter = np.zeros((8, 2, 3))  # another size
    quarter[:2] = (1, 0, 0)
    assert colour_intersection(quarter, left) == 0.75
    assert colour_intersection(np.ones((2, 2, 3)), left) == 0


def _turned(degrees: float) -> np.ndarray:
    """A map of surfaces that face the viewer (blue), turned to the left (red)."""
    angle = math.radians(degrees)
    normal = np.array([math.sin(angle), 0, math.cos(angle)])
    return np.broadcast_to((normal + 1) / 2, (4, 4, 3)).copy()


@pytest.mark.parametrize(("degrees", "close"), [(0, 1), (11, 1), (12, 0), (90, 0), (180, 0)])
def test_normals_by_their_angle(degrees: float, close: float) -> None:
    found = normal_agreement(_turned(degrees), _turned(0))
    assert found.mean_angle == pytest.approx(degrees, abs=1e-4)
    assert found.close == close


def test_bars_around_a_normal_map_do_not_count() -> None:
    wanted, found = _turned(0), _turned(0)
    found[0] = _turned(60)[0]
    assert normal_agreement(found, wanted).mean_angle == pytest.approx(15)
    wanted[0] = 0
    assert normal_agreement(found, wanted).mean_angle == pytest.approx(0, abs=1e-4)
    assert math.isnan(normal_agreement(found, np.zeros_like(wanted)).mean_angle)


def test_every_label_comes_back_from_its_colour() -> None:
    labels = np.arange(150, dtype=np.uint8).reshape(10, 15)
    back = labels_of(color_labels(labels))
    assert np.argwhere(back != labels).tolist() == [[3, 3]]  # class 48, which has the colour of 6
    assert back[3, 3] == 6


def test_a_colour_near_one_of_the_palette_is_that_one() -> None:
    hint = np.array([[[118, 123, 121], [0, 3, 1], [6, 228, 231]]], np.uint8)
    assert labels_of(hint).tolist() == [[0, UNLABELLED, 2]]  # wall, black, sky


def test_iou_of_known_labels() -> None:
    wanted = np.array([[0, 0, 1, 1], [0, 0, 1, UNLABELLED]], np.uint8)
    found = np.array([[0, 0, 0, 1], [0, 2, 1, 5]], np.uint8)
    # Wall: 3 of 5. Building: 2 of 3. Sky, found and not wanted: 0 of 1. What is unlabelled is free.
    assert mean_iou([overlap(found, wanted)]) == pytest.approx((3 / 5 + 2 / 3 + 0) / 3)
    assert pixel_accuracy(found, wanted) == pytest.approx(5 / 7)
    assert mean_iou([overlap(wanted, wanted)]) == 1


def test_iou_of_a_set_adds_up_before_it_divides() -> None:
    wall, sky = np.zeros((1, 4), np.uint8), np.full((1, 4), 2, np.uint8)
    half = np.array([[0, 0, 2, 2]], np.uint8)
    together = mean_iou([overlap(wall, wall), overlap(half, wall)])
    assert together == pytest.approx((6 / 8 + 0 / 2) / 2)
    assert mean_iou([overlap(sky, wall)]) == 0


def test_an_unlabelled_map_asks_for_nothing() -> None:
    nothing = np.full((2, 2), UNLABELLED, np.uint8)
    assert math.isnan(mean_iou([overlap(np.zeros((2, 2), np.uint8), nothing)]))
    assert math.isnan(pixel_accuracy(np.zeros((2, 2), np.uint8), nothing))
