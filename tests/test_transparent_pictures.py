"""A picture with transparency gives the hint of what it looks like on white, wherever read."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from controlstack.evaluation.files.extraction import Extractor
from controlstack.evaluation.files.quality import _seen
from controlstack.evaluation.files.study import _one
from controlstack.preprocessors.canny import CANNY, canny
from controlstack.preprocessors.picture_files import on_white, pixels
from controlstack.preprocessors.scribble import scribble
from controlstack.preprocessors.sheet import sheet
from controlstack.preprocessors.sources import read_hint_picture, read_mask, read_sources
from controlstack.training.data.check import check
from controlstack.training.data.row_pictures import read_picture, seen_of
from controlstack.training.settings import DataSettings
from tests.cli.conftest import folder, run  # noqa: F401
from tests.cli.prompts import Run

Pixels = NDArray[Any]
SIDE = 64


def drawing() -> Image.Image:
    """Black lines on transparency, as programs for drawing save them: black all over, too."""
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    alpha[30:34, 8:56] = alpha[8:56, 20:24] = 255
    return Image.fromarray(np.dstack((np.zeros((SIDE, SIDE, 3), np.uint8), alpha)))


def flattened() -> Pixels:
    """The same on white, as bytes."""
    return np.repeat(255 - np.asarray(drawing())[..., 3:], 3, axis=2)


def saved(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing().save(path)
    return path


def hwc3(x: Pixels) -> Pixels:
    """The annotators' own rule, for four channels: `HWC3` of lllyasviel/ControlNet."""
    colour, alpha = x[:, :, :3].astype(np.float32), x[:, :, 3:].astype(np.float32) / 255.0
    y: Pixels = (colour * alpha + 255.0 * (1.0 - alpha)).clip(0, 255).astype(np.uint8)
    return y


def test_every_colour_under_every_alpha() -> None:
    colour, alpha = np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2)
    four = np.stack((colour, colour, colour, alpha), axis=2)
    got = pixels(Image.fromarray(four))
    exact = (colour * 1.0 * alpha + 255 * (255.0 - alpha)) / 255
    assert np.abs(got - exact[..., None]).max() <= 0.5
    original = hwc3(four).astype(int)  # which cuts fractions off
    assert ((got - original >= 0) & (got - original <= 1)).all()
    assert (got[alpha == 255][:, 0] == np.arange(256)).all()
    assert (got[alpha == 0] == 255).all()


