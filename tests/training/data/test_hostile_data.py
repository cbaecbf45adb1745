"""Whatever stands in a table, a caption, a picture or a hint: rows, or one sentence to a user.

CONTROLSTACK_FUZZ=50 tries fifty times as many as usual.
"""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.ground.wording import one_line
from controlstack.training.data.check import Report, check
from controlstack.training.data.rows import read_rows, state_of
from controlstack.training.settings import DataSettings
from tests.training_files import fill50k, picture, save

TIMES = int(os.environ.get("CONTROLSTACK_FUZZ", "1"))

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**400, "", " ", ".", "..", "/", "\\", "a.png", "A.PNG", "no.png",
    "C:a.png", "C:\\a.png", "\\\\server\\share\\a.png", "../a.png", "..\\a.png", "/etc/passwd",
    "/dev/zero", "sub", "pipe.png", "socket.png", "link.png", "away.png", "deep/a.png",
    "deep\\a.png", "a\0b", "x" * 5000, "\x1b[31mred", "two\nlines", "\u202eabc", "\ud800", "é",
    "~/a.png", "file:///etc/passwd", [], [""], ["one", "two"], ["one", None], [["one"]], {},
    {"bytes": "x"}, {"path": "/etc/passwd"},
)  # fmt: skip
TEXTS = (
    "", "\0", "\x00" * 100, "[", "]", "{", "[" * 100_000, '{"a":' * 5_000, "1" * 10_000, "NaN",
    "\ufeff", '{"image": "a.png", "image": "b.png"}', '"', ",,,,", "\r", "\n\n", "'", "\ud83d",
    "�", "[1e999]", "x" * 200_000, "image,text\na.png,\"", "\u2028",
)  # fmt: skip
PLACES = ("a\0b", "x" * 5000, "~nobody/at/all", "\ud800", "a.png", "pipe.png", "\x1b[31m", " ")
TABLES = ("prompt.json", "metadata.jsonl", "metadata.csv")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A picture, folders, and things that are no files but bear the names of some."""
    home = tmp_path / "data"
    for name in ("a.png", "deep/a.png"):
        save(home / name, picture(0, 16, 16))
    (home / "sub").mkdir()
    os.mkfifo(home / "pipe.png")
    (home / "link.png").symlink_to("a.png")
    (tmp_path / "away.png").write_bytes((home / "a.png").read_bytes())
    (home / "away.png").symlink_to(tmp_path / "away.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home / "socket.png"))
        yield home


def tried(settings: DataSettings) -> None:
    """Look at the data in every way that comes before training."""
    said = [outcome(look, settings) for look in (read_rows, state_of, check)]
    for text in said:
        assert len(text) < 20_000
        text.encode()
        assert all(one_line(line) == line for line in text.split("\n"))


def outcome(look: Callable[[DataSettings], Any], settings: DataSettings) -> str:
    """What a person is told: the error's words, or the report's."""
    try:
        found = look(settings)
    except UserError as error:
        return str(error)
    return found.text if isinstance(found, Report) else ""


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def json_list(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows).encode()


def table_of_cells(rows: list[dict[str, Any]]) -> bytes:
    header = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[str(row.get(name, "")) for name in header] for row in rows]
    lines = [",".join(f'"{cell}"' for cell in line) for line in [header, *cells]]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


LAYOUTS: dict[str, tuple[str, Callable[[list[dict[str, Any]]], bytes], tuple[str, str, str]]] = {
    "fill50k": ("prompt.json", json_lines, ("target", "source", "prompt")),
    "fill50k list": ("prompt.json", json_list, ("target", "source", "prompt")),
    "imagefolder": ("metadata.jsonl", json_lines, ("file_name", "conditioning_image", "text")),
    "csv": ("metadata.csv", table_of_cells, ("file_name", "conditioning_image", "text")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_of_tables(folder: Path, layout: str) -> None:
    file, written, columns = LAYOUTS[layout]
    draw = random.Random(layout)
    for outside in (False, True):
        for turn in range(12 * TIMES):
            good = dict(zip(columns, ("a.png", "link.png", "words"), strict=True))
            rows = [dict(good) for _ in range(3)]
            for row in rows[turn % 2 :]:
                row[draw.choice(columns)] = draw.choice(VALUES)
                if draw.random() < 0.2:
                    del row[draw.choice(columns)]
                if draw.random() < 0.2:
                    row[draw.choice(("", "extra", "\x1b[0m", "None"))] = draw.choice(VALUES)
            (folder / file).write_bytes(written(rows))
            tried(DataSettings(path=str(folder), resolution="16", outside=outside))


@pytest.mark.parametrize(
    "file", [*sorted({file for file, _, _ in LAYOUTS.values()}), "a.txt", "a_hint.json"]
)
def test_texts_of_files(folder: Path, file: str) -> None:
    (folder / "a.txt").write_text("words")
    whole = b'{"file_name": "a.png", "text": "words", "target": "a.png", "prompt": "words"}'
    draw = random.Random(file)
    texts = [text.encode("utf-8", "surrogatepass") for text in TEXTS] + [b"\xff\xfe\x00", b"\x80"]
    for turn in range(len(texts) * TIMES):
        data = texts[turn % len(texts)]
        if turn >= len(texts) or turn % 3 == 0:
            place = draw.randrange(len(whole))
            data = whole[:place] + data[:200] + whole[place + draw.randrange(9) :]
        (folder / file).write_bytes(data)
        chosen = {"condition": "pose"} if file == "a_hint.json" else {"condition": "canny"}
        tried(DataSettings(path=str(folder), resolution="16", **chosen))


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif", "webp"])
def test_bytes_of_pictures(tmp_path: Path, ending: str) -> None:
    fill50k(tmp_path, 1, 16, 16)
    lines = (tmp_path / "prompt.json").read_text().replace("target/0.png", f"target/0.{ending}")
    (tmp_path / "prompt.json").write_text(lines)
    target = save(tmp_path / "target" / f"0.{ending}", picture(0, 16, 16))
    whole = target.read_bytes()
    draw = random.Random(ending)
    for _ in range(20 * TIMES):
        data = bytearray(whole)
        for _ in range(draw.randrange(1, 6)):
            data[draw.randrange(min(len(data), 120))] = draw.randrange(256)
        target.write_bytes(data[: draw.choice((len(data), draw.randrange(len(data))))])
        tried(DataSettings(path=str(tmp_path), resolution="16"))


@pytest.mark.parametrize("name", ["path", "hint_folder", "cache"])
def test_places_that_nobody_can_have(folder: Path, name: str) -> None:
    (folder / "a.txt").write_text("words")
    for value in (
        "a\0b",
        "x" * 5000,
        "~nobody/at/all",
        "\ud800",
        "a.png",
        "pipe.png",
        "\x1b[31m",
        " ",
    ):
        chosen = {"path": str(folder), "condition": "canny", "resolution": "16", name: value}
        tried(DataSettings(**chosen))
