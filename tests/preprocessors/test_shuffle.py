"""Shuffle: the flow of ControlNet's content shuffle, by a seed of its own."""

import warnings
from typing import Any

import numpy as np
import pytest

from controlstack.preprocessors.shuffle import MAX_SEED, shuffle


@pytest.fixture(scope="module")
def reference() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from controlnet_aux import ContentShuffleDetector
    return ContentShuffleDetector()


@pytest.fixture
def picture() -> np.ndarray:
    ramp = np.indices((512, 640), dtype=np.float32)
    return np.stack([ramp[0] / 2, ramp[1] / 3, ramp.sum(axis=0) / 5], axis=2).astype(np.uint8)


@pytest.mark.parametrize("seed", [0, 7, MAX_SEED])
def test_every_pixel_is_that_of_controlnet_aux_given_the_same_noise(
    reference: Any, picture: np.ndarray, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a size that controlnet-aux does not resize, x drawn before y."""
    monkeypatch.setattr(np.random, "uniform", np.random.default_rng(seed).uniform)
    assert np.array_equal(shuffle(picture, seed), reference(picture, output_type="np"))


def test_the_seed_says_all(picture: np.ndarray) -> None:
    first = shuffle(picture, 5)
    np.random.seed(0)
    assert np.array_equal(shuffle(picture, 5), first)
    assert not np.array_equal(shuffle(picture, 6), first)


def test_numpys_own_random_numbers_are_left_alone(picture: np.ndarray) -> None:
    np.random.seed(11)
    expected = np.random.random()
    np.random.seed(11)
    shuffle(picture, 5)
    assert np.random.random() == expected


def test_no_colour_is_made_up() -> None:
    flat = np.full((300, 200, 3), (10, 20, 30), np.uint8)
    assert np.array_equal(shuffle(flat, 3), flat)


def test_the_content_moves_and_stays_as_much(picture: np.ndarray) -> None:
    hint = shuffle(picture, 1)
    moved = (hint != picture).any(axis=2).mean()
    assert moved > 0.9
    assert int(hint[:, :, 0].max()) - int(hint[:, :, 0].min()) > 200


def test_one_pixel_stays() -> None:
    pixel = np.full((1, 1, 3), 9, np.uint8)
    assert np.array_equal(shuffle(pixel, 0), pixel)
