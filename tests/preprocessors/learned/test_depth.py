"""Depth: which way is near, and real loading of tiny random models as transformers saves them."""

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from controlstack.errors import UserError
from controlstack.preprocessors.learned.depth import estimate_depth, load_depth_model, nearness
from controlstack.preprocessors.learned.depth_folder import Reading, check_depth_model, reading_of
from tests.tiny_depth import MODELS


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    base = tmp_path_factory.mktemp("depth")
    return {name: make(base / name) for name, make in MODELS.items()}


@pytest.fixture
def dpt(models: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the tiny DPT to damage."""
    return Path(shutil.copytree(models["dpt"], tmp_path / "dpt"))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A list of every address that was asked for; each is refused."""
    asked: list[Any] = []

    def refuse(*address: Any, **_: Any) -> None:
        asked.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return asked


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("name", list(MODELS))
def test_a_saved_model_loads_and_fills_the_range_without_the_network(
    name: str, models: dict[str, Path], no_network: list[Any]
) -> None:
    near = estimate_depth(_noise(40, 28), load_depth_model(models[name]))
    assert near.shape == (40, 28)
    assert near.dtype == np.float32
    assert (near.min(), near.max()) == (0, 1)
    assert no_network == []


def test_the_result_is_the_network_s_own_answer_resized(models: dict[str, Path]) -> None:
    picture = _noise(32, 32)
    network = transformers.DPTForDepthEstimation.from_pretrained(models["dpt"])
    processor = transformers.DPTImageProcessor.from_pretrained(models["dpt"])
    with torch.no_grad():
        output = network(**processor(images=picture, return_tensors="pt"))
    (found,) = processor.post_process_depth_estimation(output, target_sizes=[(32, 32)])
    raw = found["predicted_depth"]
    expected = (raw - raw.min()) / (raw.max() - raw.min())
    ours = estimate_depth(picture, load_depth_model(models["dpt"]))
    assert np.allclose(ours, expected.numpy(), atol=1e-5)


def test_weights_in_half_precision_give_the_same_depth(dpt: Path) -> None:
    whole = estimate_depth(_noise(24, 24), load_depth_model(dpt))
    transformers.DPTForDepthEstimation.from_pretrained(dpt).half().save_pretrained(dpt)
    half = estimate_depth(_noise(24, 24), load_depth_model(dpt))
    assert np.allclose(whole, half, atol=0.05)


def test_near_is_white_whatever_the_model_counts() -> None:
    ramp = np.linspace(1, 9, 100, dtype=np.float32).reshape(10, 10)
    assert nearness(ramp, "nearness")[[0, 9], [0, 9]].tolist() == [0, 1]
    assert nearness(ramp, "distance")[[0, 9], [0, 9]].tolist() == [1, 0]
    zoe = nearness(ramp, "zoe").ravel()
    assert (zoe[:2] == 1).all(), "the nearest 2 % are white"
    assert (zoe[-15:] == 0).all(), "the farthest 15 % are black"
    assert 0 < zoe[50] < 1


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
    assert reading_of(config, Path("model")) == reading


def test_what_a_metric_model_says_is_inverted(models: dict[str, Path]) -> None:
    model = load_depth_model(models["dpt"])
    near = estimate_depth(_noise(20, 20), model)
    metres = estimate_depth(_noise(20, 20), replace(model, reading="distance"))
    assert np.allclose(metres, 1 - near, atol=1e-6)


def test_a_flat_answer_is_black_and_no_number_is_an_error() -> None:
    assert not nearness(np.full((3, 4), 7, np.float32), "zoe").any()
    with pytest.raises(UserError, match="finite"):
        nearness(np.array([[1, np.nan]], np.float32), "nearness")


def test_a_model_is_kept_until_its_files_change(dpt: Path) -> None:
    first = load_depth_model(dpt)
    assert load_depth_model(dpt) is first
    weights = load_file(dpt / "model.safetensors")
    save_file(weights, dpt / "model.safetensors", {"format": "pt"})
    assert load_depth_model(dpt) is not first


@pytest.mark.parametrize(
    "missing", ["config.json", "preprocessor_config.json", "model.safetensors"]
)
def test_an_incomplete_folder_names_itself_and_what_is_missing(missing: str, dpt: Path) -> None:
    (dpt / missing).unlink()
    with pytest.raises(UserError, match=missing) as caught:
        check_depth_model(dpt)
    assert str(dpt) in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        check_depth_model(tmp_path / "nowhere")


def test_a_pickle_is_not_read(dpt: Path) -> None:
    (dpt / "model.safetensors").rename(dpt / "pytorch_model.bin")
    with pytest.raises(UserError, match="pickle"):
        check_depth_model(dpt)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_cut_off_weights(keep: int, dpt: Path) -> None:
    weights = dpt / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(UserError, match="whole safetensors file"):
        check_depth_model(dpt)


def test_shards_are_looked_for_and_only_in_the_folder(dpt: Path) -> None:
    (dpt / "model.safetensors").rename(dpt / "part.safetensors")
    index = dpt / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "part.safetensors"}}))
    check_depth_model(dpt)
    index.write_text(json.dumps({"weight_map": {"a": "part.safetensors", "b": "gone.safetensors"}}))
    with pytest.raises(UserError, match="lacks its weights gone"):
        check_depth_model(dpt)
    index.write_text(json.dumps({"weight_map": {"a": "../part.safetensors"}}))
    with pytest.raises(UserError, match="outside"):
        check_depth_model(dpt)


