"""OpenPose: the published files load, and the people found are those of controlnet-aux."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from controlstack.ground.errors import UserError
from controlstack.preprocessors.learned.networks import annotators
from controlstack.preprocessors.learned.openpose import OPENPOSE, openpose
from controlstack.preprocessors.learned.tensors import Networks
from controlstack.preprocessors.pose.draw import draw_pose
from controlstack.preprocessors.pose.people import parse_poses, to_json
from tests.openpose_files import BODY, FACE, HAND, network, publish_light, publish_random, shapes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The three files, that of bodies with random weights that see people in noise."""
    folder = tmp_path_factory.mktemp("openpose")
    return (
        publish_random(folder, BODY),
        publish_light(folder, HAND),
        publish_light(folder, FACE),
    )


@pytest.fixture(scope="module")
def model(files: tuple[Path, Path, Path]) -> Networks:
    return _loaded(*files)


def _loaded(*files: Path) -> Networks:
    assert OPENPOSE.learning is not None
    loaded = OPENPOSE.learning.load(files)
    assert isinstance(loaded, Networks)
    return loaded


def _of(*networks: nn.Module) -> Networks:
    """Of bodies, hands and faces."""
    return Networks("OpenPose", networks, openpose)


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _bare(file: Path) -> nn.Module:
    """The network of `file` as controlnet-aux loads it."""
    module = network(file.name).to_empty(device="cpu")
    state = torch.load(file, weights_only=True)
    if file.name != FACE:
        state = annotators("open_pose.util").transfer(module, state)
    module.load_state_dict(state)
    return module.eval()


def test_each_network_holds_its_file_s_weights(
    files: tuple[Path, Path, Path], model: Networks
) -> None:
    assert len(model.networks) == 3
    pixels = torch.from_numpy(_noise(16, 24)).permute(2, 0, 1)[None] / 256 - 0.5
    for file, ours in zip(files, model.networks, strict=True):
        assert not ours.training
        assert not any(parameter.requires_grad for parameter in ours.parameters())
        with torch.inference_mode():
            said, expected = ours(pixels), _bare(file)(pixels)
        for one, other in zip(said, expected, strict=True):
            assert torch.equal(one, other)
            assert one.abs().max() > 0


def test_bodies_are_those_of_controlnet_aux(
    files: tuple[Path, Path, Path], model: Networks
) -> None:
    """Its own detector on the same file: the channels' order, the size, the padding, the maps."""
    picture = _noise(96, 125)
    module = annotators("open_pose")
    body = annotators("open_pose.body").Body
    detector = body.__new__(body)
    detector.model = _bare(files[0])
    theirs = module.OpenposeDetector(detector).detect_poses(picture)
    ours = model(picture, CPU, detect_hands=False, detect_face=False).people
    assert len(ours) == len(theirs) > 3
    for person, other in zip(ours, theirs, strict=True):
        for joint, keypoint in zip(person.body, other.body.keypoints, strict=True):
            assert (joint is None) == (keypoint is None)
            if joint is not None:
                # A maximum's pixel there, that pixel's middle here.
                assert np.allclose(
                    (joint.x, joint.y), (keypoint.x * 125 + 0.5, keypoint.y * 96 + 0.5)
                )


