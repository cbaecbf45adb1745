"""What all exact preprocessors of pictures have in common."""

import contextlib
import itertools
from dataclasses import MISSING, fields

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.ground.parameters import Parameter, Value
from controlstack.preprocessors.binary import BINARY
from controlstack.preprocessors.blur import BLUR
from controlstack.preprocessors.canny import CANNY
from controlstack.preprocessors.inpaint import INPAINT, INPAINT_BLACK
from controlstack.preprocessors.invert import INVERT
from controlstack.preprocessors.lineart_standard import LINEART_STANDARD
from controlstack.preprocessors.palette import COLOR_PALETTE
from controlstack.preprocessors.recolor import RECOLOR_INTENSITY, RECOLOR_LUMINANCE
from controlstack.preprocessors.scribble import SCRIBBLE, XDOG_SCRIBBLE
from controlstack.preprocessors.shuffle import SHUFFLE
from controlstack.preprocessors.spec import Preprocessor
from controlstack.preprocessors.tile import TILE

IN_PLACE = (
    CANNY,
    SCRIBBLE,
    XDOG_SCRIBBLE,
    LINEART_STANDARD,
    BINARY,
    RECOLOR_LUMINANCE,
    RECOLOR_INTENSITY,
    TILE,
    INVERT,
)
EXACT = (*IN_PLACE, BLUR, SHUFFLE, COLOR_PALETTE)
WHITE_ON_BLACK = (CANNY, SCRIBBLE, XDOG_SCRIBBLE, LINEART_STANDARD, BINARY)
TWO_VALUED = (CANNY, SCRIBBLE, XDOG_SCRIBBLE, BINARY)

each = pytest.mark.parametrize("entry", EXACT, ids=lambda entry: entry.name)


def _allowed(parameter: Parameter) -> st.SearchStrategy[Value]:
    if isinstance(parameter.default, float):
        return st.floats(parameter.low, parameter.high)
    return st.integers(int(parameter.low), int(parameter.high))


def _hint(entry: Preprocessor, picture: np.ndarray, **given_settings: Value) -> np.ndarray:
    assert entry.run is not None
    return entry.run(picture, **entry.settings(given_settings))


@each
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_size_and_any_setting_give_a_hint_of_that_size(
    entry: Preprocessor, data: st.DataObject
) -> None:
    long, short = data.draw(st.integers(1, 2048)), data.draw(st.integers(1, 12))
    size = data.draw(st.sampled_from([(long, short), (short, long)]))
    seed = data.draw(st.integers(0, 2**32 - 1))
    chosen = {p.name: data.draw(_allowed(p), label=p.name) for p in entry.parameters}
    picture = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    try:
        entry.settings(chosen)
    except UserError:
        assume(False)  # wrong together only
    before = picture.copy()
    hint = _hint(entry, picture, **chosen)
    assert hint.shape == picture.shape
    assert hint.dtype == np.uint8
    assert not np.shares_memory(hint, picture)
    assert np.array_equal(picture, before)
    assert np.array_equal(_hint(entry, picture, **chosen), hint)
    if entry in TWO_VALUED:
        assert set(np.unique(hint)) <= {0, 255}


def _ends(parameter: Parameter) -> list[Value]:
    if parameter.choices or isinstance(parameter.default, bool):
        return [*(parameter.choices or (True, False))]
    kind = type(parameter.default)
    return sorted({parameter.default, kind(parameter.low), kind(parameter.high)})


@each
@pytest.mark.parametrize("level", [0, 3, 77, 128, 201, 255])
def test_a_flat_picture_gives_a_flat_hint_at_every_end_of_every_setting(
    entry: Preprocessor, level: int
) -> None:
    """Rounding is no line, and no median of lines is that of rounding."""
    picture = np.full((65, 120, 3), level, np.uint8)
    for values in itertools.product(*map(_ends, entry.parameters)):
        chosen = {one.name: value for one, value in zip(entry.parameters, values, strict=True)}
        with contextlib.suppress(UserError):  # Canny's thresholds the wrong way round
            entry.settings(chosen)
            hint = _hint(entry, picture, **chosen)
            assert (hint == hint[:1, :1]).all(), chosen
            if entry in (CANNY, XDOG_SCRIBBLE, LINEART_STANDARD):
                assert not hint.any(), chosen


