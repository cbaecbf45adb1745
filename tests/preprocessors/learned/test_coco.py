"""COCO's joints under OpenPose's numbers, against the two published lists of names."""

import numpy as np

from controlstack.preprocessors.learned.coco import COCO, from_coco
from controlstack.preprocessors.pose.people import Joint

COCO_LABELS = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
]  # fmt: skip
"""`keypoints` of the category person in COCO's person_keypoints_val2017.json."""

OPENPOSE_PARTS = [
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "RHip",
    "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar",
]  # fmt: skip
"""`POSE_COCO_BODY_PARTS` of OpenPose."""

POINTS = np.array([[10.0 * i, 100.0 + i] for i in range(17)])


def _openpose_name(label: str) -> str:
    side, _, part = label.rpartition("_")
    return side[:1].upper() + part.capitalize()


def test_every_joint_stands_where_openpose_has_it() -> None:
    body = from_coco(POINTS, np.ones(17), 0.3).body
    assert [name.replace(" ", "_") for name in COCO] == COCO_LABELS
    for i, label in enumerate(COCO_LABELS):
        place = OPENPOSE_PARTS.index(_openpose_name(label))
        assert body[place] == Joint(*POINTS[i]), label


def test_the_neck_is_the_middle_of_the_shoulders() -> None:
    left, right = COCO_LABELS.index("left_shoulder"), COCO_LABELS.index("right_shoulder")
    points = np.zeros((17, 2))
    points[left], points[right] = (30, 10), (20, 14)
    neck = from_coco(points, np.ones(17), 0.3).body[OPENPOSE_PARTS.index("Neck")]
    assert neck == Joint(25, 12)


def test_no_neck_without_both_shoulders() -> None:
    for missing in ("left_shoulder", "right_shoulder"):
        scores = np.ones(17)
        scores[COCO_LABELS.index(missing)] = 0.2
        body = from_coco(POINTS, scores, 0.3).body
        found = {name for name, joint in zip(OPENPOSE_PARTS, body, strict=True) if joint}
        assert set(OPENPOSE_PARTS) - found == {"Neck", _openpose_name(missing)}


def test_a_score_at_the_threshold_is_enough_and_a_point_nowhere_is_none() -> None:
    scores = np.linspace(0, 1.6, 17)
    points = POINTS.copy()
    points[16] = np.nan, 5
    body = from_coco(points, scores, scores[11]).body
    found = {name for name, joint in zip(OPENPOSE_PARTS, body, strict=True) if joint}
    assert found == {"LHip", "RHip", "LKnee", "RKnee", "LAnkle"}


def test_a_coco_person_has_no_hands_and_no_face() -> None:
    person = from_coco(POINTS, np.ones(17), 0.3)
    assert not any((*person.left_hand, *person.right_hand, *person.face))
