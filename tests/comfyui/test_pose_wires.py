"""POSE_KEYPOINT wires of the core's SDPose: what it gives is read, and what we give it draws."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from controlstack.preprocessors.pose.people import (
    Joint,
    parse_keypoints,
    parse_poses,
    to_keypoints,
)

WIDTH, HEIGHT = 320, 256


@pytest.fixture
def sdpose(comfy: ModuleType) -> Any:
    """The module of the core's nodes."""
    return pytest.importorskip(
        "comfy_extras.nodes_sdpose", reason="this ComfyUI is older than SDPose"
    )


def test_what_sdpose_finds_is_read_with_its_feet(sdpose: Any) -> None:
    """133 points of COCO-WholeBody with a score each, as its network gives them."""
    rng = np.random.default_rng(0)
    places = rng.uniform(10, 250, (133, 2)).astype(np.float32)
    scores = rng.uniform(0.4, 1, 133).astype(np.float32)
    scores[0] = 0.1  # the nose
    frames = sdpose._to_openpose_frames([[places], []], [[scores], []], HEIGHT, WIDTH)
    first, second = parse_keypoints(frames)
    assert (first.canvas, second.people) == ((WIDTH, HEIGHT), ())
    (person,) = first.people

    def near(joint: Joint | None, place: Any) -> bool:
        return joint is not None and np.allclose((joint.x, joint.y), place)

    assert person.body[0] is None
    assert near(person.body[1], (places[5] + places[6]) / 2)
    assert near(person.body[4], places[10])
    assert all(map(near, person.feet, places[17:23]))
    assert all(map(near, person.face, places[23:91]))
    # COCO-WholeBody has the left hand first; the core names it the right one, and is followed.
    assert all(map(near, person.right_hand, places[91:112]))
    assert all(map(near, person.left_hand, places[112:133]))


def test_what_we_give_it_draws(sdpose: Any) -> None:
    body = [n for i in range(18) for n in (20.0 + 12 * i, 20 + 10 * i, 1)]
    frame = {
        "people": [{"pose_keypoints_2d": body}],
        "canvas_width": WIDTH,
        "canvas_height": HEIGHT,
    }
    given = [to_keypoints(pose) for pose in parse_poses([frame, {**frame, "people": []}])]
    settings: dict[str, Any] = {
        **dict.fromkeys(("draw_body", "draw_hands", "draw_face", "draw_feet", "draw_head"), True),
        **{"stick_width": 4, "face_point_size": 3, "score_threshold": 0.3},
    }
    (drawn,) = sdpose.SDPoseDrawKeypoints.execute(given, **settings).args
    assert drawn.shape == (2, HEIGHT, WIDTH, 3)
    for i in range(18):
        assert drawn[0, 20 + 10 * i, 20 + 12 * i].any()
    assert not drawn[1].any()
