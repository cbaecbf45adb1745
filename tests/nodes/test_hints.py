"""The hint nodes: pictures in, hints of the same size out, and what they refuse before they run."""

import inspect
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from controlstack.ground.errors import UserError
from controlstack.nodes import hint_inputs, hints, images
from controlstack.preprocessors.canny import canny
from controlstack.preprocessors.pose.draw import draw_pose
from controlstack.preprocessors.pose.people import parse_poses
from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.preprocessors.spec import Takes

NODES = hints.NODE_CLASS_MAPPINGS
ALL = list(NODES.values())
Canny, DrawPose = NODES["ControlStackCanny"], NODES["ControlStackDrawPose"]
POSE = json.dumps({"people": [{"pose_keypoints_2d": [0.5, 0.5, 1] * 18}]})


def _inputs(node: Any) -> dict[str, Any]:
    return {n: spec for group in node.INPUT_TYPES().values() for n, spec in group.items()}


def test_every_preprocessor_has_its_node_and_the_first_ids_are_for_ever() -> None:
    titles = {entry.node: entry.title for entry in PREPROCESSORS.values()}
    of_all = {
        "ControlStackHint": "Any Hint",
        "ControlStackAnyHintSettings": "Any Hint (with settings)",
    }
    assert {**of_all, **titles} == hints.NODE_DISPLAY_NAME_MAPPINGS
    assert list(NODES) == [*of_all, *titles]
    for entry in PREPROCESSORS.values():
        assert NODES[entry.node].PREPROCESSOR is entry
    assert {"ControlStackCanny", "ControlStackDrawPose", "ControlStackDepth"} <= NODES.keys()


@pytest.mark.parametrize(
    ("node_type", "inputs"),
    [
        ("ControlStackCanny", ["image", "low_threshold", "high_threshold"]),
        ("ControlStackDrawPose", ["pose_json", "width", "height"]),
        ("ControlStackDepth", ["image", "model"]),
    ],
)
def test_saved_workflows_find_their_first_inputs_in_place(
    node_type: str, inputs: list[str]
) -> None:
    assert list(_inputs(NODES[node_type]))[: len(inputs)] == inputs


@pytest.mark.parametrize("node", ALL)
def test_everything_a_user_meets_is_explained(node: Any) -> None:
    assert node.CATEGORY == "ControlStack/hints"
    assert node.DESCRIPTION
    keypoints = ("POSE_KEYPOINT",)
    assert node.RETURN_TYPES in [
        *(("IMAGE",), ("IMAGE", *keypoints), ("IMAGE", "STRING", *keypoints))
    ]
    assert len(node.OUTPUT_TOOLTIPS) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    for name, spec in _inputs(node).items():
        assert spec[1]["tooltip"].endswith("."), name


@pytest.mark.parametrize("node", ALL)
def test_defaults_lie_in_their_ranges_and_are_valid(node: Any) -> None:
    defaults = {n: s[1]["default"] for n, s in _inputs(node).items() if "default" in s[1]}
    for name, value in defaults.items():
        spec = _inputs(node)[name][1]
        assert spec.get("min", value) <= value <= spec.get("max", value)
    if "download" not in defaults:  # no weights are needed
        assert node.VALIDATE_INPUTS(**defaults) is True


def test_canny_is_the_preprocessor_on_the_picture_s_own_bytes() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), np.uint8)
    image = torch.from_numpy(picture) / 255
    (edges,) = Canny().make(image=image, low_threshold=50, high_threshold=150)
    assert edges.dtype == torch.float32
    for ours, theirs in zip(edges, picture, strict=True):
        assert torch.equal(ours, torch.from_numpy(canny(theirs, 50, 150)) / 255)


def test_floats_are_rounded_not_cut_off() -> None:
    image = torch.tensor([0.0, 0.4, 0.6, 254.6, 255.4, 300, -9, float("nan"), float("inf")]) / 255
    (got,) = images.sources("picture", image.reshape(1, 1, -1, 1))
    assert got[0, :, 0].tolist() == [0, 0, 1, 255, 255, 255, 0, 0, 255]


