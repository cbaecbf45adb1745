"""The command run in this process, in an empty folder; the shipped workflows in API form."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controlstack.cli.app import app
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import load_workflow
from tests.cli.prompts import WORKFLOWS, Prompt, Run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """`controlstack ...` in the empty folder; anything but an exit code is a failure."""

    def invoke(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(item) for item in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hugging Face cache without models, whatever this machine has."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


@functools.cache
def _api_form(name: str) -> Prompt:
    graph = load_workflow(WORKFLOWS / f"{name}.json", default_registry())
    prompt: Prompt = json.loads(json.dumps(graph.prompt()))
    return prompt


@pytest.fixture
def api_form() -> Callable[[str], Prompt]:
    """The shipped workflow of a name in API form, to change as one likes."""
    return lambda name: copy.deepcopy(_api_form(name))