def test_weights_with_gaps_are_refused_but_not_those_no_depth_needs(dpt: Path) -> None:
    weights = load_file(dpt / "model.safetensors")
    unused = {n for n in weights if "fusion_stage.layers.0.residual_layer1." in n}
    assert unused
    kept = {n: w for n, w in weights.items() if n not in unused}
    save_file(kept, dpt / "model.safetensors", {"format": "pt"})
    load_depth_model(dpt)
    kept.pop("head.head.0.weight")
    save_file(kept, dpt / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lack 1 of .*head\.head\.0\.weight"):
        load_depth_model(dpt)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "glpn"}, "'glpn'"),
        ({"model_type": None}, "None"),
        ({"backbone": "someone/backbone"}, "download"),
        ({"backbone_config": {"backbone": "someone/backbone"}}, "download"),
    ],
)
def test_another_model_and_one_that_would_download_are_refused(
    changes: dict[str, Any], says: str, dpt: Path, no_network: list[Any]
) -> None:
    _edit(dpt / "config.json", **changes)
    with pytest.raises(UserError, match=says):
        load_depth_model(dpt)
    assert no_network == []


@pytest.mark.parametrize("text", ["", "[]", "{", '"dpt"', "[" * 100_000])
def test_a_config_that_is_no_object(text: str, dpt: Path) -> None:
    (dpt / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        check_depth_model(dpt)


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
        estimate_depth(_noise(32, 32), load_depth_model(dpt))
    assert "\n" not in str(caught.value)


def test_a_config_that_does_not_fit_the_weights_is_one_sentence_and_nothing_else(
    dpt: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    verbosity = transformers.utils.logging.get_verbosity()
    _edit(dpt / "config.json", fusion_hidden_size=12)
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        load_depth_model(dpt)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert transformers.utils.logging.get_verbosity() == verbosity
    assert transformers.utils.logging.is_progress_bar_enabled()


@given(height=st.integers(1, 40), width=st.integers(1, 40))
@settings(max_examples=10, deadline=None)
@pytest.mark.parametrize("name", list(MODELS))
def test_every_size_is_estimated_or_refused_in_one_sentence(
    name: str, height: int, width: int, models: dict[str, Path]
) -> None:
    complaint = ""
    try:
        near = estimate_depth(_noise(height, width), load_depth_model(models[name]))
        assert near.shape == (height, width)
    except UserError as error:
        complaint = str(error)
    assert "\n" not in complaint
    assert complaint == "" or min(height, width) < 12