def test_every_byte_comes_back_as_it_was_loaded() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    for loaded in (levels.float() / 255, (levels.float() / 255).double()):
        (got,) = images.sources("picture", loaded)
        assert (got[..., :1] == levels[0].numpy()).all()


def test_grey_is_repeated_and_alpha_of_numbers_left_out() -> None:
    grey = torch.rand(1, 8, 8, 1)
    colour = grey.repeat(1, 1, 1, 3)
    with_alpha = torch.cat([colour, torch.rand(1, 8, 8, 1)], dim=3)
    takes: list[tuple[Takes, torch.Tensor]]
    takes = [("picture", grey), ("depth", with_alpha), ("labels", with_alpha)]
    for kind, other in takes:
        (got,), (expected,) = images.sources(kind, other), images.sources(kind, colour)
        assert (got == expected).all()


def test_a_picture_of_four_channels_is_laid_on_white() -> None:
    """comfyui_controlnet_aux does so with what Join Image with Alpha gives."""
    four = torch.tensor([[[[0.2, 0.4, 0.6, 1], [0, 0, 0, 0], [0, 1, 0.5, 0.6]]]])
    wanted = [[51, 102, 153], [255, 255, 255], [102, 255, 178.5]]
    (got,) = images.sources("picture", four)
    assert np.abs(got[0].astype(float) - wanted).max() <= 0.5
    ((masked, _),) = images.sources("masked picture", four, torch.zeros(1, 1, 3))
    assert np.abs(masked[0] * 255 - wanted).max() < 1e-3


