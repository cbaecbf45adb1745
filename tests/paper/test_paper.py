"""The scripts of `benchmarks/paper`, each in miniature, and the parts that have known answers."""

from __future__ import annotations

import copy
import importlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from controlstack.benchmarks.paper import (
    ablation,
    convergence,
    few_rows,
    line_nets,
    meaning,
    networks,
    transfer,
    tuned_base,
    world,
)
from controlstack.benchmarks.paper.convergence import rise
from controlstack.benchmarks.paper.lines import distances, ends, line
from controlstack.benchmarks.paper.measures import difference, figure
from controlstack.benchmarks.paper.moved_base import MOVES, weights_moved
from controlstack.benchmarks.paper.onset import came, earlier
from controlstack.benchmarks.paper.quality import LABELS, kernel_distance, labels_of, things_of
from controlstack.benchmarks.paper.results import DOCS
from controlstack.benchmarks.paper.sampling import Control, Pictures, Sampling, sample
from controlstack.benchmarks.paper.tables import tables
from controlstack.benchmarks.paper.tuned_base import turned
from controlstack.benchmarks.paper.wordings import conflicting, prompts
from controlstack.benchmarks.paper.world import World, held_out, shipped
from controlstack.preprocessors.canny import canny
from controlstack.training.events import Validation

