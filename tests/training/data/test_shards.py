"""Tar files in webdataset's layout: the same rows as in a folder, read in any order by place."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.training.batch import Pick
from controlstack.training.data import tar_index
from controlstack.training.data.check import check
from controlstack.training.data.rows import read_rows, state_of, told_layout
from controlstack.training.data.tar_index import BLOCK, Member, Shard, index_of
from controlstack.training.data.training_data import TrainingData, training_data
from controlstack.training.settings import DataSettings
from tests.training.small_runs import same_weights, small_run, stop_after
from tests.training_files import FormulaEncoders, picture, save

PICKS = [
    [Pick(2, 11, False), Pick(0, 12, True)],
    [Pick(1, 13, False), Pick(2, 14, False)],
    [Pick(3, 15, True), Pick(3, 16, False)],
]

Files = Mapping[str, bytes]


def png(seed: int, width: int = 48, height: int = 48) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture(seed, width, height)).save(stream, "PNG")
    return stream.getvalue()


def sample(key: str, seed: int, width: int = 48) -> dict[str, bytes]:
    return {
        f"{key}.png": png(seed, width),
        f"{key}.hint.png": png(100 + seed, width),
        f"{key}.txt": f"prompt {seed}\n".encode(),
    }


def pack(path: Path, files: Files) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def sharded(folder: Path, count: int = 4, of: int = 2, wide: Callable[[int], int] = lambda i: 48):
    """`count` rows in tar files of `of` rows each."""
    for start in range(0, count, of):
        rows = [sample(f"{i:04}", i, wide(i)) for i in range(start, min(start + of, count))]
        pack(folder / f"{start // of:05}.tar", {k: v for row in rows for k, v in row.items()})
    return folder


def beside(folder: Path, count: int = 4, wide: Callable[[int], int] = lambda i: 48) -> Path:
    """The same rows as files of a folder."""
    for i in range(count):
        save(folder / f"{i:04}.png", picture(i, wide(i), 48))
        save(folder / f"{i:04}_hint.png", picture(100 + i, wide(i), 48))
        (folder / f"{i:04}.txt").write_text(f"prompt {i}\n")
    return folder


def settings(path: Path | str, **others: object) -> DataSettings:
    return DataSettings(path=str(path), **{"resolution": "48", **others})


def make(path: Path, **chosen: object) -> TrainingData:
    return training_data(settings(path, **chosen), FormulaEncoders())


def said(path: Path | str, **others: object) -> list[str]:
    return [str(bad) for bad in read_rows(settings(path, **others)).bad]


def test_a_folder_of_tar_files_is_told_and_read(tmp_path: Path) -> None:
    rows = read_rows(settings(sharded(tmp_path)))
    assert (rows.layout, rows.bad) == ("shards", ())
    assert [row.where for row in rows.good] == [
        *("00000.tar, 0000", "00000.tar, 0001", "00001.tar, 0002", "00001.tar, 0003"),
    ]
    last = rows.good[3]
    assert last.picture.name == tmp_path / "00001.tar" / "0003.png"
    assert (last.picture.content(), last.captions) == (png(3), ("prompt 3",))
    assert last.hint is not None
    assert last.hint.content() == png(103)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("buckets", [False, True])
def test_the_same_data_as_a_folder_gives_the_same_batches(
    tmp_path: Path, cached: bool, workers: int, buckets: bool
) -> None:
    def wide(row: int) -> int:
        return 48 if row % 2 or not buckets else 96

    chosen = {"flip": 0.5, "buckets": buckets, "cache": str(tmp_path / "c") if cached else ""}
    folder = make(beside(tmp_path / "folder", wide=wide), **chosen)
    shards = make(sharded(tmp_path / "shards", wide=wide), **chosen)
    assert (len(shards), shards.groups) == (4, folder.groups)
    assert shards.fingerprint == folder.fingerprint
    picks = PICKS if not buckets else [[pick] for picks in PICKS for pick in picks]
    pairs = list(zip(folder.load(picks), shards.load(picks, workers), strict=True))
    assert len(pairs) == len(picks)
    for one, other in pairs:
        assert torch.equal(one.latents, other.latents)
        assert torch.equal(one.words, other.words)
        assert torch.equal(one.hints, other.hints)


class EightWide(FormulaEncoders):
    """Words as wide as the small U-Net reads them."""

    def words(self, prompts: Sequence[str]) -> Tensor:
        return super().words(prompts).repeat(1, 1, 4) / 256


def test_a_resumed_run_over_shards_is_the_whole_run_bit_for_bit(tmp_path: Path) -> None:
    chosen = settings(sharded(tmp_path / "data", 5), resolution="64", flip=0.5)

    def rows() -> TrainingData:  # as a process that begins reads it
        return training_data(chosen, EightWide())

    whole = small_run(rows=rows(), prompt_dropout=0.5)
    first = small_run(tmp_path / "run", stop_after(6), rows=rows(), prompt_dropout=0.5)
    assert (first.step, first.stopped) == (6, True)
    assert not same_weights(first.network, whole.network)
    rest = small_run(tmp_path / "run", rows=rows(), resume=True, prompt_dropout=0.5)
    assert same_weights(rest.network, whole.network)
    unpacked = beside(tmp_path / "folder", 5)
    folder = training_data(replace(chosen, path=str(unpacked)), EightWide())
    assert same_weights(small_run(rows=folder, prompt_dropout=0.5).network, whole.network)


def test_an_index_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = pack(tmp_path / "a.tar", sample("0", 0))
    first = read_rows(settings(tmp_path))
    assert (tmp_path / "a.tar.index").is_file()

    def refuse(shard: Shard) -> None:
        raise AssertionError("it is made anew")

    with monkeypatch.context() as patched:
        patched.setattr(tar_index, "_made", refuse)
        assert read_rows(settings(tmp_path)) == first
        (tmp_path / "a.tar.index").write_text("{}")
        with pytest.raises(AssertionError):
            read_rows(settings(tmp_path))
    pack(shard, {**sample("0", 0), **sample("1", 1)})
    assert len(read_rows(settings(tmp_path)).good) == 2


def test_an_index_lies_in_the_cache_where_there_is_one(tmp_path: Path) -> None:
    pack(tmp_path / "data" / "a.tar", sample("0", 0))
    read_rows(settings(tmp_path / "data", cache=str(tmp_path / "cache")))
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["a.tar"]
    assert len(list((tmp_path / "cache" / "shards").iterdir())) == 1


def test_an_index_that_cannot_be_kept_is_made_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pack(tmp_path / "a.tar", sample("0", 0))
    (tmp_path / "a.tar.index").mkdir()
    assert len(read_rows(settings(tmp_path)).good) == 1
    assert "is not kept, and is made each time" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"members": [["0.png", 0, 1 << 40, ""]]},
        {"members": [["0.png", -1, 3, ""]]},
        {"members": [["0.png", True, 3, ""]]},
        {"members": [[1, 0, 3, ""]]},
        {"members": [["0.png", 0, 3]]},
        {"members": 3},
        {"members": {"0.png": [0, 3]}},
        {"format": 0},
        {"end": None},
        {"changed": 0},
    ],
)
def test_an_index_of_another_file_is_not_believed(
    tmp_path: Path, change: Mapping[str, object]
) -> None:
    pack(tmp_path / "a.tar", sample("0", 0))
    whole = index_of(tmp_path / "a.tar")
    kept = tmp_path / "a.tar.index"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), **change}))
    assert index_of(tmp_path / "a.tar") == whole


def test_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sharded(tmp_path / "data", 12, 1)
    monkeypatch.chdir(tmp_path)

    def keys(pattern: str) -> list[str]:
        assert told_layout(settings(pattern)) == "shards"
        rows = read_rows(settings(pattern))
        assert (rows.layout, rows.place) == ("shards", pattern)
        return [row.where.partition(", ")[2] for row in rows.good]

    assert keys("data/{00000..00002}.tar") == ["0000", "0001", "0002"]
    assert keys("data/{00011,00003}.tar") == ["0011", "0003"]
    assert keys("data/0000{8..9}.tar") == ["0008", "0009"]
    assert keys("data/0001?.tar") == ["0010", "0011"]
    assert len(keys("{data,data}/000{0..1}[12].tar")) == 3
    assert len(keys(str(tmp_path / "data" / "*.tar"))) == 12
    for wrong, why in (
        ("data/{00000..00012}.tar", "data/00012.tar is not there"),
        ("data/x*.tar", r"x\*.tar matches no file"),
        ("data/{3..1}.tar", r"\{3..1\} stands for 0 files"),
        ("{1..9999}{1..9999}.tar", "stands for 99980001 files; at most 1000000"),
    ):
        with pytest.raises(UserError, match=why):
            read_rows(settings(wrong))
    assert len(read_rows(settings("data/00003.tar")).good) == 1


def test_the_folder_of_a_split(tmp_path: Path) -> None:
    sharded(tmp_path / "train", 2)
    pack(tmp_path / "test" / "a.tar", sample("0", 0))
    report = check(settings(tmp_path))
    assert (len(report.rows.good), report.rows.split) == (2, "train")
    assert "without effect" not in check(settings(tmp_path, split="test")).text
    assert len(read_rows(settings(tmp_path, split="test")).good) == 1


def test_only_as_many_shards_as_are_needed_are_looked_at(tmp_path: Path) -> None:
    sharded(tmp_path, 6)
    assert len(read_rows(settings(tmp_path, max_rows=3)).good) == 3
    assert len(list(tmp_path.glob("*.index"))) == 2


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ({"0.jpg": "picture", "0.conditioning_image.png": "hint", "0.txt": "words"}, {}),
        ({"0.target.png": "picture", "0.source.png": "hint", "0.prompt.txt": "words"}, {}),
        ({"0.image.webp": "picture", "0.hint.png": "hint", "0.caption": "words"}, {}),
        ({"a/0.PNG": "picture", "a/0.HINT.PNG": "hint", "a/0.TXT": "words"}, {}),
        ({"./0.jpg": "picture", "./0.hint.png": "hint", "./0.txt": "words"}, {}),
        ({"0.jpg": "picture", "0.hint.png": "hint", "0.json": '{"caption": "words"}'}, {}),
        (
            {"0.jpg": "picture", "0.hint.png": "hint", "0.json": '{"b": ["words"], "text": "no"}'},
            {"caption_column": "b"},
        ),
        (
            {"0.jpg": "picture", "0.png": "hint", "0.long.txt": "words", "0.txt": "no"},
            {"image_column": "jpg", "hint_column": "png", "caption_column": "long"},
        ),
        (
            {"0.b.png": "picture", "0.a.png": "hint", "0.txt": "words", "0.json": "{"},
            {"image_column": "b", "hint_column": "a.png"},
        ),
        ({"0.jpg": "picture", "0.hint.json": "hint", "0.txt": "words"}, {}),
        (
            {"0.jpg": "picture", "README": "x", ".DS_Store": "x", "._0.jpg": "x", "0.cls": "1",
             "0.hint.png": "hint", "0.txt": "words"},
            {},
        ),
    ],
)  # fmt: skip
def test_what_the_files_of_a_row_are(
    tmp_path: Path, files: Mapping[str, str], chosen: Mapping[str, str]
) -> None:
    pack(tmp_path / "a.tar", {name: text.encode() for name, text in files.items()})
    rows = read_rows(settings(tmp_path, **chosen))
    assert rows.bad == ()
    (row,) = rows.good
    assert row.hint is not None
    assert (row.picture.content(), row.hint.content()) == (b"picture", b"hint")
    assert row.captions == ("words",)
    assert row.hint.is_pose == row.hint.name.name.endswith(".json")


def test_bad_rows_are_named(tmp_path: Path) -> None:
    files = {
        **sample("good", 0),
        **{f"lone.{end}": b"x" for end in ("png", "txt")},
        **{f"mute.{end}": b"x" for end in ("png", "hint.png")},
        **{f"two.{end}": b"x" for end in ("jpg", "png", "hint.png", "txt")},
        **{f"photo.v2.{end}": b"x" for end in ("png", "hint.png", "txt")},
        **{f"list.{end}": b"x" for end in ("png", "hint.png")},
        "list.json": b'{"caption": []}',
        **{f"coded.{end}": b"x" for end in ("png", "hint.png")},
        "coded.txt": b"\xff\xfe",
        **{f"long.{end}": b"x" for end in ("png", "hint.png")},
        "long.txt": b"x" * 65_537,
    }
    pack(tmp_path / "a.tar", files)
    assert [row.where for row in read_rows(settings(tmp_path)).good] == ["a.tar, good"]
    point = "(a name ends at its first point); name what the"
    assert said(tmp_path) == [
        f"a.tar, lone: no hint: it has png, txt {point} hints' have with hint_column",
        "a.tar, mute: no caption: it has png, hint.png, and neither a .txt nor a .json",
        "a.tar, two: two.jpg and two.png may both be its picture; name one's ending with "
        "image_column",
        "a.tar, photo: no picture: it has v2.png, v2.hint.png, v2.txt "
        f"{point} pictures' have with image_column",
        "a.tar, list: no caption: caption is an empty list",
        "a.tar, coded: coded.txt is no text in UTF-8; save it as such",
        "a.tar, long: long.txt has 65537 bytes; of texts 65536 are read",
    ]
    made = read_rows(settings(tmp_path, condition="canny", hints="made"))
    assert [row.where for row in made.good] == ["a.tar, good", "a.tar, lone"]
    with pytest.raises(UserError, match="has no files depth, which hint_column names; it has png"):
        read_rows(settings(tmp_path, hint_column="depth"))


def test_members_that_are_no_files_are_bad_rows(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    shard = tmp_path / "data" / "a.tar"
    pack(shard, sample("good", 0))
    kinds = {
        "sym.txt": (tarfile.SYMTYPE, "../secret.txt"),
        "hard.txt": (tarfile.LNKTYPE, "good.txt"),
        "pipe.txt": (tarfile.FIFOTYPE, ""),
        "device.txt": (tarfile.CHRTYPE, ""),
        "folder": (tarfile.DIRTYPE, ""),
        "../up.txt": (tarfile.REGTYPE, ""),
        "/root.txt": (tarfile.REGTYPE, ""),
        "C:/drive.txt": (tarfile.REGTYPE, ""),
    }
    with tarfile.open(shard, "a") as tar:
        for name, (kind, target) in kinds.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
        tar.addfile(tarfile.TarInfo("good.txt"))
        info = tarfile.TarInfo("b\udcffd.txt")
        tar.addfile(info)
    rows = read_rows(settings(shard.parent))
    assert rows.good == ()
    why = {bad.where: bad.why for bad in rows.bad}
    assert why["a.tar, good"] == "good.txt: it is there twice; keep one of them"
    only = "and only files are read"
    assert why["a.tar, sym"].startswith(f"sym.txt: it is a link to '../secret.txt', {only}")
    assert why["a.tar, hard"].startswith(f"hard.txt: it is a link to 'good.txt', {only}")
    assert why["a.tar, pipe"] == f"pipe.txt: it is a device or a pipe, {only}"
    assert why["a.tar, device"] == f"device.txt: it is a device or a pipe, {only}"
    assert "leaves its folder" in why["a.tar, ../up"]
    assert "leaves its folder" in why["a.tar, /root"]
    assert "leaves its folder" in why["a.tar, C:/drive"]
    assert "its name is no UTF-8" in why["a.tar, 'b\\udcffd"]
    assert len(why) == 9


@pytest.mark.parametrize("named", ["a.tar.gz", "a.tgz", "a.tar"])
def test_a_compressed_shard_is_refused(tmp_path: Path, named: str) -> None:
    plain = pack(tmp_path / "plain" / "a.tar", sample("0", 0))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / named).write_bytes(gzip.compress(plain.read_bytes()))
    for place in (tmp_path / "data", tmp_path / "data" / named):
        with pytest.raises(UserError, match=r"is compressed \(gzip\), so that .* plain \.tar"):
            read_rows(settings(place))


def test_a_shard_that_is_cut_off_is_named_and_the_rows_before_are_read(tmp_path: Path) -> None:
    shard = pack(tmp_path / "a.tar", {**sample("0", 0), **sample("1", 1)})
    whole = shard.read_bytes()
    second = index_of(shard).entries[3][1]
    end = index_of(shard).entries[-1][1] + BLOCK
    again = "copy or make it again (the rows before are whole)"
    for size, row, why in (
        (second + 100, 0, f"it is cut off at byte {second + 100}, inside '1.png'"),
        (second - 100, 0, f"it is cut off at byte {second - 100}, before its end mark"),
        (end, 2, f"it is cut off at byte {end}, before its end mark"),
    ):
        shard.write_bytes(whole[:size])
        rows = read_rows(settings(tmp_path))
        assert len(rows.good) == max(1, row)
        assert str(rows.bad[-1]) == f"a.tar: {why}; {again}"
        with pytest.raises(UserError, match="cannot be used"):
            make(tmp_path)
        assert len(make(tmp_path, bad_rows="skip")) == max(1, row)
    shard.write_bytes(whole[: second - BLOCK] + b"x" * BLOCK + whole[second:])
    assert said(tmp_path)[-1] == (
        f"a.tar: what stands at byte {second - BLOCK} is no tar header, and all behind is unread; "
        f"{again}"
    )
    shard.write_bytes(b"x" * 2000)
    with pytest.raises(UserError, match=r"a\.tar is no tar file"):
        read_rows(settings(tmp_path))


def test_a_shard_that_changes_meanwhile_is_named(tmp_path: Path) -> None:
    data = make(sharded(tmp_path))
    pack(tmp_path / "00000.tar", sample("0000", 7))
    with pytest.raises(UserError, match=r"00000\.tar, 0000: the shard .* changed while it was"):
        list(data.load([[Pick(0, 1, False)]]))


def test_what_changes_is_noticed(tmp_path: Path) -> None:
    sharded(tmp_path)
    before = state_of(settings(tmp_path))
    assert state_of(settings(tmp_path)) == before
    sharded(tmp_path, 4)
    assert state_of(settings(tmp_path)) != before


@dataclass
class Counted:
    bytes: int = 0


def test_a_look_at_the_sizes_reads_the_beginnings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    large = io.BytesIO()
    Image.effect_noise((1024, 1024), 90).save(large, "PNG")
    files = {"0.png": large.getvalue(), "0.hint.png": large.getvalue(), "0.txt": b"words"}
    pack(tmp_path / "a.tar", files)
    rows = read_rows(settings(tmp_path))
    counted = Counted()
    plain = Shard.read

    def read(self: Shard, offset: int, size: int) -> bytes:
        data = plain(self, offset, size)
        counted.bytes += len(data)
        return data

    monkeypatch.setattr(Shard, "read", read)
    from controlstack.training.data.row_pictures import header_of

    assert header_of(rows.good[0].picture) == ((1024, 1024), False)
    assert 0 < counted.bytes < 40_000 < len(large.getvalue())


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"])
def test_headers_are_read_as_from_files(tmp_path: Path, form: str) -> None:
    from PIL import Image

    from controlstack.preprocessors.picture_files import upright_header

    file = tmp_path / f"a.{form.lower()}"
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(picture(0, 64, 48))
    image.save(file, form, **({"exif": exif} if form in ("JPEG", "PNG", "WEBP") else {}))
    shard = pack(tmp_path / "a.tar", {"x.bin": b"x" * 700, file.name: file.read_bytes()})
    index = index_of(shard)
    _, offset, size, _ = index.entries[1]
    member = Member(index.shard, file.name, offset, size)
    assert upright_header(member.name, member.beginning()) == upright_header(file)
    torn = Member(index.shard, file.name, offset, 10)
    with pytest.raises(UserError, match="cannot be read as a picture"):
        upright_header(torn.name, torn.beginning())


def test_bytes_of_shards(tmp_path: Path) -> None:
    """Whatever stands in a tar file: rows, bad rows, or one sentence."""
    whole = pack(tmp_path / "a.tar", {**sample("0", 0), **sample("1", 1)}).read_bytes()
    starts = [offset - BLOCK for _, offset, _, _ in index_of(tmp_path / "a.tar").entries]
    draw = random.Random(0)
    outcomes = set()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(draw.randrange(1, 6)):
            data[draw.choice(starts) + draw.randrange(BLOCK)] = draw.randrange(256)
        (tmp_path / "a.tar").write_bytes(
            data[: draw.choice((len(data), draw.randrange(len(data))))]
        )
        try:
            rows = check(settings(tmp_path)).rows
            outcomes.add((len(rows.good), bool(rows.bad)))
        except UserError:
            outcomes.add((-1, False))
    assert len(outcomes) > 2