@pytest.mark.parametrize(
    "shape", [(8, 8, 3), (1, 8, 8, 2), (1, 0, 8, 3), (0, 8, 8, 3), (1, 3, 8, 8)]
)
def test_another_shape_is_refused_with_its_numbers(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=" x ".join(map(str, shape))):
        Canny().make(image=torch.zeros(shape))


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
    (edges,) = Canny().make(image=image)
    assert edges.shape == (batch, height, width, 3)
    assert set(edges.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(image, before), "the picture that went in stays as it is"


@pytest.mark.parametrize("thresholds", [(200, 100), (-1, 100), (100, 256)])
def test_thresholds_are_refused_before_anything_runs(thresholds: tuple[int, int]) -> None:
    low, high = thresholds
    answer = Canny.VALIDATE_INPUTS(low_threshold=low, high_threshold=high)
    assert isinstance(answer, str)
    assert str(min(low, 100) if low < 0 else max(low, high)) in answer


def test_a_linked_threshold_is_not_judged_before_it_is_known() -> None:
    validate = Canny.VALIDATE_INPUTS
    assert validate(low_threshold=None, high_threshold=10) is True
    assert validate(low_threshold=250, high_threshold=None) is True


def test_frames_become_a_batch_of_the_preprocessor_s_pictures() -> None:
    frames = json.dumps([json.loads(POSE), {"people": []}])
    image, _ = DrawPose().make(pose_json=frames, width=40, height=24)["result"]
    assert image.shape == (2, 24, 40, 3)
    expected = draw_pose(parse_poses(POSE)[0], 40, 24)
    assert torch.equal(image[0], torch.from_numpy(expected) / 255)
    assert not image[1].any()


def test_the_example_pose_is_a_whole_person_inside_the_picture() -> None:
    (pose,) = parse_poses(json.dumps(hint_inputs.STANDING))
    (person,) = pose.people
    assert all(joint is not None and 0 < joint.x < 1 and 0 < joint.y < 1 for joint in person.body)


def test_bad_pose_json_is_refused_before_anything_runs() -> None:
    assert DrawPose.VALIDATE_INPUTS(pose_json=POSE) is True
    assert DrawPose.VALIDATE_INPUTS(pose_json=None) is True  # a link
    assert "not JSON" in str(DrawPose.VALIDATE_INPUTS(pose_json="pose"))


def test_a_latent_gives_the_hint_its_size() -> None:
    latent = {"samples": torch.zeros(1, 4, 5, 7)}
    (edges,) = Canny().make(image=torch.rand(2, 30, 30, 3), latent=latent)
    assert edges.shape == (2, 40, 56, 3)
    sparse = {"samples": torch.zeros(1, 16, 5, 7), "downscale_ratio_spacial": 16}
    (edges,) = Canny().make(image=torch.rand(1, 30, 30, 3), latent=sparse, fit="fit")
    assert edges.shape == (1, 80, 112, 3)
    people, _ = DrawPose().make(pose_json=POSE, width=9, height=9, latent=latent)["result"]
    assert people.shape == (1, 40, 56, 3)


@pytest.mark.parametrize(
    ("shape", "edge"),
    [((1, 128, 2, 3), 16), ((1, 64, 2, 3), 32), ((1, 48, 1, 2, 3), 16), ((1, 32, 2, 3), 32),
     ((1, 128, 1, 2, 3), 32), ((1, 16, 1, 2, 3), 8), ((1, 3, 2, 3), 1)],
    ids=["Flux.2", "HunyuanImage 2.1", "Wan 2.2 5B", "DC-AE", "LTX-Video", "Qwen-Image", "pixels"],
)  # fmt: skip
def test_a_latent_of_another_vae_gives_the_hint_its_size(shape: tuple[int, ...], edge: int) -> None:
    latent = {"samples": torch.zeros(shape)}
    (edges,) = Canny().make(image=torch.rand(1, 30, 30, 3), latent=latent)
    assert edges.shape == (1, 2 * edge, 3 * edge, 3)


@pytest.mark.parametrize("inputs", [{"fit": "squeeze"}, {"resolution": -8}])
def test_a_size_that_came_through_a_link_is_refused_when_it_runs(inputs: dict[str, Any]) -> None:
    ((name, value),) = inputs.items()
    with pytest.raises(UserError, match=f"canny: {name} is .*{value}"):
        Canny().make(image=torch.rand(1, 8, 8, 3), **inputs)


@pytest.mark.parametrize(
    ("node_type", "names"),
    [
        ("ControlStackCanny", ["low_threshold", "high_threshold"]),
        ("ControlStackDrawPose", ["pose_json", "pose_keypoint"]),
        ("ControlStackDepth", ["model", "download"]),
        ("ControlStackHed", ["download"]),
        ("ControlStackTile", []),
    ],
)
def test_a_node_judges_no_more_than_it_has_to(node_type: str, names: list[str]) -> None:
    # ComfyUI repeats a node's sentence for each input that VALIDATE_INPUTS names.
    asked = inspect.getfullargspec(NODES[node_type].VALIDATE_INPUTS)
    assert asked.args == ["cls", *names]
    assert asked.varkw is None
    assert list(inspect.signature(NODES[node_type].VALIDATE_INPUTS).parameters) == names


def test_masked_pixels_stay_minus_one_on_their_way_to_the_net() -> None:
    mask = torch.zeros(1, 8, 8)
    mask[:, 2:4, 5:7] = 1
    image = torch.rand(3, 8, 8, 3)
    (hint,) = NODES["ControlStackInpaint"]().make(image=image, mask=mask)
    assert (hint[:, 2:4, 5:7] == -1).all()
    kept = mask[0] == 0
    assert torch.equal(hint[:, kept], image[:, kept])


def test_a_mask_for_another_number_of_pictures_is_refused() -> None:
    with pytest.raises(UserError, match="3 pictures and 2 masks"):
        NODES["ControlStackInpaint"]().make(image=torch.rand(3, 8, 8, 3), mask=torch.zeros(2, 8, 8))


def test_the_one_node_for_all_gives_each_preprocessor_s_own_hint() -> None:
    image = torch.rand(1, 24, 32, 3)
    any_hint = NODES["ControlStackHint"]
    for name in any_hint.INPUT_TYPES()["required"]["preprocessor"][0]:
        entry = PREPROCESSORS[name]
        if entry.learning is None:
            (expected,) = NODES[entry.node]().make(image=image)
            (got,) = any_hint().make(image=image, preprocessor=name)
            assert torch.equal(got, expected), name
    assert "no preprocessor 'teapot'" in str(any_hint.VALIDATE_INPUTS(preprocessor="teapot"))
