"""Depth: which way is near, and real loading of tiny random models as transformers saves them."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.preprocessors.learned.depth import (
    DEPTH,
    DEPTH_MODELS,
    Reading,
    load_depth,
    nearness,
    reading_of,
)
from controlstack.preprocessors.learned.tensors import Networks
from tests.tiny_depth import MODELS

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    base = tmp_path_factory.mktemp("depth")
    return {name: make(base / name) for name, make in MODELS.items()}


@pytest.fixture(scope="module")
def loaded(models: dict[str, Path]) -> dict[str, Networks]:
    return {name: load_depth([folder]) for name, folder in models.items()}


@pytest.fixture
def dpt(models: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the tiny DPT to damage."""
    return Path(shutil.copytree(models["dpt"], tmp_path / "dpt"))


def _edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_saved_model_loads_and_fills_the_range(name: str, models: dict[str, Path]) -> None:
    model = load_depth([models[name]])
    near = model(_noise(40, 28), CPU)
    assert near.shape == (40, 28, 3)
    assert near.dtype == np.float32
    assert (near.min(), near.max()) == (0, 1)
    assert (near == near[..., :1]).all()
    assert not any(network.training for network in model.networks)


def test_the_result_is_the_network_s_own_answer_resized(models: dict[str, Path]) -> None:
    picture = _noise(40, 56)
    network = transformers.DPTForDepthEstimation.from_pretrained(models["dpt"])
    processor = transformers.DPTImageProcessor.from_pretrained(models["dpt"])
    with torch.no_grad():
        output = network(**processor(images=picture, return_tensors="pt"))
    (found,) = processor.post_process_depth_estimation(output, target_sizes=[(40, 56)])
    raw = found["predicted_depth"]
    expected = (raw - raw.min()) / (raw.max() - raw.min())
    ours = load_depth([models["dpt"]])(picture, CPU)
    assert np.allclose(ours[..., 0], expected.numpy(), atol=1e-5)


def test_weights_in_half_precision_give_the_same_depth(dpt: Path) -> None:
    whole = load_depth([dpt])(_noise(24, 24), CPU)
    transformers.DPTForDepthEstimation.from_pretrained(dpt).half().save_pretrained(dpt)
    half = load_depth([dpt])(_noise(24, 24), CPU)
    assert np.allclose(whole, half, atol=0.05)


def test_near_is_white_whatever_the_model_counts() -> None:
    ramp = np.linspace(1, 9, 100, dtype=np.float32).reshape(10, 10)
    assert nearness(ramp, "nearness")[[0, 9], [0, 9]].tolist() == [0, 1]
    assert nearness(ramp, "distance")[[0, 9], [0, 9]].tolist() == [1, 0]
    zoe = nearness(ramp, "zoe").ravel()
    assert (zoe[:2] == 1).all(), "the nearest 2 % are white"
    assert (zoe[-15:] == 0).all(), "the farthest 15 % are black"
    assert 0 < zoe[50] < 1


class Brightness(torch.nn.Module):
    """A network that takes what is bright for near."""

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(predicted_depth=pixel_values.mean(dim=1))


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [((48, 96), (12, 36), (36, 84)), ((16, 400), (3, 13), (150, 300))],
    ids=["wide", "narrow"],
)
def test_a_shape_stays_where_it_was(
    name: str,
    size: tuple[int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
    models: dict[str, Path],
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(models[name], tmp_path / name))
    _edit(folder / "preprocessor_config.json", size={"height": 384, "width": 384})
    model = replace(load_depth([folder]), networks=(Brightness(),))
    picture = np.zeros((*size, 3), np.uint8)
    picture[slice(*rows), slice(*columns)] = 255
    near = model(picture, CPU)[..., 0]
    box = near < 0.5 if model.draw.keywords["reading"] == "zoe" else near > 0.5
    found = [np.flatnonzero(box.any(axis=1)), np.flatnonzero(box.any(axis=0))]
    edges = [(int(place.min()), int(place.max()) + 1) for place in found]
    assert np.allclose(edges, [rows, columns], atol=1), edges


@pytest.mark.parametrize(
    ("config", "reading"),
    [
        ({"model_type": "dpt"}, "nearness"),
        ({"model_type": "dpt", "add_projection": True}, "distance"),
        ({"model_type": "depth_anything"}, "nearness"),
        ({"model_type": "depth_anything", "depth_estimation_type": "relative"}, "nearness"),
        ({"model_type": "depth_anything", "depth_estimation_type": "metric"}, "distance"),
        ({"model_type": "zoedepth"}, "zoe"),
        ({"model_type": "depth_pro"}, "nearness"),
    ],
)
def test_metres_are_known_by_the_config(config: dict[str, Any], reading: Reading) -> None:
    assert reading_of(config) == reading


def test_what_a_metric_model_says_is_inverted(models: dict[str, Path]) -> None:
    model = load_depth([models["dpt"]])
    near = model(_noise(20, 20), CPU)
    metres = replace(model, draw=partial(model.draw, reading="distance"))(_noise(20, 20), CPU)
    assert np.allclose(metres, 1 - near, atol=1e-6)


def test_a_flat_answer_is_black_and_no_number_is_an_error() -> None:
    assert not nearness(np.full((3, 4), 7, np.float32), "zoe").any()
    with pytest.raises(UserError, match="finite"):
        nearness(np.array([[1, np.nan]], np.float32), "nearness")


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": "wide"},
        {"hidden_size": 15},
        {"num_hidden_layers": -1},
        {"backbone_out_indices": [90]},
        {"readout_type": "guess"},
        {"backbone_config": {"model_type": "none of these"}, "is_hybrid": True},
    ],
)
def test_a_config_of_nonsense_is_one_sentence(changes: dict[str, Any], dpt: Path) -> None:
    _edit(dpt / "config.json", **changes)
    with pytest.raises(UserError) as caught:
        load_depth([dpt])(_noise(32, 32), CPU)
    assert "\n" not in str(caught.value)


@given(height=st.integers(1, 40), width=st.integers(1, 600), turned=st.booleans())
@settings(max_examples=12, deadline=None)
@pytest.mark.parametrize("name", list(MODELS))
def test_every_size_is_estimated(
    name: str, height: int, width: int, turned: bool, loaded: dict[str, Networks]
) -> None:
    size = (width, height) if turned else (height, width)
    assert loaded[name](_noise(*size), CPU).shape == (*size, 3)


def test_the_device_s_own_failure_passes(models: dict[str, Path]) -> None:
    model = load_depth([models["dpt"]])

    def no_memory(**_: Any) -> None:
        raise torch.OutOfMemoryError("none left")

    with pytest.raises(torch.OutOfMemoryError):
        replace(model, draw=partial(model.draw, processor=no_memory))(_noise(8, 8), CPU)


def test_the_entry_offers_a_free_model_first_and_says_which_are_not() -> None:
    assert DEPTH.learning is not None
    first, *others = DEPTH.learning.models
    assert first.commercial
    assert first.repo == "depth-anything/Depth-Anything-V2-Small-hf"
    assert {m.name for m in others if not m.commercial} == {
        "Depth-Anything-V2-Base-hf",
        "Depth-Anything-V2-Large-hf",
        "DepthPro-hf",
    }
    assert DEPTH.learning.model_types == tuple(DEPTH_MODELS.classes)
