"""Segmentation: real loading of tiny random models, known classes at known pixels, no network."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from controlstack.ground.errors import UserError
from controlstack.headless.models import tokenizers
from controlstack.preprocessors.ade20k import ADE20K
from controlstack.preprocessors.learned import segment
from controlstack.preprocessors.learned.oneformer import (
    TASK,
    Preparation,
    oneformer_input,
    preparation_of,
)
from controlstack.preprocessors.learned.segment import (
    SEGMENT,
    SEGMENTERS,
    best_class,
    check_segmenter,
    load_segmenter,
)
from controlstack.preprocessors.learned.tensors import Networks
from tests.tiny_segmenters import MODELS

CPU = torch.device("cpu")
SKY, PERSON, WATER = 2, 12, 21
COLOURS = {SKY: (6, 230, 230), PERSON: (150, 5, 61), WATER: (61, 230, 250)}
"""https://github.com/open-mmlab/mmsegmentation/blob/main/mmseg/datasets/ade.py"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    base = tmp_path_factory.mktemp("segment")
    return {name: make(base / name) for name, make in MODELS.items()}


@pytest.fixture(scope="module")
def loaded(models: dict[str, Path]) -> dict[str, Networks]:
    return {name: load_segmenter([folder]) for name, folder in models.items()}


class Says(torch.nn.Module):
    """A network that gives these scores, classes x h x w, in the form of one of transformers'."""

    def __init__(self, scores: torch.Tensor, model_type: str) -> None:
        super().__init__()
        self.scores = scores
        self.config = SimpleNamespace(model_type=model_type, task_seq_len=77)
        self.task: list[float] = []

    def forward(
        self, pixel_values: torch.Tensor, task_inputs: torch.Tensor | None = None
    ) -> SimpleNamespace:
        if task_inputs is None:
            return SimpleNamespace(logits=self.scores[None])
        self.task = task_inputs[0].tolist()
        none = torch.zeros(1, len(self.scores), 1)  # a query for each class, and the class "none"
        sure = torch.cat((torch.eye(len(self.scores))[None] * 50, none), dim=2)
        return SimpleNamespace(
            class_queries_logits=sure, masks_queries_logits=self.scores[None] * 10 - 5
        )


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _scores(labels: np.ndarray) -> torch.Tensor:
    """Scores, 150 x h x w, that are 1 for each place's label and 0 for all others."""
    return torch.nn.functional.one_hot(torch.from_numpy(labels).long(), 150).movedim(2, 0).float()


@pytest.mark.parametrize("name", list(MODELS))
def test_a_published_folder_loads_without_the_network_and_gives_only_the_palette(
    name: str, models: dict[str, Path], no_network: list[Any]
) -> None:
    loaded = load_segmenter([models[name]])
    hint = loaded(_noise(40, 70), CPU)
    assert hint.shape == (40, 70, 3)
    assert hint.dtype == np.uint8
    palette = {colour for _, colour in ADE20K}
    assert {tuple(pixel) for pixel in hint.reshape(-1, 3).tolist()} <= palette
    assert not any(network.training for network in loaded.networks)
    assert no_network == []


@pytest.mark.parametrize("name", ["segformer", "upernet"])
def test_labels_are_those_of_transformers_own_post_processing(
    name: str, models: dict[str, Path]
) -> None:
    picture = _noise(96, 160)
    network = getattr(transformers, SEGMENTERS.classes[name]).from_pretrained(models[name])
    processor = transformers.AutoImageProcessor.from_pretrained(models[name])
    with torch.no_grad():
        output = network(**processor(images=picture, return_tensors="pt"))
    (labels,) = processor.post_process_semantic_segmentation(output, target_sizes=[(96, 160)])
    expected = np.array([colour for _, colour in ADE20K])[labels.numpy()]
    assert (load_segmenter([models[name]])(picture, CPU) == expected).mean() > 0.999


