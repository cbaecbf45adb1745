"""Detectors: anchors, what boxes mean, and which of them are one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.preprocessors.mediapipe import detection
from controlstack.preprocessors.mediapipe.detection import FACES, PEOPLE, Found, anchors
from controlstack.preprocessors.mediapipe.squares import Scene, Square

CPU = torch.device("cpu")


def found(left: float, top: float, side: float, score: float) -> Found:
    box = np.array([[left, top], [left + side, top + side]])
    return Found(box, box.copy(), score)


@pytest.mark.parametrize(("detector", "side", "count"), [(PEOPLE, 224, 2254), (FACES, 128, 896)])
def test_there_are_as_many_anchors_as_the_networks_have_boxes(
    detector: detection.Detector, side: int, count: int
) -> None:
    """num_boxes of pose_detection_cpu.pbtxt and face_detection_short_range.pbtxt."""
    points = anchors(detector.strides, side)
    assert points.shape == (count, 2)
    assert points[0] == pytest.approx((4 / side, 4 / side))
    assert points[2] == pytest.approx((12 / side, 4 / side)), "row by row, two in each cell"
    last = 1 - detector.strides[-1] / side / 2
    assert points[-1] == pytest.approx((last, last))


class Says:
    """A detector that is sure of one anchor and has its numbers."""

    side = 128

    def __init__(self, anchor: int, score: float) -> None:
        self.anchor, self.score = anchor, score

    def __call__(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        boxes = torch.zeros(len(pictures), 896, 16)
        scores = torch.full((len(pictures), 896, 1), -200.0)
        boxes[:, self.anchor, :6] = torch.tensor([6.4, -12.8, 25.6, 12.8, 64.0, 0.0])
        scores[:, self.anchor] = self.score
        return {"boxes": boxes, "scores": scores}


def test_a_box_is_read_from_its_anchor_in_the_picture() -> None:
    scene = Scene(np.zeros((200, 200, 3), np.uint8))
    network = Says(anchor=2 * (16 * 8 + 8), score=0.0)  # the cell right and below of the middle
    (one,) = detection.detect(scene, [Square(100, 100, 200)], network, FACES, CPU, 0.5)
    middle = np.array([8.5 / 16, 8.5 / 16]) * 200
    assert one.score == pytest.approx(0.5)
    assert one.middle == pytest.approx(middle + np.array((10, -20)))
    assert one.box[1] - one.box[0] == pytest.approx((40, 20))
    assert one.points[0] == pytest.approx(middle + np.array((100, 0)))
    assert not detection.detect(scene, [Square(100, 100, 200)], network, FACES, CPU, 0.51)


def test_a_box_of_a_turned_square_is_turned_back() -> None:
    scene = Scene(np.zeros((200, 200, 3), np.uint8))
    square = Square(100, 100, 200, np.pi / 2)
    (one,) = detection.detect(scene, [square], Says(2 * (16 * 8 + 8), 0.0), FACES, CPU, 0.5)
    assert one.middle == pytest.approx((100 - 6.25 + 20, 100 + 6.25 + 10))
    assert one.box[1] - one.box[0] == pytest.approx((20, 40))


def test_boxes_that_overlap_are_one_between_them() -> None:
    """The mean, weighted by score; the score is the surest one's."""
    (one, far) = detection.merged(
        [found(10, 0, 100, 0.3), found(0, 0, 100, 0.9), found(300, 0, 9, 0.5)]
    )
    assert one.score == 0.9
    assert one.box[0] == pytest.approx((2.5, 0))
    assert far.score == 0.5


def test_boxes_side_by_side_are_two() -> None:
    assert detection.overlap(found(0, 0, 10, 1).box, found(10, 0, 10, 1).box) == 0
    assert detection.overlap(found(0, 0, 10, 1).box, found(5, 0, 10, 1).box) == pytest.approx(1 / 3)
    assert len(detection.merged([found(0, 0, 10, 0.9), found(6, 0, 10, 0.8)])) == 2


@pytest.mark.parametrize("size", [(512, 512), (300, 1200), (1200, 300), (1, 1)])
def test_the_views_cover_the_picture(size: tuple[int, int]) -> None:
    height, width = size
    scene = Scene(np.zeros((*size, 3), np.uint8))
    whole, *others = detection.views(scene)
    assert (whole.x, whole.y, whole.side) == (width / 2, height / 2, max(size))
    upright = [view for view in others if view.angle == 0]
    assert len(others) - len(upright) == 3
    for sought in np.random.default_rng(0).uniform(0, 1, (50, 2)) * (width, height):
        assert any(np.abs(sought - (v.x, v.y)).max() <= v.side / 2 + 1e-9 for v in upright)


def test_damaged_weights_are_said() -> None:
    scene = Scene(np.zeros((9, 9, 3), np.uint8))
    network = Says(0, float("nan"))
    with pytest.raises(UserError, match="MediaPipe's network gave no finite numbers"):
        detection.detect(scene, [Square(4, 4, 9)], network, FACES, CPU, 0.5)
