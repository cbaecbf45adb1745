"""What the report says of data that can be used, but hardly as was meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.training.data.check import SAMPLED, check
from controlstack.training.settings import DataSettings
from tests.training_files import fill50k, picture, save


def notes(folder: Path, full: bool = False, **chosen: object) -> list[str]:
    settings = DataSettings(**{"path": str(folder), "resolution": "48", **chosen})
    return list(check(settings, full).warnings)


def captioned(folder: Path, hints: str = "hints/{}.png") -> Path:
    """Two rows of the layout captions."""
    for name in ("a", "b"):
        save(folder / f"{name}.png", picture(0))
        (folder / f"{name}.txt").write_text("words")
        save(folder / hints.format(name), picture(1))
    return folder


def mask() -> np.ndarray:
    return (picture(7)[..., 0] > 127).astype(np.uint8)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("hint", "top"),
    [
        (mask(), "1"),
        (np.stack([mask()] * 3, axis=-1) * 30, "30"),
        (mask().astype(np.uint16) * 255, "0.992"),  # 8 bits in 16
    ],
)
def test_hints_that_are_almost_black(
    tmp_path: Path, full: bool, hint: np.ndarray, top: str
) -> None:
    fill50k(tmp_path, 3)
    path = save(tmp_path / "source" / "1.png", hint)
    assert notes(tmp_path, full) == [
        f"1 of 3 hints that were decoded are almost black, such as {path}: white is 255 (65535 "
        f"with 16 bits), and their largest value is {top} of 255; spread them over the whole range"
    ]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 0, 30)])
def test_hints_of_one_colour(tmp_path: Path, full: bool, colour: tuple[int, int, int]) -> None:
    fill50k(tmp_path, 3)
    path = save(tmp_path / "source" / "2.png", np.full((48, 48, 3), colour, np.uint8))
    assert notes(tmp_path, full) == [
        f"1 of 3 hints that were decoded have one colour all over and show nothing, such as {path}"
    ]


def test_few_of_many_hints_are_decoded(tmp_path: Path) -> None:
    fill50k(tmp_path, 3 * SAMPLED, 16, 16)
    for i in range(3 * SAMPLED):
        save(tmp_path / "source" / f"{i}.png", np.zeros((16, 16, 3), np.uint8))
    assert any(f"{SAMPLED} of {SAMPLED} hints that" in one for one in notes(tmp_path))


def test_made_hints_are_looked_at_where_all_is_decoded(tmp_path: Path) -> None:
    fill50k(tmp_path, 2)
    save(tmp_path / "target" / "1.png", np.full((48, 48, 3), 90, np.uint8))  # has no edges
    chosen = {"condition": "canny", "hints": "made"}
    assert notes(tmp_path, **chosen) == []
    (note,) = notes(tmp_path, full=True, **chosen)
    assert "1 of 2 hints that were decoded have one colour all over" in note


def alpha_in_picture(folder: Path) -> None:
    Image.fromarray(picture(0)).convert("RGBA").save(folder / "target" / "0.png")


def alpha_in_hint(folder: Path) -> None:
    Image.fromarray(picture(0)).convert("LA").save(folder / "source" / "0.png")


def transparent_palette(folder: Path) -> None:
    Image.fromarray(picture(0)).quantize(8).save(folder / "target" / "0.png", transparency=3)


ON_WHITE = "1 picture with an alpha channel: what is transparent is laid on white"
LEFT_OUT = (
    "1 hint with an alpha channel, which is left out, as LoadImage does: the colours under "
    "transparent parts count"
)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (alpha_in_picture, ON_WHITE),
        (transparent_palette, ON_WHITE),
        (alpha_in_hint, LEFT_OUT),
    ],
)
def test_what_becomes_of_alpha_is_said(
    tmp_path: Path, full: bool, change: Callable[[Path], None], said: str
) -> None:
    change(fill50k(tmp_path, 3))
    assert notes(tmp_path, full) == [said]


def test_alpha_that_is_read_is_not_dropped(tmp_path: Path) -> None:
    fill50k(tmp_path, 2)
    for i in range(2):
        Image.fromarray(picture(i)).convert("RGBA").save(tmp_path / "source" / f"{i}.png")
    assert notes(tmp_path, condition="inpaint", hints="given") == []


def test_pictures_that_are_no_rows_are_named(tmp_path: Path) -> None:
    captioned(tmp_path)
    for name in ("c.psd", "c.txt"):
        (tmp_path / name).write_text("words")
    (note,) = notes(tmp_path)
    assert note == f"1 picture is left out of {tmp_path}: c.psd; save it as PNG"


IN_TABLES = "the layout fill50k has a column for its hints"
BY_NAMES = "files belong together by their names, and there is no table"
FROM_PICTURES = "all hints are made of the pictures"


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"hint_folder": "source"}, [f"without effect: hint_folder; {IN_TABLES}"]),
        ({"split": "test"}, ["without effect: split; there is one split in PLACE"]),
        (
            {"condition": "canny", "hints": "made", "hint_column": "source", "resize_hints": True},
            [f"without effect: hint_column, resize_hints; {FROM_PICTURES}"],
        ),
        # What measures pictures reads them.
        ({"condition": "canny", "hints": "given", "hint_settings": "low_threshold=50"}, []),
        ({"outside": True, "resize_hints": True, "bad_rows": "skip", "max_rows": 2}, []),
    ],
)
def test_settings_that_do_nothing_with_a_table(
    tmp_path: Path, chosen: dict[str, object], said: list[str]
) -> None:
    fill50k(tmp_path, 2)
    place = str(tmp_path / "prompt.json")
    assert notes(tmp_path, **chosen) == [one.replace("PLACE", place) for one in said]


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (
            {"image_column": "a", "caption_column": "b", "hint_column": "c", "outside": True},
            f"without effect: image_column, hint_column, caption_column, outside; {BY_NAMES}",
        ),
        ({"split": "test"}, f"without effect: split; {BY_NAMES}"),
        (
            {"condition": "canny", "hints": "made", "hint_folder": "hints"},
            f"without effect: hint_folder; {FROM_PICTURES}",
        ),
        (
            {"condition": "normal_from_depth", "hints": "given", "hint_settings": "axes=v1.0"},
            "without effect: hint_settings; the hints are given",
        ),
    ],
)
def test_settings_that_do_nothing_without_a_table(
    tmp_path: Path, chosen: dict[str, object], said: str
) -> None:
    assert notes(captioned(tmp_path), **chosen) == [said]


def test_settings_that_do_something(tmp_path: Path) -> None:
    own = captioned(tmp_path / "one", "own/{}.png")
    assert notes(own, hint_folder="own") == []
    normals = {"condition": "normal_from_depth", "hints": "given", "flip": 0.5}
    assert notes(captioned(tmp_path / "two"), hint_settings="axes=v1.0", **normals) == []


def test_a_hint_folder_that_no_layout_reads_and_no_hints(tmp_path: Path) -> None:
    fill50k(tmp_path, 2)
    file = tmp_path / "prompt.json"
    file.write_text(file.read_text().replace('"source"', '"elsewhere"'))
    with pytest.raises(UserError, match="has no hints") as raised:
        notes(tmp_path, hint_folder="source")
    assert raised.value.details == (
        "hint_folder is not read with the layout fill50k, but with captions",
    )


@pytest.mark.parametrize("named", [False, True])
def test_hints_whose_names_fit_nothing(tmp_path: Path, named: bool) -> None:
    folder = captioned(tmp_path, "hints/{}_canny.png")
    chosen = {"hint_folder": "hints"} if named else {}
    for condition in ("", "canny"):  # nor are hints made of pictures in silence
        with pytest.raises(UserError) as raised:
            notes(folder, condition=condition, **chosen)
        assert str(raised.value) == (
            f"none of the 2 hints in {folder / 'hints'} has the name of a picture: there are hints "
            "such as 'a_canny' and pictures such as 'a'. A hint has its picture's name, with the "
            "folders it is in and without the ending"
        )
    assert notes(folder, condition="canny", hints="made") == []
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="empty has no hints: neither pictures nor an OpenPose"):
        notes(folder, hint_folder="empty")


def test_names_of_strangers_stay_on_their_line(tmp_path: Path) -> None:
    fill50k(tmp_path, 2)
    evil = "a\x1b[2J\nNote: all is well.png"
    save(tmp_path / "source" / evil, np.zeros((48, 48, 3), np.uint8))
    lines = (tmp_path / "prompt.json").read_text().splitlines()
    lines[0] = lines[0].replace("source/0.png", "source/a\\u001b[2J\\nNote: all is well.png")
    lines[1] = lines[1].replace("target/1.png", "target/\\u001b[31m\\nred.png")
    (tmp_path / "prompt.json").write_text("\n".join(lines))
    settings = DataSettings(path=str(tmp_path), resolution="48")
    text = check(settings).text
    assert len(text.splitlines()) == 6  # data, pictures, hints, a note, and a bad row in two
    assert "\x1b" not in text
    assert all("\x1b" not in one and "\n" not in one for one in check(settings).warnings)
