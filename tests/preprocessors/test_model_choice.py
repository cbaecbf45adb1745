"""Which weights a learned preprocessor is given."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.preprocessors import model_choice
from controlstack.preprocessors.spec import Learning, Preprocessor, Weights

FOLDER = ("config.json", "model.safetensors")


def published(name: str, files: tuple[str, ...] = FOLDER) -> Weights:
    return Weights(name, f"someone/{name}", files, "MIT", commercial=True, megabytes=1)


LOADED: list[Sequence[Path]] = []


def load(paths: Sequence[Path]) -> Any:
    LOADED.append(paths)


LEARNING = Learning(
    models=(published("first"), published("second")),
    load=load,
    also=(published("always", ("always.pth",)),),
    model_types=("teapot",),
)
ENTRY = Preprocessor("tea", "ControlStackTea", "Tea Hint", "edges", "", (), "", learning=LEARNING)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "always.pth").write_bytes(b"0")
    return tmp_path


def put(place: Path, name: str, model_type: str = "teapot") -> Path:
    folder = place / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    (folder / "model.safetensors").write_bytes(b"0")
    return folder


def test_what_is_here_comes_first_and_each_model_once(place: Path) -> None:
    assert model_choice.names(LEARNING, [place]) == ["first", "second"]
    put(place, "someone/second")
    put(place, "mine")
    put(place, "another kind", "kettle")
    assert model_choice.names(LEARNING, [place]) == ["second", "mine", "first"]


def test_the_first_that_is_here_is_taken_where_none_is_named(place: Path) -> None:
    folder = put(place, "second")
    choice = model_choice.choose(ENTRY, "", [place])
    assert choice.paths == (folder, place / "always.pth")
    choice.load()
    assert LOADED[-1] == choice.paths


def test_an_own_folder_is_taken_by_its_name(place: Path) -> None:
    folder = put(place, "pots/mine")
    assert model_choice.choose(ENTRY, "pots/mine", [place]).paths[0] == folder


def test_what_is_missing_is_said_with_its_page_and_place(place: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json and model\.safetensors of first") as caught:
        model_choice.choose(ENTRY, "first", [place])
    assert "https://huggingface.co/someone/first" in str(caught.value)
    assert str(place / "first") in str(caught.value)


def test_a_model_that_nobody_knows_is_refused_with_those_there_are(place: Path) -> None:
    with pytest.raises(UserError, match="tea has no model third; there is first, second"):
        model_choice.choose(ENTRY, "third", [place])
    with pytest.raises(UserError, match=r"'\.\./second' leaves its folder"):
        model_choice.choose(ENTRY, "../second", [place])


def test_a_file_that_changed_makes_another_choice(place: Path) -> None:
    folder = put(place, "first")
    before = model_choice.choose(ENTRY, "first", [place])
    assert model_choice.choose(ENTRY, "first", [place]) == before
    os.utime(folder / "model.safetensors", ns=(1, 2**62))
    assert model_choice.choose(ENTRY, "first", [place]) != before


def test_a_look_at_the_files_comes_before_loading(place: Path) -> None:
    put(place, "first")
    choice = model_choice.choose(ENTRY, "first", [place])
    choice.check()  # nothing to look at

    def refuse(paths: Sequence[Path]) -> None:
        raise UserError("cut off")

    looked = Learning(LEARNING.models, load, check=refuse)
    with pytest.raises(UserError, match="cut off"):
        model_choice.Choice(looked, choice.paths, choice.changed).check()
