"""Other packs' names in the nodes that take a preprocessor's name."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow
from controlstack.nodes import EVERY_NODE as NODES
from controlstack.nodes.hints import WITH_SETTINGS
from tests.annotator_files import publish, random_state
from tests.tiny_depth import tiny_depth_anything

IMAGE = torch.rand(1, 24, 32, 3, generator=torch.Generator().manual_seed(0))
ANY = ("ControlStackHint", WITH_SETTINGS)


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("node", ANY)
def test_any_hint_makes_the_hint_that_the_name_stands_for(
    node: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = NODES[node]()
    batch = (IMAGE.expand(3, -1, -1, -1) * 255).round() / 255
    with caplog.at_level(logging.WARNING, "controlstack"):
        (hint,) = made.make(image=batch, preprocessor="TilePreprocessor")
    (own,) = NODES["ControlStackTile"]().make(image=batch, down_sampling_rate=8.0)
    assert torch.equal(hint, own)
    (plain,) = made.make(image=batch, preprocessor="tile_resample")
    assert torch.equal(plain, batch)
    assert _said(caplog)[:1] == [
        "TilePreprocessor is tile with down_sampling_rate=8.0 here: for pyrUp_iters=3, whose "
        "doublings move the picture up and left there"
    ]
    caplog.clear()
    made.make(image=IMAGE, preprocessor="tile")
    assert not caplog.records


@pytest.mark.parametrize("node", ANY)
def test_a_network_by_another_name_does_what_the_name_asks(node: str, models: Path) -> None:
    publish(models, "table5_pidinet.pth", random_state("table5_pidinet.pth"))
    made, hints = NODES[node](), {}
    names = {"PiDiNetPreprocessor": True, "softedge_pidinet": False, "softedge_pidisafe": True}
    for name, safe in names.items():
        assert NODES[node].VALIDATE_INPUTS(preprocessor=name, download=False) is True
        (hint,) = made.make(image=IMAGE, preprocessor=name, download=False)
        (own,) = NODES["ControlStackPidinet"]().make(image=IMAGE, safe=safe)
        assert torch.equal(hint, own)
        hints[safe] = hint
    assert not torch.equal(hints[True], hints[False])


@pytest.mark.parametrize("node", ANY)
def test_a_name_asks_for_its_own_model(node: str, models: Path) -> None:
    """Another model that is there does not stand for it."""
    tiny_depth_anything(models / "Depth-Anything-V2-Base-hf")
    made = NODES[node]()
    (hint,) = made.make(image=IMAGE, preprocessor="DepthAnythingV2Preprocessor", download=False)
    assert hint.shape == IMAGE.shape
    with pytest.raises(UserError, match="dpt-hybrid-midas"):
        made.make(image=IMAGE, preprocessor="MiDaS-DepthMapPreprocessor", download=False)
    said = NODES["ControlStackHint"].VALIDATE_INPUTS(preprocessor="depth_midas", download=False)
    assert "dpt-hybrid-midas" in said


@pytest.mark.parametrize(
    ("node", "name", "said"),
    [
        ("ControlStackHint", "depth_anything", "depth_anything has no equal here: "),
        ("ControlStackHint", "none", "none has no equal here: the picture itself is the hint."),
        (
            "ControlStackHint",
            "InpaintPreprocessor",
            "InpaintPreprocessor is inpaint here, which takes a masked picture; use the node "
            "Inpaint Hint.",
        ),
        ("ControlStackHint", "inpaint", "inpaint takes a masked picture; use the node Inpaint"),
        (WITH_SETTINGS, "RenderPeopleKps", "takes OpenPose JSON; use the node Draw Pose Hint"),
        (WITH_SETTINGS, "depth_leres++", "the nearest is depth."),
        (WITH_SETTINGS, "CanyEdgePreprocessor", "did you mean CannyEdgePreprocessor?"),
        ("ControlStackFidelity", "normal_dsine", "the nearest is normal_bae."),
    ],
)
def test_a_name_without_an_equal_is_one_sentence(node: str, name: str, said: str) -> None:
    assert said in str(NODES[node].VALIDATE_INPUTS(preprocessor=name))


def test_settings_below_any_hint_go_before_those_of_the_name() -> None:
    node = NODES[WITH_SETTINGS]()
    own = NODES["ControlStackTile"]()
    asked = {"preprocessor.down_sampling_rate": 2.0}
    (hint,) = node.make(image=IMAGE, preprocessor="TilePreprocessor", **asked)
    assert torch.equal(hint, own.make(image=IMAGE, down_sampling_rate=2.0)[0])
    with pytest.raises(UserError, match="tile has no setting down_sampling"):
        node.make(image=IMAGE, preprocessor="Tile", **{"preprocessor.down_sampling": 2.0})


def test_any_hint_with_settings_takes_a_mask_by_another_name() -> None:
    mask = (IMAGE[..., 0] > 0.5).float()
    (hint,) = NODES[WITH_SETTINGS]().make(image=IMAGE, mask=mask, preprocessor="inpaint_only")
    assert torch.equal(hint, NODES["ControlStackInpaint"]().make(image=IMAGE, mask=mask)[0])


def test_prompts_run_in_the_embedded_host(place: Path) -> None:
    (place / "input").mkdir()
    Image.effect_noise((32, 24), 90).convert("RGB").save(place / "input" / "photo.png")
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "own": ("ControlStackScribble", {"threshold": 90}),
        "settings": (
            WITH_SETTINGS,
            {"preprocessor": "ScribblePreprocessor", "preprocessor.threshold": 90},
        ),
        "plain": ("ControlStackScribble", {}),
        "any": ("ControlStackHint", {"preprocessor": "Scribble Lines"}),
    }
    prompt: dict[str, Any] = {"1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}}}
    for key, (kind, inputs) in asked.items():
        prompt[key] = {"class_type": kind, "inputs": {"image": ["1", 0], **inputs}}
        shown = {"class_type": "PreviewImage", "inputs": {"images": [key, 0]}}
        prompt[f"show {key}"] = shown
    fidelity = {"images": ["1", 0], "hint": ["own", 0], "preprocessor": "CannyEdgePreprocessor"}
    prompt["f"] = {"class_type": "ControlStackFidelity", "inputs": fidelity}
    prompt["show f"] = {"class_type": "PreviewImage", "inputs": {"images": ["f", 2]}}
    registry = default_registry()
    graph = read_workflow(prompt, registry, "test")
    validate(graph, registry)
    results = Executor(registry).run(graph)
    assert torch.equal(results.value("settings"), results.value("own"))
    assert torch.equal(results.value("any"), results.value("plain"))
    assert not torch.equal(results.value("own"), results.value("plain"))


def test_training_data_takes_other_names() -> None:
    check = NODES["ControlStackTrainingData"].VALIDATE_INPUTS
    assert check(condition="CannyEdgePreprocessor") is True
    assert check(condition="softedge_hedsafe") is True
    assert check(condition="depth_leres") == (
        "condition: depth_leres has no equal here: its network is another; the nearest is depth."
    )