class Person(nn.Module):
    """A network of bodies that sees one with both arms and a head in every picture of a shape."""

    POINTS = (
        (0.5, 0.2), (0.5, 0.4), (0.4, 0.4), (0.3, 0.55), (0.25, 0.7), (0.6, 0.4), (0.7, 0.55),
        (0.75, 0.7),
    )  # fmt: skip
    EYES = ((0.46, 0.16), (0.54, 0.16))
    LIMBS = (
        (12, 1, 2), (14, 2, 3), (16, 3, 4), (20, 1, 5), (22, 5, 6), (24, 6, 7), (28, 1, 0),
        (30, 0, 14), (32, 0, 15),
    )  # fmt: skip

    def __init__(self, width: int = 1, height: int = 1) -> None:
        super().__init__()
        self.cells = np.array([int(184 * width / height), 184]) / 8  # without the padding

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns = (side // 8 for side in pixels.shape[2:])
        y, x = np.mgrid[:rows, :columns]
        heat = np.zeros((1, 19, rows, columns), np.float32)
        fields = np.zeros((1, 38, rows, columns), np.float32)
        joints = dict(enumerate(self.POINTS)) | {14 + i: eye for i, eye in enumerate(self.EYES)}
        for joint, point in joints.items():
            px, py = point * self.cells - 0.5
            heat[0, joint] = np.exp(-((x - px) ** 2 + (y - py) ** 2) / 2)
        for channel, start, end in self.LIMBS:
            way = (np.array(joints[end]) - joints[start]) * self.cells
            fields[0, channel : channel + 2] = (way / np.hypot(*way))[:, None, None]
        return torch.from_numpy(fields), torch.from_numpy(heat)


class Middle(nn.Module):
    """A network of hands or faces that has all points in the middle of what it sees."""

    def __init__(self, maps: int, stages: bool) -> None:
        super().__init__()
        self.maps, self.stages = maps, stages
        self.calls = 0

    def forward(self, pixels: Tensor) -> Any:
        self.calls += 1
        rows, columns = (torch.linspace(-3, 3, side // 8) for side in pixels.shape[2:])
        bump = torch.exp(-(rows[:, None] ** 2 + columns[None] ** 2))
        said = bump[None, None].repeat(1, self.maps, 1, 1)
        return [torch.zeros_like(said), said] if self.stages else said


def _scene(width: int = 1, height: int = 1) -> Networks:
    """Of pictures that are so wide and high, or of the same shape."""
    return _of(Person(width, height), Middle(22, stages=False), Middle(71, stages=True))


@pytest.mark.parametrize("size", [(512, 384), (300, 500), (200, 200)])
def test_body_hands_and_face_are_found_together(size: tuple[int, int]) -> None:
    width, height = size
    pose = _scene(*size)(_noise(height, width), CPU)
    (person,) = pose.people
    assert pose.canvas == size
    for point, joint in zip(Person.POINTS, person.body, strict=False):
        assert joint is not None
        assert abs(joint.x - point[0] * width) <= 1
        assert abs(joint.y - point[1] * height) <= 1
    # A hand lies behind its wrist by a third of the lower arm; the face's middle is the nose. Both
    # follow from joints found to the pixel, and their squares are cut at whole pixels.
    for hand, elbow, wrist in ((person.right_hand, 3, 4), (person.left_hand, 6, 7)):
        middle = np.array(Person.POINTS[wrist]) * 1.33 - np.array(Person.POINTS[elbow]) * 0.33
        for joint in hand:
            assert joint is not None
            assert abs(joint.x - middle[0] * width) <= 3
            assert abs(joint.y - middle[1] * height) <= 3
    assert len(person.face) == 70
    for joint in person.face:
        assert joint is not None
        assert abs(joint.x - 0.5 * width) <= 2
        assert abs(joint.y - 0.2 * height) <= 2


@pytest.mark.parametrize("hands", [True, False])
@pytest.mark.parametrize("face", [True, False])
def test_only_the_networks_asked_for_are_run(hands: bool, face: bool) -> None:
    scene = _scene()
    _, hand, face_network = scene.networks
    (person,) = scene(_noise(200, 200), CPU, detect_hands=hands, detect_face=face).people
    assert any(person.left_hand) == any(person.right_hand) == hands
    assert any(person.face) == face
    assert (hand.calls, face_network.calls) == (8 if hands else 0, 1 if face else 0)


def test_the_pose_survives_json_and_is_drawn_where_it_is() -> None:
    pose = _scene(512, 384)(_noise(384, 512), CPU)
    (again,) = parse_poses(to_json(pose))
    assert again == pose
    hint = draw_pose(pose, 512, 384, hands=False, face=False)
    x, y = 0.25 * 512, 0.7 * 384  # the right wrist has the fifth colour
    rows, columns = np.nonzero((hint == (170, 255, 0)).all(axis=2))
    assert abs(columns.mean() - x) <= 1
    assert abs(rows.mean() - y) <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 2048), (2048, 1), (7, 300), (2, 3)])
