"""Files, folders and globs; broken files among good ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from controlstack.cli import hint_run
from controlstack.ground.inputs import IMAGE_SUFFIXES, files_of, find_inputs
from controlstack.preprocessors import picture_files
from tests.cli.prompts import Run

PNG = (".png", ".jpg")
COMMAND = "from controlstack.cli.main import main; main()"


@pytest.fixture
def pictures(folder: Path) -> Path:
    """in/: b.png, a.JPG, a text, a hidden picture and a folder with c.png."""
    (folder / "in" / "deeper").mkdir(parents=True)
    for name in ("b.png", "a.JPG", ".hidden.png", "deeper/c.png"):
        Image.new("RGB", (8, 8), "gray").save(folder / "in" / name)
    (folder / "in" / "notes.txt").write_text("no picture")
    return folder


def found(*names: object) -> list[str]:
    inputs = find_inputs([str(name) for name in names], PNG)
    assert not inputs.failures
    return [path.as_posix() for path in inputs.files]


def test_a_folder_is_its_pictures_by_name(pictures: Path) -> None:
    assert found("in") == ["in/a.JPG", "in/b.png"]


def test_a_glob_is_what_matches(pictures: Path) -> None:
    assert found("in/*.png") == ["in/b.png"]
    assert found("**/*.png") == ["in/b.png", "in/deeper/c.png"]
    assert found(pictures / "in" / "?.png") == [(pictures / "in" / "b.png").as_posix()]
    assert found("i[mn]") == ["in/a.JPG", "in/b.png"]


def test_a_name_with_brackets_is_a_name_first(pictures: Path) -> None:
    (pictures / "in" / "b.png").rename("x[1].png")
    assert found("x[1].png") == ["x[1].png"]


def test_a_file_is_taken_once(pictures: Path) -> None:
    assert found("in/b.png", "in", "in/*.png") == ["in/b.png", "in/a.JPG"]


@pytest.mark.parametrize("name", ["none.png", "none/*.png", "none", "in/deeper/*.jpg", "empty"])
def test_what_is_not_there_is_said_with_its_name(pictures: Path, name: str) -> None:
    (pictures / "empty").mkdir()
    inputs = find_inputs([name, "in/b.png"], PNG)
    assert inputs.files == (Path("in/b.png"),)
    assert [name in failure for failure in inputs.failures] == [True]


def test_a_folder_gives_a_hint_of_each(pictures: Path, run: Run) -> None:
    result = run("hint", "tile", "in", "in/deeper/*", "--out", "new/hints")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == [f"new/hints/{name}_tile.png" for name in "abc"]


@pytest.mark.skipif(".heic" in IMAGE_SUFFIXES, reason="pillow-heif is installed")
def test_pictures_that_are_left_out_are_counted_and_named(pictures: Path, run: Run) -> None:
    for name in ("IMG_1.HEIC", "IMG_2.heic", "z.psd", ".hidden.heic", "notes.docx"):
        (pictures / "in" / name).write_bytes(b"")
    result = run("hint", "tile", "in")
    assert result.exit_code == 0
    assert len(result.stdout.split()) == 2
    assert (
        "Note: 3 pictures are left out of in: IMG_1.HEIC, IMG_2.heic, z.psd; HEIC is read with "
        "pillow-heif (python -m pip install pillow-heif), save others as PNG.\n"
    ) in result.stderr
    (pictures / "raw").mkdir()
    (pictures / "raw" / "a.CR2").write_bytes(b"")
    alone = run("hint", "tile", "raw")
    assert alone.exit_code == 2
    assert "1 picture is left out of raw: a.CR2; save it as PNG." in alone.stderr
    assert run("hint", "pose", "raw").stderr.count("left out") == 0


def test_evaluation_s_folders_are_told_of_in_the_log(
    pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (pictures / "in" / "z.psd").write_bytes(b"")
    assert [path.name for path in files_of(["in"])] == ["a.JPG", "b.png"]
    assert caplog.messages == ["1 picture is left out of in: z.psd; save it as PNG."]
    assert files_of(["in/b.png"]) == (Path("in/b.png"),)
    assert len(caplog.messages) == 1


FORMATS = {
    "JPEG2000": ("jp2", "j2k", "jpx"),
    "PPM": ("ppm", "pgm", "pnm"),
    "TGA": ("tga",),
    "QOI": ("qoi",),
    "AVIF": ("avif",),
    "DIB": ("dib",),
    "JPEG": ("jfif", "jpe"),
    "PNG": ("apng",),
}


def test_every_format_that_pillow_reads_well_is_a_folder_s_picture(folder: Path, run: Run) -> None:
    Image.init()
    (folder / "in").mkdir()
    wanted = []
    for kind in FORMATS.keys() & Image.SAVE.keys():
        for ending in FORMATS[kind]:
            Image.new("RGB", (16, 16), (200, 60, 30)).save(
                folder / "in" / f"{ending}.{ending}", kind
            )
            wanted.append(f"output/{ending}_tile.png")
    result = run("hint", "tile", "in")
    assert (result.exit_code, sorted(result.stdout.split())) == (0, sorted(wanted)), result.stderr
    for path in wanted:
        with Image.open(path) as hint:
            assert np.abs(np.asarray(hint).astype(int) - (200, 60, 30)).max() < 12, path


HEIC = b"\0\0\0\x1cftypheic" + bytes(64)


@pytest.mark.parametrize("name", ["a.heic", "a.JPG"])
def test_heic_is_told_by_its_content_and_what_reads_it_is_named(
    folder: Path, run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (folder / name).write_bytes(HEIC)
    result = run("hint", "tile", name)
    assert result.exit_code == 2
    assert f"{name} is a HEIC picture, which is read with pillow-heif: python -m pip" in (
        result.stderr
    )


def test_heic_is_read_where_pillow_heif_is_installed(folder: Path, run: Run) -> None:
    heif = pytest.importorskip("pillow_heif")
    red = Image.new("RGB", (64, 48), (200, 30, 40))
    heif.from_pillow(red).save(folder / "a.heic", quality=90)
    assert run("hint", "tile", ".", "--out", "out").stdout.split() == ["out/a_tile.png"]
    with Image.open("out/a_tile.png") as hint:
        assert hint.size == (64, 48)
        assert np.abs(np.asarray(hint).astype(int) - (200, 30, 40)).max() < 12


def test_equal_names_get_numbers_and_it_is_said(folder: Path, run: Run) -> None:
    for number, name in enumerate(("a", "b"), start=1):
        (folder / name).mkdir()
        Image.new("RGB", (number, 1)).save(folder / name / "x.png")
    result = run("hint", "tile", "a", "b")
    assert result.stdout.split() == ["output/x_tile.png", "output/x_tile_2.png"]
    assert "b/x.png becomes output/x_tile_2.png" in result.stderr
    with Image.open("output/x_tile.png") as first, Image.open("output/x_tile_2.png") as second:
        assert (first.width, second.width) == (1, 2)


def test_no_input_is_written_over(folder: Path, run: Run) -> None:
    for name in ("x.png", "x_tile.png"):
        Image.new("RGB", (4, 4), "red").save(folder / name)
    before = (folder / "x_tile.png").read_bytes()
    result = run("hint", "tile", ".", "--out", ".")
    assert result.stdout.split() == ["x_tile_2.png", "x_tile_tile.png"]
    assert (folder / "x_tile.png").read_bytes() == before


def test_an_input_is_not_written_over_through_a_link(folder: Path, run: Run) -> None:
    (folder / "real").mkdir()
    Image.new("RGB", (4, 4), "red").save(folder / "real" / "x.png")
    Image.new("RGB", (4, 4), "blue").save(folder / "real" / "x_tile.png")
    (folder / "linked").symlink_to(folder / "real", target_is_directory=True)
    (folder / "mask_inpaint.png").hardlink_to(folder / "real" / "x.png")
    before = (folder / "real" / "x_tile.png").read_bytes()
    result = run("hint", "tile", "real", "--out", "linked", "--overwrite")
    assert result.stdout.split() == ["linked/x_tile_2.png", "linked/x_tile_tile.png"]
    assert (folder / "real" / "x_tile.png").read_bytes() == before
    (folder / "mask.png").write_bytes(before)
    masked = run("hint", "inpaint", "mask.png", "--mask", "real/x.png", "--out", ".", "--overwrite")
    assert "mask_inpaint.png is an input of this command" in masked.stderr


def test_a_foreign_file_is_not_replaced_without_a_word(folder: Path, run: Run) -> None:
    for name in "ab":
        Image.new("RGB", (4, 4)).save(folder / f"{name}.png")
    (folder / "a_tile.png").write_bytes(b"mine")
    asked = ("hint", "tile", "a.png", "b.png", "--out", ".")
    refused = run(*asked)
    assert (refused.exit_code, refused.stdout) == (2, "b_tile.png\n")
    assert "a_tile.png is there already and was not made by ControlStack" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert (folder / "a_tile.png").read_bytes() == b"mine"
    forced = run(*asked, "--overwrite")
    assert forced.exit_code == 0
    assert "earlier files are replaced: a_tile.png, b_tile.png" in forced.stderr
    again = run(*asked)
    assert (again.exit_code, again.stdout) == (0, "a_tile.png\nb_tile.png\n")


def test_places_are_looked_at_before_a_network_is_loaded(folder: Path, run: Run) -> None:
    """No network is there: whoever gets as far as looking for one is told of --download."""
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    (folder / "a_hed.png").write_bytes(b"mine")
    assert "a_hed.png is there already" in run("hint", "hed", "a.png", "--out", ".").stderr
    (folder / "file").write_bytes(b"")
    assert "file is no folder" in run("hint", "hed", "a.png", "--out", "file/deeper").stderr


@pytest.mark.parametrize("before", [False, True])
def test_of_two_at_once_one_is_told(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """A second process makes a hint of the same name while the first one is at work."""
    for width in (1, 2):
        (folder / str(width)).mkdir()
        Image.new("RGB", (width, 1)).save(folder / str(width) / "x.png")
    if before:
        run("hint", "tile", "1/x.png")
    make, inner = hint_run.make, []

    def with_a_rival(*given: Any) -> Any:
        if not inner:
            inner.append(None)
            inner[0] = run("hint", "tile", "2/x.png")
        return make(*given)

    monkeypatch.setattr(hint_run, "make", with_a_rival)
    outer = run("hint", "tile", "1/x.png")
    assert (inner[0].exit_code, inner[0].stdout) == (0, "output/x_tile.png\n")
    assert (outer.exit_code, outer.stdout) == (2, "")
    assert "output/x_tile.png was written by another process meanwhile" in outer.stderr
    with Image.open("output/x_tile.png") as hint:
        assert hint.width == 2


@pytest.mark.parametrize(
    "asked",
    [
        ("canny", ""),
        ("canny", "x.png", "--out", ""),
        ("inpaint", "x.png", "--mask", ""),
        ("hed", "x.png", "--models", ""),
        ("--sheet", ""),
        ("--sheet", "x.png", "--out", ""),
    ],
)
def test_an_empty_name_is_not_the_current_folder(
    folder: Path, run: Run, asked: tuple[str, ...]
) -> None:
    Image.new("RGB", (8, 8)).save(folder / "x.png")
    result = run("hint", *asked)
    assert result.exit_code == 2
    assert "is empty" in result.stderr
    assert [path.name for path in folder.iterdir()] == ["x.png"]


@pytest.mark.parametrize(
    "asked", [("canny", "pipe"), ("pose", "pipe"), ("inpaint", "x.png", "--mask", "pipe"),
              ("canny", "/dev/zero"), ("--sheet", "pipe"), ("--sheet", "/dev/zero")],
)  # fmt: skip
def test_pipes_and_devices_are_refused_at_once(
    folder: Path, run: Run, asked: tuple[str, ...]
) -> None:
    Image.new("RGB", (8, 8)).save(folder / "x.png")
    os.mkfifo(folder / "pipe")
    result = run("hint", *asked)
    assert result.exit_code == 2
    assert "is no regular file" in result.stderr


def test_options_that_do_nothing_are_said(folder: Path, run: Run) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "x.png")
    lone = run("hint", "canny", "x.png", "--fit", "stretch")
    assert lone.exit_code == 0
    assert lone.stderr == (
        "Note: --fit does nothing without --size: hints have their sources' size.\n"
    )
    early = run("hint", "--out", "there", "canny", "x.png")
    assert early.exit_code == 2
    assert "--out before canny would do nothing" in early.stderr


def broken(folder: Path) -> dict[str, str]:
    """Files that give no hint, and what is said of each."""
    (folder / "in").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "in" / "good.png")
    whole = (folder / "in" / "good.png").read_bytes()
    (folder / "in" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "in" / "empty.png").write_bytes(b"")
    (folder / "in" / "text.png").write_text("a text")
    Image.new("1", (20000, 2)).save(folder / "in" / "wide.png")
    Image.new("1", (1500, 1000)).save(folder / "in" / "zenormous.png")
    (folder / "in" / "zgood.png").write_bytes(whole)
    said = "cannot be read as a picture"
    return {
        "cut.png": said,
        "empty.png": said,
        "text.png": said,
        "wide.png": "20000 x 2 pixels",
        "zenormous.png": "1500 x 1000 pixels",
    }


def test_a_broken_file_does_not_stop_the_others(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = broken(folder)
    monkeypatch.setattr(picture_files, "MAX_PIXELS", 1_000_000)
    result = run("hint", "canny", "in", "nowhere.png")
    assert result.exit_code == 2
    assert result.stdout.split() == ["output/good_canny.png", "output/zgood_canny.png"]
    head, *lines = result.stderr.splitlines()
    assert head == f"Error: {len(bad) + 1} of {len(bad) + 3} inputs gave no hint:"
    assert "nowhere.png is not there" in lines[0]
    for line, (name, said) in zip(lines[1:], bad.items(), strict=True):
        assert f"in/{name}" in line
        assert said in line
    assert len(list((folder / "output").iterdir())) == 2


def test_one_broken_file_alone_is_one_sentence(folder: Path, run: Run) -> None:
    (folder / "text.png").write_text("a text")
    result = run("hint", "canny", "text.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: text.png cannot be read as a picture")
    assert result.stderr.count("\n") == 1
    assert not (folder / "output").exists()


def test_the_first_frame_of_an_animation_is_used_and_said(folder: Path, run: Run) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    result = run("hint", "tile", "moving.gif")
    assert result.exit_code == 0
    assert result.stderr == "Note: moving.gif has 2 frames; the first is used.\n"
    with Image.open("output/moving_tile.png") as hint:
        assert hint.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("canny", "x.png", "--set", "low_threshold=300"), "300"),
        (("canny", "x.png", "--set", "low_threshold=201"), "201"),
        (("canny", "x.png", "--size", "64"), "512x768"),
        (("canny", "x.png", "--size", "0x64"), "0 x 64"),
        (("canny", "x.png", "--size", "20000x64"), "16384"),
        (("canny", "x.png", "--out", "x.png"), "x.png is a file"),
        (("canny", "x.png", "--out", "edges.png"), "edges.png looks like a picture"),
        (
            ("canny", "x.png", "--out", "x.png/deeper"),
            "folder x.png/deeper cannot be written",
        ),
        (("inpaint", "x.png"), "--mask"),
        (("inpaint", "x.png", "--mask", "none.png"), "none.png"),
        (("inpaint", "x.png", "--mask", "small.png"), "4 x 2"),
        (("pose", "x.png"), "x.png is no text"),
        (("pose", "short.json"), "short.json"),
        (("depth", "x.png"), "--download"),
        (("depth", "x.png", "--model", "nowhere"), "no model nowhere"),
        (("mlsd", "x.png", "--resolution", "20000"), "20000"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    folder: Path, run: Run, asked: tuple[str, ...], said: str
) -> None:
    Image.new("RGB", (8, 8)).save(folder / "x.png")
    Image.new("L", (4, 2)).save(folder / "small.png")
    (folder / "short.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": [1, 2]}]}))
    before = set(folder.rglob("*"))
    result = run("hint", *asked)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert set(folder.rglob("*")) == before


def test_an_unknown_name_is_told_what_it_may_have_been(run: Run) -> None:
    result = run("hint", "cany", "x.png")
    assert result.exit_code == 2
    assert "canny" in result.stderr


def test_ctrl_c_leaves_whole_files_and_names_them(folder: Path) -> None:
    Image.new("RGB", (512, 512)).save(folder / "x.png")
    (folder / "in").mkdir()
    for number in range(500):
        (folder / "in" / f"{number}.png").write_bytes((folder / "x.png").read_bytes())
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "hint", "shuffle", "in"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as a test run may be, has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not list(folder.glob("output/*.png")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, said) == (130, "Stopped.\n")
    written = sorted(path.as_posix() for path in Path("output").iterdir())
    assert 0 < len(written) < 500
    assert len(set(written) - set(printed.split())) <= 1  # it was being written
    for name in written:
        with Image.open(name) as hint:
            hint.load()
