"""A data set's own names stay in its folder, mean one thing on every system, open plain files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from controlstack.ground.errors import UserError
from controlstack.training.data.check import check
from controlstack.training.data.file_names import Inside
from controlstack.training.data.row import Rows
from controlstack.training.data.rows import read_rows
from controlstack.training.settings import DataSettings
from tests.training_files import picture, save

needs_pipes = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")


def told(folder: Path, name: str, layout: str = "prompt.json", **chosen: object) -> Rows:
    """What is read of a table in `folder` whose one row names the picture `name`."""
    if layout == "metadata.csv":
        text = f'file_name,text\n"{name}",words\n'
    else:
        text = json.dumps({"file_name": name, "text": "words"})
        text = text.replace("file_name", "target") if layout == "prompt.json" else text
    (folder / layout).write_text(text)
    return read_rows(DataSettings(path=str(folder), condition="canny", **chosen))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "data" / "sub" / "a.png", picture(0))
    save(tmp_path / "a.png", picture(1))
    return tmp_path / "data"


@pytest.mark.parametrize("layout", ["prompt.json", "metadata.jsonl", "metadata.csv"])
def test_names_from_windows(folder: Path, layout: str) -> None:
    (row,) = told(folder, "sub\\a.png", layout).good
    assert row.picture.name == folder / "sub" / "a.png"


@pytest.mark.parametrize("layout", ["prompt.json", "metadata.jsonl", "metadata.csv"])
@pytest.mark.parametrize("name", ["../a.png", "..\\a.png", "sub/../../a.png", "HERE", "link.png"])
def test_names_that_leave_the_folder(folder: Path, layout: str, name: str) -> None:
    (folder / "link.png").symlink_to(folder.parent / "a.png")
    name = name.replace("HERE", str(folder.parent / "a.png"))
    (bad,) = told(folder, name, layout).bad
    assert "leaves its folder" in bad.why or "leads out of" in bad.why
    assert bad.why.endswith("outside = true (--outside) takes such names")
    (row,) = told(folder, name, layout, outside=True).good
    assert row.picture.name.samefile(folder.parent / "a.png")


def test_a_linked_folder_leads_out_and_links_inside_do_not(folder: Path) -> None:
    (folder / "linked").symlink_to(folder.parent)
    (folder / "alias.png").symlink_to("sub/a.png")
    assert "leads out of" in told(folder, "linked/a.png").bad[0].why
    assert told(folder, "linked/a.png", outside=True).good
    assert told(folder, "alias.png").good


def test_an_absolute_name_may_say_where_the_folder_is(folder: Path) -> None:
    assert told(folder, str(folder / "sub" / "a.png")).good


def test_a_library_s_own_folders_are_no_leaving(folder: Path, tmp_path: Path) -> None:
    unpacked = save(tmp_path / "cache" / "b.png", picture(2))
    inside = Inside(folder, also=(tmp_path / "cache",))
    assert inside.file(str(unpacked), "the file") == unpacked
    with pytest.raises(UserError, match="leads out of"):
        inside.file(str(tmp_path / "a.png"), "the file")


def test_a_folder_that_is_itself_a_link_is_the_users_own(folder: Path) -> None:
    told(folder, "sub/a.png")
    (folder.parent / "alias").symlink_to(folder)
    assert read_rows(DataSettings(path=str(folder.parent / "alias"), condition="canny")).good


@needs_pipes
@pytest.mark.parametrize("outside", [False, True])
def test_only_plain_files_are_opened(folder: Path, outside: bool) -> None:
    os.mkfifo(folder / "pipe.png")
    for name in ("pipe.png", "sub"):
        (bad,) = told(folder, name, outside=outside).bad
        assert f"{name!r} in {folder} is no regular file" in bad.why
    (bad,) = told(folder, "/dev/zero", outside=outside).bad
    assert "is no regular file, but a device" in bad.why


@needs_pipes
@pytest.mark.parametrize("special", ["a.png", "a.txt", "hints/a.png", "hints/a.json"])
def test_plain_files_beside_each_other(tmp_path: Path, special: str) -> None:
    for name in ("a.png", "hints/a.png"):
        save(tmp_path / name, picture(0))
    (tmp_path / "a.txt").write_text("words")
    if special == "hints/a.json":
        (tmp_path / "hints" / "a.png").unlink()
    (tmp_path / special).unlink(missing_ok=True)
    os.mkfifo(tmp_path / special)
    settings = DataSettings(path=str(tmp_path), condition="pose" if "json" in special else "")
    with pytest.raises(UserError, match="is no regular file, but a pipe"):
        raise_bad(settings)


def raise_bad(settings: DataSettings) -> None:
    """Raise what is said of the data."""
    raise UserError(check(settings).text)


def test_a_caption_has_a_largest_size(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(0))
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(5 << 30)  # takes no room on the disk
    with pytest.raises(UserError, match=r"a\.txt is larger than 0\.1 MB, the most that is read"):
        check(DataSettings(path=str(tmp_path), condition="canny"))


@pytest.mark.parametrize("place", ["outside", "inside"])
def test_files_that_a_parquet_row_names(tmp_path: Path, place: str) -> None:
    table = pytest.importorskip("pyarrow")
    pytest.importorskip("datasets")
    from pyarrow import parquet

    save(tmp_path / "a.png", picture(0))
    save(tmp_path / "data" / "a.png", picture(1))
    name = str(tmp_path / "a.png") if place == "outside" else "a.png"
    rows = {"image": [{"bytes": None, "path": name}], "text": ["words"]}
    parquet.write_table(table.table(rows), tmp_path / "data" / "train.parquet")
    settings = DataSettings(path=str(tmp_path / "data"), condition="canny")
    if place == "inside":
        assert check(settings).sizes == {(48, 48): 1}
        return
    assert "leads out of" in check(settings).rows.bad[0].why
    assert check(DataSettings(**{**vars(settings), "outside": True})).sizes == {(48, 48): 1}


@needs_pipes
def test_a_table_that_is_no_file(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    os.mkfifo(tmp_path / "train.parquet")
    with pytest.raises(UserError, match="is no regular file, but a pipe"):
        read_rows(DataSettings(path=str(tmp_path)))


def test_a_saved_data_set_names_its_own_tables(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    for name in ("one", "other"):
        made = datasets.Dataset.from_dict({"image": ["a.png"], "text": [name]})
        made.save_to_disk(str(tmp_path / name))
    state = json.loads((tmp_path / "one" / "state.json").read_text())
    (file,) = state["_data_files"]
    file["filename"] = f"../other/{file['filename']}"
    (tmp_path / "one" / "state.json").write_text(json.dumps(state))
    settings = DataSettings(path=str(tmp_path / "one"), condition="canny")
    with pytest.raises(UserError, match="leaves its folder"):
        read_rows(settings)
    (row,) = read_rows(DataSettings(**{**vars(settings), "outside": True})).good
    assert row.caption == "other"


@pytest.mark.parametrize("damage", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
def test_a_damaged_data_set_is_one_sentence(tmp_path: Path, damage: str) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"image": ["a"], "text": ["b"]}).save_to_disk(str(tmp_path / "d"))
    for data in (b"", b"\xff\xfe", b"[" * 5000, b"{}", b'{"_data_files": 3}'):
        (tmp_path / "d" / damage).write_bytes(data)
        try:
            read_rows(DataSettings(path=str(tmp_path / "d"), condition="canny"))
        except UserError as error:
            said = str(error)
            assert "\n" not in said
            assert str(tmp_path) in said
