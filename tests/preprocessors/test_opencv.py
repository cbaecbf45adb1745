"""A machine without OpenCV is told what to install, when a hint first needs it."""

import sys

import numpy as np
import pytest

from controlstack.ground.errors import UserError
from controlstack.preprocessors.canny import canny
from controlstack.preprocessors.pose.draw import draw_pose


@pytest.fixture
def no_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)  # what Python itself takes for "not there"


@pytest.mark.usefixtures("no_opencv")
def test_without_opencv_the_sentence_names_the_package() -> None:
    with pytest.raises(UserError, match="pip install opencv-python-headless"):
        canny(np.zeros((8, 8, 3), np.uint8))
    person = {"people": [{"pose_keypoints_2d": [0.5, 0.5, 1] * 18}]}
    with pytest.raises(UserError, match="pip install opencv-python-headless"):
        draw_pose(person, 8, 8)
