"""Version, help, nodes; how fast the command answers and how it stops."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.prompts import WORKFLOWS, Run


def test_version(run: Run) -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("controlstack ")


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from controlstack.cli.main import main\n"
        "sys.argv = ['controlstack', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'torch', 'numpy', 'PIL', 'diffusers', 'cv2'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_nodes_names_every_node_with_its_inputs(run: Run) -> None:
    from controlstack.headless.graph.registry import default_registry

    listed = run("nodes").stdout
    registry = default_registry()
    assert {"KSampler", "ControlStackAdd", "ControlNetApplyAdvanced"} <= set(registry)
    for node_type in registry:
        assert node_type in listed
    assert "steps: INT 1 to 10000, default 20" in listed


def test_a_bug_of_ours_is_said_without_a_trace(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("controlstack.preprocessors.sources.parse_poses", fail)
    (folder / "pose.json").write_text("{}")
    result = run("hint", "pose", "pose.json")
    assert result.exit_code == 1
    assert result.stderr == (
        "Note: it was pose.json that went wrong.\n"
        "Error: ZeroDivisionError: by zero. This is a bug; --debug shows where.\n"
    )
    assert "Traceback" in run("hint", "pose", "pose.json", "--debug").stderr


def test_previews_are_named_where_nothing_else_is_saved(run: Run, folder: Path) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "controlstack_scene.png"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    (folder / "look.json").write_text(json.dumps(graph))
    result = run("run", "look.json", "--input", WORKFLOWS / "input", "--out", "pictures")
    assert result.exit_code == 0, result.stderr
    picture = Path(result.stdout.strip())
    assert picture.parent == Path("pictures") / "previews"
    assert picture.is_file()


def test_an_unknown_option_is_an_error_of_usage(run: Run) -> None:
    assert run("run", "a.json", "--nonsense").exit_code == 2


SAMPLING = (
    "from controlstack.cli.main import main\n"
    "from controlstack.cli.progress import _Bar\n"
    "advance = _Bar.advance\n"
    "def told(self, picture=None):\n"
    "    print('a step', flush=True)\n"
    "    advance(self, picture)\n"
    "_Bar.advance = told\n"
    "main()\n"
)
"""The command, which tells of each step."""


def test_ctrl_c_while_sampling(folder: Path) -> None:
    asked = ["run", WORKFLOWS / "pose.json", "--demo", "--set", "KSampler.steps=10000"]
    process = subprocess.Popen(
        [sys.executable, "-c", SAMPLING, *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as a test run may be, has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "a step\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    note, *rest = said.splitlines()
    assert "demo models stand in" in note
    assert rest == ["Stopped."]
    assert list((folder / "output").glob("*.png")) == []
    assert list(folder.rglob("*.part")) == []
