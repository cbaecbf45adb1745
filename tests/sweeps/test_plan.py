"""Which rows a sweep has, in which order, what they share, and what they are known by."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlstack.ground.errors import UserError
from controlstack.headless import folders, host
from controlstack.headless.graph.model import Graph
from controlstack.headless.graph.override import override
from controlstack.headless.graph.registry import Registry, default_registry
from controlstack.headless.graph.workflow import load_workflow
from controlstack.sweeps.description import Description, described, read_description
from controlstack.sweeps.plan import SweepPlan, require_meant
from controlstack.sweeps.values import read_values

WORKFLOWS = Path(__file__).parents[2] / "workflows"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return default_registry()


@pytest.fixture
def places(tmp_path: Path) -> Iterator[folders.Folders]:
    """Input pictures of the shipped workflows, and no models."""
    found = folders.Folders(
        models=(tmp_path / "models",),
        input=(WORKFLOWS / "input",),
        output=tmp_path / "out",
        temp=tmp_path / "temp",
    )
    with host.use(found):
        yield found


@pytest.fixture(scope="module")
def graph(registry: Registry) -> Graph:
    return load_workflow(WORKFLOWS / "stack_pose_depth.json", registry)


def planned(graph: Graph, registry: Registry, *sets: str, **others: Any) -> SweepPlan:
    """The plan of a sweep that options describe."""
    given = {"in_step": (), "seeds": "", "presets": (), **others}
    values, places = read_values(described(sets, **given), graph, registry)
    with folders.use(places):
        return SweepPlan(values, graph, registry)


def all_settings(plan: SweepPlan) -> list[dict[str, Any]]:
    return [dict(row.settings) for row in plan.rows()]


@pytest.mark.usefixtures("places")
def test_axes_multiply_and_seeds_are_set_everywhere(graph: Graph, registry: Registry) -> None:
    plan = planned(graph, registry, "Add pose.strength=0.4,1", seeds="1..3")
    rows = list(plan.rows())
    assert len(rows) == 6
    assert {(r.settings["Add pose.strength"], r.settings["seed"]) for r in rows} == {
        (s, n) for s in (0.4, 1.0) for n in (1, 2, 3)
    }
    changed = plan.graph(rows[-1])
    assert changed.nodes["10"].inputs["strength"] == rows[-1].settings["Add pose.strength"]
    assert changed.nodes["15"].inputs["seed"] == rows[-1].settings["seed"]
    # The canvas follows, so that a picture opens as it ran.
    drawn = {str(n["id"]): n for n in changed.workflow["nodes"]}  # type: ignore
    assert drawn["10"]["widgets_values"][0] == rows[-1].settings["Add pose.strength"]


@pytest.mark.usefixtures("places")
def test_what_goes_in_step_is_not_multiplied(graph: Graph, registry: Registry) -> None:
    both = ("Add pose.strength=0.2,0.5,1.0", "Add depth.strength=1.0,0.5,0.2")
    plan = planned(graph, registry, "KSampler.cfg=4,5", in_step=both)
    pairs = {(s["Add pose.strength"], s["Add depth.strength"]) for s in all_settings(plan)}
    assert len(plan) == 6
    assert pairs == {(0.2, 1.0), (0.5, 0.5), (1.0, 0.2)}
    with pytest.raises(UserError, match=r"Add pose.strength has 2 values and .* has 3"):
        planned(graph, registry, in_step=("Add pose.strength=0.2,0.5", both[1]))


@pytest.mark.usefixtures("places")
def test_pictures_change_before_prompts_and_seeds(graph: Graph, registry: Registry) -> None:
    """What is dear to make again is in the outer loop, whatever the order that it was given in."""
    depth = "A depth map, near is white.image=controlstack_depth.png,controlstack_scene.png"
    plan = planned(graph, registry, "KSampler.cfg=4,5", depth, seeds="1..2")
    images = [s["A depth map, near is white.image"] for s in all_settings(plan)]
    assert images == sorted(images)


@pytest.mark.usefixtures("places")
def test_later_rows_say_what_they_use_again(graph: Graph, registry: Registry) -> None:
    """Every node runs once for each result that it has; what no later row uses is let go."""
    plan = planned(graph, registry, "Add pose.strength=0.4,1", "Prompt.text=a, b", seeds="1..3")
    kept: set[tuple[str, tuple[Any, ...]]] = set()
    runs: Counter[str] = Counter()
    base = plan.bases[0]
    for row in plan.rows():
        values = [row.settings[name] for name in plan.columns]
        keys = {
            node: (node, tuple(values[column] for column in columns))
            for node, columns in base.columns.items()
        }
        runs.update(node for node, key in keys.items() if key not in kept)
        kept = {key for key in kept if key not in keys.values()}
        kept |= {keys[node] for node in row.again}
    assert not kept
    assert runs == plan.runs()
    # Loaders, hints and prompts once; what has the strength twice; sampling and after six times.
    assert runs["1"] == runs["4"] == runs["7"] == 1
    assert runs["10"] == runs["12"] == 2
    assert runs["15"] == runs["17"] == 6
    assert plan.alone() == 6 * len(base.columns)
    some = frozenset(plan.addresses[:2])
    assert plan.alone(some) == 4 * len(base.columns)
    assert list(plan.graphs(some)) == [plan.graph(row) for row in plan.rows(some)]
    first, fourth = (list(plan.graphs())[at] for at in (0, 3))
    assert list(plan.graphs(most=2)) == [first, fourth]


@pytest.mark.usefixtures("places")
def test_an_address_is_of_what_a_row_runs(graph: Graph, registry: Registry) -> None:
    """The same row in another sweep, or with the value in the workflow itself, is the same."""
    wide = planned(graph, registry, "Add pose.strength=0.4,0.7", "KSampler.cfg=5,6", seeds="7,8")
    narrow = planned(graph, registry, "Add pose.strength=0.7")  # cfg 5 and seed 7 as they are
    (address,) = narrow.addresses
    assert wide.settings(address) == {"Add pose.strength": 0.7, "KSampler.cfg": 5.0, "seed": 7}
    # What the outputs do not need, titles and names of files make no difference.
    other = override(graph, registry, "SaveImage.filename_prefix", "elsewhere")
    assert planned(other, registry, "Add pose.strength=0.7").addresses == [address]
    other = override(graph, registry, "KSampler.steps", "21")
    assert planned(other, registry, "Add pose.strength=0.7").addresses != [address]


def test_an_address_is_of_files_too(
    graph: Graph, registry: Registry, places: folders.Folders, tmp_path: Path
) -> None:
    """Another picture of the same name, and another file of weights, are other rows."""
    shutil.copytree(WORKFLOWS / "input", tmp_path / "in")
    weights = tmp_path / "models" / "controlnet" / "control_v11p_sd15_openpose_fp16.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"one")
    with host.use(replace(places, input=(tmp_path / "in",))):
        seen = [planned(graph, registry, "Add pose.strength=0.7").addresses]
        shutil.copy(tmp_path / "in/controlstack_scene.png", tmp_path / "in/controlstack_depth.png")
        seen.append(planned(graph, registry, "Add pose.strength=0.7").addresses)
        weights.write_bytes(b"other")
        seen.append(planned(graph, registry, "Add pose.strength=0.7").addresses)
    assert len({one for (one,) in seen}) == 3


@pytest.mark.usefixtures("places")
def test_rows_that_are_the_same_run_once(graph: Graph, registry: Registry) -> None:
    plan = planned(graph, registry, "Add pose.strength=0.4,0.40,0.4")
    assert (len(plan), plan.given) == (1, 3)


@pytest.mark.usefixtures("places")
def test_rows_from_files(graph: Graph, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        '[product]\n"Add pose.strength" = "0.5..1:2"\nseed = [1, 2]\n'
        '[[zip]]\n"KSampler.cfg" = [4, 5]\n"KSampler.steps" = [10, 20]\n'
    )
    (tmp_path / "s.csv").write_text("seed,KSampler.cfg\n1,4\n2,\n")
    (tmp_path / "s.jsonl").write_text('{"seed": 1, "KSampler.cfg": 4}\n\n{"seed": 2}\n')

    def plan(name: str) -> SweepPlan:
        values, _ = read_values(read_description(tmp_path / name), graph, registry)
        return SweepPlan(values, graph, registry)

    assert len(plan("s.toml")) == 8
    assert {(s["KSampler.cfg"], s["KSampler.steps"]) for s in all_settings(plan("s.toml"))} == {
        (4, 10),
        (5, 20),
    }
    one, other = plan("s.csv"), plan("s.jsonl")
    assert one.addresses == other.addresses
    assert sorted(map(len, all_settings(one))) == [1, 2]  # the empty cell leaves the workflow's


@pytest.mark.usefixtures("places")
def test_prompts_from_a_file_and_pictures_from_a_folder(
    graph: Graph, registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text("a cat, sleeping\n\na dog\n")
    hints = tmp_path / "hints"
    hints.mkdir()
    for name in ("one.png", "two.png"):
        shutil.copy(WORKFLOWS / "input" / "controlstack_depth.png", hints / name)
    depth = "A depth map, near is white.image"
    plan = planned(graph, registry, f"Prompt.text=@{tmp_path}/p.txt", f"{depth}={hints}/*.png")
    assert plan.values("Prompt.text") == ("a cat, sleeping", "a dog")
    assert plan.values(depth) == ("one.png", "two.png")
    assert set(plan.repeats) == {"Prompt.text", depth}


@pytest.mark.usefixtures("places")
def test_presets_are_an_axis(graph: Graph, registry: Registry, tmp_path: Path) -> None:
    for name, strength in (("weak", 0.2), ("strong", 1.2)):
        text = f'{{"controlstack_preset": 1, "controls": [{{"strength": {strength}}}]}}'
        (tmp_path / f"{name}.json").write_text(text)
    presets = (str(tmp_path / "weak.json"), str(tmp_path / "strong.json"))
    plan = planned(graph, registry, presets=presets, seeds="1,2")
    assert len(plan) == 4
    assert plan.runs()["1"] == 1  # the models are those of both presets
    assert plan.runs()["15"] == 4
    texts = {
        node.inputs["preset"]
        for row in plan.rows()
        for node in plan.graph(row).nodes.values()
        if node.type == "ControlStackPreset"
    }
    assert len(texts) == 2


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (("Add poze.strength=1",), r"no node 'Add poze' \(do you mean 'Add pose'"),
        (("Add pose.strengths=1",), r"no input 'strengths' \(do you mean 'strength'\?\)"),
        (("Add pose.strength=",), "has no value"),
        (("Add pose.strength",), "write NAME=VALUES"),
        (("Add pose.strength=0.4,11",), "is 11.0, but has to be from 0.0 to 10.0|is '11.0'"),
        (("Add pose.strength=1", "Add pose.strength=2"), "swept twice"),
        (("Add pose.control_net=1",), "takes a link of type CONTROL_NET"),
        (("Add pose.mode=balanced,strong",), "is 'strong', but has to be one of: balanced"),
        (("LoadImage.image=nowhere.png",), "there is no picture, folder or glob nowhere.png"),
        (("LoadImage.image=EMPTY",), "holds no file that ends in"),
        (("LoadImage.image=EMPTY/*.png",), "matches no file"),
        (("Prompt.text=@gone.txt",), "cannot read the file of prompts gone.txt"),
        (("KSampler.steps=1..10:3",), "has 5.5, and whole numbers are wanted"),
    ],
)
@pytest.mark.usefixtures("places")
def test_what_cannot_be_swept_is_said(
    graph: Graph, registry: Registry, tmp_path: Path, sets: tuple[str, ...], words: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=words):
        planned(graph, registry, *(one.replace("EMPTY", str(empty)) for one in sets))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("s.toml", "", "holds nothing; a sweep has product, zip, rows"),
        ("s.toml", "[axes]\nseed = 1", "holds 'axes'"),
        ("s.toml", "[product]\nseed = []", "seed has no value"),
        ("s.toml", "[product]\nseed = [[1]]", "give numbers, texts, true or false"),
        ("s.csv", "seed\n", "holds no row"),
        ("s.jsonl", "[1]\n", "row 1 has no input with a value"),
        ("s.jsonl", "{\n", "line 1 is not JSON"),
        ("s.txt", "", "is no description of a sweep"),
    ],
)
def test_a_file_that_is_no_description(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words):
        read_description(tmp_path / name)


@pytest.mark.usefixtures("places")
def test_a_million_rows_are_counted_and_not_made(graph: Graph, registry: Registry) -> None:
    sets = ("KSampler.cfg=1..2:1000", "Add pose.strength=0..1:1000")
    values, _ = read_values(described(sets, (), "", ()), graph, registry)
    assert values.count == 1_000_000
    with pytest.raises(UserError, match=r"1000000 rows, more than 10000; .* --yes"):
        require_meant(values.count, yes=False)
    require_meant(values.count, yes=True)


def test_descriptions_add_up() -> None:
    one, other = described(("a.b=1",), (), "", ()), described((), (), "1..2", ())
    assert len((one + other + Description()).groups) == 2