def test_oneformer_s_labels_are_those_of_transformers_own_processor(
    models: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(models["oneformer"], tmp_path / "oneformer"))
    names = {str(number): {"name": name, "isthing": 0} for number, (name, _) in enumerate(ADE20K)}
    (folder / "ade20k_panoptic.json").write_text(json.dumps(names))
    images = transformers.OneFormerImageProcessor.from_pretrained(folder, repo_path=str(folder))
    processor = transformers.OneFormerProcessor(images, tokenizers.openai())
    picture = _noise(96, 160)
    network = transformers.OneFormerForUniversalSegmentation.from_pretrained(folder)
    with torch.no_grad():
        inputs = processor(picture, ["semantic"], return_tensors="pt")
        preparation = preparation_of(json.loads((folder / "preprocessor_config.json").read_text()))
        ours = oneformer_input(picture, CPU, preparation)
        one_byte = 1 / 255 / 0.224
        assert (ours - inputs["pixel_values"]).abs().max() < one_byte, "which rounds to bytes"
        output = network(
            pixel_values=inputs["pixel_values"], task_inputs=inputs["task_inputs"].float()
        )
    (labels,) = processor.post_process_semantic_segmentation(output, target_sizes=[(96, 160)])
    expected = np.array([colour for _, colour in ADE20K])[labels.numpy()]
    assert (load_segmenter([folder])(picture, CPU) == expected).mean() > 0.999


def test_oneformer_s_task_is_clip_s_tokens_of_its_sentence() -> None:
    assert list(TASK) == tokenizers.openai()("the task is semantic")["input_ids"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Preparation(800, 1333)),
        ({"size": 640, "max_size": 2560}, Preparation(640, 2560)),
        ({"size": {"shortest_edge": 640, "longest_edge": 2560}}, Preparation(640, 2560)),
        ({"image_mean": [0, 0, 0], "image_std": [1, 1, 1]},
         Preparation(mean=(0, 0, 0), std=(1, 1, 1))),
    ],
)  # fmt: skip
def test_oneformer_s_preparation_in_the_words_of_several_years(
    settings: dict[str, Any], expected: Preparation
) -> None:
    assert preparation_of(settings) == expected


@pytest.mark.parametrize(
    ("picture", "seen"),
    [((480, 640), (640, 853)), ((640, 480), (853, 640)), ((100, 1000), (256, 2560))],
)
def test_oneformer_s_sizes(picture: tuple[int, int], seen: tuple[int, int]) -> None:
    assert Preparation(640, 2560).size(*picture) == seen


def test_a_preparation_of_nonsense_is_one_sentence(models: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models["oneformer"], tmp_path / "oneformer"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 3}}))
    with pytest.raises(UserError, match=r"preprocessor_config\.json does not say how OneFormer"):
        load_segmenter([folder])


@pytest.mark.parametrize("name", list(MODELS))
def test_a_known_answer_has_its_colours_where_it_was(name: str, models: dict[str, Path]) -> None:
    labels = np.full((16, 24), SKY)
    labels[4:12, 6:12] = PERSON
    labels[12:, 18:] = WATER
    says = Says(_scores(labels), name)
    hint = replace(load_segmenter([models[name]]), networks=(says,))(_noise(64, 96), CPU)
    person = (hint == COLOURS[PERSON]).all(axis=2)
    assert np.flatnonzero(person[32]).tolist() == list(range(24, 48)), "its columns, to the pixel"
    assert np.flatnonzero(person[:, 36]).tolist() == list(range(16, 48)), "its rows, to the pixel"
    water = (hint == COLOURS[WATER]).all(axis=2)
    assert np.flatnonzero(water[60]).tolist() == list(range(72, 96))
    assert np.flatnonzero(water[:, 90]).tolist() == list(range(48, 64))
    assert (person | water | (hint == COLOURS[SKY]).all(axis=2)).all()
    if name == "oneformer":
        assert says.task == [*TASK, *[0.0] * (77 - len(TASK))]


