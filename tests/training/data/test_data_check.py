"""A dry run finds every bad file and names it; what is left is what is learnt from."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.training.data.check import check, usable
from controlstack.training.data.preview import preview
from controlstack.training.settings import DataSettings
from tests.training_files import fill50k, picture, save


def broken(folder: Path) -> DataSettings:
    """Six rows: 1 has a hint of another size, 2 a cut-off picture, 3 a text for a hint, 4 is empty.

    The cut-off one is found only where it is decoded.
    """
    fill50k(folder, 6)
    save(folder / "source" / "1.png", picture(0, 96, 48))
    whole = (folder / "target" / "2.png").read_bytes()
    (folder / "target" / "2.png").write_bytes(whole[: len(whole) // 2])
    (folder / "source" / "3.png").write_text("no picture")
    (folder / "target" / "4.png").write_bytes(b"")
    return DataSettings(path=str(folder), resolution="48")


@pytest.mark.parametrize("full", [True, False])
def test_bad_files_are_named(tmp_path: Path, full: bool) -> None:
    report = check(broken(tmp_path), full)
    good = ["prompt 0", "prompt 5"] if full else ["prompt 0", "prompt 2", "prompt 5"]
    assert [row.caption for row in report.rows.good] == good
    said = [str(bad) for bad in report.rows.bad]
    assert said[0] == (
        f"prompt.json, line 2: the hint {tmp_path}/source/1.png is 96 x 48 and the picture "
        f"{tmp_path}/target/1.png 48 x 48 pixels; give hints of the pictures' size"
    )
    if full:
        assert said[1].startswith(f"prompt.json, line 3: {tmp_path}/target/2.png cannot be read")
    assert said[-2] == (
        f"prompt.json, line 4: {tmp_path}/source/3.png cannot be read as a picture: it is in no "
        "format of pictures"
    )
    assert said[-1].startswith(f"prompt.json, line 5: {tmp_path}/target/4.png cannot be read")
    assert f"{len(said)} of 6 rows of {tmp_path}/prompt.json cannot be used." in report.text
    assert all(f"  {line}" in report.text for line in said)


def test_bad_rows_stop_or_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = broken(tmp_path)
    with pytest.raises(UserError, match=r"4 of 6 rows of .* bad_rows = skip goes on"):
        usable(check(settings))
    skip = DataSettings(path=settings.path, resolution="48", bad_rows="skip")
    with caplog.at_level(logging.WARNING, "controlstack"):
        assert len(usable(check(skip))) == 2
    assert "prompt.json, line 2" in caplog.text


def test_nothing_left_is_an_error_whatever_is_asked(tmp_path: Path) -> None:
    fill50k(tmp_path, 2)
    for i in range(2):
        (tmp_path / "target" / f"{i}.png").write_text("none")
    with pytest.raises(UserError, match="2 of 2 rows"):
        usable(check(DataSettings(path=str(tmp_path), bad_rows="skip")))
    (tmp_path / "prompt.json").write_text('{"source": "a", "target": "b", "prompt": "c"}\n')
    with pytest.raises(UserError, match=r"1 of 1 row .* cannot be used"):
        check(DataSettings(path=str(tmp_path)))


def test_bad_rows_are_in_the_files_order(tmp_path: Path) -> None:
    fill50k(tmp_path, 12)
    (tmp_path / "source" / "1.png").write_text("none")  # found when it is opened
    (tmp_path / "source" / "10.png").unlink()  # found while the list is read
    bad = check(DataSettings(path=str(tmp_path))).rows.bad
    assert [one.where for one in bad] == ["prompt.json, line 2", "prompt.json, line 11"]


def test_many_bad_rows_are_counted(tmp_path: Path) -> None:
    fill50k(tmp_path, 15)
    for i in range(14):
        (tmp_path / "source" / f"{i}.png").write_text("none")
    text = check(DataSettings(path=str(tmp_path))).text
    assert "14 of 15 rows" in text
    assert text.endswith("\n  and 4 more")


def test_what_a_person_should_know(tmp_path: Path) -> None:
    fill50k(tmp_path, 3)
    file = tmp_path / "prompt.json"
    file.write_text(file.read_text().replace("prompt 1", " "))
    for name in ("target", "source"):
        save(tmp_path / name / "2.png", picture(2, 64, 64))
    settings = DataSettings(path=str(tmp_path), resolution="56", flip=0.5)
    report = check(settings)
    assert report.sizes == {(48, 48): 2, (64, 64): 1}
    assert "pictures: 2 of 48 x 48, 1 of 64 x 64; trained at 56 x 56" in report.text
    assert "2 pictures smaller than 56 x 56 will be scaled up" in report.text
    assert "1 caption empty" in report.text
    assert "mirrored as plain pictures" in report.text
    assert "hints: given, taken for plain pictures" in report.text


def test_pictures_on_their_side_have_their_upright_size(tmp_path: Path) -> None:
    turned = Image.fromarray(picture(0, 48, 96))
    exif = turned.getexif()
    exif[0x0112] = 6
    (tmp_path / "a.txt").write_text("words")
    for name in ("a.jpg", "a_hint.png"):
        turned.save(tmp_path / name, exif=exif)
    for full in (True, False):
        assert check(DataSettings(path=str(tmp_path)), full).sizes == {(96, 48): 1}


def test_the_first_rows_are_shown(tmp_path: Path) -> None:
    fill50k(tmp_path, 4, 96, 48)
    whole = (tmp_path / "target" / "0.png").read_bytes()
    (tmp_path / "target" / "0.png").write_bytes(whole[: len(whole) // 2])  # passed over
    report = check(DataSettings(path=str(tmp_path), resolution="48"), full=False)
    sheet = np.asarray(preview(report, count=2)).astype(int)
    assert sheet.shape[1] == 2 * 256 + 3 * 8
    tall = (sheet.shape[0] - 8) // 2
    for number, seed in ((0, 1), (1, 2)):
        top = 8 + number * tall
        for left, shown in ((8, picture(seed, 96, 48)), (272, picture(100 + seed, 96, 48))):
            # The middle 48 x 48, 256 / 48 times as large: the pixel in the middle of each block.
            found = sheet[top + 21 : top + 256 : 43, left + 21 : left + 256 : 43][:6, :6]
            assert np.abs(found - shown[4::8, 28:72:8][:6, :6]).max() <= 2
    assert preview(report).height == 8 + 3 * tall


def test_a_row_whose_labels_are_wrong_is_found(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(0))
    (tmp_path / "a.txt").write_text("words")
    save(tmp_path / "a_hint.png", np.full((48, 48), 200, np.uint8))
    settings = DataSettings(path=str(tmp_path), condition="seg_labels", hints="made")
    assert [str(bad)[:50] for bad in check(settings).rows.bad] == [
        "a: The label map has class 200 at column 0, row 0 "
    ]
