"""Whatever a picture file holds, its readers give pictures or one UserError, and print nothing."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import random
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from controlstack.ground import memory
from controlstack.ground.errors import UserError
from controlstack.headless.pictures import check_image, read_channel, read_image
from controlstack.preprocessors.picture_files import colours, first_frame, pixels, upright_header

EXAMPLES = int(os.environ.get("CONTROLSTACK_FUZZ", "200"))


def psd(layers: int = 0) -> bytes:
    """A Photoshop file of 2 x 2 pixels, RGB, whose header counts so many layers."""
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 2, 2, 8, 3)
    info = struct.pack(">Ih", 4, layers) + b"\0\0" if layers else b""
    return head + struct.pack(">III", 0, 0, len(info)) + info + struct.pack(">H", 0) + bytes(12)


def spider(pictures: int) -> bytes:
    """A SPIDER stack of 2 x 2 floats, whose header counts so many pictures."""
    head = [0.0] * 27
    head[0], head[1], head[4], head[11], head[12] = 1, 2, 1, 2, 2
    head[21], head[22], head[23], head[25] = 1024, 8, pictures, 2
    return np.array(head, ">f4").tobytes().ljust(1024, b"\0") + bytes(16)


@functools.cache
def seeds() -> dict[str, bytes]:
    """A small picture in every format and every kind of colours that Pillow writes."""
    Image.init()
    made: dict[str, bytes] = {"psd": psd(), "psd1": psd(1), "spider": spider(0)}
    for kind in sorted(Image.SAVE):
        for mode in ("RGB", "L", "P", "RGBA", "I;16", "F", "LAB", "CMYK", "1", "LA"):
            stream = io.BytesIO()
            picture = Image.new(mode, (9, 7))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    picture.save(stream, kind)
            except Exception:  # a format that does not take these colours, or is no format
                continue
            made[f"{kind} {mode}"] = stream.getvalue()
    pages = io.BytesIO()
    first, second = Image.new("RGB", (4, 4)), Image.new("L", (900, 900))
    first.save(pages, "TIFF", save_all=True, append_images=[second])
    return {**made, "pages": pages.getvalue()}


def read_all(path: Path) -> int:
    """Read `path` in every way there is; how many of them gave a picture."""
    given = 0
    for read in (read_image, check_image, upright_header, _first, _seen, _alpha):
        with contextlib.suppress(UserError):
            read(path)
            given += 1
    return given


def _first(path: Path) -> None:
    colours(first_frame(path)[0])


def _seen(path: Path) -> None:
    assert pixels(first_frame(path)[0]).dtype == np.uint8


def _alpha(path: Path) -> None:
    read_channel(path, "alpha")


def test_every_format_and_every_kind_of_colours(tmp_path: Path) -> None:
    for name, data in seeds().items():
        path = tmp_path / "picture"
        path.write_bytes(data)
        if name.split()[0] in ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP") and "LAB" not in name:
            assert read_all(path) == 6, name
        else:
            read_all(path)


def test_a_photoshop_file_without_layers_is_its_picture(tmp_path: Path) -> None:
    (tmp_path / "a.psd").write_bytes(psd())
    assert read_image(tmp_path / "a.psd")[0].shape == (1, 2, 2, 3)


@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_damaged_files(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(rng.choice(list(seeds().values())))
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(min(len(data), rng.choice([64, 2000])))
        data[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    del data[rng.choice([len(data), rng.randrange(len(data)) + 1]) :]
    path = tmp_path / "picture"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(memory, "available", lambda: 1 << 26)
        warnings.simplefilter("error")
        read_all(path)


def test_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # from where on Pillow warns
    palette = Image.new("P", (8, 8))
    palette.info["transparency"] = bytes(range(256))
    palette.save(tmp_path / "palette.png", transparency=bytes(range(256)))
    Image.new("RGB", (8, 8)).save(tmp_path / "exif.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    Image.new("1", (40, 40)).save(tmp_path / "large.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in tmp_path.iterdir():
            upright_header(path)
            read_channel(path, "alpha")
    assert capfd.readouterr() == ("", "")


def test_memory_is_estimated_from_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (4000, 4000)).save(tmp_path / "grey.png")
    monkeypatch.setattr(memory, "available", lambda: 3 * 10**8)
    with pytest.raises(UserError, match=r"4000 x 4000 .* would take 368\.0 MB of memory"):
        read_image(tmp_path / "grey.png")
    with pytest.raises(UserError, match="would take"):
        check_image(tmp_path / "grey.png")
    first_frame(tmp_path / "grey.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero"), tmp_path):
        with pytest.raises(UserError, match="is no regular file"):
            upright_header(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"II*\0" + bytes(200), "it begins as a TIFF, and is cut off or of a kind"),
        (seeds()["JPEG RGB"][:3] + bytes(9), "it begins as a JPEG, and is cut off or of a kind"),
        (b"words", "it is in no format of pictures"),
        (b"", "it is in no format of pictures"),
    ],
)
@pytest.mark.parametrize("stored", [True, False])
def test_a_file_that_pillow_does_not_know_is_told_from_no_picture(
    tmp_path: Path, content: bytes, words: str, stored: bool
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"a.tif cannot be read as a picture: {words}"):
        first_frame(path, None if stored else content)


def test_colours_in_floats_are_refused_by_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.float32))
    with pytest.raises(UserError, match=r"a TIFF, .* such as colours in floats; save it as PNG"):
        first_frame(path)