def png(depth: int, kind: int, row: bytes, clear: bytes | None = None) -> bytes:
    """A PNG of two pixels; `clear` is its tRNS."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", 2, 1, depth, kind, 0, 0, 0)
    trns = b"" if clear is None else chunk(b"tRNS", clear)
    body = chunk(b"IHDR", head) + trns + chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}H", *numbers)


def palette(transparency: int | bytes) -> bytes:
    two = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    two.putpalette([10, 20, 30, 40, 50, 60])
    stream = io.BytesIO()
    two.save(stream, "PNG", transparency=transparency)
    return stream.getvalue()


def associated() -> bytes:
    """A TIFF whose colours are multiplied by alpha: (100, 50, 20) at 128 of 255."""
    four = Image.fromarray(np.array([[[10, 20, 30, 255], [50, 25, 10, 128]]], np.uint8))
    stream = io.BytesIO()
    four.save(stream, "TIFF")
    data = stream.getvalue()
    plain, multiplied = (struct.pack("<HHIHH", 338, 3, 1, kind, 0) for kind in (2, 1))
    assert data.count(plain) == 1
    return data.replace(plain, multiplied)


KINDS = {
    "palette, one colour": (palette(1), [[10, 20, 30], [255, 255, 255]]),
    "palette, levels": (palette(bytes([255, 51])), [[10, 20, 30], [212, 214, 216]]),
    "grey and alpha": (png(8, 4, bytes([7, 255, 0, 102])), [[7] * 3, [153] * 3]),
    "grey, one level": (png(8, 0, bytes([10, 20]), words(20)), [[10] * 3, [255] * 3]),
    "black and white": (png(1, 0, bytes([64]), words(0)), [[255] * 3, [255] * 3]),
    "RGB, one colour": (
        png(8, 2, bytes([10, 20, 30, 1, 2, 3]), words(1, 2, 3)),
        [[10, 20, 30], [255] * 3],
    ),
    "16 bits, grey, one level": (
        png(16, 0, words(257 * 9, 2000), words(2000)),
        [[9] * 3, [255] * 3],
    ),
    "16 bits, grey and alpha": (
        png(16, 4, words(257 * 9, 65535, 0, 257 * 102)),
        [[9] * 3, [153] * 3],
    ),
    "16 bits, RGB, one colour": (
        png(16, 2, words(*[257 * 9] * 3, 40000, 50000, 60000), words(40000, 50000, 60000)),
        [[9] * 3, [255] * 3],
    ),
    "16 bits, RGBA": (
        png(16, 6, words(*[257 * 9] * 3, 65535, 0, 0, 65535, 257 * 51)),
        [[9] * 3, [204, 204, 255]],
    ),
    "TIFF, multiplied by alpha": (associated(), [[10, 20, 30], [177, 152, 137]]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_transparency(tmp_path: Path, kind: str) -> None:
    content, wanted = KINDS[kind]
    (source,) = read_sources("picture", tmp_path / "a.png", content=content).sources
    assert isinstance(source, np.ndarray)
    assert source.dtype == np.uint8
    assert np.abs(source[0].astype(int) - wanted).max() <= 1, source


def half_grey(mode: str) -> Image.Image:
    """A pixel of 100 at alpha 128, in a mode of Pillow."""
    grey = Image.new("L", (1, 1), 100)
    if mode == "PA":
        grey = grey.convert("P")
    elif mode == "RGBa":
        grey = grey.convert("RGB")
    grey.putalpha(128)
    return grey if grey.mode == mode else grey.convert(mode)


@pytest.mark.parametrize("mode", ["RGBa", "La", "PA"])
def test_modes_that_no_file_opens_in(mode: str) -> None:
    picture = half_grey(mode)
    assert picture.mode == mode
    assert np.abs(pixels(picture).astype(int) - 177).max() <= 1


def test_what_is_opaque_stays_itself() -> None:
    for mode in ("RGB", "L", "P", "I;16", "F", "1", "CMYK", "LAB"):
        frame = Image.new(mode, (2, 2))
        assert on_white(frame) is frame


def test_lines_on_transparency_are_lines() -> None:
    """What all of this is for: they gave an empty hint."""
    assert not canny(np.asarray(drawing().convert("RGB"))).any()
    assert canny(flattened()).any()
    assert scribble(flattened()).mean() < 64


@pytest.mark.parametrize("name", ["canny", "scribble", "scribble_xdog", "lineart_standard", "tile"])
def test_on_the_command_line(run: Run, folder: Path, name: str) -> None:  # noqa: F811
    saved(folder / "clear.png")
    Image.fromarray(flattened()).save(folder / "white.png")
    assert run("hint", name, "clear.png", "white.png", "--out", ".").exit_code == 0
    with Image.open(f"clear_{name}.png") as one, Image.open(f"white_{name}.png") as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))
        assert np.asarray(one).std() > 0


def test_a_mask_is_still_the_transparency(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png")
    alpha = np.asarray(drawing())[..., 3]
    ((colours, mask),) = read_sources("masked picture", path).sources
    assert np.array_equal(mask, 1 - alpha / np.float32(255))
    assert np.array_equal(read_mask(path), mask)
    assert (colours == 0).all()  # those of the file: what is masked is painted anew
    given = np.zeros((SIDE, SIDE), np.float32)
    ((colours, mask),) = read_sources("masked picture", path, given).sources
    assert np.array_equal(mask, given)
    assert np.array_equal(colours, flattened() / np.float32(255))


def test_on_the_sheet(tmp_path: Path) -> None:
    seen = sheet.read_picture(saved(tmp_path / "a.png"))
    assert seen.colours[0] == pytest.approx(1)
    assert (seen.under == 0).all()
    shown, _ = sheet.make_hints(seen, [tmp_path])
    assert shown["canny"].made.hint.any()
    assert set(np.unique(shown["inpaint"].made.hint)) == {-1, 0}


def test_on_the_sheet_the_middle_is_masked_where_nothing_is_transparent(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(8, 2, bytes([10, 20, 30, 1, 2, 3]), words(1, 2, 3)))
    seen = sheet.read_picture(path)
    assert seen.under is seen.colours or np.array_equal(seen.under, seen.colours)


def captioned(folder: Path) -> DataSettings:  # noqa: F811
    saved(folder / "a.png")
    (folder / "a.txt").write_text("words")
    return DataSettings(path=str(folder), resolution=str(SIDE), condition="canny", hints="made")


def test_in_training(tmp_path: Path) -> None:
    settings = captioned(tmp_path)
    report = check(settings, True)
    (row,) = report.rows.good
    assert np.array_equal(read_picture(row), flattened())
    picture, hint = seen_of(row, settings, report.condition, seed=0)
    assert np.array_equal(picture, flattened())
    assert hint is not None
    assert np.array_equal(hint, canny(flattened()))
    assert (
        "1 picture with an alpha channel: what is transparent is laid on white" in report.warnings
    )


def test_a_finished_hint_is_read_as_load_image_reads_it(tmp_path: Path) -> None:
    """White lines on transparency over black, as pose editors save them, are no white picture."""
    path = tmp_path / "hint.png"
    lines = np.asarray(drawing()).copy()
    lines[lines[..., 3] == 255, :3] = 255
    Image.fromarray(lines).save(path)
    assert np.array_equal(read_hint_picture(path), lines[..., :3])


def of_extractor(path: Path) -> Pixels:
    picture = Extractor(CANNY, CANNY.settings({})).from_picture(path).picture
    assert picture is not None
    return picture


def of_quality(path: Path) -> Pixels:
    (picture,) = _seen([path], "pictures")
    return picture


@pytest.mark.parametrize("read", [of_extractor, of_quality])
def test_in_evaluation(tmp_path: Path, read: Callable[[Path], Pixels]) -> None:
    assert np.array_equal(read(saved(tmp_path / "a.png")), flattened())


def test_in_a_study(tmp_path: Path) -> None:
    Image.fromarray(flattened()).save(tmp_path / "white.png")
    clear, white = (
        _one(path, False) for path in (saved(tmp_path / "a.png"), tmp_path / "white.png")
    )
    assert clear.source == white.source
