"""Finders of users' own: what they are given, what they may give, and what is said of all else."""

from __future__ import annotations

import pickle
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controlstack.evaluation.own_finder import (
    CommandFinder,
    FunctionFinder,
    function_at,
    own_finder,
    words_of,
)
from controlstack.ground.errors import UserError
from controlstack.preprocessors.making import Sizing, make

PYTHON = shlex.quote(sys.executable)
NEGATIVE = """
import sys
from PIL import Image, ImageOps
ImageOps.invert(Image.open(sys.argv[1])).save(sys.argv[2])
"""


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What finders are imported from is looked at in one test alone."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    function_at.cache_clear()


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def script(folder: Path, text: str, name: str = "find.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def command(folder: Path, text: str, more: str = "{picture} {hint}") -> str:
    return f"{PYTHON} {shlex.quote(str(script(folder, text)))} {more}"


def test_a_command_reads_the_picture_and_writes_its_hint(
    tmp_path: Path, picture: np.ndarray
) -> None:
    folder = tmp_path / "a folder; touch gone"
    folder.mkdir()
    find = CommandFinder(command(folder, NEGATIVE))
    assert np.array_equal(find(picture), 255 - picture)
    again = pickle.loads(pickle.dumps(find))  # as it travels to Ray
    assert np.array_equal(again(picture), 255 - picture)
    made = make(own_finder("mine", find, "picture"), picture, {}, Sizing((16, 12), "stretch"))
    assert made.hint.shape == (12, 16, 3)


def test_no_shell_reads_the_command(tmp_path: Path, picture: np.ndarray) -> None:
    """What a shell would obey are words that the program is given."""
    told = script(
        tmp_path,
        "import sys\nopen(sys.argv[1], 'w').write(repr(sys.argv[4:]))\n"
        + ("import shutil; shutil.copy(sys.argv[2], sys.argv[3])"),
    )
    out = tmp_path / "words"
    hostile = f"; touch {tmp_path}/no && $(touch {tmp_path}/no) `x` > {tmp_path}/no 'a b' # c"
    line = f"{PYTHON} {told} {out} {{picture}} {{hint}} {hostile}"
    CommandFinder(line)(picture)
    assert out.read_text() == repr(shlex.split(hostile))
    assert not (tmp_path / "no").exists()


def test_marks_may_stand_inside_of_a_word(tmp_path: Path, picture: np.ndarray) -> None:
    text = "import sys, shutil\nshutil.copy(sys.argv[1][5:], sys.argv[2][6:])"
    find = CommandFinder(command(tmp_path, text, "--in={picture} --out={hint}"))
    assert np.array_equal(find(picture), picture)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys\nprint('no such thing')\nsys.exit(3)", r"exit code 3: no such thing$"),
        ("raise ValueError('the model is missing')", "exit code 1: ValueError: the model is miss"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "ended with exit code -9$"),
        ("print('done')", r"ended well and wrote no hint to \{hint\}: done$"),
        ("import sys\nopen(sys.argv[2], 'w').write('text')", "wrote is no picture: .* no format"),
        (
            "import sys\nfrom PIL import Image\nImage.new('RGB', (9, 7)).save(sys.argv[2])",
            "a hint of 9 x 7 pixels for a picture of 32 x 24",
        ),
        ("print('x' * 100000)\nraise SystemExit(1)", "exit code 1: x{200}$"),
    ],
)
def test_what_a_command_does_wrong_is_a_sentence(
    tmp_path: Path, picture: np.ndarray, text: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        CommandFinder(command(tmp_path, text))(picture)


def test_a_command_without_an_end_is_stopped(tmp_path: Path, picture: np.ndarray) -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match=r"stopped after 0\.5 seconds"):
        CommandFinder(command(tmp_path, "import time\ntime.sleep(60)"), patience=0.5)(picture)
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", r"lacks \{picture\} and \{hint\}"),
        (f"{PYTHON} find.py {{picture}}", r"lacks \{hint\}: write"),
        (f"{PYTHON} 'find.py {{picture}} {{hint}}", "No closing quotation"),
        ("no-such-program-here {picture} {hint}", "no program 'no-such-program-here' here"),
    ],
)
def test_a_command_that_cannot_be_one_is_said_before(line: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        words_of(line)


def test_a_function_is_given_rgb_bytes_and_may_give_either(
    tmp_path: Path, picture: np.ndarray
) -> None:
    text = """
from PIL import Image
from beside import negative

def array(picture):
    assert picture.dtype == "uint8" and picture.shape == (24, 32, 3)
    made = negative(picture)
    picture[:] = 0  # its own copy
    return made

def grey(picture):
    return Image.fromarray(picture).convert("L")
"""
    script(tmp_path, "def negative(picture):\n    return 255 - picture\n", "beside.py")
    path = script(tmp_path, text)
    before = picture.copy()
    assert np.array_equal(FunctionFinder(f"{path}:array")(picture), 255 - before)
    assert np.array_equal(picture, before)
    grey = np.asarray(Image.fromarray(picture).convert("L"))
    assert np.array_equal(FunctionFinder(f"{path}:grey")(picture), np.dstack([grey] * 3))
    again = pickle.loads(pickle.dumps(FunctionFinder(f"{path}:array")))
    assert np.array_equal(again(picture), 255 - before)


def test_a_module_of_the_working_folder_and_of_a_package(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script(tmp_path, "def find(picture):\n    return picture\n", "own_module_of_a_test.py")
    assert np.array_equal(FunctionFinder("own_module_of_a_test:find")(picture), picture)
    canny = function_at("controlstack.preprocessors.canny:canny")
    assert canny(picture).shape == picture.shape


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("1 / 0", "find failed: ZeroDivisionError: division by zero"),
        ("return None", "returned None; return the hint as a numpy array of uint8"),
        ("return picture.astype('float32')", "an array of float32, 24 x 32 x 3; return uint8"),
        ("return picture[..., 0]", "an array of uint8, 24 x 32; return"),
        ("return picture[:12]", "a hint of 32 x 12 pixels for a picture of 32 x 24"),
    ],
)
def test_what_a_function_does_wrong_is_a_sentence(
    tmp_path: Path, picture: np.ndarray, body: str, said: str
) -> None:
    path = script(tmp_path, f"def find(picture):\n    {body}\n")
    with pytest.raises(UserError, match=said):
        FunctionFinder(f"{path}:find")(picture)


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        ("find.py", "", "write FILE.py:FUNCTION or MODULE:FUNCTION"),
        ("find.py:a b", "", "write FILE.py:FUNCTION"),
        (":find", "", "write FILE.py:FUNCTION"),
        ("none.py:find", "", r"there is no file none\.py"),
        ("find.py:other", "find = 1", "has no function other"),
        ("find.py:find", "find = 1", "has no function find"),
        ("find.py:find", "import no_such_module_at_all", "cannot be imported: ModuleNotFoundError"),
        ("find.py:find", "def find(:", "cannot be imported: SyntaxError"),
        ("find.py:find", "raise SystemExit(0)", "ends the program when it is imported"),
        ("no_such_package.finders:find", "", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_function_that_cannot_be_found_is_said_before(
    tmp_path: Path, place: str, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script(tmp_path, text)
    with pytest.raises(UserError, match=said):
        function_at(place)
