"""Bodies from maps: joints where they are, each to its own person, as controlnet-aux finds them."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.preprocessors.learned.networks import annotators
from controlstack.preprocessors.learned.openpose_bodies import EARS, bodies
from controlstack.preprocessors.learned.openpose_bodies import FIELDS as OUR_FIELDS
from controlstack.preprocessors.learned.openpose_maps import Reading, reading
from controlstack.preprocessors.pose.body import LIMBS

STANDING = np.array([
    (0.50, 0.12), (0.50, 0.25), (0.40, 0.25), (0.35, 0.40), (0.33, 0.54), (0.60, 0.25),
    (0.65, 0.40), (0.67, 0.54), (0.43, 0.55), (0.42, 0.73), (0.41, 0.91), (0.57, 0.55),
    (0.58, 0.73), (0.59, 0.91), (0.47, 0.10), (0.53, 0.10), (0.43, 0.12), (0.57, 0.12),
])  # fmt: skip
"""A person in parts of a box, in OpenPose's order: nose, neck, right arm, left arm, right leg, left
leg, right and left eye, right and left ear."""

FIELDS = {
    (1, 8): 0, (8, 9): 2, (9, 10): 4, (1, 11): 6, (11, 12): 8, (12, 13): 10, (1, 2): 12,
    (2, 3): 14, (3, 4): 16, (2, 16): 18, (1, 5): 20, (5, 6): 22, (6, 7): 24, (5, 17): 26,
    (1, 0): 28, (0, 14): 30, (0, 15): 32, (14, 16): 34, (15, 17): 36,
}  # fmt: skip
"""A limb's two joints and the first of its two maps: `POSE_COCO_PAIRS` and `POSE_COCO_MAP_IDX` of
OpenPose's poseParameters, less the 19 heat maps before them."""


def person(left: float, top: float, width: float, height: float) -> np.ndarray:
    """STANDING in a box, 18 x 2 in pixels."""
    return STANDING * (width, height) + (left, top)


def maps(
    people: list[np.ndarray], picture: tuple[int, int], seen: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """What a perfect network says of a picture (height, width) that it saw at the size `seen`.

    As OpenPose is trained: bumps of 7 pixels around joints and unit vectors along limbs, in the
    middles of cells of 8 x 8 pixels.
    """
    cells = [-(-side // 8) for side in seen]
    y, x = (np.mgrid[: cells[0], : cells[1]] + 0.5) * 8 - 0.5
    heat = np.zeros((19, *cells), np.float32)
    fields = np.zeros((38, *cells), np.float32)
    for joints in people:
        scale = np.array([seen[1] / picture[1], seen[0] / picture[0]])
        points = (joints + 0.5) * scale - 0.5
        for joint, (px, py) in enumerate(points):
            bump = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 7**2))
            heat[joint] = np.maximum(heat[joint], bump)
        for (start, end), channel in FIELDS.items():
            way = points[end] - points[start]
            length = float(np.hypot(*way))
            way = way / length
            along = (x - points[start, 0]) * way[0] + (y - points[start, 1]) * way[1]
            aside = (x - points[start, 0]) * way[1] - (y - points[start, 1]) * way[0]
            on = (along > -8) & (along < length + 8) & (np.abs(aside) < 8)
            fields[channel][on], fields[channel + 1][on] = way
    return heat, fields


def seen_at(picture: tuple[int, int]) -> tuple[int, int]:
    """A picture's size, height first, when it is 184 pixels high."""
    return 184, int(184 * picture[1] / picture[0])


class Says(torch.nn.Module):
    """A network that says the maps it was given, whatever it sees."""

    def __init__(self, heat: np.ndarray, fields: np.ndarray) -> None:
        super().__init__()
        self.said = torch.from_numpy(fields)[None], torch.from_numpy(heat)[None]
        self.device = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pixels: torch.Tensor) -> Any:
        return self.said


def controlnet_aux_bodies(
    heat: np.ndarray, fields: np.ndarray, picture: tuple[int, int]
) -> list[np.ndarray]:
    """The bodies that controlnet-aux's own detector finds in the same maps, 18 x 2 each."""
    body = annotators("open_pose.body").Body
    detector = body.__new__(body)
    detector.model = Says(heat, fields)
    found = body.format_body_result(*detector(np.zeros((*picture, 3), np.uint8)))
    return [
        np.array([(np.nan, np.nan) if point is None else point[:2] for point in one.keypoints])
        for one in found
    ]


