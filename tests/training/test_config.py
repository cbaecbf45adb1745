"""Settings of a run from TOML and back: each known, typed and in range."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.ground.parameters import parameters
from controlstack.training.config import flat, read_config, run_settings, written
from controlstack.training.settings import (
    SECTIONS,
    RunSettings,
    TrainingSettings,
    ValidationSettings,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NASTY = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


def config(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_values_are_taken_and_the_rest_is_default(tmp_path: Path) -> None:
    path = config(tmp_path, '[base]\npath = "sd15"\n[training]\nsteps = 7\nrate = 1\n')
    settings = run_settings(read_config(path))
    assert settings.base.path == "sd15"
    assert settings.training == TrainingSettings(steps=7, rate=1.0)
    assert isinstance(settings.training.rate, float)
    assert settings.validation == ValidationSettings()


def test_a_resolution_may_be_a_number(tmp_path: Path) -> None:
    settings = run_settings(read_config(config(tmp_path, "[data]\nresolution = 768\n")))
    assert settings.data.resolution == "768"


def test_what_is_given_later_wins(tmp_path: Path) -> None:
    path = config(tmp_path, "[training]\nsteps = 7\nbatch = 2\n")
    settings = run_settings(read_config(path), {"training": {"steps": 9}})
    assert (settings.training.steps, settings.training.batch) == (9, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[trainig]\nsteps = 7\n", "run.toml: there is no section [trainig]; the nearest is train"),
        ("[training]\nstep = 7\n", "[training] has no setting step; the nearest is steps."),
        ("[out]\nzzzz = 7\n", "[out] has no setting zzzz; there is folder, name,"),
        ("steps = 7\n", "there is no section for steps; "),
        ("training = 7\n", "training is a section; write [training] on its own line."),
        ('[training]\nsteps = "many"\n', 'steps is "many", text; it has to be a whole number, suc'),
        ("[training]\nsteps = 7.5\n", "steps is 7.5, a number; it has to be a whole number"),
        ("[training]\nsteps = true\n", "steps is true, true or false; it has to be a whole number"),
        ("[training]\nrate = '1e-5'\n", 'rate is "1e-5", text; it has to be a number, such as'),
        ("[training]\nonly_middle = 1\n", "only_middle is 1, a whole number; it has to be true or"),
        ("[training]\nsteps = [1]\n", "steps is [1], a list; it has to be a whole number"),
        ("[base]\npath = 1979-05-27\n", 'path is "1979-05-27", something else; it has to be text'),
        ("[training]\nsteps = 0\n", "[training]: steps is 0; give a number from 1 to"),
        ("[training]\nrate = nan\n", "rate is nan; give a number from 0"),
        (
            '[network]\nkind = "small"\n',
            "kind is 'small'; choose one of controlnet, gaussian, lite",
        ),
        ("[training\n", "run.toml is no TOML: "),
        ("[training]\nsteps = 1\nsteps = 2\n", "run.toml is no TOML: "),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        read_config(config(tmp_path, text))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_hold_no_text(tmp_path: Path) -> None:
    (tmp_path / "picture.toml").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UserError, match=r"picture\.toml is no text in UTF-8"):
        read_config(tmp_path / "picture.toml")
    with pytest.raises(UserError, match=r"cannot read the settings .*missing\.toml: No such file"):
        read_config(tmp_path / "missing.toml")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xef\xbb\xbf[training]\r\nsteps = 7\r\n")
    assert read_config(path) == {"training": {"steps": 7}}


def test_the_written_file_explains_every_setting() -> None:
    text = written(RunSettings())
    assert tomllib.loads(text) == asdict(RunSettings())
    for kind in SECTIONS.values():
        for parameter in parameters(kind):
            comment, _, _ = text.partition(f"\n{parameter.name} = ")
            assert comment.splitlines()[-1].startswith("# ")
            assert parameter.tooltip.split()[0] in text
    assert max(map(len, text.splitlines())) <= 100


@given(
    st.builds(lambda path, name, rate, steps, half: locals(), NASTY, NASTY,
        st.floats(0, 1e6), st.integers(1, 100_000_000), st.booleans()),
)  # fmt: skip
def test_what_is_written_is_read_as_it_was(values: dict[str, Any]) -> None:
    settings = RunSettings()
    settings = replace(
        settings,
        base=replace(settings.base, path=values["path"]),
        out=replace(settings.out, name=values["name"], half=values["half"]),
        training=replace(settings.training, rate=values["rate"], steps=values["steps"]),
    )
    assert tomllib.loads(written(settings)) == asdict(settings)


def test_settings_in_one_mapping() -> None:
    found = flat(RunSettings(), ("base", "network"))
    assert found["base.path"] == ""
    assert found["network.kind"] == "controlnet"
    assert {name.partition(".")[0] for name in found} == {"base", "network"}
