"""The whole body of people in photos: what is found where, by the networks as they ship.

How exact the joints are is measured in tests/preprocessors/test_pose_photos.py.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.preprocessors import model_choice, weights
from controlstack.preprocessors.making import Loaded, Sizing, make
from controlstack.preprocessors.mediapipe import bodies, hands
from controlstack.preprocessors.mediapipe.bodies import BLAZEPOSE, Body, Head
from controlstack.preprocessors.mediapipe.hands import Hand
from controlstack.preprocessors.mediapipe.pose_body import POSE_BODY
from controlstack.preprocessors.mediapipe.squares import Square
from controlstack.preprocessors.picture import Bytes
from controlstack.preprocessors.pose.people import JOINTS, Person, Pose, to_json, to_keypoints
from controlstack.preprocessors.ready import InFolders, hint_maker, load, require
from controlstack.training.data.condition import Condition
from tests.checkout import ROOT

PHOTOS = ROOT / "tests" / "photos"
WHOLE = "park_jack"
"""One person from head to feet, arms and legs apart."""


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load(POSE_BODY, "", InFolders([Path("nowhere")]))


def photo(name: str = WHOLE) -> Bytes:
    with Image.open(PHOTOS / f"{name}.jpg") as image:
        return np.asarray(image.convert("RGB"))


def pose_of(loaded: Loaded, picture: Bytes, **settings: float) -> Pose:
    made = make(POSE_BODY, picture, POSE_BODY.settings(settings), Sizing(), loaded)
    assert made.pose is not None
    assert bool(made.pose.people) == bool(np.any(made.hint))
    return made.pose


def points(person: Person) -> np.ndarray:
    """18 x 2, NaN where a joint was not found."""
    return np.array([(p.x, p.y) if p else (np.nan, np.nan) for p in person.body])


def one(loaded: Loaded, picture: Bytes) -> np.ndarray:
    """The joints of the one person in a picture."""
    (person,) = pose_of(loaded, picture).people
    return points(person)


def test_all_joints_are_found_and_say_how_sure_they_are(loaded: Loaded) -> None:
    (person,) = pose_of(loaded, photo()).people
    assert all(person.body)
    sure = [p.confidence for p in person.body if p]
    assert all(0.3 <= value <= 1 for value in sure)
    assert len({round(value, 6) for value in sure}) > 10, "each joint its own"
    neck, right, left = (person.body[JOINTS.index(name)] for name in (
        "neck", "right shoulder", "left shoulder",
    ))  # fmt: skip
    assert neck
    assert right
    assert left
    assert (neck.x, neck.y) == pytest.approx(((right.x + left.x) / 2, (right.y + left.y) / 2))
    assert neck.confidence == min(right.confidence, left.confidence)
    assert [bool(point) for point in person.feet] == [True, False, True] * 2, "no small toes"


def test_all_points_are_written_for_other_nodes(loaded: Loaded) -> None:
    """The text has the confidences, a wire 1 for what was found, as other packs take it."""
    pose = pose_of(loaded, photo())
    (written,) = to_json(pose)["people"]  # type: ignore[misc]
    (person,) = to_keypoints(pose)["people"]  # type: ignore[misc]
    text, wire = (np.reshape(one["pose_keypoints_2d"], (18, 3)) for one in (written, person))
    assert text[:, 2] == pytest.approx([p.confidence if p else 0 for p in pose.people[0].body])
    np.testing.assert_array_equal(wire[:, 2], text[:, 2] > 0)
    assert {key: len(values) for key, values in person.items()} == {
        "pose_keypoints_2d": 54, "hand_left_keypoints_2d": 63, "hand_right_keypoints_2d": 63,
        "face_keypoints_2d": 210, "foot_keypoints_2d": 18,
    }  # fmt: skip


@pytest.mark.parametrize("scale", [0.5, 1.5, 4])
def test_a_scaled_photo_has_its_joints_scaled(loaded: Loaded, scale: float) -> None:
    picture = photo()
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    way = Image.Resampling.LANCZOS
    scaled = np.asarray(Image.fromarray(picture).resize(size, way))
    away = np.linalg.norm(one(loaded, scaled) / scale - one(loaded, picture), axis=1)
    assert np.nanmedian(away) < 6
    assert np.nanmax(away) < 25


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_photo_has_its_joints_turned(loaded: Loaded, turns: int) -> None:
    picture = photo()
    side = picture.shape[0]
    assert picture.shape[1] == side
    found = one(loaded, np.ascontiguousarray(np.rot90(picture, turns)))
    for _ in range(turns):  # turn them back, to the right
        found = np.stack([side - found[:, 1], found[:, 0]], axis=1)
    away = np.linalg.norm(found - one(loaded, picture), axis=1)
    assert np.nanmedian(away) < 8
    assert np.nanmax(away) < 30


def test_a_mirror_changes_left_and_right(loaded: Loaded) -> None:
    picture = photo()
    mirrored = one(loaded, np.ascontiguousarray(picture[:, ::-1]))
    mirrored[:, 0] = picture.shape[1] - mirrored[:, 0]
    other = {"left": "right", "right": "left"}
    order = [
        JOINTS.index(" ".join(other.get(word, word) for word in name.split())) for name in JOINTS
    ]
    away = np.linalg.norm(mirrored[order] - one(loaded, picture), axis=1)
    assert np.nanmedian(away) < 8
    assert np.nanmax(away) < 30


def test_what_is_cut_off_at_the_waist_is_not_drawn(loaded: Loaded) -> None:
    """The hips are at 253 in tests/photos/park_jack.json."""
    cut = np.ascontiguousarray(photo()[:225])
    found = one(loaded, cut)
    legs = [i for i, name in enumerate(JOINTS) if name.split()[-1] in ("hip", "knee", "ankle")]
    assert np.isnan(found[legs]).all()
    whole = one(loaded, photo())
    arms = [
        i for i, name in enumerate(JOINTS) if name.split()[-1] in ("shoulder", "elbow", "wrist")
    ]
    away = np.linalg.norm(found[arms] - whole[arms], axis=1)
    assert np.count_nonzero(away < 25) >= 5


def test_thresholds_and_the_most_people_are_kept(loaded: Loaded) -> None:
    picture = photo("oath_four")
    assert len(pose_of(loaded, picture).people) == 4
    assert len(pose_of(loaded, picture, max_people=2).people) == 2
    assert len(pose_of(loaded, picture, person_threshold=0.96).people) < 4
    assert not pose_of(loaded, picture, person_threshold=1.0).people
    (person,) = pose_of(loaded, photo(), joint_threshold=0.99).people
    assert 0 < sum(map(bool, person.body)) < 18
    assert all(p.confidence >= 0.99 for p in person.body if p)


def test_hands_and_faces_are_looked_for_where_they_are_asked_for(loaded: Loaded) -> None:
    people = pose_of(loaded, photo("oath_three")).people
    assert any(any(person.right_hand) for person in people)
    assert any(any(person.face) for person in people)
    bare = pose_of(loaded, photo("oath_three"), detect_hands=False, detect_face=False).people
    assert len(bare) == len(people)
    assert not any(any(p.left_hand) or any(p.right_hand) or any(p.face) for p in bare)
    for one, other in zip(bare, people, strict=True):
        assert points(one) == pytest.approx(points(other), nan_ok=True)


def test_a_hand_has_one_owner(loaded: Loaded) -> None:
    """A raised hand beside a neighbour's arm, whose wrist is taken to be there, too."""
    people = pose_of(loaded, photo("oath_three")).people
    found = [hand for one in people for hand in (one.left_hand, one.right_hand) if any(hand)]
    middles = [np.mean([(p.x, p.y) for p in hand if p], axis=0) for hand in found]
    assert len(middles) > 1
    assert min(np.linalg.norm(a - b) for a, b in combinations(middles, 2)) > 20


