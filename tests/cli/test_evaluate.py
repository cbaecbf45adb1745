"""`controlstack evaluate`: pictures whose agreement with their hints is known beforehand."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from controlstack.evaluation.clip import load_clip
from controlstack.evaluation.files import evaluate, quality
from controlstack.evaluation.own_finder import function_at
from controlstack.ground.errors import UserError
from controlstack.ground.lock import working_in
from controlstack.ground.ours import Results
from tests.checkout import ROOT
from tests.cli.conftest import app
from tests.cli.prompts import WORKFLOWS, Run
from tests.comfyui.browser import MISSING, browsing
from tests.evaluation.quality_weights import write_clip, write_inception, write_predictor
from tests.tiny_depth import tiny_dpt
from tests.tiny_pose import tiny_detector, tiny_vitpose

SIDE = 48
PLACES = {"left": 4, "middle": 18, "right": 32}
"""Where a square of 10 pixels stands: nothing of one is near another."""


def square(x: int, size: int = SIDE) -> Image.Image:
    picture = np.full((size, size, 3), 230, np.uint8)
    picture[16:26, x : x + 10] = (20, 60, 120)
    return Image.fromarray(picture)


def save(path: Path, picture: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


@pytest.fixture
def data(folder: Path) -> Path:
    """originals/, their hints/, obeys/ with the same squares, and not/ with others."""
    names = list(PLACES)
    for number, (name, x) in enumerate(PLACES.items()):
        original = save(folder / "originals" / f"{name}.png", square(x))
        with Image.open(original) as image:
            edges = cv2.Canny(np.asarray(image), 100, 200)
        save(folder / "hints" / f"{name}_canny.png", Image.fromarray(np.dstack([edges] * 3)))
        save(folder / "obeys" / f"{name}_00001_.png", square(x))
        other = PLACES[names[(number + 1) % len(names)]]
        save(folder / "not" / f"{name}_00001_.png", square(other))
    return folder


def report_of(folder: Path, out: str = "output/evaluation") -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / out / "report.json").read_text())
    return report


def means(report: dict[str, Any], figure: str, key: str = "groups") -> dict[str, float | None]:
    [line] = [line for line in report["summary"] if line["figure"] == figure]
    return {group: mean["mean"] for group, mean in line[key].items()}


def test_what_obeys_and_what_does_not(run: Run, data: Path) -> None:
    result = run("evaluate", "obeys", "not", "--hints", "hints", "--preprocessor", "canny")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "edge F1" in result.stdout
    report = report_of(data)
    assert means(report, "edge F1") == {"obeys": 1.0, "not": 0.0}
    assert means(report, "edge F1", "shuffled")["obeys"] == 0.0
    assert report["groups"] == ["obeys", "not"]
    assert len(report["pictures"]) == 6
    assert report["pictures"][0]["picture"] == "obeys/left_00001_.png"
    assert report["about"]["settings"] == {"low_threshold": 100, "high_threshold": 200}
    assert "controlstack" in report["versions"]


def test_hints_made_of_the_originals_are_the_same_hints(run: Run, data: Path) -> None:
    asked = ("evaluate", "obeys", "not", "--preprocessor", "canny")
    assert run(*asked, "--hints", "hints", "--out", "a").exit_code == 0
    assert run(*asked, "--originals", "originals", "--out", "b").exit_code == 0
    one, other = report_of(data, "a"), report_of(data, "b")
    assert one["summary"] == other["summary"]


def test_what_becomes_of_transparency(run: Run, data: Path) -> None:
    """Originals are laid on white, as their pictures; of hints the colours under alpha count."""
    for name, x in PLACES.items():
        alpha = np.zeros((SIDE, SIDE), np.uint8)
        alpha[16:26, x : x + 10] = 255
        clear = Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8))
        clear.putalpha(Image.fromarray(alpha))
        save(data / "clear" / f"{name}.png", clear)
    asked = ("evaluate", "obeys", "--preprocessor", "canny")
    laid = run(*asked, "--originals", "clear")
    assert (laid.exit_code, laid.stderr) == (0, "")
    assert means(report_of(data), "edge F1") == {"obeys": 1.0}
    hints = run(*asked, "--hints", "clear", "--out", "b")
    assert hints.exit_code == 0
    told = (
        "Note: 3 hints have an alpha channel, which is left out, as LoadImage does: clear/left.png"
    )
    assert told in hints.stderr


def test_black_hints_and_pictures_without_edges_are_no_agreement(run: Run, data: Path) -> None:
    """Two such rows beside one that is not followed: its 0 is the mean."""
    black = Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8))
    for name in ("left", "middle"):
        save(data / "hints" / f"{name}_canny.png", black)
        save(data / "not" / f"{name}_00001_.png", black)
    result = run("evaluate", "not", "--hints", "hints", "--preprocessor", "canny")
    assert result.exit_code == 0
    told = "2 of 3 hints ask for nothing, and their pictures count in no mean: "
    assert told + "left_canny.png, middle_canny.png" in result.stderr.replace("\n", " ")
    report = report_of(data)
    [line] = [line for line in report["summary"] if line["figure"] == "edge F1"]
    assert line["groups"]["not"]["mean"] == 0.0
    assert line["groups"]["not"]["count"] == 1
    assert [one["figures"]["edge F1"] for one in report["pictures"]] == [None, None, 0.0]
    # No picture stands beside such a hint by chance, either.
    assert not any(one["shuffled"] for one in report["pictures"])


def test_where_no_hint_asks_for_anything_there_is_no_mean(run: Run, data: Path) -> None:
    black = Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8))
    for name in PLACES:
        save(data / "hints" / f"{name}_canny.png", black)
    result = run("evaluate", "obeys", "--hints", "hints", "--preprocessor", "canny")
    assert result.exit_code == 0
    assert "3 of 3 hints ask for nothing" in result.stderr
    assert means(report_of(data), "edge F1") == {"obeys": None}


def test_groups_by_name_and_loose_files(run: Run, data: Path) -> None:
    result = run(
        *("evaluate", "good=obeys", "not/left_00001_.png", "not/right*.png"),
        *("--hints", "hints", "--preprocessor", "canny"),
    )
    assert result.exit_code == 0, result.stderr
    assert means(report_of(data), "edge F1") == {"good": 1.0, "pictures": 0.0}
    again = run("evaluate", "obeys", "a/obeys", "--hints", "hints", "--preprocessor", "canny")
    assert again.exit_code == 2
    (data / "a" / "obeys").mkdir(parents=True)
    again = run("evaluate", "obeys", "a/obeys", "--hints", "hints", "--preprocessor", "canny")
    assert "two groups are called obeys, obeys and a/obeys" in again.stderr


def test_settings_of_the_preprocessor(run: Run, data: Path) -> None:
    """A faint slope has edges for low thresholds alone."""
    faint = Image.fromarray(np.tile(np.linspace(90, 110, SIDE).astype(np.uint8), (SIDE, 1)))
    for name in PLACES:
        save(data / "faint" / f"{name}.png", faint.convert("RGB"))
    asked = ("evaluate", "faint", "--hints", "hints", "--preprocessor", "canny")
    assert run(*asked, "--set", "low_threshold=1", "--set", "high_threshold=2").exit_code == 0
    report = report_of(data)
    assert report["about"]["settings"] == {"low_threshold": 1, "high_threshold": 2}
    low = means(report, "SSIM")["faint"]
    assert run(*asked).exit_code == 0
    assert means(report_of(data), "SSIM")["faint"] != low


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (("--set", "low_threshold=much"), "low_threshold is 'much'; give a whole number"),
        (("--set", "low=5"), "canny has no setting low; it has low_threshold, high_threshold"),
        (("--set", "low_threshold"), "--set 'low_threshold': write NAME=VALUE"),
        (("--set", "low_threshold=" + "9" * 5000), "low_threshold is '9999"),
        (("--set", "low_threshold=" + "9" * 4000), "is a number of more than 77 digits"),
        (("--set", "low_threshold=\x1b[31m"), "low_threshold is '\\x1b[31m'; give"),
        (("--set", "x" * 9000 + "=1"), "canny has no setting"),
        (("--originals", "originals"), "either --hints or --originals"),
        (("--prompts", "none.json"), "cannot read the prompts none.json: No such file"),
        (("--real", "obeys"), "There is no Inception at models/controlstack/"),
        (("--aesthetic",), "There is no CLIP model at models/controlstack/clip-vit-large-patch14"),
        (("--resolution", "512"), "canny has no network; leave out --resolution"),
        (("--out", "hints/left_canny.png"), "is a file; name a folder"),
    ],
)
def test_one_sentence_for_what_is_wrong(
    run: Run, data: Path, extra: tuple[str, ...], said: str
) -> None:
    result = run("evaluate", "obeys", "--hints", "hints", "--preprocessor", "canny", *extra)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr) < 400
    assert "Traceback" not in result.stderr
    assert not (data / "output").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cany", "There is no preprocessor 'cany'; did you mean canny?"),
        ("normal-from-depth", "normal_from_depth takes a depth map"),
        ("inpaint", "inpaint takes a masked picture"),
        ("seg_labels", "seg_labels takes a label map"),
    ],
)
def test_preprocessors_that_find_nothing_in_a_picture(
    run: Run, data: Path, name: str, said: str
) -> None:
    result = run("evaluate", "obeys", "--hints", "hints", "--preprocessor", name)
    assert result.exit_code == 2
    assert said in result.stderr


def test_names_of_other_packs_are_taken_and_said_once(run: Run, data: Path) -> None:
    asked = ("evaluate", "obeys", "--hints", "hints", "--preprocessor", "CannyEdgePreprocessor")
    result = run(*asked)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("CannyEdgePreprocessor is canny here") == 1
    report = report_of(data)
    assert report["about"]["preprocessor"] == "canny"
    assert "CannyEdgePreprocessor is canny here" in report["notes"]
    refused = run(*asked[:-1], "normal_dsine")
    assert (refused.exit_code, refused.stderr) == (
        2,
        "Error: normal_dsine has no equal here: its network is another; the nearest is "
        "normal_bae.\n",
    )


def test_another_size_is_refused_with_both_sizes(run: Run, data: Path) -> None:
    for name, x in PLACES.items():
        save(data / "large" / f"{name}.png", square(x).resize((96, 96), Image.Resampling.NEAREST))
    asked = ("evaluate", "large", "--hints", "hints", "--preprocessor", "canny")
    refused = run(*asked)
    assert refused.exit_code == 2
    assert "large/left.png is 96 x 96 pixels and its hint 48 x 48" in refused.stderr
    assert run(*asked, "--fit", "stretch").exit_code == 0
    assert means(report_of(data), "edge F1") == {"large": 1.0}


def test_files_without_partner_and_broken_ones(run: Run, data: Path) -> None:
    """What is whole is still measured, and the exit code says that not all was."""
    (data / "obeys" / "left_00002_.png").write_bytes(b"no picture")
    save(data / "obeys" / "stranger.png", square(4))
    (data / "hints" / "lonely_canny.png").write_bytes((data / "hints/left_canny.png").read_bytes())
    result = run("evaluate", "obeys", "--hints", "hints", "--preprocessor", "canny")
    assert result.exit_code == 2
    assert "left_00002_.png cannot be read as a picture" in result.stderr
    assert "no hint for 1 pictures, left out: stranger.png" in result.stderr
    assert "no picture for 1 hints: lonely_canny.png" in result.stderr
    report = report_of(data)
    assert means(report, "edge F1") == {"obeys": 1.0}
    assert len(report["pictures"]) == 3
    assert any("left_00002_.png" in note for note in report["notes"])


def test_nothing_to_compare(run: Run, data: Path) -> None:
    save(data / "strangers" / "x.png", square(4))
    none = run("evaluate", "strangers", "--hints", "hints", "--preprocessor", "canny")
    assert none.exit_code == 2
    assert "No picture has the name of a hint. Pictures: x.png" in none.stderr
    (data / "empty").mkdir()
    empty = run("evaluate", "empty", "--hints", "hints", "--preprocessor", "canny")
    assert empty.exit_code == 2
    assert "empty holds no file that ends in" in empty.stderr


def test_a_network_of_ones_own(run: Run, data: Path) -> None:
    tiny_dpt(data / "models" / "depth" / "mine")
    result = run(
        *("evaluate", "obeys", "--originals", "originals"),
        *("--preprocessor", "depth", "--model", "mine"),
    )
    assert result.exit_code == 0, result.stderr
    report = report_of(data)
    assert means(report, "depth RMSE, aligned")["obeys"] == pytest.approx(0, abs=1e-6)
    assert means(report, "depth rank correlation")["obeys"] == pytest.approx(1)


def test_poses_are_compared_as_people(run: Run, folder: Path) -> None:
    weights = folder / "models" / "controlstack"
    tiny_vitpose(weights / "vitpose-base-simple")
    tiny_detector(weights / "rtdetr_r50vd_coco_o365")
    scene = WORKFLOWS / "input" / "controlstack_scene.png"
    (folder / "pictures").mkdir()
    (folder / "pictures" / "scene.png").write_bytes(scene.read_bytes())
    made = run("hint", "pose_vitpose", "pictures", "--json", "--out", "hints")
    assert made.exit_code == 0, made.stderr
    result = run("evaluate", "pictures", "--hints", "hints", "--preprocessor", "pose-vitpose")
    assert result.exit_code == 0, result.stderr
    assert set(report_of(folder)["pictures"][0]["figures"]) == {"PCK@0.1", "OKS", "extra people"}


def test_people_are_found_by_what_is_at_hand(run: Run, folder: Path) -> None:
    """Draw Pose finds nobody in a picture: the network that ships does, and the report says so."""
    photo = ROOT / "tests" / "photos" / "park_jack.jpg"
    (folder / "pictures").mkdir()
    (folder / "pictures" / "jack.jpg").write_bytes(photo.read_bytes())
    (folder / "hints").mkdir()
    (folder / "hints" / "jack.json").write_bytes(photo.with_suffix(".json").read_bytes())
    asked = ("evaluate", "pictures", "--hints", "hints", "--preprocessor", "pose")
    result = run(*asked)
    assert result.exit_code == 0, result.stderr
    report = report_of(folder)
    assert report["about"]["preprocessor"] == "pose_body"
    assert report["about"]["model"] == "MediaPipe Holistic"
    said = "pose finds nothing in a picture; pose_body is used, as no weights of "
    assert f"{said}pose_vitpose or pose_openpose are here" in report["notes"]
    assert report["pictures"][0]["figures"]["PCK@0.1"] >= 0.9
    refused = run(*asked, "--download")
    assert refused.exit_code == 2
    assert "pose_body's weights ship with ControlStack" in refused.stderr
    weights = folder / "models" / "controlstack"
    tiny_vitpose(weights / "vitpose-base-simple")
    tiny_detector(weights / "rtdetr_r50vd_coco_o365")
    better = run(*asked)
    assert better.exit_code == 0, better.stderr
    report = report_of(folder)
    assert report["about"]["preprocessor"] == "pose_vitpose"
    assert "pose finds nothing in a picture; pose_vitpose is used" in report["notes"]


FINDER = """
import numpy as np

