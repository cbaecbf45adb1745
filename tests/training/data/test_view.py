"""Picture and hint are cut and mirrored alike, by the pick's seed alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from controlstack.ground.errors import UserError
from controlstack.preprocessors.canny import canny
from controlstack.preprocessors.pose.draw import draw_pose
from controlstack.preprocessors.sizing import resized
from controlstack.training.data.condition import condition_of
from controlstack.training.data.row import File, Row
from controlstack.training.data.row_pictures import hint_in, read_hint, read_picture
from controlstack.training.data.view import picture_size, view_of
from controlstack.training.settings import DataSettings
from tests.training_files import picture, save

Picture = NDArray[np.uint8]


def hint_of(row: Row, seed: int, **chosen: object) -> NDArray[np.generic]:
    """The hint of `row` at the step's `seed`."""
    settings = DataSettings(**{"resolution": "48", **chosen})
    condition = condition_of(settings, row.hint is not None)
    pixels = read_picture(row)
    size = pixels.shape[1], pixels.shape[0]
    view = view_of(size, settings, seed)
    return np.asarray(hint_in(view, read_hint(row, pixels, condition), size, condition))


def row_of(folder: Path, pixels: Picture, hint: Picture | None = None) -> Row:
    files = File(save(folder / "a.png", pixels))
    return Row("a", files, File(save(folder / "h.png", hint)) if hint is not None else None, "")


@pytest.mark.parametrize("crop", ["center", "random"])
def test_a_hint_lies_where_its_picture_does(tmp_path: Path, crop: str) -> None:
    pixels = picture(0, 96, 64)
    row = row_of(tmp_path, pixels, pixels)
    settings = DataSettings(resolution="32", crop=crop, flip=0.5)
    for seed in range(20):
        view = view_of((96, 64), settings, seed)
        hint = hint_of(row, seed, resolution="32", crop=crop, flip=0.5)
        assert (hint == view.of(pixels)).all()


def test_the_middle_is_seen_or_any_part() -> None:
    lefts = set()
    for seed in range(200):
        box = view_of((96, 64), DataSettings(resolution="32", crop="random"), seed).placement.crop
        assert box[3] - box[1] == box[2] - box[0] == 64
        assert 0 <= box[0] <= 32
        lefts.add(box[0])
        middle = view_of((96, 64), DataSettings(resolution="32"), seed)
        assert middle.placement.crop == (16, 0, 80, 64)
        assert not middle.flip
    assert len(lefts) == 33


def test_about_the_asked_share_is_mirrored() -> None:
    settings = DataSettings(flip=0.25)
    flips = [view_of((512, 512), settings, seed).flip for seed in range(2000)]
    assert 0.22 < np.mean(flips) < 0.28
    assert flips == [view_of((512, 512), settings, seed).flip for seed in range(2000)]
    assert all(view_of((512, 512), DataSettings(flip=1.0), seed).flip for seed in range(99))


@pytest.mark.parametrize("condition", ["canny", "depth", ""])
def test_drawn_hints_are_resized_to_the_nearest_pixel(tmp_path: Path, condition: str) -> None:
    lines = np.where(np.arange(90 * 90).reshape(90, 90, 1) % 7 == 0, 255, 0).astype(np.uint8)
    row = row_of(tmp_path, picture(0, 96, 96)[:90, :90], lines.repeat(3, axis=2))
    found = hint_of(row, 0, condition=condition)
    assert (len(np.unique(found)) == 2) == (condition == "canny")


def test_made_hints_are_those_of_what_is_seen(tmp_path: Path) -> None:
    pixels = picture(3, 96, 64)
    row = row_of(tmp_path, pixels)
    found = hint_of(row, 0, condition="canny", hint_settings="low_threshold=20", flip=1.0)
    seen = np.ascontiguousarray(resized(pixels[:, 16:80], (48, 48))[:, ::-1])
    assert (found == canny(seen, 20, 200)).all()
    assert not (found == canny(seen, 100, 200)).all()


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_poses_are_drawn_at_the_training_size(tmp_path: Path, flip: float) -> None:
    # Shoulders at 30 and 60 of 96, of which 16..80 are seen, at 3/4 of the size.
    points = [0.0] * 54
    points[6:9], points[15:18] = (30.0, 20.0, 1.0), (60.0, 24.0, 1.0)
    pose = {"people": [{"pose_keypoints_2d": points}], "canvas_width": 96, "canvas_height": 64}
    (tmp_path / "h.json").write_text(json.dumps(pose))
    row = Row(
        "a", File(save(tmp_path / "a.png", picture(0, 96, 64))), File(tmp_path / "h.json"), ""
    )
    found = hint_of(row, 0, condition="pose_openpose", flip=flip)
    right, left = ((30 - 16) * 0.75, 15.0, 1.0), ((60 - 16) * 0.75, 18.0, 1.0)
    if flip:
        right, left = (48 - left[0], 18.0, 1.0), (48 - right[0], 15.0, 1.0)
    points[6:9], points[15:18] = right, left
    wanted = {"people": [{"pose_keypoints_2d": points}], "canvas_width": 48, "canvas_height": 48}
    assert found.any()
    assert (found == draw_pose(wanted, 48, 48)).all()
    with pytest.raises(UserError, match=r"h\.json is no picture; for poses set condition to pose"):
        hint_of(row, 0)


