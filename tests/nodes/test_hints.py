"""The hint nodes: pictures in, hints of the same size out, and what they refuse before they run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.errors import UserError
from controlstack.nodes import hints, host
from controlstack.preprocessors.canny import canny
from controlstack.preprocessors.learned.depth import DepthModel
from controlstack.preprocessors.pose.draw import draw_pose
from controlstack.preprocessors.pose.people import parse_poses

ALL = list(hints.NODE_CLASS_MAPPINGS.values())
POSE = json.dumps({"people": [{"pose_keypoints_2d": [0.5, 0.5, 1] * 18}]})


def _inputs(node: Any) -> dict[str, Any]:
    return {n: spec for group in node.INPUT_TYPES().values() for n, spec in group.items()}


def test_ids_are_for_ever() -> None:
    assert list(hints.NODE_CLASS_MAPPINGS) == [
        "ControlStackCanny",
        "ControlStackDrawPose",
        "ControlStackDepth",
    ]
    assert hints.NODE_DISPLAY_NAME_MAPPINGS.keys() == hints.NODE_CLASS_MAPPINGS.keys()


@pytest.mark.parametrize("node", ALL)
def test_everything_a_user_meets_is_explained(node: Any) -> None:
    assert node.CATEGORY == "ControlStack/hints"
    assert node.DESCRIPTION
    assert node.RETURN_TYPES == ("IMAGE",)
    assert len(node.OUTPUT_TOOLTIPS) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    for name, spec in _inputs(node).items():
        assert spec[1]["tooltip"].endswith("."), name


@pytest.mark.parametrize("node", ALL)
def test_defaults_lie_in_their_ranges_and_are_valid(node: Any) -> None:
    defaults = {n: s[1]["default"] for n, s in _inputs(node).items() if "default" in s[1]}
    for name, value in defaults.items():
        spec = _inputs(node)[name][1]
        assert spec.get("min", value) <= value <= spec.get("max", value)
    if node is not hints.ControlStackDepth:  # which has no model to be the default
        accepted = {n: v for n, v in defaults.items() if n not in ("width", "height")}
        assert node.VALIDATE_INPUTS(**accepted) is True


def test_canny_is_the_preprocessor_on_the_picture_s_own_bytes() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), np.uint8)
    (edges,) = hints.ControlStackCanny().find_edges(torch.from_numpy(picture) / 255, 50, 150)
    assert edges.dtype == torch.float32
    for ours, theirs in zip(edges, picture, strict=True):
        assert torch.equal(ours, torch.from_numpy(canny(theirs, 50, 150)) / 255)


def test_floats_are_rounded_not_cut_off() -> None:
    image = torch.tensor([0.0, 0.4, 0.6, 254.6, 255.4, 300, -9, float("nan"), float("inf")]) / 255
    got = hints._bytes(image.reshape(1, 1, -1, 1))[0, 0, :, 0]
    assert got.tolist() == [0, 0, 1, 255, 255, 255, 0, 0, 255]


def test_every_byte_comes_back_as_it_was_loaded() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    for loaded in (levels.float() / 255, (levels.float() / 255).double()):
        assert (hints._bytes(loaded)[..., :1] == levels.numpy()).all()


def test_grey_is_repeated_and_alpha_left_out() -> None:
    grey = torch.rand(1, 8, 8, 1)
    colour = grey.repeat(1, 1, 1, 3)
    with_alpha = torch.cat([colour, torch.rand(1, 8, 8, 1)], dim=3)
    assert (hints._bytes(grey) == hints._bytes(colour)).all()
    assert (hints._bytes(with_alpha) == hints._bytes(colour)).all()


@pytest.mark.parametrize(
    "shape", [(8, 8, 3), (1, 8, 8, 2), (1, 0, 8, 3), (0, 8, 8, 3), (1, 3, 8, 8)]
)
def test_another_shape_is_refused_with_its_numbers(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=" x ".join(map(str, shape))):
        hints.ControlStackCanny().find_edges(torch.zeros(shape), 100, 200)


@given(
    batch=st.integers(1, 4),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 3, 4]),
    scale=st.sampled_from([1.0, -5.0, 1e30]),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]),
)
@settings(max_examples=60, deadline=None)
def test_any_picture_gives_a_hint_of_its_size(
    batch: int, height: int, width: int, channels: int, scale: float, dtype: torch.dtype
) -> None:
    image = (torch.rand(batch, height, width, channels) * scale).to(dtype)
    before = image.clone()
    (edges,) = hints.ControlStackCanny().find_edges(image, 100, 200)
    assert edges.shape == (batch, height, width, 3)
    assert set(edges.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(image, before), "the picture that went in stays as it is"


@pytest.mark.parametrize("thresholds", [(200, 100), (-1, 100), (100, 256)])
def test_thresholds_are_refused_before_anything_runs(thresholds: tuple[int, int]) -> None:
    low, high = thresholds
    answer = hints.ControlStackCanny.VALIDATE_INPUTS(low_threshold=low, high_threshold=high)
    assert isinstance(answer, str)
    assert str(low) in answer
    assert str(high) in answer


def test_a_linked_threshold_is_not_judged_before_it_is_known() -> None:
    validate = hints.ControlStackCanny.VALIDATE_INPUTS
    assert validate(low_threshold=None, high_threshold=10) is True
    assert validate(low_threshold=250, high_threshold=None) is True


def test_frames_become_a_batch_of_the_preprocessor_s_pictures() -> None:
    frames = json.dumps([json.loads(POSE), {"people": []}])
    (image,) = hints.ControlStackDrawPose().draw(frames, 40, 24)
    assert image.shape == (2, 24, 40, 3)
    expected = draw_pose(parse_poses(POSE)[0], 40, 24)
    assert torch.equal(image[0], torch.from_numpy(expected) / 255)
    assert not image[1].any()


def test_the_example_pose_is_a_whole_person_inside_the_picture() -> None:
    (pose,) = parse_poses(json.dumps(hints.STANDING))
    (person,) = pose.people
    assert all(joint is not None and 0 < joint.x < 1 and 0 < joint.y < 1 for joint in person.body)


def test_bad_pose_json_is_refused_before_anything_runs() -> None:
    assert hints.ControlStackDrawPose.VALIDATE_INPUTS(pose_json=POSE) is True
    assert hints.ControlStackDrawPose.VALIDATE_INPUTS(pose_json=None) is True  # a link
    assert "not JSON" in str(hints.ControlStackDrawPose.VALIDATE_INPUTS(pose_json="pose"))


class OneFolder:
    """A host with a single depth model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self, kind: str) -> list[str]:
        return [self.folder.name] if kind == "depth" else []

    def find(self, kind: str, name: str) -> Path:
        if (kind, name) != ("depth", self.folder.name):
            raise UserError(f"there is no {kind} model {name}")
        return self.folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(host, "current", lambda: OneFolder(tmp_path / "tiny"))
    monkeypatch.setattr(host, "names", lambda kind: OneFolder(tmp_path / "tiny").names(kind))
    return tmp_path / "tiny"


