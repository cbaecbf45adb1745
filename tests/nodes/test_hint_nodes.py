"""Every hint node as a host meets it: its inputs and its weights.

`test_hints` has pictures and sizes; here are the nodes of learned preprocessors, with random
weights in the embedded host's folders.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.ground.parameters import Parameter
from controlstack.nodes.any_hint import OF_PICTURES
from controlstack.nodes.hint_node import HintNode, node_of
from controlstack.nodes.hints import NODE_CLASS_MAPPINGS as NODES
from controlstack.preprocessors import model_choice
from controlstack.preprocessors.learned.teed import TEED
from controlstack.preprocessors.learned.vitpose import VITPOSE
from controlstack.preprocessors.making import Sizing, make
from controlstack.preprocessors.pose.people import Joint, Person, Pose, parse_poses
from controlstack.preprocessors.registry import EXACT, LEARNED, PREPROCESSORS
from controlstack.preprocessors.spec import Learning, Preprocessor, Weights
from tests.annotator_files import publish, random_state
from tests.checkout import ROOT

IMAGE = torch.rand(2, 20, 30, 3, generator=torch.Generator().manual_seed(0))

each = pytest.mark.parametrize("entry", PREPROCESSORS.values(), ids=lambda entry: entry.name)
learned = pytest.mark.parametrize("entry", LEARNED, ids=lambda entry: entry.name)

pytestmark = pytest.mark.usefixtures("models")


def learning_of(entry: Preprocessor) -> Learning:
    assert entry.learning is not None
    return entry.learning


def picked(entry: Preprocessor, number: int = 0) -> dict[str, str]:
    """The input that picks a model of a learned preprocessor, where there is one."""
    has_choice = "model" in NODES[entry.node].INPUT_TYPES()["required"]
    return {"model": learning_of(entry).models[number].name} if has_choice else {}


# Inputs


@each
def test_every_setting_is_a_widget_with_its_default_and_limits(entry: Preprocessor) -> None:
    inputs = NODES[entry.node].INPUT_TYPES()
    assert inputs.keys() == {"required", "optional"}
    for parameter in entry.parameters:
        kind, words = inputs["optional"][parameter.name]
        assert words["default"] == parameter.default
        assert words["tooltip"] == parameter.tooltip
        if parameter.choices:
            assert kind == list(parameter.choices)
            continue
        assert kind == {bool: "BOOLEAN", int: "INT", float: "FLOAT"}[type(parameter.default)]
        if kind != "BOOLEAN":
            assert (words["min"], words["max"]) == (parameter.low, parameter.high)
            assert words["step"] == parameter.step > 0


@each
def test_a_node_has_what_its_preprocessor_needs_and_nothing_else(entry: Preprocessor) -> None:
    inputs = NODES[entry.node].INPUT_TYPES()
    required = {
        "picture": {"image"},
        "masked picture": {"image", "mask"},
        "depth": {"image"},
        "labels": {"image"},
        "pose": {"pose_json", "width", "height"},
    }[entry.takes]
    optional = {"fit", "latent", "size_of", *(parameter.name for parameter in entry.parameters)}
    optional |= {"pose_keypoint"} if entry.takes == "pose" else {"width", "height"}
    if entry.learning is not None:
        optional |= {"download"} if entry.downloads else set()
        optional |= {"resolution"} if entry.learning.any_size else set()
        if len(entry.learning.models) > 1 or entry.learning.model_types:
            required = required | {"model"}
    assert inputs["required"].keys() == required
    assert inputs["optional"].keys() == optional


@each
def test_a_setting_out_of_range_is_refused_before_anything_runs(entry: Preprocessor) -> None:
    for parameter in entry.parameters:
        if isinstance(parameter.default, bool):
            continue
        wrong = "teapot" if parameter.choices else parameter.high + 1
        answer = NODES[entry.node].VALIDATE_INPUTS(**{parameter.name: wrong})
        assert isinstance(answer, str)
        assert f"{entry.name}: {parameter.name} is" in answer


@learned
def test_the_models_to_pick_from_are_the_published_ones(entry: Preprocessor) -> None:
    required = NODES[entry.node].INPUT_TYPES()["required"]
    names = [model.name for model in learning_of(entry).models]
    assert required.get("model", [names])[0] == names


# Weights that are not there


@learned
def test_missing_weights_are_said_before_anything_runs(entry: Preprocessor, models: Path) -> None:
    answer = NODES[entry.node].VALIDATE_INPUTS(**picked(entry))
    wanted = learning_of(entry).models[0]
    for part in (
        *wanted.files,
        f"https://huggingface.co/{wanted.repo}",
        str(models / wanted.name),
        wanted.licence,
        f"{wanted.megabytes} MB",
        "download",
    ):
        assert part in answer
    assert ("not for commercial use" in answer) == (not wanted.commercial)


@learned
def test_each_of_several_models_is_said(entry: Preprocessor, models: Path) -> None:
    node = NODES[entry.node]
    if not picked(entry):
        return
    for number, model in enumerate(learning_of(entry).models):
        assert str(models / model.name) in node.VALIDATE_INPUTS(**picked(entry, number))
    assert f"{entry.name} has no model teapot" in node.VALIDATE_INPUTS(model="teapot")


@learned
def test_with_the_download_allowed_missing_weights_wait(entry: Preprocessor) -> None:
    assert NODES[entry.node].VALIDATE_INPUTS(download=True, **picked(entry)) is True


@learned
def test_weights_that_are_missing_when_it_runs_are_said_too(
    entry: Preprocessor, models: Path
) -> None:
    """A model's name may come through a link, which nothing can check before."""
    with pytest.raises(UserError, match="on this machine: get "):
        NODES[entry.node]().make(image=IMAGE)


