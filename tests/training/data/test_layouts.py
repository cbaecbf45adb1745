"""Every layout gives the rows that its files tell of, and names those that are bad."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controlstack.ground.errors import UserError
from controlstack.training.data.file_names import typed
from controlstack.training.data.row import Row
from controlstack.training.data.rows import read_rows, told_layout
from controlstack.training.settings import DataSettings
from tests.training_files import fill50k, picture, save


def settings(path: Path, **others: object) -> DataSettings:
    return DataSettings(path=str(path), **others)


def names(row: Row) -> tuple[str, str | None, str]:
    return row.picture.name.name, row.hint.name.name if row.hint else None, row.caption


def test_fill50k_is_told_and_read(tmp_path: Path) -> None:
    rows = read_rows(settings(fill50k(tmp_path, 3)))
    assert rows.layout == "fill50k"
    assert [names(row) for row in rows.good] == [
        (f"{i}.png", f"{i}.png", f"prompt {i}") for i in range(3)
    ]
    assert rows.good[1].hint is not None
    assert rows.good[1].hint.name == tmp_path / "source" / "1.png"
    assert rows.good[1].picture.name == tmp_path / "target" / "1.png"


def test_fill50k_may_be_one_json_list_and_named_by_its_file(tmp_path: Path) -> None:
    fill50k(tmp_path, 2)
    file = tmp_path / "prompt.json"
    file.write_text(json.dumps([json.loads(line) for line in file.read_text().splitlines()]))
    assert len(read_rows(settings(file)).good) == 2


def test_bad_lines_are_named(tmp_path: Path) -> None:
    fill50k(tmp_path, 5)
    file = tmp_path / "prompt.json"
    lines = file.read_text().splitlines()
    lines[1] = lines[1][:-5]
    lines[2] = '{"source": "source/2.png", "target": "target/2.png"}'
    lines[3] = lines[3].replace("target/3.png", "target/99.png")
    lines.append("[1]")
    file.write_text("\n".join(lines))
    rows = read_rows(settings(tmp_path))
    assert [row.caption for row in rows.good] == ["prompt 0", "prompt 4"]
    said = [str(bad) for bad in rows.bad]
    assert said[0].startswith("prompt.json, line 2: it is not JSON: ")
    assert said[1] == "prompt.json, line 3: no caption: prompt is null"
    assert said[2] == (f"prompt.json, line 4: target 'target/99.png' in {tmp_path} is not there")
    assert said[3] == "prompt.json, line 6: it is no JSON object"


@pytest.mark.parametrize("hint", ["conditioning_image_file_name", "conditioning_image"])
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
@pytest.mark.parametrize("inside", ["", "train"])
def test_imagefolder(tmp_path: Path, hint: str, ending: str, inside: str) -> None:
    folder = tmp_path / inside
    for name in ("a", "a_hint"):
        save(folder / f"{name}.png", picture(0))
    if ending == "jsonl":
        text = json.dumps({"file_name": "a.png", hint: "a_hint.png", "text": 'a "cat", black'})
    else:
        text = f'file_name,{hint},text\na.png,a_hint.png,"a ""cat"", black"\n'
    (folder / f"metadata.{ending}").write_text(text)
    rows = read_rows(settings(tmp_path))
    assert rows.layout == "imagefolder"
    assert [names(row) for row in rows.good] == [("a.png", "a_hint.png", 'a "cat", black')]


def test_a_csv_line_that_is_too_short_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(0))
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,one\na.png\n")
    rows = read_rows(settings(tmp_path, condition="canny"))
    assert [str(bad) for bad in rows.bad] == ["metadata.csv, line 3: no caption: text is null"]


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_caption_or_a_name_that_is_too_long_is_one_bad_row(tmp_path: Path, ending: str) -> None:
    save(tmp_path / "a.png", picture(0))
    rows = [("a.png", "one"), ("a.png", "x" * 200_000), ("y" * 5000, "two"), ("z" * 200, "three")]
    if ending == "csv":
        lines = ["file_name,text", *(",".join(row) for row in rows)]
    else:
        lines = [json.dumps({"file_name": name, "text": text}) for name, text in rows]
    (tmp_path / f"metadata.{ending}").write_text("\n".join(lines))
    found = read_rows(settings(tmp_path, condition="canny", bad_rows="skip"))
    assert len(found.good) == 1
    caption, *names = [bad.why for bad in found.bad]
    assert caption == "text has 200000 letters; at most 65536 are read"
    short = "'" + "y" * 56 + "..."
    assert names[0] == f"cannot read file_name {short} in {tmp_path}: File name too long"
    assert names[1] == f"file_name {short.replace('y', 'z')} in {tmp_path} is not there"


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("file_name,file_name,text\na.png,b.png,one\n")
    with pytest.raises(UserError, match=r"metadata\.csv has the column 'file_name' twice"):
        read_rows(settings(tmp_path, condition="canny"))


def test_columns_can_be_named(tmp_path: Path) -> None:
    fill50k(tmp_path, 1)
    swapped = settings(tmp_path, image_column="source", hint_column="target")
    assert read_rows(swapped).good[0].picture.name.parent.name == "source"
    with pytest.raises(UserError, match="no column words, which caption_column names; it has "):
        read_rows(settings(tmp_path, caption_column="words"))


def test_captions_beside_pictures_and_hints_beside(tmp_path: Path) -> None:
    for name in ("b", "a", "b_hint", "a_hint"):
        save(tmp_path / f"{name}.png", picture(0))
    (tmp_path / "a.txt").write_text("a  cat\n")
    (tmp_path / "b.caption").write_text("a dog")
    rows = read_rows(settings(tmp_path))
    assert rows.layout == "captions"
    assert [names(row) for row in rows.good] == [
        ("a.png", "a_hint.png", "a cat"),
        ("b.png", "b_hint.png", "a dog"),
    ]


@pytest.mark.parametrize(
    ("pictures", "hints"), [("images", "hints"), ("", "conditioning_images"), ("images", "own")]
)
def test_hints_in_a_folder(tmp_path: Path, pictures: str, hints: str) -> None:
    save(tmp_path / pictures / "deep" / "a.jpg", picture(0))
    (tmp_path / pictures / "deep" / "a.txt").write_text("a cat")
    save(tmp_path / hints / "deep" / "a.png", picture(1))
    rows = read_rows(settings(tmp_path, hint_folder="own" if hints == "own" else ""))
    assert [names(row) for row in rows.good] == [("a.jpg", "a.png", "a cat")]
    assert rows.good[0].where == "deep/a"
    assert not rows.bad


def test_another_folder_of_hints_holds_no_pictures(tmp_path: Path) -> None:
    for name in ("a.png", "hints/a.png", "own/a.png"):
        save(tmp_path / name, picture(0))
    (tmp_path / "a.txt").write_text("a cat")
    rows = read_rows(settings(tmp_path, hint_folder=str(tmp_path / "own")))
    assert (len(rows.good), len(rows.bad)) == (1, 0)
    assert rows.good[0].hint is not None
    assert rows.good[0].hint.name == tmp_path / "own" / "a.png"
    with pytest.raises(UserError, match="which is no folder"):
        read_rows(settings(tmp_path, hint_folder="nowhere"))


def test_captions_and_hints_that_are_missing_are_named(tmp_path: Path) -> None:
    for name in ("good", "good_hint", "mute", "mute_hint", "lone", "twice", "twice_hint"):
        save(tmp_path / f"{name}.png", picture(0))
    save(tmp_path / "twice.jpg", picture(0))
    for name in ("good", "lone", "twice"):
        (tmp_path / f"{name}.txt").write_text("words")
    rows = read_rows(settings(tmp_path))
    assert [row.where for row in rows.good] == ["good"]
    assert [str(bad) for bad in rows.bad] == [
        f"lone: no hint for {tmp_path / 'lone.png'}",
        f"mute: no caption: {tmp_path / 'mute.txt'} is not there",
        "twice: twice.jpg and twice.png have one name; keep one of them",
    ]
    made = read_rows(settings(tmp_path, condition="canny", hints="made"))
    assert [row.where for row in made.good] == ["good", "lone"]  # no hint is looked for
    assert all(row.hint is None for row in made.good)


def test_hidden_files_are_no_rows(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png", ".trash/b.png"):
        save(tmp_path / name, picture(0))
    (tmp_path / "a.txt").write_text("words")
    rows = read_rows(settings(tmp_path))
    assert [row.where for row in rows.good] == ["a"]
    assert rows.bad == ()


def test_a_picture_named_hint_without_its_picture_is_a_picture(tmp_path: Path) -> None:
    save(tmp_path / "take_the_hint.png", picture(0))
    (tmp_path / "take_the_hint.txt").write_text("words")
    assert [row.where for row in read_rows(settings(tmp_path)).good] == ["take_the_hint"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    table = {
        "image": [Image.fromarray(picture(i)) for i in range(3)],
        "conditioning_image": [Image.fromarray(picture(100 + i)) for i in range(3)],
        "text": ["one", None, "three"],
    }
    kinds = datasets.Features(
        {
            "image": datasets.Image(),
            "conditioning_image": datasets.Image(),
            "text": datasets.Value("string"),
        }
    )
    datasets.Dataset.from_dict(table, features=kinds).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_a_saved_data_set(saved: Path) -> None:
    rows = read_rows(settings(saved))
    assert rows.layout == "dataset"
    assert [row.caption for row in rows.good] == ["one", "three"]
    assert [str(bad) for bad in rows.bad] == ["row 2: no caption: text is null"]
    content = rows.good[1].picture.content()
    assert content is not None
    assert content.startswith(b"\x89PNG")
    assert rows.good[1].picture.stamp() != rows.good[0].picture.stamp()


def test_parquet_files_as_on_the_hub(saved: Path, tmp_path: Path) -> None:
    import datasets

    (tmp_path / "clone" / "data").mkdir(parents=True)
    table = datasets.load_from_disk(str(saved))
    table.to_parquet(str(tmp_path / "clone" / "data" / "train-00000.parquet"))
    rows = read_rows(settings(tmp_path / "clone"))
    assert [row.caption for row in rows.good] == ["one", "three"]
    with pytest.raises(UserError, match="has no split test; it has train"):
        read_rows(settings(tmp_path / "clone", split="test"))


def test_a_name_that_cannot_be_reached_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def offline(name: str) -> None:
        raise ConnectionError(f"Couldn't reach '{name}' on the Hub\nand a second line")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(UserError) as raised:
        read_rows(DataSettings(path="fusing/fill50k"))
    assert str(raised.value) == (
        "The data set fusing/fill50k cannot be read: Couldn't reach 'fusing/fill50k' on the Hub. A "
        "name on the hub needs a connection, or a copy in the library's cache; a folder may be "
        "given instead."
    )


def test_a_mistyped_folder_is_not_looked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told_layout(DataSettings(path="photos/cats")) == "dataset"
    (tmp_path / "photos").mkdir()
    for mistyped in ("fotos", "photos/cats"):
        with pytest.raises(UserError, match=f"{mistyped} is not there"):
            told_layout(DataSettings(path=mistyped))
    assert told_layout(DataSettings(path="photos/cats", layout="dataset")) == "dataset"


def test_a_name_of_a_model_gives_way_to_a_file_or_to_a_folder_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = {"demo": Path("shipped"), "other": Path("shipped")}
    (tmp_path / "demo").mkdir()  # as a clone has one
    assert typed("demo", "the base", known) == Path("shipped")
    (tmp_path / "demo" / "config.json").touch()
    (tmp_path / "other").touch()
    for name in known:
        assert typed(name, "the base", known) == Path(name)


def test_what_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no path"):
        read_rows(DataSettings())
    with pytest.raises(UserError, match="is not there"):
        read_rows(settings(tmp_path / "nothing" / "at" / "all"))
    with pytest.raises(UserError, match="has no layout that is known"):
        told_layout(settings(tmp_path))
    with pytest.raises(UserError, match=r"no prompt\.json or prompt\.jsonl"):
        read_rows(settings(tmp_path, layout="fill50k"))
    (tmp_path / "prompt.json").write_text("\n")
    with pytest.raises(UserError, match="has no rows"):
        read_rows(settings(tmp_path))


def test_the_first_rows(tmp_path: Path) -> None:
    rows = read_rows(settings(fill50k(tmp_path, 4), max_rows=2))
    assert [row.caption for row in rows.good] == ["prompt 0", "prompt 1"]
