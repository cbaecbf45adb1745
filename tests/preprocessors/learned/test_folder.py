"""Folders in transformers' layout: whole or refused, in one sentence, without the network."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from controlstack.ground.errors import UserError
from controlstack.preprocessors.learned.depth import DEPTH_MODELS
from controlstack.preprocessors.learned.folder import check_folder, load_network, load_processor
from tests.tiny_depth import tiny_dpt


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return tiny_dpt(tmp_path_factory.mktemp("folder") / "dpt")


@pytest.fixture
def dpt(whole: Path, tmp_path: Path) -> Path:
    """A copy of the tiny DPT to damage."""
    return Path(shutil.copytree(whole, tmp_path / "dpt"))


def _edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _check(folder: Path) -> dict[str, Any]:
    return check_folder(folder, DEPTH_MODELS)


def _load(folder: Path) -> torch.nn.Module:
    return load_network(folder, DEPTH_MODELS)


def test_the_weights_are_the_file_s_ready_to_run(dpt: Path, no_network: list[Any]) -> None:
    network = _load(dpt)
    kept = network.state_dict()
    for name, tensor in load_file(dpt / "model.safetensors").items():
        assert torch.equal(kept[name], tensor), name
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert no_network == []


def test_half_precision_is_brought_to_float32(dpt: Path) -> None:
    transformers.DPTForDepthEstimation.from_pretrained(dpt).half().save_pretrained(dpt)
    assert {p.dtype for p in _load(dpt).parameters()} == {torch.float32}


def test_a_pickle_gives_the_network_that_safetensors_give(dpt: Path) -> None:
    expected = _load(dpt).state_dict()
    torch.save(load_file(dpt / "model.safetensors"), dpt / "pytorch_model.bin")
    (dpt / "model.safetensors").unlink()
    _check(dpt)
    found = _load(dpt).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_safetensors_are_read_where_there_is_a_pickle_too(dpt: Path) -> None:
    (dpt / "pytorch_model.bin").write_bytes(b"nothing")
    _load(dpt)


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def test_a_pickle_that_runs_code_is_refused(
    dpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (dpt / "model.safetensors").unlink()
    (dpt / "pytorch_model.bin").write_bytes(pickle.dumps(_Runs(), protocol=2))
    with pytest.raises(UserError, match=r"pytorch_model\.bin"):
        _load(dpt)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "missing", ["config.json", "preprocessor_config.json", "model.safetensors"]
)
def test_an_incomplete_folder_names_itself_and_what_is_missing(missing: str, dpt: Path) -> None:
    (dpt / missing).unlink()
    with pytest.raises(UserError, match=missing) as caught:
        _check(dpt)
    assert str(dpt) in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        _check(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_cut_off_weights(keep: int, dpt: Path) -> None:
    weights = dpt / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(UserError, match="whole safetensors file"):
        _check(dpt)


def test_shards_are_looked_for_and_only_in_the_folder(dpt: Path) -> None:
    (dpt / "model.safetensors").rename(dpt / "part.safetensors")
    index = dpt / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "part.safetensors"}}))
    _check(dpt)
    index.write_text(json.dumps({"weight_map": {"a": "part.safetensors", "b": "gone.safetensors"}}))
    with pytest.raises(UserError, match="lacks its weights gone"):
        _check(dpt)
    index.write_text(json.dumps({"weight_map": {"a": "../part.safetensors"}}))
    with pytest.raises(UserError, match="outside"):
        _check(dpt)


def test_shards_are_put_together(dpt: Path) -> None:
    expected = _load(dpt).state_dict()
    state = load_file(dpt / "model.safetensors")
    (dpt / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: state[name] for name in part}, dpt / file, {"format": "pt"})
    index = {name: file for file, part in parts.items() for name in part}
    (dpt / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    found = _load(dpt).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_weights_with_gaps_are_refused_but_not_those_that_change_nothing(dpt: Path) -> None:
    weights = load_file(dpt / "model.safetensors")
    unused = {n for n in weights if "fusion_stage.layers.0.residual_layer1." in n}
    assert unused
    kept = {n: w for n, w in weights.items() if n not in unused}
    save_file(kept, dpt / "model.safetensors", {"format": "pt"})
    random = torch.get_rng_state()
    _load(dpt)
    assert torch.equal(torch.get_rng_state(), random), "the random state is the host's"
    kept.pop("head.head.0.weight")
    save_file(kept, dpt / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lack 1 of .*head\.head\.0\.weight"):
        _load(dpt)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "glpn"}, "'glpn'.*depth model.*dpt, depth_anything"),
        ({"model_type": None}, "None"),
        ({"model_type": ["dpt"]}, "dpt"),
        ({"backbone": "someone/backbone"}, "download"),
        ({"backbone_config": {"backbone": "someone/backbone"}}, "download"),
    ],
)
def test_another_model_and_one_that_would_download_are_refused(
    changes: dict[str, Any], says: str, dpt: Path, no_network: list[Any]
) -> None:
    _edit(dpt / "config.json", **changes)
    with pytest.raises(UserError, match=says):
        _load(dpt)
    assert no_network == []


@pytest.mark.parametrize("text", ["", "[]", "{", '"dpt"', "[" * 100_000])
def test_a_config_that_is_no_object(text: str, dpt: Path) -> None:
    (dpt / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        _check(dpt)


def test_a_config_that_does_not_fit_the_weights_is_one_sentence_and_nothing_else(
    dpt: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    verbosity = transformers.utils.logging.get_verbosity()
    _edit(dpt / "config.json", fusion_hidden_size=12)
    with pytest.raises(
        UserError, match=r"do not fit its config\.json.*head.*is \[4\] and has to be \[6\]"
    ) as caught:
        _load(dpt)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert transformers.utils.logging.get_verbosity() == verbosity
    assert transformers.utils.logging.is_progress_bar_enabled()


def test_a_processor_of_nonsense_is_one_sentence(dpt: Path) -> None:
    _edit(dpt / "preprocessor_config.json", image_processor_type="NoneOfThese")
    with pytest.raises(UserError, match="cannot be loaded as a depth model") as caught:
        load_processor(dpt, DEPTH_MODELS)
    assert "\n" not in str(caught.value)


def test_the_processor_is_the_one_that_was_saved(dpt: Path) -> None:
    processor = load_processor(dpt, DEPTH_MODELS)
    grey = np.full((32, 32, 3), 128, np.uint8)
    values = processor(images=grey, return_tensors="pt")["pixel_values"]
    assert values.shape == (1, 3, 32, 32)
    assert torch.allclose(values, torch.tensor((128 / 255 - 0.5) / 0.5), atol=1e-6)
