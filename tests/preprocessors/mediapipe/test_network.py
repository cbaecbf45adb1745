"""MediaPipe's networks in torch say what LiteRT says of the same pictures."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.preprocessors.mediapipe.network import load_network
from controlstack.preprocessors.mediapipe.weights import FOLDER
from tests.checkout import ROOT
from tools import mediapipe_weights as tool

RECORDED = json.loads(tool.RECORDED.read_text(encoding="utf-8"))
NEAR = 3e-4
"""Of the largest number: LiteRT and torch add up in another order, and one network was halved in
precision."""

each = pytest.mark.parametrize("name", tool.NETWORKS)


def said(name: str, picture: torch.Tensor) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        found = load_network(FOLDER / f"{name}.safetensors")(picture)
    return {output: values.numpy() for output, values in found.items()}


@each
def test_it_says_what_litert_said(name: str) -> None:
    network = load_network(FOLDER / f"{name}.safetensors")
    found = said(name, torch.from_numpy(tool.made_picture(network.side)))
    assert found.keys() == RECORDED[name].keys()
    for output, wanted in RECORDED[name].items():
        largest = max(map(abs, wanted))
        assert tool.sample(found[output]) == pytest.approx(wanted, abs=NEAR * max(largest, 1))


@each
def test_it_says_what_litert_says_of_a_photo(name: str) -> None:
    """With ai-edge-litert installed, and the wheel at MEDIAPIPE_WHEEL."""
    pytest.importorskip("ai_edge_litert")
    if "MEDIAPIPE_WHEEL" not in os.environ:
        pytest.skip("MEDIAPIPE_WHEEL names no wheel")
    wheel = tool.wheel(Path(os.environ["MEDIAPIPE_WHEEL"]), Path())
    with zipfile.ZipFile(wheel) as files:
        lite = tool.lite_network(files, name)
        weights, about = tool.converted(files.read(tool.NETWORKS[name][0]), tool.NETWORKS[name][1])
    with Image.open(ROOT / "tests" / "photos" / "astronaut.jpg") as photo:
        small = np.asarray(photo.convert("RGB").resize((lite.side, lite.side)), np.float32) / 255
    both = torch.from_numpy(np.stack([small, small[:, ::-1]])).permute(0, 3, 1, 2)
    found, wanted = said(name, both), lite(both)
    assert found.keys() == wanted.keys()
    for output, values in wanted.items():
        assert found[output].shape == tuple(values.shape)
        largest = float(values.abs().max())
        assert np.abs(found[output] - values.numpy()).max() < NEAR * max(largest, 1)
    assert about["outputs"].keys() == found.keys()
    assert weights


@each
def test_two_pictures_are_told_apart_in_a_batch(name: str) -> None:
    network = load_network(FOLDER / f"{name}.safetensors")
    picture = torch.from_numpy(tool.made_picture(network.side))
    alone, both = said(name, picture), said(name, torch.cat([1 - picture, picture]))
    for output, values in alone.items():
        assert np.abs(both[output][1] - values[0]).max() < NEAR * max(np.abs(values).max(), 1)
        assert not np.allclose(both[output][0], values[0])


def test_all_of_them_are_small_and_say_where_they_are_from() -> None:
    files = {path.stem: path for path in FOLDER.glob("*.safetensors")}
    assert files.keys() == tool.NETWORKS.keys()
    assert sum(path.stat().st_size for path in files.values()) <= tool.MOST
    assert "Apache License" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    told = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert tool.SHA256 in told
    assert tool.WHEEL in told
    assert all(f"`{name}`" in told for name in files)


@pytest.mark.parametrize("kept", [0, 400, 60_000])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, kept: int) -> None:
    whole = (FOLDER / "hand_recrop.safetensors").read_bytes()
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(whole[:kept])
    with pytest.raises(UserError, match=r"broken\.safetensors is no network of MediaPipe .*anew"):
        load_network(broken)


def test_a_file_of_something_else_is_one_sentence() -> None:
    other = ROOT / "demo" / "weights" / "joint-reader.safetensors"
    with pytest.raises(UserError, match="is no network of MediaPipe"):
        load_network(other)


def level(size: int = 0, listed: tuple[list[int], list[int]] | None = None) -> SimpleNamespace:
    """A dimension of TFLite's sparse form: all there, or those listed (segments, indices)."""
    if listed is None:
        return SimpleNamespace(denseSize=size, arraySegments=None, arrayIndices=None)
    segments, indices = (SimpleNamespace(values=values) for values in listed)
    return SimpleNamespace(denseSize=0, arraySegments=segments, arrayIndices=indices)


def test_sparse_weights_are_made_whole() -> None:
    """Rows are all there, of their columns some."""
    sparsity = SimpleNamespace(
        traversalOrder=[0, 1],
        blockMap=None,
        dimMetadata=[level(3), level(listed=([0, 2, 2, 3], [0, 3, 1]))],
    )
    whole = tool.dense(np.array([5, 7, 9], np.float16), sparsity, [3, 4])
    assert whole.tolist() == [[5, 0, 0, 7], [0, 0, 0, 0], [0, 9, 0, 0]]


def test_sparse_blocks_are_made_whole() -> None:
    sparsity = SimpleNamespace(
        traversalOrder=[0, 1, 2],
        blockMap=[1],
        dimMetadata=[level(2), level(listed=([0, 1, 2], [1, 0])), level(2)],
    )
    whole = tool.dense(np.array([1, 2, 3, 4], np.float16), sparsity, [2, 4])
    assert whole.tolist() == [[0, 0, 1, 2], [3, 4, 0, 0]]


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    other = tmp_path / tool.WHEEL
    other.write_bytes(b"another")
    with pytest.raises(SystemExit, match=f"has {tool.SHA256}"):
        tool.wheel(other, tmp_path)
