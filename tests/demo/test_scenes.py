"""Scenes: the same for a seed, and drawn so that a threshold finds the foreground."""

from __future__ import annotations

import numpy as np
import pytest

from controlstack.demo.captions import caption
from controlstack.demo.scenes import (
    COLOURS,
    HELD_OUT_SEEDS,
    SHEET_SEEDS,
    SIZE,
    TRAIN_SEED_BASE,
    pose_json,
    sample_scene,
)
from controlstack.demo.scenes_draw import draw_scene
from controlstack.demo.score import named_colours
from controlstack.evaluation.colour import colour_accuracy
from controlstack.evaluation.edges import widened
from controlstack.evaluation.silhouette import saturated, saturation
from controlstack.preprocessors.canny import canny

SEEDS = HELD_OUT_SEEDS[:12]


def test_a_seed_means_the_same_scene() -> None:
    assert sample_scene(7) == sample_scene(7)
    assert np.array_equal(draw_scene(sample_scene(7)).rgb, draw_scene(sample_scene(7)).rgb)
    assert sample_scene(7) != sample_scene(8)


def test_held_out_scenes_are_far_from_training_seeds() -> None:
    assert len(set(HELD_OUT_SEEDS)) == 64
    assert min(HELD_OUT_SEEDS) >= TRAIN_SEED_BASE + 1_000_000
    assert not set(HELD_OUT_SEEDS) & set(SHEET_SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_foreground_is_vivid_and_background_pale(seed: int) -> None:
    drawing = draw_scene(sample_scene(seed))
    drawn = np.zeros((SIZE, SIZE), bool)
    for mask in drawing.parts.values():
        drawn |= mask
    inner, outer = ~widened(~drawn, 1), ~widened(drawn, 1)
    colours = saturation(drawing.rgb)
    # Where two colours meet, the soft edge between them may be greyish.
    assert (colours[inner] > 0.45).mean() > 0.97
    assert colours[outer].max() < 0.15
    assert (saturated(drawing.rgb) != drawn).mean() < 0.01


@pytest.mark.parametrize("seed", SEEDS)
def test_canny_sees_no_edge_in_the_background(seed: int) -> None:
    drawing = draw_scene(sample_scene(seed))
    drawn = np.any(list(drawing.parts.values()), axis=0)
    assert not (canny(drawing.rgb)[..., 0] > 0)[~widened(drawn, 2)].any()


@pytest.mark.parametrize("seed", SEEDS)
def test_depth_is_near_on_things_and_far_in_the_sky(seed: int) -> None:
    drawing = draw_scene(sample_scene(seed))
    assert drawing.depth.min() == 0
    assert drawing.depth.max() == 1
    drawn = np.any(list(drawing.parts.values()), axis=0)
    assert drawing.depth[drawn].min() > 0.1
    assert drawing.depth[0, ~drawn[0]].max(initial=0) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_joints_are_in_the_picture_and_on_the_body(seed: int) -> None:
    scene = sample_scene(seed, person=True)
    assert scene.person is not None
    joints = np.array(scene.person.joints)
    assert joints.min() >= 0
    assert joints.max() < SIZE
    alone = type(scene)((), scene.person, scene.horizon, scene.sky, scene.ground)
    body = saturated(draw_scene(alone).rgb)
    limbs = joints[:14].astype(int)
    assert body[limbs[:, 1], limbs[:, 0]].all()


def test_pose_json_is_openposes() -> None:
    person = sample_scene(3, person=True).person
    assert person is not None
    pose = pose_json(person)
    assert (pose["canvas_width"], pose["canvas_height"]) == (SIZE, SIZE)
    (numbers,) = (entry["pose_keypoints_2d"] for entry in pose["people"])
    assert len(numbers) == 54
    assert numbers[3:5] == pytest.approx(person.joints[1], abs=0.01)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_caption_names_every_thing_and_its_colour_is_what_is_drawn(seed: int) -> None:
    scene = sample_scene(seed)
    named = named_colours(scene)
    for wording in (caption(scene), caption(scene, seed)):
        for part, colour in named.items():
            assert f"{colour} {part}" in wording
    drawing = draw_scene(scene)
    parts = {name: mask for name, mask in drawing.parts.items() if mask.sum() >= 30}
    right, asked = colour_accuracy(drawing.rgb, parts, named, COLOURS)
    assert right == asked > 0


def test_about_as_many_scenes_with_people_as_promised() -> None:
    peopled = sum(sample_scene(seed).person is not None for seed in range(600))
    assert 0.39 < peopled / 600 < 0.51
