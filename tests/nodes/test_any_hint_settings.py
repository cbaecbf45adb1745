"""Any Hint (with settings): the hint of the preprocessor's own node, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from controlstack import nodes
from controlstack.ground.errors import UserError
from controlstack.ground.parameters import Parameter, Value
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow
from controlstack.nodes.hints import NODE_CLASS_MAPPINGS as NODES
from controlstack.nodes.hints import WITH_SETTINGS, drawn_here
from controlstack.preprocessors.registry import EXACT, LEARNED, PREPROCESSORS
from controlstack.preprocessors.spec import Preprocessor

NODE: Any = NODES[WITH_SETTINGS]
COARSE = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(0)) / 2
PICTURE = interpolate(COARSE, (24, 32), mode="bilinear").permute(0, 2, 3, 1)
"""Of slow changes, and dark: any of it is a class of a label map."""
MASK = (PICTURE[..., 0] > 0.3).float()
BRINGING = [entry for entry in EXACT if entry.takes != "pose"]

exact = pytest.mark.parametrize("entry", BRINGING, ids=lambda entry: entry.name)


def _other(parameter: Parameter) -> Value:
    """A value that is not the default."""
    if parameter.choices:
        return parameter.choices[-1]
    if isinstance(parameter.default, bool):
        return not parameter.default
    middle = type(parameter.default)((parameter.low + parameter.high) / 2)
    return middle if middle != parameter.default else type(parameter.default)(parameter.low + 1)


def _menu() -> dict[str, dict[str, Any]]:
    _, words = NODE.INPUT_TYPES()["required"]["preprocessor"]
    return {one["key"]: one["inputs"] for one in words["options"]}


def _own(entry: Preprocessor, **inputs: Any) -> torch.Tensor:
    masked = {"mask": MASK} if entry.takes == "masked picture" else {}
    (hint,) = NODES[entry.node]().make(image=PICTURE, **masked, **inputs)
    return hint  # type: ignore[no-any-return]


def _made(entry: Preprocessor, **inputs: Any) -> torch.Tensor:
    given = {"image": PICTURE, "mask": MASK, "preprocessor": entry.name}
    (hint,) = NODE().make(**given, **inputs)
    return hint  # type: ignore[no-any-return]


@exact
def test_its_hint_is_that_of_the_preprocessor_s_own_node(entry: Preprocessor) -> None:
    assert torch.equal(_made(entry), _own(entry)), "with the defaults"
    changed = {parameter.name: _other(parameter) for parameter in entry.parameters}
    if entry.name == "canny":
        changed = {"low_threshold": 20, "high_threshold": 60}
    dotted = {f"preprocessor.{name}": value for name, value in changed.items()}
    size: dict[str, Any] = {"width": 48, "height": 40, "fit": "fit"}
    hint = _made(entry, **dotted, **size)
    assert torch.equal(hint, _own(entry, **changed, **size))
    assert not changed or not torch.equal(hint, _own(entry, **size)), "the settings do something"


def test_each_choice_brings_its_preprocessor_s_widgets() -> None:
    menu = _menu()
    assert list(menu) == [name for name, entry in PREPROCESSORS.items() if entry.takes != "pose"]
    for name, brought in menu.items():
        own = NODES[PREPROCESSORS[name].node].INPUT_TYPES()
        widgets = {**own["required"], **own["optional"]}
        settings = [p.name for p in PREPROCESSORS[name].parameters]
        models = ["model"] if PREPROCESSORS[name].has_choice else []
        assert brought == {
            "required": {},
            "optional": {key: widgets[key] for key in [*models, *settings]},
        }


def test_a_host_may_pass_on_any_setting_and_draws_none() -> None:
    optional = NODE.INPUT_TYPES()["optional"]
    assert "preprocessor.low_threshold" in optional
    assert optional["preprocessor.low_threshold"][0] == "*"
    assert "teapot" not in optional
    with pytest.raises(KeyError):
        optional["teapot"]
    assert not [name for name in json.loads(json.dumps(optional)) if "." in name]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"preprocessor": "teapot"}, "There is no preprocessor 'teapot'; there is canny, "),
        ({"preprocessor": "inpaint", "mask": None}, "needs a MASK"),
        ({"preprocessor.low_threshold": 256}, "canny: low_threshold is 256; .* 0 to 255"),
        ({"preprocessor.low_threshold": "much"}, "canny: low_threshold is 'much'; .* 0 to 255"),
        ({"preprocessor.low_threshold": [1]}, r"canny: low_threshold is \[1\]; .* 0 to 255"),
        ({"preprocessor.low_threshold": 201}, "threshold"),
        ({"preprocessor.low_treshold": 1}, "canny has no setting low_treshold; it has low_t"),
    ],
)
def test_what_is_wrong_is_one_sentence(inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        NODE().make(**{"image": PICTURE, "preprocessor": "canny", "mask": MASK, **inputs})


def test_what_another_choice_left_does_nothing() -> None:
    left = {"preprocessor.low_threshold": 7, "preprocessor.model": "x", "preprocessor.seed": None}
    assert torch.equal(_made(PREPROCESSORS["tile"], **left), _own(PREPROCESSORS["tile"]))


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("entry", LEARNED, ids=lambda entry: entry.name)
def test_a_model_that_is_not_there_is_said(entry: Preprocessor) -> None:
    early = NODE.VALIDATE_INPUTS(preprocessor=entry.name)
    assert early is True if entry.has_choice else "allow the download" in early
    assert NODE.VALIDATE_INPUTS(preprocessor=entry.name, download=True) is True
    learning = entry.learning
    assert learning is not None
    last = {"preprocessor.model": learning.models[-1].name} if entry.has_choice else {}
    with pytest.raises(UserError, match="allow the download") as raised:
        NODE().make(image=PICTURE, preprocessor=entry.name, **last)
    assert learning.models[-1].repo in str(raised.value)


@pytest.mark.parametrize("value", ["teapot", {"preprocessor": "canny"}])
def test_a_choice_that_is_none_is_refused_before_the_run(value: Any) -> None:
    assert "There is no preprocessor" in NODE.VALIDATE_INPUTS(preprocessor=value)


def test_a_comfyui_without_dynamic_combos_has_all_nodes_but_this(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert drawn_here(nodes.EVERY_NODE) == nodes.EVERY_NODE
    monkeypatch.setitem(sys.modules, "folder_paths", SimpleNamespace())  # type: ignore[arg-type]
    monkeypatch.delitem(sys.modules, "comfy_api.latest._io", raising=False)
    assert nodes.EVERY_NODE.keys() - drawn_here(nodes.EVERY_NODE).keys() == {WITH_SETTINGS}
    io = SimpleNamespace(DynamicCombo=object)
    monkeypatch.setitem(sys.modules, "comfy_api.latest._io", io)  # type: ignore[arg-type]
    assert drawn_here(nodes.EVERY_NODE) == nodes.EVERY_NODE


def test_a_prompt_runs_in_the_embedded_host(place: Path) -> None:
    (place / "input").mkdir()
    Image.effect_noise((32, 24), 90).convert("RGB").save(place / "input" / "photo.png")
    hints: dict[str, tuple[str, dict[str, Any]]] = {
        "own": ("ControlStackScribble", {"threshold": 90}),
        "any": (WITH_SETTINGS, {"preprocessor": "scribble", "preprocessor.threshold": 90}),
        "plain": ("ControlStackScribble", {}),
        "left out": (WITH_SETTINGS, {"preprocessor": "scribble"}),
    }
    prompt: dict[str, Any] = {"1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}}}
    for key, (kind, inputs) in hints.items():
        prompt[key] = {"class_type": kind, "inputs": {"image": ["1", 0], **inputs}}
        shown = {"class_type": "PreviewImage", "inputs": {"images": [key, 0]}}
        prompt[f"show {key}"] = shown
    registry = default_registry()
    graph = read_workflow(prompt, registry, "test")
    validate(graph, registry)
    results = Executor(registry).run(graph)
    assert torch.equal(results.value("any"), results.value("own"))
    assert torch.equal(results.value("left out"), results.value("plain"))
    assert not torch.equal(results.value("any"), results.value("plain"))
