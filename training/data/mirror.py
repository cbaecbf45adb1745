"""What a mirror changes in a hint beside the places: left and right, of people and of surfaces."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt

from ...preprocessors.opencv import opencv
from ...preprocessors.pose.body import COLOURS, LIMB_BRIGHTNESS, LIMBS
from ...preprocessors.pose.hands_and_face import BONE_COLOURS, FACE_POINT, HAND_POINT
from ...preprocessors.pose.people import JOINTS, Person, Points, Pose

FACE_MIRROR = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65, 69, 68,
)  # fmt: skip
"""Which point of a face stands where in a mirror: jaw, brows, nose, eyes, mouth, pupils. Read off
iBUG's numbering, https://ibug.doc.ic.ac.uk/resources/facial-point-annotations/"""

BINS = 64
"""Steps of each channel in the table of colours: hands have colours 8 apart from the body's."""


def _other_side(joint: str) -> str:
    side, _, part = joint.partition(" ")
    return f"{'left' if side == 'right' else 'right'} {part}" if part else joint


JOINT_MIRROR = tuple(JOINTS.index(_other_side(joint)) for joint in JOINTS)
"""Which of JOINTS stands where in a mirror."""

LIMB_MIRROR = tuple(
    LIMBS.index((JOINT_MIRROR[start - 1] + 1, JOINT_MIRROR[end - 1] + 1)) for start, end in LIMBS
)
"""Which of LIMBS stands where in a mirror."""

Colours = npt.NDArray[np.float32]


def mirrored_pose(pose: Pose, width: float) -> Pose:
    """`pose`, in pixels of a picture `width` wide, as its mirror image shows it: what was a right
    arm is a left one.
    """

    def turned(points: Points, order: tuple[int, ...] | range) -> Points:
        moved = [point and replace(point, x=width - point.x) for point in points]
        return tuple(moved[i] for i in order)

    people = tuple(
        Person(
            turned(person.body, JOINT_MIRROR),
            turned(person.right_hand, range(len(person.right_hand))),
            turned(person.left_hand, range(len(person.left_hand))),
            turned(person.face, FACE_MIRROR),
            turned(person.feet, (3, 4, 5, 0, 1, 2)),
        )
        for person in pose.people
    )
    return Pose(people, pose.canvas, pose.fractions)


def swapped_sides(skeletons: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A picture of skeletons (uint8 RGB, H x W x 3) with the colours of left and right exchanged,
    as its mirror image needs them.

    Each pixel has the colour that is nearest to it exchanged and keeps how bright it is beside
    that. Exact for pictures drawn in style v1.1; where v1.0 blends limbs over others, and where
    JPEG blurs hands, colours are near. Knees and the points of hands share a colour and are told
    apart by what touches them.
    """
    nearest = _nearest_colour()[tuple(np.moveaxis(skeletons // (256 // BINS), 2, 0))]
    colours, others = _colour_pairs()
    changed = others[nearest] != nearest
    changed &= ~_on_hands(nearest)
    before = colours[nearest[changed]].max(axis=1, keepdims=True)
    brightness = skeletons[changed].max(axis=1, keepdims=True) / before
    result = skeletons.copy()
    result[changed] = np.rint(colours[others[nearest[changed]]] * brightness).clip(0, 255)
    return result


def swapped_faces(faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A picture of MediaPipe's faces (uint8 RGB, H x W x 3) with the colours of left and right
    exchanged: those of one side are the other's with red and blue exchanged, and what lies in the
    middle has as much of both.
    """
    return np.ascontiguousarray(faces[..., ::-1])


def turned_normals(normals: npt.NDArray[np.uint8], channel: int) -> npt.NDArray[np.uint8]:
    """A normal map (uint8 RGB, H x W x 3) whose `channel` says left, with it saying right.

    Black pixels are no normals and stay black.
    """
    result = normals.copy()
    result[..., channel] = 255 - normals[..., channel]
    result[~normals.any(axis=2)] = 0
    return result


@cache
def _colour_pairs() -> tuple[Colours, npt.NDArray[np.intp]]:
    """All colours of skeletons (n, 3), and which of them each becomes (n,).

    Joints, then limbs, then lines of hands, white and black.
    """
    limbs = [[int(LIMB_BRIGHTNESS * c) for c in COLOURS[i]] for i in range(len(LIMBS))]
    every = [*COLOURS, *limbs, *BONE_COLOURS, FACE_POINT, (0, 0, 0)]
    others = list(range(len(every)))
    others[: len(JOINTS)] = JOINT_MIRROR
    others[len(JOINTS) : len(JOINTS) + len(LIMBS)] = [len(JOINTS) + i for i in LIMB_MIRROR]
    return np.array(every, np.float32), np.array(others)


@cache
def _nearest_colour() -> npt.NDArray[np.intp]:
    """The number of the colour that is nearest to each, BINS a channel; the first of equal ones."""
    middles = np.arange(BINS, dtype=np.float32) * (256 / BINS) + (256 / BINS - 1) / 2
    grid = np.stack(np.meshgrid(middles, middles, middles, indexing="ij"), axis=-1)
    colours, _ = _colour_pairs()
    best = np.zeros(grid.shape[:3], np.intp)
    least = np.full(grid.shape[:3], np.inf, np.float32)
    for number, colour in enumerate(colours):
        distance = ((grid - colour) ** 2).sum(axis=-1)
        nearer = distance < least
        best[nearer], least[nearer] = number, distance[nearer]
    return best


def _on_hands(nearest: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Where (H x W) a joint's colour belongs to a hand: its points are blue as a left knee, one of
    its lines is cyan as a right one. Patches of these colours that touch other lines of a hand do.
    """
    shared = np.isin(nearest, [COLOURS.index(colour) for colour in (HAND_POINT, *BONE_COLOURS)
                               if colour in COLOURS])  # fmt: skip
    first = len(COLOURS) + len(LIMBS)
    of_hand = (nearest >= first) & (nearest < first + len(BONE_COLOURS))
    if not of_hand.any():
        return of_hand
    cv2 = opencv()
    _, patches = cv2.connectedComponents(shared.astype(np.uint8), connectivity=8)
    near = cv2.dilate(of_hand.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    touching = np.unique(patches[near & shared])
    return shared & np.isin(patches, touching)
