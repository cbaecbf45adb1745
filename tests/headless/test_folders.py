"""Names are looked up inside their folders and never outside; files are written whole or not at
all.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest

from controlstack.ground.atomic import write_atomic
from controlstack.ground.errors import UserError
from controlstack.headless import folders
from controlstack.headless.folders import Folders


@pytest.fixture
def place(tmp_path: Path) -> Folders:
    files = (
        "models/checkpoints/a.safetensors",
        "models/checkpoints/sd15/b.ckpt",
        "models/checkpoints/notes.txt",
        "models/checkpoints/pipe/model_index.json",
        "models/checkpoints/pipe/unet/config.json",
        "models/checkpoints/pipe/unet/model.safetensors",
        "models/t2i_adapter/c.pth",
        "more/controlnet/net/config.json",
        "input/cat.png",
        "input/sub/dog.jpg",
        "output/made.png",
        "secret.safetensors",
        "secret.png",
    )
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    aliases = {"checkpoints": {"v1-5.safetensors": tmp_path / "secret.safetensors"}}
    return Folders(
        (tmp_path / "models", tmp_path / "more"),
        (tmp_path / "input",),
        tmp_path / "output",
        tmp_path / "temp",
        aliases,
    )


def test_names(place: Folders) -> None:
    with folders.use(place):
        assert folders.names("checkpoints") == [
            "a.safetensors",
            "pipe",
            "sd15/b.ckpt",
            "v1-5.safetensors",
        ]
        assert folders.names("controlnet") == ["c.pth", "net"]
        assert folders.names("loras") == []
        assert folders.input_names() == ["cat.png"]


def test_find(place: Folders, tmp_path: Path) -> None:
    with folders.use(place):
        base = tmp_path / "models" / "checkpoints"
        assert folders.find("checkpoints", "a.safetensors") == base / "a.safetensors"
        assert folders.find("checkpoints", "sd15\\b.ckpt") == base / "sd15" / "b.ckpt"
        assert folders.find("checkpoints", "pipe") == base / "pipe"
        assert folders.find("controlnet", "net") == tmp_path / "more" / "controlnet" / "net"
        alias = folders.find("checkpoints", "v1-5.safetensors")
        assert alias == tmp_path / "secret.safetensors"


def test_a_control_may_lie_among_the_model_patches(place: Folders, tmp_path: Path) -> None:
    for name in ("models/model_patches/c.pth", "more/model_patches/sub/p.safetensors"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    with folders.use(place):
        assert folders.names("model_patches") == ["c.pth", "sub/p.safetensors"]
        assert folders.find_control("c.pth") == tmp_path / "models" / "t2i_adapter" / "c.pth"
        patch = tmp_path / "more" / "model_patches" / "sub" / "p.safetensors"
        assert folders.find_control("sub\\p.safetensors") == patch
        with pytest.raises(UserError, match="there is no ControlNet 'gone'"):
            folders.find_control("gone")


def test_a_missing_model_says_what_there_is_and_where(place: Folders, tmp_path: Path) -> None:
    with folders.use(place), pytest.raises(UserError) as raised:
        folders.find("checkpoints", "gone.safetensors")
    said = str(raised.value)
    assert "no checkpoint 'gone.safetensors'" in said
    assert "a.safetensors, pipe, sd15/b.ckpt, v1-5.safetensors" in said
    assert str(tmp_path / "models" / "checkpoints") in said


@pytest.mark.parametrize(
    "name",
    [
        "../../secret.safetensors",
        "sd15/../../../secret.safetensors",
        "..\\..\\secret.safetensors",
        "/etc/passwd",
        "C:\\secret.safetensors",
        "\\\\server\\share\\x",
        "",
        ".",
        "a\0b",
        "x" * 5000,
        "round.safetensors",
    ],
)
def test_names_that_leave_their_folder(place: Folders, tmp_path: Path, name: str) -> None:
    base = tmp_path / "models" / "checkpoints"
    (base / "round.safetensors").symlink_to(base / "round.safetensors")
    with folders.use(place):
        with pytest.raises(UserError):
            folders.find("checkpoints", name)
        with pytest.raises(UserError):
            folders.find_input(name)
        assert "round.safetensors" not in folders.names("checkpoints")


@pytest.mark.parametrize("name", ["../../secret.safetensors", "gone.pt", "", "\0", "a" * 5000])
def test_what_is_no_name_is_not_here(place: Folders, tmp_path: Path, name: str) -> None:
    found = tmp_path / "models" / "checkpoints" / "a.safetensors"
    with folders.use(place):
        assert folders.here("checkpoints", name) is None
        assert folders.here("no kind", "a.safetensors") is None
        assert folders.here("checkpoints", "a.safetensors") == found


def test_links_are_followed_in_folders_of_models_only(place: Folders, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.safetensors").write_bytes(b"x")
    for base in (tmp_path / "models" / "loras", place.input[0]):
        base.mkdir(exist_ok=True)
        (base / "out.safetensors").symlink_to(tmp_path / "secret.safetensors")
        (base / "out.png").symlink_to(tmp_path / "secret.png")
        (base / "linked").symlink_to(elsewhere)
        (base / "again").symlink_to(base)
        (base / "gone.safetensors").symlink_to(tmp_path / "gone")
    (elsewhere / "back").symlink_to(tmp_path / "models" / "loras")
    with folders.use(place):
        assert folders.names("loras") == ["linked/b.safetensors", "out.safetensors"]
        for name in folders.names("loras"):
            assert folders.find("loras", name).is_file()
        assert folders.input_names() == ["cat.png"]
        for name in ("out.png", "linked/b.safetensors"):
            with pytest.raises(UserError, match="is a link that leaves"):
                folders.find_input(name)


def test_a_folder_that_is_itself_a_link_is_fine(place: Folders, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "l.safetensors").write_bytes(b"x")
    (tmp_path / "models" / "loras").symlink_to(tmp_path / "elsewhere")
    with folders.use(place):
        assert folders.names("loras") == ["l.safetensors"]
        assert folders.find("loras", "l.safetensors").is_file()


def test_inputs_by_place(place: Folders, tmp_path: Path) -> None:
    with folders.use(place):
        assert folders.find_input("cat.png") == tmp_path / "input" / "cat.png"
        assert folders.find_input("cat.png [input]") == tmp_path / "input" / "cat.png"
        assert folders.find_input("sub/dog.jpg") == tmp_path / "input" / "sub" / "dog.jpg"
        assert folders.find_input("made.png [output]") == tmp_path / "output" / "made.png"
        with pytest.raises(UserError, match=r"no input file 'gone.png': there is cat.png in "):
            folders.find_input("gone.png")
        with pytest.raises(UserError, match=r"no input file 'made\.png'"):
            folders.find_input("made.png [temp]")


def test_files_of_every_kind_by_one_rule(place: Folders, tmp_path: Path) -> None:
    """What workflows load and what a browser looks at is found alike."""
    with folders.use(place):
        made, dog = tmp_path / "output" / "made.png", tmp_path / "input" / "sub" / "dog.jpg"
        assert folders.find_file("made.png", "output") == made
        assert folders.find_file("made.png [output]", "temp") == made
        assert folders.find_file("dog.jpg", subfolder="sub") == dog
        assert folders.find_file("sub\\dog.jpg[input]", "output") == dog
        assert folders.find_file("made.png", "input") is None
        (tmp_path / "input" / "a [output]").write_bytes(b"x")  # one mark is one
        assert folders.find_file("a [output] [input]", "temp") == tmp_path / "input/a [output]"
        for wrong in ({"name": "/dog.jpg", "subfolder": "sub"}, {"name": "../made.png"}):
            with pytest.raises(UserError, match=r"the input file .* leaves its folder"):
                folders.find_file(**wrong)
        with pytest.raises(UserError, match="there is no type 'models'; there are input, outp"):
            folders.find_file("a.png", "models")


def test_the_counter_follows_the_core(place: Folders) -> None:
    with folders.use(place):
        assert folders.save("output", "pic", b"x").name == "pic_00001_.png"
        for name in ("pic_00007_.png", "pic_00002_.png", "pic_x.png", "picture_00050_.png"):
            (place.output / name).write_bytes(b"x")
        with folders.saving() as saved:
            assert folders.save("output", "pic", b"x").name == "pic_00008_.png"
            deep = folders.save("output", "sub/dir/pic", b"x")
            assert deep == place.output / "sub/dir/pic_00001_.png"
            beside = folders.save("temp", "sub\\pic", b"x")
            assert beside == place.temp / "sub" / "pic_00001_.png"
        assert saved == {"output": [place.output / "pic_00008_.png", deep], "temp": [beside]}


@pytest.mark.parametrize(
    "prefix",
    [
        *("../x", "/tmp/x", "a/../../x", "", "out/x", "C:/x", "made.png/x", "made.png/a/x"),
        *("x" * 250, "y" * 300 + "/x", "a\nb", "\x1b[2Jx", "a\0b"),
    ],
)
def test_prefixes_that_cannot_be_written(place: Folders, tmp_path: Path, prefix: str) -> None:
    (tmp_path / "outside").mkdir()
    (place.output / "out").symlink_to(tmp_path / "outside")
    before = set(tmp_path.rglob("*"))
    with folders.use(place):
        for write in (folders.check_prefix, functools.partial(folders.save, data=b"x")):
            with pytest.raises(UserError):
                write("output", prefix)
    assert set(tmp_path.rglob("*")) == before


WRITER = """
import sys
from pathlib import Path
from controlstack.headless import folders

here = Path(sys.argv[1])
with folders.use(folders.Folders((), (), here, here)):
    for number in range(4):
        print(folders.save("output", "pic", f"{sys.argv[2]} {number}".encode()).name)
"""


def test_processes_with_one_prefix_get_a_name_each(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(number)], stdout=subprocess.PIPE
        )
        for number in range(20)
    ]
    names = [line for writer in writers for line in writer.communicate()[0].decode().split()]
    assert sorted(names) == [f"pic_{number:05}_.png" for number in range(1, 81)]
    held = {(tmp_path / name).read_text() for name in names}
    assert held == {f"{writer} {number}" for writer in range(20) for number in range(4)}


def test_write_atomic_leaves_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    write_atomic(path, b"old")

    def interrupted(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.png"]


def test_write_atomic_into_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        write_atomic(tmp_path / "gone" / "a.png", b"x")
