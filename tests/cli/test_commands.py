"""Version, help, nodes, hints; how fast the command answers and how it stops."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controlstack.preprocessors.canny import canny
from controlstack.preprocessors.pose.draw import draw_pose
from tests.cli.prompts import WORKFLOWS, Run

COMMAND = (sys.executable, "-c", "from controlstack.cli.main import main; main()")
STANDING = {
    "canvas_width": 64,
    "canvas_height": 48,
    "people": [{"pose_keypoints_2d": [value for i in range(18) for value in (3 * i, 2 * i, 1)]}],
}


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


def test_hint_canny(run: Run, folder: Path) -> None:
    source = WORKFLOWS / "input" / "controlstack_scene.png"
    result = run("hint", "canny", source, folder / "edges.png", "--low", 50, "--high", 90)
    assert result.exit_code == 0, result.stderr
    with Image.open(source) as image, Image.open(folder / "edges.png") as edges:
        assert np.array_equal(np.asarray(edges), canny(np.asarray(image.convert("RGB")), 50, 90))


def test_hint_pose_takes_its_canvas_or_the_size_it_is_given(run: Run, folder: Path) -> None:
    (folder / "pose.json").write_text(json.dumps(STANDING))
    assert run("hint", "pose", "pose.json", "own.png").exit_code == 0
    assert run("hint", "pose", "pose.json", "big.png", "--width", 128).exit_code == 0
    with Image.open("own.png") as own, Image.open("big.png") as big:
        assert np.array_equal(np.asarray(own), draw_pose(STANDING, 64, 48))
        assert big.size == (128, 48)


def test_hint_depth(run: Run, folder: Path) -> None:
    from tests.tiny_depth import tiny_dpt

    model = tiny_dpt(folder / "model")
    source = WORKFLOWS / "input" / "controlstack_scene.png"
    result = run("hint", "depth", source, "near.png", "--model", model)
    assert result.exit_code == 0, result.stderr
    with Image.open("near.png") as near:
        pixels = np.asarray(near)
    assert pixels.shape == (512, 512, 3)
    assert (pixels.min(), pixels.max()) == (0, 255)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("canny", "none.png", "out.png"), "none.png"),
        (("canny", "text.txt", "out.png"), "text.txt"),
        (("canny", "picture.png", "out.png", "--low", "300"), "300"),
        (("canny", "picture.png", "missing/out.png"), "missing"),
        (("pose", "text.txt", "out.png"), "JSON"),
        (("pose", "picture.png", "out.png"), "picture.png"),
        (("depth", "picture.png", "out.png", "--model", "nowhere"), "nowhere"),
    ],
)
def test_hint_errors(run: Run, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    (folder / "text.txt").write_text("hello")
    Image.new("RGB", (8, 8)).save(folder / "picture.png")
    before = set(folder.rglob("*"))
    result = run("hint", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert said in result.stderr
    assert set(folder.rglob("*")) == before


def test_a_bug_of_ours_is_said_without_a_trace(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("controlstack.preprocessors.pose.people.parse_poses", fail)
    (folder / "pose.json").write_text("{}")
    result = run("hint", "pose", "pose.json", "out.png")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: ZeroDivisionError: by zero. This is a bug; --debug shows where.\n"
    )
    assert "Traceback" in run("hint", "pose", "pose.json", "out.png", "--debug").stderr


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


def test_ctrl_c_while_sampling(folder: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "run", WORKFLOWS / "pose.json", "--demo", "--set", "KSampler.steps=10000"],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as a test run may be, has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stderr is not None
        assert "demo models stand in" in process.stderr.readline()
        time.sleep(4)  # time to load and to begin; while it loads, it must end the same way
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert said == "Stopped.\n"
    assert list((folder / "output").glob("*.png")) == []
    assert list(folder.rglob("*.part")) == []