def test_every_limb_has_its_own_field() -> None:
    """Bodies are held together more than once, and would hide a wrong one."""
    limbs = [(start - 1, end - 1) for start, end in LIMBS + EARS]
    assert dict(zip(limbs, OUR_FIELDS, strict=True)) == FIELDS


CROWD = {
    "one, wide": ((368, 640), [person(200, 20, 200, 330)]),
    "one, tall": ((640, 300), [person(30, 100, 240, 480)]),
    "large": ((1024, 768), [person(100, 50, 500, 900)]),
    "small": ((150, 200), [person(40, 10, 90, 130)]),
    "three": (
        (400, 800),
        [person(20, 30, 220, 350), person(290, 60, 200, 300), person(560, 20, 210, 370)],
    ),
}


@pytest.mark.parametrize("name", CROWD)
def test_every_joint_is_found_within_a_pixel(name: str) -> None:
    """Of 512: a network that is shown 184 lines knows no more about larger pictures."""
    picture, people = CROWD[name]
    pixel = max(1, picture[0] / 512)
    seen = seen_at(picture)
    found = bodies(*maps(people, picture, seen), reading(seen, picture))
    assert len(found) == len(people)
    for joints in people:
        nearest = min(found, key=lambda body: np.abs(body - joints).sum())
        assert np.abs(nearest - joints).max() <= pixel


@pytest.mark.parametrize("name", [name for name in CROWD if name != "large"])
def test_they_are_the_bodies_that_controlnet_aux_finds(name: str) -> None:
    picture, people = CROWD[name]
    seen = seen_at(picture)
    heat, fields = maps(people, picture, seen)
    noise = np.random.default_rng(0)
    heat += noise.normal(0, 0.02, heat.shape).astype(np.float32)
    fields += noise.normal(0, 0.02, fields.shape).astype(np.float32)
    ours = bodies(heat, fields, reading(seen, picture))
    theirs = controlnet_aux_bodies(heat, fields, picture)
    assert len(ours) == len(theirs) == len(people)
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one, other, equal_nan=True)


def test_a_hidden_joint_is_not_found_and_the_rest_holds() -> None:
    picture, people = CROWD["one, wide"]
    heat, fields = maps(people, picture, seen_at(picture))
    left_knee, left_ankle = 12, 13
    heat[left_knee] = 0
    (body,) = bodies(heat, fields, reading(seen_at(picture), picture))
    # Nothing leads to the ankle without the knee.
    missing = np.flatnonzero(np.isnan(body).any(axis=1))
    assert missing.tolist() == [left_knee, left_ankle]


def test_three_joints_are_nobody() -> None:
    picture, people = CROWD["one, wide"]
    heat, fields = maps(people, picture, seen_at(picture))
    heat[5:] = 0
    heat[0:2] = 0  # the right arm is left
    assert bodies(heat, fields, reading(seen_at(picture), picture)) == []


def test_no_heat_is_nobody() -> None:
    heat, fields = np.zeros((19, 23, 30), np.float32), np.ones((38, 23, 30), np.float32)
    assert bodies(heat, fields, reading((184, 240), (200, 261))) == []


@given(seed=st.integers(0, 10**6), height=st.integers(1, 300), width=st.integers(1, 300))
@settings(max_examples=5, deadline=None)
def test_noise_ends_in_bodies_of_the_picture(seed: int, height: int, width: int) -> None:
    """Maxima everywhere: where three bodies share a limb, controlnet-aux raises an IndexError."""
    noise = np.random.default_rng(seed)
    heat = noise.random((19, 23, 23), dtype=np.float32) * 2
    fields = noise.normal(0, 1, (38, 23, 23)).astype(np.float32)
    for body in bodies(heat, fields, reading((184, 184), (height, width))):
        found = body[~np.isnan(body).any(axis=1)]
        assert ((found >= 0) & (found < (width, height))).all()


def test_single_pixels_are_those_of_the_whole_map() -> None:
    cells = np.random.default_rng(0).normal(size=(23, 31)).astype(np.float32)
    read: Reading = reading((184, 243), (150, 198))
    y, x = np.array([0, 149, 70]), np.array([0, 197, 3])
    assert np.allclose(read.at(cells, y, x), read.whole(cells)[y, x], atol=1e-5)


def test_cells_are_read_where_their_middles_are() -> None:
    """Cell i is about pixels 8 i to 8 i + 7: the mean of a ramp stays the same ramp."""
    ramp = np.tile((np.arange(23, dtype=np.float32) * 8 + 3.5), (23, 1))
    whole = reading((184, 184), (184, 184)).whole(ramp)
    assert np.allclose(whole[:, 40:140], np.arange(40, 140), atol=0.3)
