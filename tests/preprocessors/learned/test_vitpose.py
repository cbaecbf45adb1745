"""ViTPose: joints where they are, people by their certainty, and real loading of tiny models."""

import json
import shutil
from collections.abc import Callable
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
from safetensors.torch import load_file, save_file

from controlstack.ground.errors import UserError
from controlstack.preprocessors.learned.tensors import Networks
from controlstack.preprocessors.learned.vitpose import VITPOSE, load_vitpose
from controlstack.preprocessors.pose.draw import draw_pose
from tests.tiny_pose import tiny_detector, tiny_vitpose

CPU = torch.device("cpu")
NOSE, NECK, RIGHT_ANKLE = 0, 1, 10
"""Of OpenPose's 18."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A ViTPose and a detector."""
    base = tmp_path_factory.mktemp("pose")
    return tiny_vitpose(base / "vitpose"), tiny_detector(base / "rtdetr")


@pytest.fixture(scope="module")
def model(folders: tuple[Path, Path]) -> Networks:
    loaded = load_vitpose(folders)
    assert isinstance(loaded, Networks)
    return loaded


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


class Boxes(torch.nn.Module):
    """A detector that says what it is told: boxes (left, top, right, bottom in pixels of a picture
    of `size`, width and height), each with a class and how sure it is."""

    def __init__(self, size: tuple[int, int], *found: tuple[tuple[float, ...], int, float]) -> None:
        super().__init__()
        width, height = size
        logits = torch.full((1, max(1, len(found)), 3), -20.0)
        boxes = torch.full((1, max(1, len(found)), 4), 0.5)
        for i, ((left, top, right, bottom), number, sure) in enumerate(found):
            logits[0, i, number] = torch.logit(torch.tensor(sure))
            middle = (left + right) / 2 / width, (top + bottom) / 2 / height
            boxes[0, i] = torch.tensor([*middle, (right - left) / width, (bottom - top) / height])
        self.said = SimpleNamespace(logits=logits, pred_boxes=boxes)

    def forward(self, pixel_values: torch.Tensor) -> Any:
        return self.said