def spot(picture):
    \"\"\"A white spot of 2 x 2 in the middle of what is dark.\"\"\"
    y, x = np.nonzero(picture.max(axis=-1) < 150)
    hint = np.zeros_like(picture)
    hint[int(y.mean()) : int(y.mean()) + 2, int(x.mean()) : int(x.mean()) + 2] = 255
    return hint

if __name__ == "__main__":
    import sys
    from PIL import Image
    found = spot(np.asarray(Image.open(sys.argv[1]).convert("RGB")))
    Image.fromarray(found).save(sys.argv[2])
"""


@pytest.fixture
def own(data: Path) -> Path:
    """A condition that no preprocessor knows, where the square is: hints of it in spots/, and what
    finds it in find.py."""
    function_at.cache_clear()  # by a name in the working folder, which is another one now
    (data / "find.py").write_text(FINDER)
    for name, x in PLACES.items():
        hint = np.zeros((SIDE, SIDE, 3), np.uint8)
        hint[20:22, x + 4 : x + 6] = 255
        save(data / "spots" / f"{name}.png", Image.fromarray(hint))
    return data


def test_a_condition_of_ones_own_by_a_function_and_by_a_command(run: Run, own: Path) -> None:
    asked = ("evaluate", "obeys", "not", "--hints", "spots", "--compare", "points")
    told = f"'{sys.executable}' find.py {{picture}} {{hint}}"
    by_function = run(*asked, "--finder", "find.py:spot")
    assert (by_function.exit_code, by_function.stderr) == (0, "")
    assert "find.py:spot, extracted again" in by_function.stdout
    report = report_of(own)
    assert report["about"]["preprocessor"] == "find.py:spot"
    assert report["about"]["compared as"] == "points"
    # The squares stand 14, 14 and 28 pixels off; so does each beside another's hint by chance.
    assert means(report, "point distance (px)") == pytest.approx({"obeys": 0, "not": 56 / 3})
    assert means(report, "points too many or too few") == {"obeys": 0, "not": 0}
    assert means(report, "point distance (px)", "shuffled")["obeys"] > 10
    assert "Does it obey? find.py:spot" in (own / "output/evaluation/report.html").read_text()
    by_command = run(*asked, "--finder-command", told, "--out", "b")
    assert (by_command.exit_code, by_command.stderr) == (0, "")
    again = report_of(own, "b")
    assert again["summary"] == report["summary"]
    assert again["about"]["preprocessor"] == told


def test_a_finder_s_hints_are_pictures_unless_told(run: Run, own: Path) -> None:
    asked = ("evaluate", "obeys", "not", "--originals", "originals", "--finder", "find.py:spot")
    assert run(*asked).exit_code == 0
    report = report_of(own)
    assert report["about"]["compared as"] == "picture"
    assert means(report, "SSIM")["obeys"] == pytest.approx(1)
    assert means(report, "RMSE")["obeys"] == 0
    assert means(report, "RMSE")["not"] == pytest.approx((8 / SIDE**2) ** 0.5)
    fitted = run(*asked, "--fit", "stretch", "--out", "b")
    assert fitted.exit_code == 0
    assert report_of(own, "b")["summary"] == report["summary"]


def test_a_finder_that_fails_on_a_picture_is_said_by_its_name(run: Run, own: Path) -> None:
    """A picture without a square; the others are measured."""
    save(own / "obeys" / "left_00002_.png", Image.new("RGB", (SIDE, SIDE), "white"))
    asked = ("evaluate", "obeys", "--hints", "spots", "--compare", "points")
    result = run(*asked, "--finder", "find.py:spot")
    assert result.exit_code == 2
    told = "obeys/left_00002_.png: find.py:spot failed: ValueError: cannot convert float NaN"
    assert told in result.stderr.replace("\n", " ")
    assert means(report_of(own), "point distance (px)") == {"obeys": 0}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((), "controlstack gain CONTROLNET --base B --data D"),
        (("--finder", "find.py:spot", "--preprocessor", "canny"), "give one of --preprocessor"),
        (("--finder", "find.py:spot", "--finder-command", "x"), "give one of --preprocessor"),
        (("--preprocessor", "canny", "--compare", "depth"), "canny's hints are compared as edges"),
        (("--finder", "find.py"), "--finder 'find.py': write FILE.py:FUNCTION"),
        (("--finder", "find.py:line"), "find.py has no function line"),
        (("--finder", "find.py:spot", "--set", "low=1"), "find.py:spot has no setting low"),
        (("--finder", "find.py:spot", "--download"), "find.py:spot has no network"),
        (("--finder-command", "python find.py"), "lacks {picture} and {hint}"),
        (("--finder-command", "no-such-program {picture} {hint}"), "no program 'no-such-program'"),
    ],
)
def test_what_is_to_find_the_condition_is_told_once(
    run: Run, own: Path, asked: tuple[str, ...], said: str
) -> None:
    result = run("evaluate", "obeys", "--hints", "spots", *asked)
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr
    assert not (own / "output").exists()


def test_a_network_is_no_picture(run: Run, data: Path) -> None:
    (data / "net").mkdir()
    (data / "net" / "diffusion_pytorch_model.safetensors").touch()
    for name in ("net", "net/diffusion_pytorch_model.safetensors"):
        result = run("evaluate", name, "--hints", "hints", "--preprocessor", "canny")
        assert result.exit_code == 2
        assert f"`controlstack gain {name} --base B --data D`" in result.stderr


def test_figures_of_quality(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wired to the right pictures and prompts; what the figures are is tested where they are."""
    weights = data / "models" / "controlstack"
    write_clip(weights / "clip-vit-large-patch14", width=768)
    write_predictor(weights / "sac+logos+ava1-l14-linearMSE.pth")
    write_inception(weights / "weights-inception-2015-12-05-6726825d.pth", monkeypatch)
    monkeypatch.setattr(quality, "fid", functools.partial(quality.fid, features=64))
    prompts = {name: f"a square at the {name}" for name in PLACES}
    (data / "prompts.json").write_text(json.dumps(prompts))
    result = run(
        *("evaluate", "obeys", "not", "--hints", "hints", "--preprocessor", "canny"),
        *("--real", "originals", "--prompts", "prompts.json", "--aesthetic"),
    )
    assert result.exit_code == 0, result.stderr
    assert "FID of 3 pictures comes out too high" in result.stderr
    report = report_of(data)
    assert means(report, "FID (64 features)")["obeys"] == pytest.approx(0, abs=1e-3)
    for figure in ("CLIP score", "aesthetic score"):
        assert set(means(report, figure)) == {"obeys", "not"}
    loaded = load_clip(weights / "clip-vit-large-patch14")
    for entry in report["pictures"]:
        with Image.open(entry["picture"]) as image:
            [expected] = quality.clip_scores(loaded, [np.array(image)], [prompts[entry["row"]]])
        assert entry["figures"]["CLIP score"] == pytest.approx(expected.value, abs=1e-3)