def test_a_class_is_chosen_after_resizing_and_never_mixed() -> None:
    scores = torch.zeros(150, 1, 2)
    scores[SKY, 0, 0], scores[WATER, 0, 1] = 1.0, 2.0
    labels = best_class(scores, (1, 90))
    assert set(labels[0].tolist()) == {SKY, WATER}
    # Between the centres at 22 and 67, a third of the way from the weaker one.
    assert labels[0].tolist().index(WATER) in (37, 38)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 7), (9, 40), (33, 20), (200, 180)])
@pytest.mark.parametrize("spread", [1, 30])
def test_the_class_is_the_highest_of_all_resized_scores(
    size: tuple[int, int], spread: float
) -> None:
    random = np.random.default_rng(spread)
    liked = random.random((150, 1, 1), np.float32) * spread  # most classes never win, or all may
    scores = torch.from_numpy(random.random((150, 9, 11), np.float32) + liked)
    resized = torch.nn.functional.interpolate(scores[None], size, mode="bilinear")[0]
    assert (best_class(scores, size) == resized.argmax(0).numpy()).all()


def test_a_class_that_wins_only_between_two_others_is_found() -> None:
    scores = torch.zeros(150, 1, 2)
    scores[SKY, 0, 0], scores[WATER, 0, 1] = 1.0, 1.0
    scores[PERSON] = 0.8
    assert best_class(scores, (1, 4)).tolist() == [[SKY, PERSON, PERSON, WATER]]


def test_large_pictures_in_parts_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.from_numpy(np.random.default_rng(1).random((150, 8, 8), np.float32))
    whole = torch.nn.functional.interpolate(scores[None], (30, 40), mode="bilinear")[0].argmax(0)
    for at_once in (1, 7 * 30 * 40, 2**30):
        monkeypatch.setattr(segment, "AT_ONCE", at_once)
        assert (best_class(scores, (30, 40)) == whole.numpy()).all()


def test_no_number_is_an_error() -> None:
    with pytest.raises(UserError, match="finite"):
        best_class(torch.full((150, 2, 2), torch.nan), (2, 2))


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("classes", [19, 151])
def test_other_classes_than_ade20k_s_are_refused_with_both_numbers(
    name: str, classes: int, tmp_path: Path
) -> None:
    folder = MODELS[name](tmp_path / name, classes)
    for refuses in (check_segmenter, load_segmenter):
        with pytest.raises(UserError, match=rf"{classes} classes.*150") as caught:
            refuses([folder])
        assert str(folder) in str(caught.value)


def test_another_kind_of_model_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models["segformer"], tmp_path / "other"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "dpt"}))
    with pytest.raises(UserError, match=r"'dpt'.*segmentation model.*oneformer, segformer"):
        load_segmenter([folder])


def test_the_tiny_files_have_the_names_of_the_published_ones(models: dict[str, Path]) -> None:
    segformer = load_file(models["segformer"] / "model.safetensors")
    upernet = load_file(models["upernet"] / "model.safetensors")
    oneformer = torch.load(models["oneformer"] / "pytorch_model.bin", weights_only=True)
    assert "segformer.encoder.block.0.0.attention.self.query.weight" in segformer
    assert "decode_head.linear_c.0.proj.weight" in segformer
    assert "backbone.encoder.layers.0.blocks.0.attention.self.query.weight" in upernet
    encoder = "model.pixel_level_module.encoder."
    assert f"{encoder}encoder.layers.0.blocks.0.attention.self.query.weight" in oneformer


@given(height=st.integers(1, 30), width=st.integers(1, 500), turned=st.booleans())
@settings(max_examples=8, deadline=None)
@pytest.mark.parametrize("name", list(MODELS))
def test_every_size_is_segmented(
    name: str, height: int, width: int, turned: bool, loaded: dict[str, Networks]
) -> None:
    size = (width, height) if turned else (height, width)
    assert loaded[name](_noise(*size), CPU).shape == (*size, 3)


def test_the_entry_offers_a_free_model_first_and_says_which_are_not() -> None:
    assert SEGMENT.learning is not None
    assert SEGMENT.learning.models[0].commercial
    for model in SEGMENT.learning.models:
        assert model.commercial != model.repo.startswith("nvidia/")
    assert SEGMENT.drawn, "colours of classes are never blended"