def test_depth_offers_the_host_s_models_and_checks_them_first(folder: Path) -> None:
    assert hints.ControlStackDepth.INPUT_TYPES()["required"]["model"][0] == ["tiny"]
    assert str(folder) in str(hints.ControlStackDepth.VALIDATE_INPUTS(model="tiny"))
    folder.mkdir()
    assert "config.json" in str(hints.ControlStackDepth.VALIDATE_INPUTS(model="tiny"))
    assert "other" in str(hints.ControlStackDepth.VALIDATE_INPUTS(model="other"))
    assert hints.ControlStackDepth.VALIDATE_INPUTS(model=None) is True  # a link


def test_depth_estimates_each_picture_of_a_batch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def brightness(picture: np.ndarray, model: DepthModel) -> np.ndarray:
        return picture[..., 0].astype(np.float32) / 255

    asked: list[Path] = []
    monkeypatch.setattr(hints.depth, "load_depth_model", asked.append)
    monkeypatch.setattr(hints.depth, "estimate_depth", brightness)
    image = torch.arange(2 * 3 * 4).reshape(2, 3, 4, 1).repeat(1, 1, 1, 3) / 255
    (near,) = hints.ControlStackDepth().estimate(image, "tiny")
    assert torch.equal(near, image)
    assert asked == [folder]
