"""A hint has the size asked for, whatever makes it, and its parts lie where the picture's do."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.ground.parameters import Parameter
from controlstack.preprocessors.making import RESOLUTION, Loaded, Sizing, make, resolution_of
from controlstack.preprocessors.pose.draw import draw_pose
from controlstack.preprocessors.pose.people import Joint, Person, Pose
from controlstack.preprocessors.sizing import Fit, resized
from controlstack.preprocessors.spec import Learning, Preprocessor

WORDS: dict[str, Any] = {
    "shows": "picture",
    "node": "ControlStackTest",
    "title": "Test Hint",
    "description": "",
    "aliases": (),
    "controls": "none",
}
NEGATIVE = Preprocessor(
    name="negative",
    **WORDS,
    parameters=(Parameter("level", 255, "", low=0, high=255), Parameter("flat", True, "")),
    run=lambda picture, level, flat: level - picture,
)
RUN_PLAIN = Preprocessor(name="plain", **WORDS, run=lambda picture: picture)


@dataclass
class Watching:
    """A learned preprocessor that remembers the size it was shown and gives what it was told."""

    gives: Any = None
    seen: tuple[int, int] | None = None
    settings: dict[str, Any] | None = None
    picture: Any = None

    @property
    def networks(self) -> tuple[torch.nn.Module, ...]:
        return ()

    def __call__(self, picture: Any, device: torch.device, **settings: Any) -> Any:
        self.seen, self.picture = (picture.shape[1], picture.shape[0]), picture
        self.settings = settings
        return picture if self.gives is None else self.gives


def learned(**how: Any) -> Preprocessor:
    return Preprocessor(
        name="watching", **WORDS, learning=Learning(models=(), load=lambda paths: Watching(), **how)
    )


def dotted(width: int, height: int) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[height // 2 - 3 : height // 2 + 3, width // 2 - 3 : width // 2 + 3] = 255
    return picture


def test_settings_left_out_have_their_defaults_and_wrong_ones_are_refused() -> None:
    assert NEGATIVE.settings({}) == {"level": 255, "flat": True}
    assert NEGATIVE.settings({"level": 7}) == {"level": 7, "flat": True}
    with pytest.raises(UserError, match="negative: level is 256; give a number from 0 to 255"):
        NEGATIVE.settings({"level": 256})
    with pytest.raises(UserError, match="negative has no setting depth; it has level, flat"):
        NEGATIVE.settings({"depth": 1})


@pytest.mark.parametrize("fit", ["fill", "fit", "stretch"])
def test_a_hint_has_the_size_asked_for(fit: Fit) -> None:
    made = make(RUN_PLAIN, dotted(120, 60), {}, Sizing((64, 80), fit))
    assert made.hint.shape == (80, 64, 3)
    ys, xs = np.nonzero(made.hint[..., 0] > 127)
    assert abs((ys.min() + ys.max() + 1) / 2 - 40) <= 1
    assert abs((xs.min() + xs.max() + 1) / 2 - 32) <= 1


def test_bars_are_put_around_the_hint_not_around_the_picture() -> None:
    made = make(NEGATIVE, dotted(40, 20), NEGATIVE.settings({}), Sizing((40, 40), "fit"))
    assert (made.hint[:10] == 0).all(), "a bar is the hint's background, not its negative"
    assert (made.hint[10:12] == 255).all()


def test_without_a_size_the_hint_has_the_pictures() -> None:
    assert make(RUN_PLAIN, dotted(37, 23), {}, Sizing()).hint.shape == (23, 37, 3)


def test_a_network_looks_at_the_hints_size_or_at_the_resolution() -> None:
    watching = Watching()
    loaded = Loaded(watching, torch.device("cpu"))
    make(learned(any_size=True), dotted(300, 200), {}, Sizing((96, 64)), loaded)
    assert watching.seen == (96, 64)
    made = make(learned(any_size=True), dotted(300, 200), {}, Sizing(None, "fill", 100), loaded)
    assert watching.seen == (150, 100)
    assert made.hint.shape == (200, 300, 3)
    make(learned(), dotted(300, 200), {}, Sizing(None, "fill", 100), loaded)
    assert watching.seen == (300, 200), "what resizes by itself is shown the whole"


def test_a_network_looks_at_its_own_resolution_straight_from_the_picture() -> None:
    watching = Watching()
    loaded = Loaded(watching, torch.device("cpu"))
    own = learned(any_size=True, resolution=160)
    picture = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    made = make(own, picture, {}, Sizing((96, 64)), loaded)
    assert made.hint.shape == (64, 96, 3)
    assert watching.seen == (240, 160)
    straight = resized(picture, (240, 160))
    assert np.array_equal(watching.picture, straight), "and not by way of the small hint"
    make(own, picture, {}, Sizing((80, 80), "fill"), loaded)
    assert np.array_equal(watching.picture, resized(picture[:, 50:250], (160, 160)))
    make(
        own, picture, {}, Sizing((96, 64), "fill", 100), loaded
    )  # what a user asks for goes before
    assert np.array_equal(watching.picture, resized(resized(picture, (96, 64)), (150, 100)))


def test_what_is_said_of_the_resolution() -> None:
    assert resolution_of(learned(any_size=True)) is RESOLUTION
    (own, plain) = (learned(any_size=True, resolution=640), learned(any_size=True))
    assert "0 is 640, at which" in resolution_of(own).tooltip
    both = resolution_of(plain, own).tooltip
    assert both == f"{RESOLUTION.tooltip} Looking at more by itself: {own.name} 640."


def test_people_found_in_a_small_picture_are_drawn_at_the_hints_size() -> None:
    body = (Joint(25, 25), Joint(75, 25), *(None,) * 16)  # nose and neck of a 150 x 100 picture
    pose = Pose((Person(body=body),), canvas=(150, 100))
    loaded = Loaded(Watching(pose), torch.device("cpu"))
    entry = learned(any_size=True, finds_people=True)
    made = make(entry, dotted(300, 200), {}, Sizing((600, 400), "fill", 100), loaded)
    assert made.pose is not None
    assert made.pose.canvas == (600, 400)
    assert made.pose.people[0].body[:3] == (Joint(100, 100), Joint(300, 100), None)
    assert (made.hint == draw_pose(pose, 600, 400)).all()
    assert tuple(made.hint[100, 100]) == (255, 0, 0)  # the nose's colour at four times its place


def test_people_between_bars_lie_where_the_picture_does() -> None:
    pose = Pose((Person(body=(Joint(75, 50), *(None,) * 17)),), canvas=(150, 100))
    loaded = Loaded(Watching(pose), torch.device("cpu"))
    entry = learned(finds_people=True)
    made = make(entry, dotted(300, 200), {}, Sizing((600, 600), "fit"), loaded)
    assert made.pose is not None
    assert made.pose.people[0].body[0] == Joint(300, 300)
    assert tuple(made.hint[300, 300]) == (255, 0, 0)


def test_a_pose_is_drawn_at_its_canvas_or_the_size_asked_for() -> None:
    draws = Preprocessor(name="pose", **WORDS, takes="pose")
    pose = Pose((), canvas=(30, 20))
    assert make(draws, pose, {}, Sizing()).hint.shape == (20, 30, 3)
    assert make(draws, pose, {}, Sizing((64, 48))).hint.shape == (48, 64, 3)
    assert make(draws, Pose(()), {}, Sizing()).hint.shape == (512, 512, 3)


@pytest.mark.parametrize(
    ("fit", "places"),
    [
        ("fill", [(200, 200), (-200, 400)]),  # the middle 200 px of 400, at twice their size
        ("fit", [(200, 200), (0, 300)]),  # all of it, between bars of 100 px
        ("stretch", [(200, 200), (0, 400)]),
    ],
)
def test_a_pose_is_put_into_its_hint_as_a_picture_is(
    fit: Fit, places: list[tuple[int, int]]
) -> None:
    draws = Preprocessor(name="pose", **WORDS, takes="pose")
    body = (Joint(200, 100), Joint(0, 200), *(None,) * 16)  # the middle, and the lower left corner
    pixels = Pose((Person(body=body),), canvas=(400, 200))
    parts = tuple(p and Joint(p.x / 400, p.y / 200) for p in body)
    fractions = Pose((Person(body=parts),), canvas=(400, 200), fractions=True)
    for pose in (pixels, fractions):
        made = make(draws, pose, {}, Sizing((400, 400), fit))
        assert made.pose is not None
        assert [(p.x, p.y) for p in made.pose.people[0].body[:2] if p] == places
        assert tuple(made.hint[200, 200]) == (255, 0, 0)


def test_a_pose_without_a_canvas_is_in_the_hints_pixels() -> None:
    draws = Preprocessor(name="pose", **WORDS, takes="pose")
    pose = Pose((Person(body=(Joint(30, 40), *(None,) * 17)),))
    assert tuple(make(draws, pose, {}, Sizing((300, 90))).hint[40, 30]) == (255, 0, 0)


def test_a_mask_of_another_size_is_refused() -> None:
    entry = Preprocessor(name="masks", **WORDS, takes="masked picture", run=lambda p, m: p)
    picture, mask = np.zeros((8, 6, 3), np.float32), np.zeros((4, 4), np.float32)
    with pytest.raises(UserError, match="6 x 8 pixels and its mask 4 x 4"):
        make(entry, (picture, mask), {}, Sizing())


def test_labels_are_never_blended() -> None:
    entry = Preprocessor(
        name="labels", **WORDS, takes="labels", run=lambda labels: labels[..., None].repeat(3, 2)
    )
    labels = np.array([[0, 200], [200, 0]], np.uint8)
    made = make(entry, labels, {}, Sizing((33, 17), "stretch"))
    assert set(np.unique(made.hint)) == {0, 200}
