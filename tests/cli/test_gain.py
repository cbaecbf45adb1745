"""`controlstack gain`: whether the demo model's own nets use their hints, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlstack.demo.models import CONTROL_NETS
from controlstack.demo.training_folder import write_folder
from tests.cli.prompts import Run

CANNY, DEPTH = CONTROL_NETS["canny"], CONTROL_NETS["depth"]
ON_DEMO = ("--base", "demo", "--data", "data", "--condition", "canny", "--resolution", "128")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "data"
    write_folder(out, 6, "canny")
    return out


@pytest.fixture
def folder(folder: Path, scenes: Path) -> Path:
    """The working folder, with data in it."""
    (folder / "data").symlink_to(scenes)
    return folder


def figures(output: str, name: str) -> list[float]:
    """The numbers of a network's line."""
    (line,) = (line for line in output.splitlines() if line.strip().startswith(str(name)))
    return [float(word) for word in line.replace(str(name), "").split()]


def test_a_net_gains_by_its_own_condition_and_not_by_anothers(run: Run, folder: Path) -> None:
    (folder / "canny").symlink_to(CANNY)
    (folder / "depth").symlink_to(DEPTH)
    result = run("gain", "canny", "depth", *ON_DEMO, "--rows", 6)
    assert result.exit_code == 0, result.stderr
    assert "6 pictures" in result.stdout
    gain, wins, *levels = figures(result.stdout, "canny")
    assert gain > 0.2
    assert wins == 1.0
    assert min(levels) > 0
    assert len(levels) == 5
    other = figures(result.stdout, "depth")
    assert other[0] < gain / 2


def test_the_rows_that_a_run_held_out_are_measured(run: Run, folder: Path) -> None:
    (folder / "canny").symlink_to(CANNY)
    (folder / "data").unlink()
    write_folder(folder / "data", 20, "canny")
    (folder / "run.toml").write_text(
        '[base]\npath = "demo"\n[data]\npath = "data"\ncondition = "canny"\nresolution = 64\n'
        "[training]\nvalidate_every = 10\n[validation]\ncount = 1\nrows = 2\n"
    )
    result = run("gain", "canny", "--config", "run.toml")
    assert result.exit_code == 0, result.stderr
    assert "2 pictures" in result.stdout
    # More than were held out would be rows that the run has learnt from.
    for rows, pictures in ((20, "2 pictures"), (1, "1 picture")):
        asked = run("gain", "canny", "--config", "run.toml", "--rows", rows)
        assert pictures in asked.stdout
    assert figures(result.stdout, "canny") == figures(
        run("gain", "canny", "--config", "run.toml", "--rows", 20).stdout, "canny"
    )


def test_other_data_than_the_run_s_and_a_run_that_held_nothing_out(
    run: Run, folder: Path, scenes: Path
) -> None:
    (folder / "canny").symlink_to(CANNY)
    (folder / "more").symlink_to(scenes)
    text = (
        '[base]\npath = "demo"\n[data]\npath = "data"\ncondition = "canny"\nresolution = 64\n'
        "[training]\nvalidate_every = 0\n"
    )
    (folder / "run.toml").write_text(text)
    own = run("gain", "canny", "--config", "run.toml")
    assert own.exit_code == 2
    assert "The run held out no rows: it was not validated" in own.stderr
    other = run("gain", "canny", "--config", "run.toml", "--data", "more", "--rows", 3)
    assert "3 pictures" in other.stdout, other.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("canny", "--data", "data"), "No base model is named: give --base, or a run's config"),
        (("canny", "--base", "demo"), "No data is named: give --data, or a run's config.toml."),
        (("none", *ON_DEMO), "none is not there"),
        (("canny", *ON_DEMO, "--config", "none.toml"), "none.toml"),
        (("canny", "--base", "demo", "--data", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(
    run: Run, folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    (folder / "canny").symlink_to(CANNY)
    result = run("gain", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
