"""Each known cause is named where it is, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from controlstack.inspection.causes import causes
from controlstack.inspection.hint_kinds import kind_of_hint
from controlstack.model_patch.blocks import Blocks
from controlstack.model_patch.control import Control
from controlstack.model_patch.curve import Curve
from controlstack.model_patch.factors import Sides, Span, StepSpan
from controlstack.model_patch.frames import FrameStrengths
from controlstack.model_patch.mask import Mask
from tests.model_patch.measured import measured
from tests.model_patch.recording import SIZE, Numbers, hints

PATTERN = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
LATE = (2.5, 1.25, 0.0)
"""The noise levels of a run of denoise 0.25."""


def kinds(
    sigmas: Any = (10.0, 7.5, 5.0, 2.5, 0.0), hint: Tensor = PATTERN, **given: Any
) -> list[str]:
    """The causes that a run of one control shows."""
    net: Any = given.pop("net", Numbers())
    control = Control(net=net, hint=hint, **given)
    options = {"cond_or_uncond": [0]} if given.get("name") == "cfg 1" else {}
    return [cause.kind for cause in causes(measured((control,), sigmas, **options), 0)]


SPECK = torch.zeros(1, 64, 64)
SPECK[:, 0, 0] = 1.0  # between the places that are looked at when it is made small


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"enabled": False}, "off"),
        ({"strength": 0.0}, "strength"),
        ({"mask": torch.zeros(1, 8, 8)}, "mask"),
        ({"also": (Mask(torch.zeros(1, 8, 8)),)}, "mask"),
        ({"mask": SPECK}, "mask"),
        ({"also": (Mask(torch.zeros(1, 8, 8), span=Span(0.0, 1.0)),)}, "mask"),
        ({"also": (Sides(0.0, 0.0),)}, "sides"),
        ({"also": (Sides(0.0, 1.0),), "name": "cfg 1"}, "sides"),
        ({"also": (FrameStrengths(((0.0, 0.0), (1.0, 0.0), (2.0, 1.0))),)}, "frames"),
        ({"also": (Blocks((("all", 0.0),)),)}, "blocks"),
        ({"also": (Curve(((0.0, 0.0), (1.0, 0.0)), "linear"),)}, "curve"),
        ({"span": StepSpan(2, 2)}, "steps"),
        ({"span": Span(0.6, 0.4)}, "range"),
        ({"span": Span(0.26, 0.3)}, "range"),
        ({"span": Span(0.9, 1.0)}, "range"),
        ({"span": Span(0.0, 0.5), "sigmas": LATE}, "denoise"),
        ({"span": StepSpan(0, 2), "sigmas": LATE}, None),
        ({"strength": 0.5, "mask": torch.ones(1, 8, 8)}, None),
        ({"span": Span(0.0, 0.5)}, None),
        ({}, None),
    ],
)
def test_a_cause_is_named(given: dict[str, Any], kind: str | None) -> None:
    assert kinds(**given) == ([] if kind is None else [kind])


def test_a_net_that_gives_zeros_is_untrained() -> None:
    class Zeros(Numbers):
        def copy(self) -> Numbers:
            return Zeros(self.runs)

        def get_control(self, *given: Any) -> Any:
            made = super().get_control(*given)
            return {group: [0 * one for one in tensors] for group, tensors in made.items()}

    assert kinds(net=Zeros()) == ["weights"]


def test_denoise_says_both_levels_and_what_to_set() -> None:
    record = measured((Control(Numbers(), PATTERN, span=Span(0.0, 0.5)),), LATE)  # type: ignore[arg-type]
    (cause,) = causes(record, 0)

    assert cause.sentence == (
        "its range 0 to 0.5 is over before this run begins, at noise level 2.5 (denoise below 1, "
        "or a part of the steps); set end_percent to 0.75 or more, or raise denoise."
    )


@pytest.mark.parametrize(
    ("value", "kind"), [(0.0, "black hint"), (0.5, "constant hint"), (1.0, "constant hint")]
)
def test_a_hint_without_anything_in_it(value: float, kind: str) -> None:
    assert kinds(hint=hints(value))[-1] == kind  # the host of numbers adds what a hint holds: 0


def lines(inverted: bool = False) -> Tensor:
    import cv2

    drawn = np.zeros((256, 256, 3), np.uint8)
    cv2.circle(drawn, (120, 130), 80, (255,) * 3, 1)
    cv2.rectangle(drawn, (20, 30), (200, 180), (255,) * 3, 1)
    return torch.from_numpy(255 - drawn if inverted else drawn).movedim(-1, 0)[None] / 255


def smooth() -> Tensor:
    ramp = torch.linspace(0, 1, 256)
    return (ramp[:, None] * 0.5 + ramp * 0.5).expand(1, 3, 256, 256)


@pytest.mark.parametrize(
    ("name", "hint", "found"),
    [
        ("control_v11p_sd15_canny.pth", lines(), []),
        ("control_v11p_sd15_canny.pth", lines(inverted=True), ["inverted hint"]),
        ("mistoLine_fp16.safetensors", lines(inverted=True), ["inverted hint"]),
        ("control_v11f1p_sd15_depth.pth", lines(inverted=True), []),
        ("a name.safetensors", lines(inverted=True), []),
        ("canny_and_depth.safetensors", lines(inverted=True), []),
        ("xinsir_union_canny.safetensors", lines(inverted=True), []),
        ("control_v11p_sd15_canny.pth", smooth(), ["wrong hint"]),
        ("control_v11f1p_sd15_depth.pth", lines(), ["wrong hint"]),
        ("control_v11f1p_sd15_depth.pth", smooth(), []),
        ("control_v11p_sd15_openpose.pth", smooth(), ["wrong hint"]),
        ("control_v11f1e_sd15_tile.pth", smooth(), []),
        ("control_v11p_sd15_canny.pth", PATTERN, []),
    ],
)
def test_a_hint_beside_the_nets_name(name: str, hint: Tensor, found: list[str]) -> None:
    assert kinds(hint=hint, name=f"control 1 ({name})") == found


def test_thin_things_of_a_depth_map_are_no_lines() -> None:
    grey = np.zeros((512, 512), np.float32)
    for left, near in zip((60, 180, 300, 420), (0.4, 0.55, 0.7, 0.85), strict=True):
        cv2.rectangle(grey, (left, 80), (left + 15, 460), near, -1)
        cv2.line(grey, (left, 120), (left + 70, 60), near, 8)
    soft = cv2.GaussianBlur(grey, (0, 0), 1.2)
    assert kind_of_hint(np.repeat(soft[..., None], 3, axis=2)) is None


def test_a_union_net_takes_any_hint() -> None:
    net: Any = Numbers()
    net.control_model = torch.nn.Module()
    net.control_model.task_embedding = torch.zeros(6, 1)
    control = Control(net, smooth(), "canny", strength=0.0)
    assert [cause.kind for cause in causes(measured((control,)), 0)] == ["strength"]


def test_no_alarm_on_what_the_pack_draws() -> None:
    from controlstack.demo.scenes import pose_json, sample_scene
    from controlstack.demo.scenes_draw import draw_scene
    from controlstack.inspection.hint_kinds import is_inverted, kind_of_hint
    from controlstack.preprocessors.pose.draw import draw_pose
    from controlstack.preprocessors.pose.people import parse_poses
    from controlstack.preprocessors.registry import PREPROCESSORS

    found: dict[str, list[str | None]] = {}
    for seed in range(4):
        scene = sample_scene(seed, person=True)
        drawn = draw_scene(scene)
        assert scene.person is not None
        (pose,) = parse_poses(json.dumps(pose_json(scene.person)))
        hints = {
            "pose": draw_pose(pose, 128, 128).astype(np.float32) / 255,
            "depth": np.repeat(drawn.depth[..., None], 3, axis=2),
        }
        for name in ("canny", "scribble", "scribble_xdog", "lineart_standard"):
            entry = PREPROCESSORS[name]
            assert entry.run is not None
            made: Any = entry.run(drawn.rgb, **entry.settings({}))
            hints[name] = made.astype(np.float32) / 255
        for name, hint in hints.items():
            assert not is_inverted(hint)
            found.setdefault(name, []).append(kind_of_hint(hint))

    for name, shown in found.items():
        right = PREPROCESSORS[name].shows
        assert set(shown) <= {right, None}, name
        # The thick lines of others fill too much of so small a picture to be sure.
        assert right in shown or name not in ("canny", "pose", "depth"), name


def test_the_latents_size_is_said_where_a_mask_is_too_small() -> None:
    record = measured((Control(Numbers(), PATTERN, mask=SPECK),))  # type: ignore[arg-type]

    assert f"latent of {SIZE} x {SIZE}" in causes(record, 0)[0].sentence
