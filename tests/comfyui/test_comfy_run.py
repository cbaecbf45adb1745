"""The shipped workflows through `comfy run`, comfy-cli's command: a client that is not ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import load_workflow
from tests.comfyui import shipped
from tests.comfyui.server import Server

COMFY = shutil.which("comfy")
pytestmark = pytest.mark.skipif(COMFY is None, reason="install comfy-cli to run this with it")


@dataclass(frozen=True)
class Said:
    """How the command ended, and the JSON that it prints where nobody watches."""

    code: int
    envelope: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """What it says of a run that went well."""
        assert self.code == 0, self.envelope
        data: dict[str, Any] = self.envelope["data"]
        return data


Command = Callable[..., Said]


@pytest.fixture
def comfy_run(server: Server, tmp_path: Path) -> Command:
    """`comfy run --workflow FILE --host ... OPTION...` against the running server."""
    # A home of its own: it keeps its settings and a file a job there; and it is not to phone home.
    own = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "DO_NOT_TRACK": "1"}

    def run(workflow: object, *options: str) -> Said:
        file = tmp_path / "workflow.json"
        file.write_text(json.dumps(workflow))
        done = subprocess.run(
            [
                *(str(COMFY), "run", "--workflow", str(file)),
                *("--host", "127.0.0.1", "--port", str(server.port), *options),
            ],
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.stdout, done.stderr
        return Said(done.returncode, json.loads(done.stdout.splitlines()[-1]))

    return run


@pytest.mark.parametrize("name", shipped.NAMES)
def test_a_shipped_workflow_runs(server: Server, comfy_run: Command, name: str) -> None:
    graph = shipped.small(name)

    told = comfy_run(graph.workflow, "--wait").data

    assert told["status"] == "completed"
    saving = {node.id for node in graph.nodes.values() if node.type == "SaveImage"}
    assert saving <= set(told["outputs_by_node"])
    for node in saving:
        (url,) = told["outputs_by_node"][node]
        assert server.get(url.removeprefix(server.url)).kind == "image/png"


def test_the_api_form_runs(comfy_run: Command) -> None:
    graph = shipped.small("stack_pose_depth")

    told = comfy_run(graph.prompt(), "--wait").data

    assert told["status"] == "completed"
    assert shipped.only(graph, "SaveImage") in told["outputs_by_node"]


@pytest.mark.parametrize("name", shipped.NAMES)
def test_it_reads_our_canvas_as_we_do(comfy_run: Command, name: str) -> None:
    path = shipped.WORKFLOWS / f"{name}.json"

    read = comfy_run(json.loads(path.read_text()), "--print-prompt").data["prompt"]

    ours: dict[str, Any] = load_workflow(path, default_registry()).prompt()
    assert without_titles(read) == without_titles(ours)


def test_bad_input_is_said_with_its_node(comfy_run: Command) -> None:
    graph = shipped.small("pose")
    prompt: dict[str, Any] = graph.prompt()
    node = shipped.only(graph, "ControlStackAdd")
    prompt[node]["inputs"]["strength"] = 11

    said = comfy_run(prompt, "--wait")

    assert said.code != 0
    assert f"node {node}: strength=11" in said.envelope["error"]["hint"]


def without_titles(prompt: dict[str, Any]) -> dict[str, Any]:
    """An API-form prompt without what only people read."""
    return {key: {**node, "_meta": None} for key, node in prompt.items()}