def test_the_median_of_line_art_is_that_of_lines() -> None:
    """Most of a flat page differs from its blur by rounding, and those pixels had the median."""
    page = np.full((400, 400, 3), 201, np.uint8)
    page[198:202, 100:300] = 0
    values = page.astype(np.float32)
    strength = (cv2.GaussianBlur(values, (0, 0), 2.0) - values).min(axis=2)
    noise, lines = strength > 0, strength > 0.5
    hint = _hint(LINEART_STANDARD, page, gaussian_sigma=2.0, intensity_threshold=0)
    middle = np.median(strength[lines])
    wanted = (strength / max(16, middle) * 127).clip(0, 255).astype(np.uint8)
    assert np.array_equal(hint[..., 0], wanted)
    assert noise.sum() > 100 * lines.sum()
    assert middle > 80


@each
def test_a_view_of_a_picture_is_as_good_as_a_copy(entry: Preprocessor) -> None:
    whole = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    view = whole[::-1, 5:50:2]
    assert np.array_equal(_hint(entry, view), _hint(entry, view.copy()))


@each
def test_a_read_only_picture_is_enough(entry: Preprocessor) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    picture.setflags(write=False)
    assert _hint(entry, picture).shape == (20, 30, 3)


@pytest.mark.parametrize("entry", IN_PLACE, ids=lambda entry: entry.name)
@pytest.mark.parametrize(("row", "column"), [(20, 70), (45, 15)])
def test_a_shape_stays_within_a_pixel_of_where_it_was(
    entry: Preprocessor, row: int, column: int
) -> None:
    """A dark square, off the middle to both sides: a flip or a shift moves its centre."""
    picture = np.full((64, 96, 3), 230, np.uint8)
    picture[row - 3 : row + 4, column - 3 : column + 4] = 20
    hint = _hint(entry, picture)[:, :, 0].astype(np.float64)
    seen = np.abs(hint - np.median(hint))
    rows, columns = np.indices(seen.shape)
    assert abs(np.average(rows, weights=seen) - row) < 1
    assert abs(np.average(columns, weights=seen) - column) < 1
    inside = np.zeros(seen.shape, bool)
    inside[row - 4 : row + 5, column - 4 : column + 5] = True
    if entry.drawn:
        assert not seen[~inside].any(), "more than a pixel outside of the square"


@pytest.mark.parametrize("entry", WHITE_ON_BLACK, ids=lambda entry: entry.name)
def test_lines_are_white_and_ground_is_black(entry: Preprocessor) -> None:
    picture = np.full((64, 64, 3), 230, np.uint8)
    picture[:, 30:33] = 20
    hint = _hint(entry, picture)
    assert hint[32, 28:35].max() > 100
    assert not hint[32, :10].any()
    assert not hint[32, 55:].any()


@each
@pytest.mark.parametrize(
    "picture", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)], ids=["floats", "grey"]
)
def test_another_kind_of_picture_is_refused(entry: Preprocessor, picture: np.ndarray) -> None:
    with pytest.raises(UserError, match="height x width x 3"):
        _hint(entry, picture)


@pytest.mark.parametrize("entry", [*EXACT, INPAINT, INPAINT_BLACK], ids=lambda entry: entry.name)
def test_an_entry_tells_users_what_they_need(entry: Preprocessor) -> None:
    assert entry.node.startswith("ControlStack")
    assert entry.title.endswith("Hint")
    assert any("\u4e00" <= letter <= "\u9fff" for word in entry.aliases for letter in word)
    needed = [field.name for field in fields(entry) if field.default is MISSING]
    assert all(getattr(entry, name) for name in needed)
    assert all(parameter.tooltip.endswith(".") for parameter in entry.parameters)


@pytest.mark.parametrize(
    ("entry", "defaults"),
    [
        (CANNY, {"low_threshold": 100, "high_threshold": 200}),
        (SCRIBBLE, {"threshold": 127}),
        (XDOG_SCRIBBLE, {"threshold": 32}),
        (LINEART_STANDARD, {"gaussian_sigma": 6.0, "intensity_threshold": 8}),
        (BINARY, {"bin_threshold": 100}),
        (RECOLOR_LUMINANCE, {"gamma_correction": 1.0}),
        (RECOLOR_INTENSITY, {"gamma_correction": 1.0}),
        (TILE, {"down_sampling_rate": 1.0}),
        (INVERT, {}),
        (BLUR, {"sigma": 9.0}),
        (SHUFFLE, {"seed": 0}),
        (COLOR_PALETTE, {}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_defaults_are_the_original_annotators(
    entry: Preprocessor, defaults: dict[str, Value]
) -> None:
    assert entry.settings({}) == defaults


def test_cannys_thresholds_the_wrong_way_round_are_refused_by_its_entry() -> None:
    with pytest.raises(UserError, match="low threshold is 150 and its high threshold 120"):
        CANNY.settings({"low_threshold": 150, "high_threshold": 120})
