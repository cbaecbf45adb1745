"""Quality figures, on random weights in the published formats: FID by its closed formula, CLIP
score beside torchmetrics', the aesthetic score beside the author's layers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from controlstack.evaluation.clip import load_clip
from controlstack.evaluation.fid import fid
from controlstack.evaluation.files.quality import aesthetic_scores, clip_scores, load_predictor
from controlstack.ground.errors import UserError
from tests.evaluation.quality_weights import write_clip, write_inception, write_predictor


def _pictures(seed: int, count: int, side: int = 32) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    shades = generator.uniform(40, 220, (count, 1, 1, 3))
    noise = generator.normal(0, 30, (count, side, side + 8, 3))
    return list(np.clip(shades + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip"))


def _moments(network: torch.nn.Module, pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the features, and the matrix whose product with itself is their covariance."""
    seen = np.concatenate(
        [network(torch.from_numpy(p).permute(2, 0, 1)[None])[0].double().numpy() for p in pictures]
    )
    mean = seen.mean(axis=0)
    return mean, (seen - mean) / np.sqrt(len(seen) - 1)


def test_fid_is_frechets_distance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = write_inception(tmp_path / "inception.pth", monkeypatch)
    made, real = _pictures(0, 12), [*_pictures(1, 8), *_pictures(2, 3, side=48)]
    sets = {"other": _pictures(5, 4), "made": made}  # one figure does not depend on the one before
    (mean, spread), (other_mean, other_spread) = (_moments(network, p) for p in (made, real))
    # With covariances A'A and B'B, the trace of the root of their product is the sum of the
    # singular values of AB'.
    root = np.linalg.svd(spread @ other_spread.T, compute_uv=False).sum()
    closed = ((mean - other_mean) ** 2).sum() + (spread**2).sum() + (other_spread**2).sum()

    state = torch.random.get_rng_state()
    means, notes = fid(sets, iter(real), tmp_path / "inception.pth", features=64)
    found = means["made"]
    assert found.value == pytest.approx(float(closed - 2 * root), rel=1e-3)
    assert (found.name, found.count) == ("FID (64 features)", 12)
    assert [note.partition(" comes out too high")[0] for note in notes] == [
        "FID of 4 pictures",
        "FID of 11 pictures",
    ]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_fid_needs_two_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_inception(tmp_path / "inception.pth", monkeypatch)
    with pytest.raises(UserError, match="3 made and 1 real"):
        fid({"few": _pictures(0, 3)}, _pictures(1, 1), tmp_path / "inception.pth", features=64)


def test_fid_without_weights_or_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"no Inception at .*none\.pth: get it from https://"):
        fid({}, [], tmp_path / "none.pth")
    write_predictor(tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth does not hold torch-fidelity's Inception"):
        fid({}, [], tmp_path / "other.pth")
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(UserError, match=r"pip install \"controlstack\[evaluate\]\""):
        fid({}, [], tmp_path / "other.pth")


class _Code:
    """What a pickle may hold: a call."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_no_code_in_the_weights_is_run(tmp_path: Path) -> None:
    torch.save({"weight": _Code(tmp_path / "ran")}, tmp_path / "bad.pth")
    for load in (lambda path: fid({}, [], path), load_predictor):
        with pytest.raises(UserError, match=r"bad\.pth"):
            load(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_clip_score_is_that_of_torchmetrics(clip_folder: Path) -> None:
    from torchmetrics.functional.multimodal import clip_score
    from transformers import CLIPModel, CLIPProcessor

    class Plain(torch.nn.Module):
        """A CLIPModel that gives embeddings alone, as before transformers 5."""

        def __init__(self) -> None:
            super().__init__()
            self.model = CLIPModel.from_pretrained(clip_folder)
            self.config = self.model.config

        def get_image_features(self, pixels: torch.Tensor) -> torch.Tensor:
            seen = self.model.vision_model(pixel_values=pixels).pooler_output
            return self.model.visual_projection(seen)

        def get_text_features(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            read = self.model.text_model(input_ids=ids, attention_mask=mask).pooler_output
            return self.model.text_projection(read)

    pictures, prompts = _pictures(0, 20), [f"a {i} of red and {i * i}" for i in range(20)]
    ours = clip_scores(load_clip(clip_folder), pictures, prompts)
    plain = (Plain().eval(), CLIPProcessor.from_pretrained(clip_folder))
    assert {(figure.name, figure.higher_is_better) for figure in ours} == {("CLIP score", True)}
    for figure, picture, prompt in zip(ours, pictures, prompts, strict=True):
        tensor = torch.from_numpy(picture).permute(2, 0, 1)
        with torch.no_grad():
            theirs = clip_score(tensor, prompt, lambda: plain)
        assert figure.value == pytest.approx(max(float(theirs), 0), abs=1e-3)
    assert len({round(figure.value, 3) for figure in ours}) > 10  # they tell pictures apart


def test_clip_takes_any_size_and_any_length(clip_folder: Path) -> None:
    clip = load_clip(clip_folder)
    sizes = [*_pictures(0, 1, side=20), *_pictures(1, 1, side=90)]
    assert clip.pictures(sizes).norm(dim=1).tolist() == pytest.approx([1, 1])
    long = "a very long prompt " * 40
    assert clip.prompts([long, ""]).shape == (2, 8)
    assert clip_scores(clip, [], []) == ()
    with pytest.raises(UserError, match="2 pictures and 1 prompts"):
        clip_scores(clip, sizes, ["one"])


def test_no_request_is_made(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load_clip(clip_folder).width == 8
    with pytest.raises(UserError, match="no CLIP model at"):
        load_clip(clip_folder / "none")


@pytest.mark.parametrize("file", ["tokenizer.json", "model.safetensors", "config.json"])
def test_a_clip_folder_that_is_not_whole(tmp_path: Path, file: str) -> None:
    folder = write_clip(tmp_path / "clip")
    (folder / file).unlink()
    with pytest.raises(UserError, match=file.replace(".", r"\.")):
        load_clip(folder)


def test_the_aesthetic_score_is_that_of_the_authors_layers(tmp_path: Path) -> None:
    layers = write_predictor(tmp_path / "predictor.pth")
    clip = load_clip(write_clip(tmp_path / "clip", width=768))
    pictures = _pictures(0, 3)
    predictor = load_predictor(tmp_path / "predictor.pth")
    with torch.no_grad():
        wanted = layers(clip.pictures(pictures))[:, 0].tolist()
    found = aesthetic_scores(clip, predictor, pictures)
    assert [figure.value for figure in found] == pytest.approx(wanted, abs=1e-5)
    assert found[0].name == "aesthetic score"


def test_the_aesthetic_score_needs_the_right_files(tmp_path: Path, clip_folder: Path) -> None:
    with pytest.raises(UserError, match=r"no aesthetic predictor at .*: get it from https://"):
        load_predictor(tmp_path / "none.pth")
    torch.save({"layers.0.weight": torch.zeros(4, 4)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth does not hold the aesthetic predictor"):
        load_predictor(tmp_path / "other.pth")
    write_predictor(tmp_path / "predictor.pth")
    with pytest.raises(UserError, match="768 numbers, and this CLIP gives 8"):
        aesthetic_scores(load_clip(clip_folder), load_predictor(tmp_path / "predictor.pth"), [])