class Dots(torch.nn.Module):
    """A network of joints that finds all 17 at the bright dot it sees, each less sure by 0.05.

    As ViTPose is trained, the first and last pixel of its input are the first and last cell of its
    maps, a quarter of the size ("unbiased data processing", arXiv:1911.07524).
    """

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(backbone_config=SimpleNamespace(num_experts=1))

    def forward(self, pixel_values: torch.Tensor, dataset_index: Any) -> Any:
        assert dataset_index is None
        height, width = pixel_values.shape[2:]
        light = (pixel_values.mean(dim=1) - 1).clamp(min=0)
        maps = []
        for seen in light:
            total = seen.sum()
            y = (seen.sum(dim=1) @ torch.arange(height).float()) / total
            x = (seen.sum(dim=0) @ torch.arange(width).float()) / total
            rows = torch.arange(height // 4) - y * (height // 4 - 1) / (height - 1)
            columns = torch.arange(width // 4) - x * (width // 4 - 1) / (width - 1)
            bump = torch.exp(-(rows[:, None] ** 2 + columns[None] ** 2) / (2 * 2**2))
            bump = bump / bump.max()
            maps.append(torch.stack([bump * (0.95 - 0.05 * joint) for joint in range(17)]))
        return SimpleNamespace(heatmaps=torch.stack(maps))


def _seeing(model: Networks, detector: Boxes) -> Networks:
    """`model` with networks that say what they are told, at the published input size."""
    processor = transformers.VitPoseImageProcessor()
    draw = partial(model.draw, joints_processor=processor)
    return replace(model, networks=(detector, Dots()), draw=draw)


def _dotted(width: int, height: int, *dots: tuple[int, int]) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    for x, y in dots:
        picture[y - 3 : y + 4, x - 3 : x + 4] = 255
    return picture


@pytest.mark.parametrize(
    ("size", "box", "dot"),
    [
        ((640, 360), (100, 40, 220, 340), (150, 90)),
        ((640, 360), (400, 100, 640, 200), (600, 150)),
        ((300, 700), (20, 300, 280, 690), (40, 650)),
        ((300, 700), (0, 0, 300, 700), (150, 20)),
        ((97, 61), (10, 5, 80, 60), (30, 20)),
    ],
)
def test_a_joint_comes_out_where_it_is(
    size: tuple[int, int], box: tuple[int, ...], dot: tuple[int, int], model: Networks
) -> None:
    seeing = _seeing(model, Boxes(size, (box, 0, 0.9)))
    pose = seeing(_dotted(*size, dot), CPU, joint_threshold=0.1)
    (person,) = pose.people
    assert pose.canvas == size
    assert not pose.fractions
    for joint in person.body:
        assert joint is not None
        assert abs(joint.x - 0.5 - dot[0]) <= 1
        assert abs(joint.y - 0.5 - dot[1]) <= 1


def test_a_drawn_joint_is_within_a_pixel_of_the_one_in_the_picture(model: Networks) -> None:
    size, dot = (640, 360), (151, 92)
    seeing = _seeing(model, Boxes(size, ((100, 40, 220, 340), 0, 0.9)))
    hint = draw_pose(seeing(_dotted(*size, dot), CPU), *size)
    y, x = np.nonzero(hint.any(axis=2))
    assert abs((x.min() + x.max()) / 2 - dot[0]) <= 1
    assert abs((y.min() + y.max()) / 2 - dot[1]) <= 1


def test_people_come_by_certainty_and_nothing_else_is_one(model: Networks) -> None:
    size = (400, 200)
    dots = (50, 80), (150, 90), (250, 100), (350, 110)
    found = [
        ((x - 40, y - 60, x + 40, y + 60), number, sure)
        for (x, y), number, sure in zip(dots, (0, 0, 1, 0), (0.5, 0.9, 0.95, 0.7), strict=True)
    ]
    seeing, picture = _seeing(model, Boxes(size, *found)), _dotted(*size, *dots)

    def noses(**choice: Any) -> list[int]:
        people = seeing(picture, CPU, **choice).people
        return [round(nose.x - 0.5) for person in people if (nose := person.body[NOSE])]

    assert noses() == [150, 350, 50]
    assert noses(max_people=2) == [150, 350]
    assert noses(person_threshold=0.6) == [150, 350]
    assert noses(person_threshold=0.99) == []


def test_an_unsure_joint_is_left_out(model: Networks) -> None:
    seeing = _seeing(model, Boxes((90, 120), ((5, 5, 85, 115), 0, 0.9)))
    (person,) = seeing(_dotted(90, 120, (40, 50)), CPU, joint_threshold=0.17).people
    # COCO's last, the right ankle, is sure by 0.15, the last but one, the left ankle, by 0.2.
    assert [i for i, joint in enumerate(person.body) if joint is None] == [RIGHT_ANKLE]
    (person,) = seeing(_dotted(90, 120, (40, 50)), CPU, joint_threshold=0.67).people
    assert person.body[NECK] is None, "one shoulder is sure by 0.7, the other by 0.65"


def test_nobody_is_a_pose_without_people(model: Networks) -> None:
    pose = _seeing(model, Boxes((50, 40)))(_noise(40, 50), CPU)
    assert (pose.people, pose.canvas) == ((), (50, 40))
    assert not draw_pose(pose, 50, 40).any()


def test_a_person_smaller_than_a_pixel_is_nobody(model: Networks) -> None:
    detector = Boxes((50, 40), ((10, 10, 10.5, 20), 0, 0.9))
    assert _seeing(model, detector)(_noise(40, 50), CPU).people == ()


def test_the_whole_way_is_that_of_transformers(
    folders: tuple[Path, Path], model: Networks, no_network: list[Any]
) -> None:
    """The steps of transformers' documentation, with its own classes."""
    picture = _noise(90, 130)
    processor = transformers.RTDetrImageProcessor.from_pretrained(folders[1])
    network = transformers.RTDetrForObjectDetection.from_pretrained(folders[1])
    with torch.no_grad():
        found = network(**processor(images=picture, return_tensors="pt"))
    (result,) = processor.post_process_object_detection(found, 0.0, target_sizes=[(90, 130)])
    boxes = result["boxes"][result["labels"] == 0].numpy()
    boxes[:, 2:] -= boxes[:, :2]
    processor = transformers.VitPoseImageProcessor.from_pretrained(folders[0])
    network = transformers.VitPoseForPoseEstimation.from_pretrained(folders[0])
    with torch.no_grad():
        found = network(**processor(picture, boxes=[boxes], return_tensors="pt"))
    (expected,) = processor.post_process_pose_estimation(found, boxes=[boxes])
    assert len(expected) > 1

    people = model(picture, CPU, person_threshold=0, joint_threshold=-9).people
    assert len(people) == len(expected)
    kept = 0
    for person, result in zip(people, expected, strict=True):
        nose = person.body[NOSE]
        if nose is not None:  # the others were thrown out of what ViTPose saw
            assert np.allclose((nose.x - 0.5, nose.y - 0.5), result["keypoints"][0], atol=1e-3)
            kept += 1
    assert kept > 0
    assert no_network == []


def test_vitpose_plus_is_asked_as_on_coco(folders: tuple[Path, Path], tmp_path: Path) -> None:
    plus = tiny_vitpose(tmp_path / "plus", experts=6)

    def answer(expert: int) -> Any:
        folder = Path(shutil.copytree(plus, tmp_path / f"without {expert}"))
        file = folder / "model.safetensors"
        weights = load_file(file)
        for name in weights:
            if f"experts.{expert}." in name:
                weights[name] = torch.zeros_like(weights[name])
        save_file(weights, file, {"format": "pt"})
        annotator = load_vitpose((folder, folders[1]))
        return annotator(_noise(60, 80), CPU, person_threshold=0, joint_threshold=-9)

    whole = load_vitpose((plus, folders[1]))(
        _noise(60, 80), CPU, person_threshold=0, joint_threshold=-9
    )
    assert answer(1) == whole
    assert answer(5) == whole
    assert answer(0) != whole


def test_the_second_version_of_the_detector_loads(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    second = tiny_detector(tmp_path / "v2", "RTDetrV2")
    model = load_vitpose((folders[0], second))
    assert len(model(_noise(60, 80), CPU, person_threshold=0).people) > 0


def test_loaded_networks_are_ready_to_run(model: Networks) -> None:
    for network in model.networks:
        assert not network.training
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
        assert not any(parameter.requires_grad for parameter in network.parameters())


@given(height=st.integers(1, 70), width=st.integers(1, 70))
@settings(max_examples=12, deadline=None)
def test_every_size_gives_a_pose_that_can_be_drawn(
    height: int, width: int, model: Networks
) -> None:
    pose = model(_noise(height, width), CPU, person_threshold=0, joint_threshold=-9)
    assert pose.canvas == (width, height)
    assert draw_pose(pose, width, height).shape == (height, width, 3)


def test_one_pixel_and_one_row_of_pixels(model: Networks) -> None:
    for height, width in ((1, 1), (1, 2048), (2048, 1)):
        pose = model(_noise(height, width), CPU, person_threshold=0, joint_threshold=-9)
        assert pose.canvas == (width, height)


def _another_number_of_joints(folder: Path) -> tuple[Path, Path]:
    return tiny_vitpose(folder / "pose", joints=21), tiny_detector(folder / "detector")


def _no_person(folder: Path) -> tuple[Path, Path]:
    return tiny_vitpose(folder / "pose"), tiny_detector(folder / "detector", id2label={0: "cat"})


def _swapped(folder: Path) -> tuple[Path, Path]:
    return tiny_detector(folder / "detector"), tiny_vitpose(folder / "pose")


def _no_detector(folder: Path) -> tuple[Path, Path]:
    return tiny_vitpose(folder / "pose"), folder / "detector"


def _outside_backbone(folder: Path) -> tuple[Path, Path]:
    detector = tiny_detector(folder / "detector")
    config = detector / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"backbone": "someone/resnet"}))
    return tiny_vitpose(folder / "pose"), detector


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_another_number_of_joints, "pose finds 21 joints, and COCO's 17"),
        (_no_person, "detector detects no class named person"),
        (_swapped, "detector holds a model of type 'rt_detr'"),
        (_no_detector, "detector is no folder"),
        (_outside_backbone, "someone/resnet"),
    ],
)
def test_other_models_are_refused_in_one_sentence(
    make: Callable[[Path], tuple[Path, Path]], says: str, tmp_path: Path, no_network: list[Any]
) -> None:
    with pytest.raises(UserError, match=says) as caught:
        load_vitpose(make(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert no_network == []


@pytest.mark.parametrize("damaged", [0, 1])
def test_damaged_weights_are_said(damaged: int, folders: tuple[Path, Path], tmp_path: Path) -> None:
    copies = [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in folders]
    file = copies[damaged] / "model.safetensors"
    weights = load_file(file)
    for name in weights:
        if name.endswith("bias"):
            weights[name] = torch.full_like(weights[name], torch.nan)
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(UserError, match="finite"):
        load_vitpose(copies)(_noise(60, 80), CPU, person_threshold=0)


def test_another_kind_of_picture_is_refused(model: Networks) -> None:
    with pytest.raises(UserError, match="ViTPose needs a picture"):
        model(np.zeros((5, 5), np.uint8), CPU)


def test_what_users_meet() -> None:
    assert VITPOSE.settings({}) == {
        "person_threshold": 0.3, "joint_threshold": 0.3, "max_people": 20,
        "style": "v1.1", "scale_sticks": False,
    }  # fmt: skip
    learning = VITPOSE.learning
    assert learning is not None
    assert learning.finds_people
    assert learning.models[0].repo == "usyd-community/vitpose-base-simple"
    assert learning.also[0].repo == "PekingU/rtdetr_r50vd_coco_o365"
    assert all(one.commercial and one.is_folder for one in (*learning.models, *learning.also))