def asked(*further: str) -> tuple[str, ...]:
    return "evaluate", "obeys", "--hints", "hints", "--preprocessor", "canny", *further


def test_where_the_report_goes_is_looked_at_first(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(evaluate, "metrics", never)
    (data / "file").write_text("")
    (data / "taken" / "report.html").mkdir(parents=True)
    (data / "foreign").mkdir()
    (data / "foreign" / "report.json").write_text("mine")
    for out, said in (
        ("file/deeper", "file is no folder"),
        ("n" * 300, "File name too long"),
        ("taken", "taken/report.html is a folder"),
        ("foreign", "foreign/report.json is there already and was not made by ControlStack"),
        ("", "is empty"),
    ):
        refused = run(*asked("--out", out))
        assert refused.exit_code == 2
        assert said in refused.stderr
    assert (data / "foreign" / "report.json").read_text() == "mine"


def test_a_report_replaces_its_like_and_no_input(run: Run, data: Path) -> None:
    assert run(*asked()).exit_code == 0
    again = run(*asked())
    assert (again.exit_code, again.stderr) == (
        0,
        "Note: an earlier report in output/evaluation is replaced.\n",
    )
    prompts = data / "output/evaluation/report.json"
    prompts.write_text(json.dumps(dict.fromkeys(PLACES, "words")))
    link = data / "linked"
    link.symlink_to(data / "output")
    over = run(*asked("--prompts", "linked/evaluation/report.json", "--overwrite"))
    assert over.exit_code == 2
    assert "report.json is an input of this command" in over.stderr


def test_what_was_measured_is_printed_before_it_is_written(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise UserError("no space left on the disk")

    monkeypatch.setattr(Results, "write", full)
    result = run(*asked())
    assert result.exit_code == 2
    assert "edge F1" in result.stdout
    assert "Error: no space left on the disk" in result.stderr


def test_a_figure_of_quality_that_fails_does_not_take_the_others_along(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> None:
        raise UserError("real/x.png cannot be read as a picture")

    monkeypatch.setitem(quality.METRICS, "aesthetic", lambda *given: broken)
    result = run(*asked("--aesthetic"))
    assert result.exit_code == 2
    assert "Error: real/x.png cannot be read as a picture" in result.stderr
    assert "edge F1" in result.stdout
    assert means(report_of(data), "edge F1") == {"obeys": 1.0}


def test_one_process_at_a_time_in_a_folder(run: Run, data: Path) -> None:
    with working_in(data / "output/evaluation", "evaluating"):
        result = run(*asked())
    assert result.exit_code == 2
    assert "another process is evaluating in output/evaluation" in result.stderr
    assert not (data / "output/evaluation/report.json").exists()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_table_in_any_letters(data: Path, encoding: str) -> None:
    given = ("evaluate", "[red]水[/blue]\x1b[31m=obeys", *asked()[2:])
    result = CliRunner(charset=encoding).invoke(app, given)
    assert (result.exit_code, result.stderr) == (0, "")
    printed = result.stdout_bytes.decode(encoding)
    assert ("edge F1 ↑" if encoding == "utf-8" else "edge F1 ^") in printed
    assert f"[red]{'水' if encoding == 'utf-8' else chr(92) + 'u6c34'}[/blue]" in printed
    assert "\x1b" not in printed


def test_options_that_do_nothing_are_said(run: Run, data: Path) -> None:
    result = run(*asked("--inception", "x.pth", "--clip", "c", "--aesthetic-weights", "w.pth"))
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "Note: --inception does nothing without --real.",
        "Note: --clip does nothing without --prompts or --aesthetic.",
        "Note: --aesthetic-weights does nothing without --aesthetic.",
    ]


@pytest.mark.parametrize("option", ["--hints", "--originals", "--real", "--prompts", "pictures"])
def test_pipes_and_empty_names_are_refused_at_once(run: Run, data: Path, option: str) -> None:
    os.mkfifo(data / "pipe")
    for name, said in (("pipe", "is no regular file, but a pipe"), ("", "empty")):
        given = {"pictures": "obeys", "--hints": "hints"}
        if option == "--originals":
            del given["--hints"]
        given[option] = name
        pictures = given.pop("pictures")
        options = [one for pair in given.items() for one in pair]
        result = run("evaluate", pictures, "--preprocessor", "canny", *options)
        assert result.exit_code == 2
        assert said in result.stderr


def test_the_page_is_whole_and_names_are_only_names(run: Run, data: Path) -> None:
    result = run("evaluate", "<b>x=obeys", "--hints", "hints", "--preprocessor", "canny")
    assert result.exit_code == 0, result.stderr
    html = (data / "output/evaluation/report.html").read_text()
    assert "<b>x" not in html
    assert "&lt;b&gt;x" in html
    assert not re.findall(r"(?:src|href)=\"(?!data:)", html)
    assert "//" not in re.sub(r"data:image/webp;base64,[\w+/=]+", "", html)


@pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
def test_the_page_sorts_and_enlarges(run: Run, data: Path) -> None:
    save(data / "not" / "left_00001_.png", square(PLACES["left"]))  # the one that obeys
    run("evaluate", "obeys", "not", "--hints", "hints", "--preprocessor", "canny")
    with browsing() as page:
        page.driver.get((data / "output/evaluation/report.html").as_uri())

        def names() -> list[str]:
            found: list[str] = page.js(
                "return [...document.querySelectorAll('.row')].map(r => r.dataset.name)"
            )
            return found

        def choose(select: str, value: str) -> None:
            page.js(
                "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
                "s.onchange()",
                *(select, value),
            )

        choose("of", "not")
        assert names() == ["middle", "right", "left"]
        choose("order", "best")
        assert names() == ["left", "middle", "right"]
        choose("order", "name")
        assert names() == ["left", "middle", "right"]
        page.click("//button[@aria-label='The hint, larger']")
        assert page.js("return document.getElementById('large').open")
        assert page.driver.get_log("browser") == []