PAGE = DOCS.parent / "paper.md"
SCENES = 40
DRAWN = {"--pictures": 3, "--steps": 1}
TRAINED = {**DRAWN, "--train-steps": 2, "--validate-every": 1}
LINES = {"--train-steps": 2, "--every": 1}
SCRIPTS = {
    "prompts": DRAWN,
    "stacking": DRAWN,
    "ablation": {**TRAINED, "--runs": 1},
    "meaning": {**LINES, "--every": 25, "--rows": 3, "--runs": 1, "--drawn": 2},
    "data_size": TRAINED,
    "few_rows": {**LINES, "--measured": 2},
    "convergence": {**TRAINED, "--runs": 1},
    "onset": {**LINES, "--rows": 3, "--runs": 1, "--others": 0, "--drawn": 2},
    "transfer": {**TRAINED, "--base-rows": 8, "--base-steps": 2},
    "moved_base": {**DRAWN, "--base-rows": 3, "--base-steps": 1, "--batch": 2},
}
STUDIED = (*ablation.KINDS, "hints")
SMALL = {"--scenes": SCENES, "--judge-steps": 1, "--reference": 8}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One work folder for all scripts, as a user has it."""
    return tmp_path_factory.mktemp("paper")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_leaves_figures_and_pictures(
    name: str, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = {"--work": work, "--out": tmp_path, **SMALL, **SCRIPTS[name]}
    arguments = [str(word) for pair in flags.items() for word in pair]
    monkeypatch.setattr("sys.argv", [f"{name}.py", *arguments])
    # Without instructions for bfloat16, which few processors have, all of it is ten times slower.
    monkeypatch.setattr(world, "HALVES", False)
    small = replace(networks.TRAINING, batch=2, precision="fp32")
    for script in (ablation, convergence, transfer):
        monkeypatch.setattr(script, "TRAINING", small)
    monkeypatch.setattr(line_nets, "LEARNING", replace(line_nets.LEARNING, batch=2))
    monkeypatch.setattr(line_nets, "HOW", Sampling(1, halves=False))
    monkeypatch.setattr(few_rows, "SIZES", (2, 3))
    monkeypatch.setattr(few_rows, "ENDS", (2, 3))
    monkeypatch.setattr(tuned_base, "BATCH", 2)
    importlib.import_module(f"controlstack.benchmarks.paper.{name}").main()
    found = json.loads((tmp_path / f"{name}.json").read_text())
    assert found["rows"]
    assert found["command"].startswith(f"python -m benchmarks.paper.{name} ")
    assert f"--scenes {SCENES}" in found["command"]
    assert (tmp_path / f"{name}.png").stat().st_size > 5000
    if name == "ablation":
        kept = [sorted(p.name for p in (work / "study" / kind).iterdir()) for kind in STUDIED]
        assert kept == [["00.png", "01.png", "02.png"]] * len(STUDIED)


@pytest.mark.parametrize("name", sorted({*SCRIPTS, *(f.stem for f in DOCS.glob("*.json"))}))
def test_the_page_shows_what_was_measured(name: str) -> None:
    page, file = PAGE.read_text(), DOCS / f"{name}.json"
    found = json.loads(file.read_text())
    for table in tables(name, found):
        assert table in page


def test_a_figure_is_mean_and_standard_error_of_what_applies() -> None:
    found = figure(np.array([1.0, 2.0, math.nan, 6.0]))
    assert found["n"] == 3
    assert found["mean"] == 3
    assert found["error"] == pytest.approx(math.sqrt(7) / math.sqrt(3), abs=1e-4)


def test_a_difference_is_paired() -> None:
    easy_and_hard = np.array([0.9, 0.1, 0.5])
    found = difference(easy_and_hard + 0.05, easy_and_hard)
    assert found["mean"] == pytest.approx(0.05)
    assert found["error"] == 0


def test_kernel_distance_tells_other_features_from_the_same() -> None:
    rng = np.random.default_rng(0)
    one, same, other = (rng.normal(size=(200, 8)) + shift for shift in (0, 0, 1))
    assert abs(kernel_distance(one, same)) < 0.3
    assert kernel_distance(one, other) > 1


def test_kernel_distance_is_the_mean_over_pairs() -> None:
    x, y = np.array([[1.0], [2.0]]), np.array([[0.0], [3.0]])
    # (1*2 + 1)^3 within x, (0*3 + 1)^3 within y; across: (0+1)^3, (3+1)^3, (0+1)^3, (6+1)^3
    assert kernel_distance(x, y) == pytest.approx(27 + 1 - 2 * (1 + 64 + 1 + 343) / 4)


def test_labels_name_what_a_scene_holds() -> None:
    for task in held_out(8):
        labels = {LABELS[i] for i in np.flatnonzero(labels_of(task.scene))}
        for solid in task.scene.solids:
            assert {solid.kind, f"{solid.colour} {solid.kind}"} <= labels
        assert ("person" in labels) == (task.scene.person is not None)


def test_a_conflicting_prompt_shares_no_thing_with_the_hint() -> None:
    tasks = held_out(8, person=True)
    for task, other, words in zip(
        tasks, conflicting(tasks), prompts(tasks)["conflicting"], strict=True
    ):
        assert not things_of(task.scene) & things_of(other.scene)
        assert words == other.prompt != task.prompt


def test_turned_colours_leave_the_edges_where_they_are() -> None:
    rgb = held_out(1)[0].drawing.rgb
    assert np.array_equal(canny(turned(rgb)), canny(rgb))
    assert not np.array_equal(turned(rgb), rgb)


def test_a_sudden_rise_is_told_from_a_steady_one() -> None:
    sudden = rise([(0, 0.1), (10, 0.1), (20, 0.1), (30, 0.9), (40, 0.9)])
    assert (sudden["25% at step"], sudden["75% at step"]) == (30, 30)
    assert sudden["its share"] == 1
    steady = rise([(step, step / 100) for step in range(0, 101, 10)])
    assert (steady["25% at step"], steady["75% at step"]) == (30, 80)
    assert steady["its share"] == pytest.approx(0.2)


def test_control_came_where_the_gain_stays_over_chance() -> None:
    curve = [(0, 0.0), (25, 0.02), (50, 0.009), (75, 0.011), (100, 0.2)]
    assert came(curve) == {"came at step": 75}
    assert came(curve[:3]) == {"came at step": "never"}


def test_a_line_goes_from_head_to_foot_and_its_ends_are_found_again() -> None:
    task = held_out(1, person=True)[0]
    assert task.scene.person is not None
    joints = np.array(task.scene.person.joints, np.float32)
    head, feet = ends(joints)
    assert head.tolist() == pytest.approx(task.scene.person.joints[0], abs=1e-4)
    assert feet[1] > head[1]
    hint = line(joints)
    for x, y in (head, feet, (head + feet) / 2):
        assert hint[round(float(y)), round(float(x))].tolist() == [255, 255, 255]
    assert 0.01 < (hint > 0).mean() < 0.04
    picture = task.drawing.rgb[None]
    assert distances(picture, joints[None])[0] < 2
    assert distances(picture, joints[None] + 20)[0] == pytest.approx(20 * 2**0.5, abs=2)


def test_figures_between_two_tries_are_read_off_the_line_between_them() -> None:
    run = [
        Validation(0, {"gain": 0.0, "own hint wins": 0.5, "px": 30.0, "CPU seconds": 0.0}),
        Validation(50, {"gain": 0.1, "own hint wins": 0.5, "CPU seconds": 10.0}),
        Validation(100, {"gain": 0.3, "own hint wins": 1.0, "px": 10.0, "CPU seconds": 20.0}),
    ]
    found = meaning.between(run, "CPU seconds", 15)
    assert (found["step"], found["gain"], found["px"]) == pytest.approx((75, 0.2, 15))
    assert meaning.between(run, "step", 50)["px"] == 20
    with pytest.raises(ValueError, match="ended at"):
        meaning.between(run, "step", 101)


def test_permuted_words_change_every_name_and_nothing_else() -> None:
    move = next(move for move in MOVES if move.words)
    assert move.words
    assert sorted(move.words) == sorted(move.words.values())
    assert move.said("a pink ball, a box") == "a red box, a cone"


def test_a_base_that_did_not_move_moved_by_nothing(work: Path) -> None:
    unet = World(work, SCENES).unet
    other = copy.deepcopy(unet)
    assert weights_moved(unet, other) == 0
    for weight in other.parameters():
        weight.data *= 1.5
    assert weights_moved(unet, other) == 0.5


def test_pictures_do_not_depend_on_their_batch_and_silence_changes_nothing(work: Path) -> None:
    of, tasks = World(work, SCENES), held_out(2)
    words, seeds = [task.prompt for task in tasks], [task.seed for task in tasks]
    together = sample(of, words, seeds, how=Sampling(2))
    alone = sample(of, words[1:], seeds[1:], how=Sampling(2, batch=1))
    assert _apart(together[1], alone[0]) < 2
    hints = np.stack([task.hints["canny"] for task in tasks])
    silent = sample(of, words, seeds, [Control(_Silent(), hints)], Sampling(2))
    assert np.array_equal(silent, together)


def test_two_controls_are_the_sum_of_their_residuals(work: Path) -> None:
    of, tasks = World(work, SCENES), held_out(1)
    words, seeds = [task.prompt for task in tasks], [task.seed for task in tasks]
    hints = np.stack([task.hints["canny"] for task in tasks])
    net = shipped("canny")
    one = sample(of, words, seeds, [Control(net, hints)], Sampling(2))
    both = sample(of, words, seeds, [Control(net, hints), Control(_Silent(), hints)], Sampling(2))
    assert np.array_equal(one, both)


def _apart(one: Pictures, other: Pictures) -> float:
    """The mean difference of 8-bit pictures; in other batches bfloat16 rounds otherwise."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


class _Silent:
    """A network whose residuals are all zero, in the shapes and the numbers of the demo's U-Net."""

    SHAPES = (
        (32, 16), (32, 16), (32, 16), (32, 8), (64, 8), (64, 8), (64, 4),
        (96, 4), (96, 4), (96, 2), (96, 2), (96, 2), (96, 2),
    )  # fmt: skip

    def __call__(
        self, noisy: Tensor, timesteps: Tensor, words: Tensor, hints: Tensor, return_dict: bool
    ) -> tuple[list[Tensor], Tensor]:
        zeros = [torch.zeros(len(noisy), c, side, side).bfloat16() for c, side in self.SHAPES]
        return zeros[:-1], zeros[-1]


def test_an_onset_that_was_measured_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "onset.json"
    assert earlier(file, 1000) == {}
    run = {"net": "lite", "rates": "1e-3, 3e-3", "seed": 2, "steps": 300}
    file.write_text(json.dumps({"options": {"rows": 1000}, "rows": [run]}))
    assert earlier(file, 1000) == {("lite", "1e-3, 3e-3", 2): run}
    assert earlier(file, 500) == {}