def test_every_shape_of_picture_is_looked_at(size: tuple[int, int]) -> None:
    seen: list[tuple[int, ...]] = []

    class Looks(Person):
        def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(tuple(pixels.shape))
            return super().forward(pixels)

    pose = _of(Looks(), Middle(22, False), Middle(71, True))(_noise(*size), CPU)
    assert pose.canvas == (size[1], size[0])
    for person in pose.people:
        for joint in person.body:
            assert joint is None or (0 < joint.x < size[1] and 0 < joint.y < size[0])
    ((_, _, height, width),) = seen
    assert height == 184
    assert width % 8 == 0
    assert width <= 8 * 184


def test_one_pixel_through_the_real_network(model: Networks) -> None:
    assert model(_noise(1, 1), CPU, detect_hands=False, detect_face=False).canvas == (1, 1)


def test_nobody_is_a_pose_without_people(model: Networks) -> None:
    class Nobody(Person):
        def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
            fields, heat = super().forward(pixels)
            return fields, heat * 0

    pose = _of(Nobody(), *model.networks[1:])(_noise(40, 60), CPU)
    assert (pose.people, pose.canvas) == ((), (60, 40))
    assert not draw_pose(pose, 60, 40).any()


def test_numbers_that_are_none_are_said() -> None:
    class Broken(Person):
        def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
            fields, heat = super().forward(pixels)
            return fields, heat * torch.nan

    broken = _of(Broken(), Middle(22, False), Middle(71, True))
    with pytest.raises(UserError, match="finite"):
        broken(_noise(40, 60), CPU)


def test_another_kind_of_picture_is_refused() -> None:
    with pytest.raises(UserError, match="OpenPose needs a picture"):
        _scene()(np.zeros((5, 5, 4), np.uint8), CPU)


def _cut_off(folder: Path, file: Path) -> Path:
    path = folder / file.name
    path.write_bytes(file.read_bytes()[:5000])
    return path


def _one_missing(folder: Path, file: Path) -> Path:
    state = torch.load(file, weights_only=True)
    state.pop(next(iter(state)))
    torch.save(state, folder / file.name)
    return folder / file.name


def _face_instead(folder: Path, file: Path) -> Path:
    return Path(shutil.copy(file.parent / FACE, folder / file.name))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_cut_off, "fetch it again"),
        (_one_missing, "does not hold OpenPose's network of hands.*conv1_1.weight is missing"),
        (_face_instead, "does not hold OpenPose's network of hands"),
    ],
)
def test_a_wrong_file_is_said(
    damage: Callable[[Path, Path], Path], says: str, tmp_path: Path
) -> None:
    light = [publish_light(tmp_path / "whole", file) for file in (BODY, HAND, FACE)]
    light[1] = damage(tmp_path, light[1])
    with pytest.raises(UserError, match=says) as caught:
        _loaded(*light)
    assert str(light[1]) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_body_s_file_for_hands_is_known_for_what_it_is(tmp_path: Path) -> None:
    light = [publish_light(tmp_path, file) for file in (BODY, HAND, FACE)]
    with pytest.raises(UserError, match="seems to be OpenPose's network of bodies"):
        _loaded(light[0], light[0], light[2])


def test_safetensors_load_as_well(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = torch.load(files[1], weights_only=True)
    assert {name: tuple(value.shape) for name, value in state.items()} == shapes(HAND)
    path = tmp_path / "hand_pose_model.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    light = publish_light(tmp_path, BODY)
    assert _loaded(light, path, files[2])


def test_what_users_meet() -> None:
    assert OPENPOSE.settings({}) == {
        "detect_hands": True, "detect_face": True,
        "style": "v1.1", "body": True, "scale_sticks": False,
    }  # fmt: skip
    learning = OPENPOSE.learning
    assert learning is not None
    assert learning.finds_people
    assert learning.any_size
    (weights,) = learning.models
    assert weights.files == ("body_pose_model.pth", "hand_pose_model.pth", "facenet.pth")
    assert set(weights.sha256) == set(weights.files)
    assert not weights.commercial
    assert "not for commercial use" in OPENPOSE.description
