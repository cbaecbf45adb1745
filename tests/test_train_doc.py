"""`docs/train.md` and its example: what they name is there, and the tables are the settings'."""

from __future__ import annotations

import re

from controlstack.cli.train import flag
from controlstack.ground.parameters import parameters
from controlstack.training.config import read_config, run_settings
from controlstack.training.settings import SECTIONS
from tests.checkout import ROOT
from tools.train_doc import PATH, document

TEXT = PATH.read_text(encoding="utf-8")
SETTINGS = [(section, one.name) for section, kind in SECTIONS.items() for one in parameters(kind)]
NAMES = {name for _, name in SETTINGS}
FLAGS = [flag(section, name) for section, name in SETTINGS]
OWN_FLAGS = {"--resume", "--dry-run", "--write-config", "--models", "--debug"}


def test_the_tables_are_the_settings() -> None:
    assert document(TEXT) == TEXT, "run: python -m tools.train_doc"


def test_every_flag_is_there_once() -> None:
    assert len({*FLAGS, *OWN_FLAGS}) == len(FLAGS) + len(OWN_FLAGS)


def test_settings_that_are_named_in_the_text_are_there() -> None:
    for name in re.findall(r"`(\w+) = ", TEXT.partition("## All settings")[0]):
        assert name in NAMES, name


def test_flags_that_are_named_in_the_text_are_there() -> None:
    for line in TEXT.partition("## All settings")[0].splitlines():
        command = line.partition("controlstack train")[2]
        for name in re.findall(r"--[a-z-]+", command):
            assert name in {*FLAGS, *OWN_FLAGS}, name


def test_the_example_is_a_run() -> None:
    settings = run_settings(read_config(ROOT / "docs" / "train-example.toml"))
    assert settings.base.path == "demo"
    assert f"{settings.training.steps} steps of {settings.training.batch} pictures" in TEXT


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (PATH.parent / target).exists(), target