def test_unsure_points_of_a_pose_are_left_out(tmp_path: Path) -> None:
    points = [n for i in range(18) for n in (2.0 * i, 30.0, (0.4, 0.9)[i % 2])]
    pose = {"people": [{"pose_keypoints_2d": points}], "canvas_width": 48, "canvas_height": 48}
    (tmp_path / "h.json").write_text(json.dumps(pose))
    row = Row("a", File(save(tmp_path / "a.png", picture(0))), File(tmp_path / "h.json"), "")
    found = [
        hint_of(row, 0, condition="pose", hint_settings=f"confidence_threshold={least}")
        for least in (0, 0.5)
    ]
    assert (found[0] == draw_pose(pose, 48, 48)).all()
    assert (found[1] == draw_pose(pose, 48, 48, confidence_threshold=0.5)).all()
    assert (found[0] != found[1]).any()


def test_given_skeletons_and_normals_change_sides(tmp_path: Path) -> None:
    skeleton = np.zeros((48, 48, 3), np.uint8)
    skeleton[10:20, 5:15] = (255, 170, 0)  # a right shoulder
    row = row_of(tmp_path, picture(0), skeleton)
    found = hint_of(row, 0, condition="pose", flip=1.0, hints="given")
    assert tuple(found[12, 40]) == (85, 255, 0)
    assert tuple(hint_of(row, 0, flip=1.0)[12, 40]) == (255, 170, 0)  # a plain picture
    normal = hint_of(row, 0, condition="normal_bae", flip=1.0)
    assert tuple(normal[12, 40]) == (0, 170, 0)


def test_label_maps_and_depth_are_made_into_hints(tmp_path: Path) -> None:
    labels = np.zeros((48, 48), np.uint8)
    labels[:, 24:] = 2
    row = row_of(tmp_path, picture(0), labels)
    found = hint_of(row, 0, condition="seg_labels", hints="made")
    assert tuple(found[0, 0]) == (120, 120, 120)  # wall
    assert tuple(found[0, 47]) == (6, 230, 230)  # sky


def test_inpainting_keeps_its_minus_one(tmp_path: Path) -> None:
    pixels = picture(0)
    mask = np.zeros((48, 48), np.uint8)
    mask[:24] = 255
    row = row_of(tmp_path, pixels, mask)
    made = hint_of(row, 0, condition="inpaint", hints="made")
    assert (made[:24] == -1).all()
    assert np.allclose(made[24:], pixels[24:] / 255)
    given = row_of(tmp_path, pixels, np.dstack((pixels, 255 - mask)))
    assert (hint_of(given, 0, condition="inpaint") == made).all()


def test_sixteen_bits_of_depth_are_kept(tmp_path: Path) -> None:
    depth = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48)
    row = row_of(tmp_path, picture(0), depth)
    assert np.allclose(hint_of(row, 0, condition="depth")[..., 0], depth / 65535)


def test_sizes_that_differ_are_refused_with_both(tmp_path: Path) -> None:
    row = row_of(tmp_path, picture(0, 48, 48), picture(1, 96, 96))
    with pytest.raises(UserError, match=r"h\.png is 96 x 96 and the picture .* 48 x 48 pixels"):
        hint_of(row, 0)


@pytest.mark.parametrize(
    ("text", "size"), [("512", (512, 512)), ("768x512", (768, 512)), (" 64 X 8", (64, 8))]
)
def test_resolutions(text: str, size: tuple[int, int]) -> None:
    assert picture_size(DataSettings(resolution=text)) == size


@pytest.mark.parametrize("text", ["", "500", "0", "-8", "a", "8x8x8", "64x"])
def test_resolutions_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="give one or two multiples of 8"):
        picture_size(DataSettings(resolution=text))


@pytest.mark.parametrize("text", ["1000000", "8x80000", "16384x16384"])
def test_enormous_resolutions(text: str) -> None:
    with pytest.raises(UserError, match=r"The training data's resolution is .* give sides from 1"):
        picture_size(DataSettings(resolution=text))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"condition": "cany"}, r"There is no preprocessor 'cany'; did you mean canny\?"),
        ({"condition": "canny", "hint_settings": "low=3"}, "canny has no setting low"),
        ({"condition": "canny", "hint_settings": "low_threshold"}, "write name=value"),
        ({"condition": "canny", "hint_settings": "low_threshold=x"}, "give a number|whole number"),
        ({"condition": "pose", "hint_settings": "hands=maybe"}, "give true or false"),
        ({"hint_settings": "low_threshold=3"}, "condition is empty"),
        ({"hints": "made"}, "does not say how to make them"),
    ],
)
def test_conditions_that_are_wrong(chosen: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        condition_of(DataSettings(**chosen), has_hints=True)


def test_words_for_yes_and_no() -> None:
    chosen = DataSettings(condition="pose", hint_settings="hands=no, face=True, style=v1.0")
    values = condition_of(chosen, has_hints=True).values
    assert (values["hands"], values["face"], values["style"]) == (False, True, "v1.0")


def test_hints_have_to_come_from_somewhere() -> None:
    with pytest.raises(UserError, match="has no hints"):
        condition_of(DataSettings(), has_hints=False)
    with pytest.raises(UserError, match="no hint files, and pose takes pose files"):
        condition_of(DataSettings(condition="pose"), has_hints=False)
    with pytest.raises(UserError, match="hints is given"):
        condition_of(DataSettings(condition="canny", hints="given"), has_hints=False)