@pytest.mark.parametrize("nearer", [0, 1])
def test_the_nearer_wrist_keeps_a_hand(nearer: int) -> None:
    outline = np.random.default_rng(0).uniform(0, 50, (21, 2)) + 100
    fist, again, other = (Hand(outline + moved, 0.9) for moved in (0, 1, 30))
    people = [body(*(outline[0] + (5 if number == nearer else 40))) for number in (0, 1)]
    one_owner = hands.owned([{"left": fist}, {"right": again}], people)
    assert [set(each) for each in one_owner] == [[{"left"}, set()], [set(), {"right"}]][nearer]
    both = hands.owned([{"left": fist}, {"right": other}], people)
    assert [set(each) for each in both] == [{"left"}, {"right"}], "side by side"
    clasped = hands.owned([{"left": fist, "right": again}, {}], people)
    assert [set(each) for each in clasped] == [{"left", "right"}, set()], "one person's own"


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (64, 64)])
def test_nobody_is_found_in_noise(loaded: Loaded, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert pose_of(loaded, noise).people == ()
    assert pose_of(loaded, noise // 200 * 200).people == ()


def body(x: float, y: float, score: float = 0.9, size: float = 100) -> Body:
    """A person with a nose at (x, y) and shoulders below it."""
    spots = np.full((33, 2), (x, y), float)
    spots[BLAZEPOSE.index("right shoulder")] += (-0.2 * size, 0.2 * size)
    spots[BLAZEPOSE.index("left shoulder")] += (0.2 * size, 0.2 * size)
    spots[23:] += (0, size)
    return Body(spots, np.full(33, score), score)


def test_one_person_twice_is_one_and_neighbours_are_two() -> None:
    surest = body(50, 50, 0.95)
    kept = bodies.different([body(54, 50, 0.7), surest, body(100, 50, 0.8)])
    assert [one.score for one in kept] == [0.95, 0.8]


def test_a_neighbour_is_a_head_of_like_size_to_the_side() -> None:
    here = Head(np.array([100.0, 50.0]), Square(100, 150, 250))
    assert here.beside(Head(np.array([150.0, 60.0]), Square(150, 160, 200))) == pytest.approx(0.2)
    assert here.beside(Head(np.array([50.0, 60.0]), Square(50, 160, 200))) == pytest.approx(-0.2)
    assert here.beside(Head(np.array([105.0, 150.0]), Square(105, 250, 250))) == 0, "below"
    assert here.beside(Head(np.array([150.0, 60.0]), Square(150, 160, 90))) == 0, "far behind"


def test_it_asks_for_no_download_and_no_place(tmp_path: Path) -> None:
    choice = model_choice.choose(POSE_BODY, "", [tmp_path])
    assert all(path.is_file() for path in choice.paths)
    assert not list(tmp_path.iterdir())
    assert not POSE_BODY.downloads
    assert not POSE_BODY.has_choice


def test_training_data_is_given_its_hints() -> None:
    """By a name that is the same in the next run: hints are kept under it."""
    keeper = InFolders([Path("nowhere")])
    maker, again = hint_maker(POSE_BODY, keeper), hint_maker(POSE_BODY, keeper)
    assert maker.name == again.name
    assert "pose_landmark.safetensors" in maker.name
    condition = Condition(POSE_BODY, POSE_BODY.settings({}), made=True, resize=False)
    assert condition.by_network
    picture = photo()
    assert condition.make(picture, maker).any()


def test_weights_that_are_gone_are_said_and_not_downloaded(tmp_path: Path) -> None:
    assert POSE_BODY.learning is not None
    (model,) = POSE_BODY.learning.models
    gone = replace(model, shipped=tmp_path)
    entry = replace(POSE_BODY, learning=replace(POSE_BODY.learning, models=(gone,)))
    assert weights.find(gone, [tmp_path]) is None
    with pytest.raises(UserError, match=r"lacks files of MediaPipe Holistic.*install .* anew"):
        model_choice.choose(entry, "", [tmp_path], download_to=tmp_path)
    with pytest.raises(UserError) as said:
        require(entry, InFolders([tmp_path]))
    assert str(said.value) == (
        "Needs the files of MediaPipe Holistic that ship with ControlStack; install it anew"
    )


def test_it_needs_nothing_but_torch_and_opencv() -> None:
    """No file of a network is read before the first hint, and no library comes with them."""
    script = (
        "import sys, numpy\n"
        "from controlstack.preprocessors.mediapipe.pose_body import POSE_BODY\n"
        "assert 'torch' not in sys.modules and 'safetensors' not in sys.modules\n"
        "from controlstack.preprocessors.ready import InFolders, load\n"
        "from controlstack.preprocessors.making import Sizing, make\n"
        "loaded = load(POSE_BODY, '', InFolders([]))\n"
        "picture = numpy.zeros((64, 64, 3), numpy.uint8)\n"
        "make(POSE_BODY, picture, POSE_BODY.settings({}), Sizing(), loaded)\n"
        "heavy = {'transformers', 'diffusers', 'controlnet_aux', 'scipy', 'mediapipe'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