@learned
def test_a_linked_model_is_not_judged_before_it_is_known(entry: Preprocessor) -> None:
    """What is linked is left out by ComfyUI and None in the embedded host."""
    if picked(entry):
        assert NODES[entry.node].VALIDATE_INPUTS() is True
        assert NODES[entry.node].VALIDATE_INPUTS(model=None) is True


def test_the_node_for_all_says_what_its_preprocessor_misses(models: Path) -> None:
    node = NODES["ControlStackHint"]
    for entry in LEARNED:
        answer = node.VALIDATE_INPUTS(preprocessor=entry.name)
        assert str(models / learning_of(entry).models[0].name) in answer
        assert node.VALIDATE_INPUTS(preprocessor=entry.name, download=True) is True
    for entry in EXACT:
        if entry.takes == "picture":
            assert node.VALIDATE_INPUTS(preprocessor=entry.name) is True


def test_weights_are_downloaded_once_and_only_when_that_is_allowed(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def download(weights: Weights, target: Path, progress: Any) -> tuple[Path, ...]:
        fetched.append((weights.name, target))
        return (publish(target / weights.name, "7_model.pth", random_state("7_model.pth")),)

    monkeypatch.setattr(model_choice, "download", download)
    node = NODES[TEED.node]()
    with pytest.raises(UserError):
        node.make(image=IMAGE)
    assert fetched == []
    (hint,) = node.make(image=IMAGE, download=True)
    (again,) = NODES[TEED.node]().make(image=IMAGE, download=True)
    assert fetched == [(TEED.learning and TEED.learning.models[0].name, models)]
    assert torch.equal(hint, again)
    assert NODES[TEED.node].VALIDATE_INPUTS() is True


# The node for all


SMALL = {
    "teed": ("7_model.pth",),
    "anyline": ("MTEED.pth",),
    "pidinet": ("table5_pidinet.pth",),
    "pidinet_scribble": ("table5_pidinet.pth",),
    "mlsd": ("mlsd_large_512_fp32.pth",),
    "lineart": ("sk_model.pth", "sk_model2.pth"),
}
"""Learned preprocessors whose weights are some megabytes."""


@pytest.mark.parametrize("name", SMALL)
def test_the_node_for_all_gives_the_hint_of_each_node_s_defaults(name: str, models: Path) -> None:
    for seed, file in enumerate(SMALL[name]):
        publish(models, file, random_state(file, seed))
    entry = PREPROCESSORS[name]
    latent = {"samples": torch.zeros(1, 4, 5, 6)}
    (own,) = NODES[entry.node]().make(image=IMAGE[:1], latent=latent, fit="fit", resolution=32)
    (got,) = NODES["ControlStackHint"]().make(
        image=IMAGE[:1], preprocessor=name, latent=latent, fit="fit", resolution=32
    )
    assert own.shape == (1, 40, 48, 3)
    assert own.std() > 0
    assert torch.equal(got, own)


def test_the_node_for_all_takes_another_preprocessor_in_the_next_run(models: Path) -> None:
    for name in ("teed", "mlsd"):
        for file in SMALL[name]:
            publish(models, file, random_state(file))
    node = NODES["ControlStackHint"]()
    for name in ("teed", "mlsd", "teed"):
        (got,) = node.make(image=IMAGE[:1], preprocessor=name)
        (own,) = NODES[PREPROCESSORS[name].node]().make(image=IMAGE[:1])
        assert torch.equal(got, own)


def test_the_node_for_all_offers_every_preprocessor_of_a_picture() -> None:
    offered = NODES["ControlStackHint"].INPUT_TYPES()["required"]["preprocessor"][0]
    assert offered == list(OF_PICTURES)
    assert {entry.name for entry in LEARNED} <= set(offered)


# People


def finder(find: Callable[[Any], Pose]) -> type[HintNode]:
    """A node of a preprocessor that finds people with `find`, and needs no weights."""

    class Finds:
        networks = ()

        def __call__(self, picture: Any, device: torch.device, **_: Any) -> Pose:
            return find(picture)

    model = Weights("here", "a/b", (), "MIT", True, 1)
    finds = Learning(models=(model,), load=lambda _: Finds(), finds_people=True)
    return node_of(replace(VITPOSE, learning=finds))


def test_people_come_as_a_hint_and_as_json_that_draws_the_same_hint() -> None:
    body = (Joint(5, 5), Joint(15, 15), *(None,) * 16)
    found = finder(lambda picture: Pose((Person(body=body),), canvas=(30, 20)))
    hint, text, people = found().make(image=IMAGE, latent={"samples": torch.zeros(1, 4, 10, 15)})
    assert hint.shape == (2, 80, 120, 3)
    frames = parse_poses(text)
    assert [frame.canvas for frame in frames] == [(120, 80)] * 2
    size = {"width": 120, "height": 80}
    for given in ({"pose_json": text}, {"pose_json": "", "pose_keypoint": people}):
        drawn, again = NODES["ControlStackDrawPose"]().make(**given, **size)["result"]
        assert torch.equal(drawn, hint)
        assert again == people
    assert torch.equal(drawn[0] * 255, _drawn(frames[0]))


def test_draw_pose_leaves_out_what_is_below_its_threshold() -> None:
    node = NODES["ControlStackDrawPose"]()
    scores = [0.05, 0.2, 0.3, 0.6, 1.0, 1.0]
    body = [n for i in range(18) for n in (10.0 + i, 8.0 + i, scores[i % 6])]
    frame = {"people": [{"pose_keypoints_2d": body}], "canvas_width": 40, "canvas_height": 40}

    def counts(**given: Any) -> int:
        hint, people = node.make(width=40, height=40, **{"pose_json": "", **given})["result"]
        assert torch.equal(hint[0] * 255, _drawn(parse_poses(people)[0]))
        return sum(people[0]["people"][0]["pose_keypoints_2d"][2::3])

    text, wire = {"pose_json": json.dumps(frame)}, {"pose_keypoint": [frame]}
    assert [counts(**text), counts(**wire)] == [18, 12]
    for threshold, left in ((0.1, 15), (0.3, 12), (0.31, 9), (1.0, 6)):
        asked = {"confidence_threshold": threshold}
        assert counts(**text, **asked) == counts(**wire, **asked) == left


def test_the_threshold_stands_behind_the_widgets_that_were_there_before() -> None:
    inputs = NODES["ControlStackDrawPose"].INPUT_TYPES()
    widgets = [name for group in inputs.values() for name, spec in group.items() if len(spec) > 1]
    assert [name for name in widgets if name not in ("latent", "size_of", "pose_keypoint")] == [
        *("pose_json", "width", "height", "style", "body", "hands", "face", "scale_sticks", "fit"),
        "confidence_threshold",
    ]


def _drawn(pose: Pose) -> torch.Tensor:
    entry = PREPROCESSORS["pose"]
    return torch.from_numpy(make(entry, pose, entry.settings({}), Sizing()).hint).float()


def test_nobody_is_a_black_hint_and_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    found = finder(lambda picture: Pose((), canvas=(30, 20)))
    with caplog.at_level(logging.WARNING, "controlstack"):
        hint, text, _ = found().make(image=IMAGE)
    assert not hint.any()
    assert [frame.people for frame in parse_poses(text)] == [(), ()]
    assert [record.getMessage() for record in caplog.records] == [
        "ViTPose Hint: nobody in picture 1; its hint is black.",
        "ViTPose Hint: nobody in picture 2; its hint is black.",
    ]


@pytest.mark.usefixtures("models")
def test_a_network_that_ships_needs_no_model_and_no_download() -> None:
    """The photo's people by their own node, Any Hint and the node with settings, all alike."""
    with Image.open(ROOT / "tests" / "photos" / "park_jack.jpg") as photo:
        image = torch.from_numpy(np.array(photo.convert("RGB")))[None] / 255
    node = NODES["ControlStackPoseBody"]
    assert node.VALIDATE_INPUTS() is True
    result = node().make(image=image)
    result = result["result"] if isinstance(result, dict) else result
    hint, text, ((frame,)) = result
    (person,), (wired,) = json.loads(text)[0]["people"], frame["people"]
    written, given = (np.array(one["pose_keypoints_2d"]).reshape(18, 3) for one in (person, wired))
    assert len(set(written[:, 2])) > 10, "each joint's own confidence"
    assert (given[:, 2] == 1).all(), "other packs take nothing less for a point"
    assert (given[:, :2] == written[:, :2]).all()
    drawn = NODES["ControlStackDrawPose"]().make(pose_json=text, width=500, height=500)
    assert torch.equal(drawn["result"][0], hint)
    for node_id in ("ControlStackHint", "ControlStackAnyHintSettings"):
        assert NODES[node_id].VALIDATE_INPUTS(preprocessor="pose_body") is True
        again = NODES[node_id]().make(image=image, preprocessor="pose_body")
        again = again["result"] if isinstance(again, dict) else again
        assert torch.equal(again[0], hint)


def test_settings_have_the_types_that_widgets_know() -> None:
    parameters: list[Parameter] = [p for entry in PREPROCESSORS.values() for p in entry.parameters]
    assert {type(parameter.default) for parameter in parameters} == {bool, int, float, str}
    assert all(parameter.choices for parameter in parameters if type(parameter.default) is str)
