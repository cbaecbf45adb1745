"""What each ControlNet was trained on, for every preprocessor there is: a wrong convention ruins
pictures without an error.

CONVENTIONS is typed from the published networks' own pages and demonstrations, not taken from the
entries. Each hint is made as a node makes it, IMAGE in and IMAGE out; a learned one by a network
that sees darkness (`tests.passing_networks`). What needs a scene of its own is held beside its
module: colours that networks are given (`learned/test_annotators.py`), the palette
(`test_labels.py`), slopes (`test_normal.py`), readings of depth (`learned/test_depth.py`), limbs
and styles (`pose/test_body.py`), the neck (`learned/test_coco.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from controlstack.ground.parameters import Value
from controlstack.nodes import images
from controlstack.nodes.hints import NODE_CLASS_MAPPINGS as NODES
from controlstack.preprocessors.making import Loaded, Sizing, make
from controlstack.preprocessors.registry import PREPROCESSORS
from controlstack.preprocessors.spec import Preprocessor
from tests import passing_networks

Kind = Literal[
    "white lines", "soft white lines", "grey", "colours", "picture", "masked", "pose", "faces"
]
"""What a hint looks like:

    white lines       1 on 0 and nothing between, in three equal channels
    soft white lines  from 0, the ground, to lighter, in three equal channels
    grey              all levels, in three equal channels
    colours           colours with a meaning, never mixed
    picture           the picture's own colours
    masked            the picture with a value of its own where it is masked
    pose              skeletons on black
    faces             outlines of faces in colours on black: mediapipe/test_face_mesh.py
"""


@dataclass(frozen=True)
class Convention:
    """`net` is a ControlNet that was trained on such hints, by the name of its published file.
    `nearest`: resized without blending."""

    kind: Kind
    net: str
    nearest: bool = False


SOFT_EDGE = "control_v11p_sd15_softedge"
SCRIBBLE = "control_v11p_sd15_scribble"
LINEART = "control_v11p_sd15_lineart"
RECOLOR = "ioclab_sd15_recolor"
OPENPOSE = "control_v11p_sd15_openpose"
SEGMENTATION = "control_v11p_sd15_seg"
NORMAL = "control_v11p_sd15_normalbae"

CONVENTIONS = {
    "canny": Convention("white lines", "control_v11p_sd15_canny", nearest=True),
    "scribble": Convention("white lines", SCRIBBLE, nearest=True),
    "scribble_xdog": Convention("white lines", SCRIBBLE, nearest=True),
    "hed_scribble": Convention("white lines", SCRIBBLE, nearest=True),
    "pidinet_scribble": Convention("white lines", SCRIBBLE, nearest=True),
    "binary": Convention("white lines", SCRIBBLE, nearest=True),
    "mlsd": Convention("white lines", "control_v11p_sd15_mlsd", nearest=True),
    "hed": Convention("soft white lines", SOFT_EDGE),
    "pidinet": Convention("soft white lines", SOFT_EDGE),
    "teed": Convention("soft white lines", SOFT_EDGE),
    "anyline": Convention("soft white lines", "mistoLine_fp16"),
    "lineart": Convention("soft white lines", LINEART),
    "lineart_standard": Convention("soft white lines", LINEART),
    "lineart_anime": Convention("soft white lines", "control_v11p_sd15s2_lineart_anime"),
    "invert": Convention("soft white lines", LINEART),
    "depth": Convention("grey", "control_v11f1p_sd15_depth"),
    "recolor_luminance": Convention("grey", RECOLOR),
    "recolor_intensity": Convention("grey", RECOLOR),
    "normal_bae": Convention("colours", NORMAL),
    "normal_from_depth": Convention("colours", NORMAL),
    "seg_ade20k": Convention("colours", SEGMENTATION, nearest=True),
    "seg_labels": Convention("colours", SEGMENTATION, nearest=True),
    "tile": Convention("picture", "control_v11f1e_sd15_tile"),
    "blur": Convention("picture", "control_v11f1e_sd15_tile"),
    "shuffle": Convention("picture", "control_v11e_sd15_shuffle"),
    "color_palette": Convention("picture", "t2iadapter_color_sd14v1", nearest=True),
    "inpaint": Convention("masked", "control_v11p_sd15_inpaint"),
    "inpaint_black": Convention("masked", "controlnet-union-sdxl-1.0"),
    "mediapipe_face": Convention("faces", "control_v2p_sd15_mediapipe_face", nearest=True),
    "pose": Convention("pose", OPENPOSE, nearest=True),
    "pose_body": Convention("pose", OPENPOSE, nearest=True),
    "pose_openpose": Convention("pose", OPENPOSE, nearest=True),
    "pose_vitpose": Convention("pose", OPENPOSE, nearest=True),
}

SQUARE = (slice(32, 80), slice(64, 96))
"""Rows and columns that are dark, masked, near, and of another class, in 128 x 160."""
LIGHT, DARK = (255, 255, 255), (0, 0, 0)
SKY, PERSON = 2, 12
COLOURS = {SKY: (6, 230, 230), PERSON: (150, 5, 61)}
"""https://github.com/open-mmlab/mmsegmentation/blob/main/mmseg/datasets/ade.py"""


def of_kind(*kinds: Kind) -> list[str]:
    """The names of the preprocessors whose hints are of these kinds."""
    return [name for name, convention in CONVENTIONS.items() if convention.kind in kinds]


def hint_of(
    name: str, sizing: Sizing | None = None, image: Tensor | None = None, **settings: Value
) -> Tensor:
    """The hint (H, W, 3) of the scene, or of IMAGE, as Add ControlNet is given it."""
    entry = PREPROCESSORS[name]
    scene, mask = _scene(entry)
    image = scene if image is None else image
    (source,) = images.sources(entry.takes, image, mask)
    loaded = None
    if entry.learning is not None:
        loaded = Loaded(passing_networks.annotator(name), torch.device("cpu"))
    made = make(entry, source, entry.settings(settings), sizing or Sizing(), loaded)
    return images.image_of([made.hint])[0]


def _scene(entry: Preprocessor) -> tuple[Tensor, Tensor]:
    """IMAGE and MASK of one picture."""
    inside = np.zeros((128, 160), bool)
    inside[SQUARE] = True
    light, dark = LIGHT, DARK
    if entry.takes == "depth":
        light, dark = (77,) * 3, (230,) * 3
    elif entry.takes == "labels":
        light, dark = (SKY,) * 3, (PERSON,) * 3
    picture = np.where(inside[:, :, None], np.uint8(dark), np.uint8(light))
    return torch.from_numpy(picture)[None] / 255, torch.from_numpy(inside)[None].float()


def ground(hint: Tensor) -> Tensor:
    """What lies well away from the square."""
    away = torch.ones(hint.shape[:2], dtype=torch.bool)
    away[16:96, 48:112] = False
    return hint[away]


def levels(hint: Tensor) -> list[float]:
    return hint.unique().tolist()


def test_every_preprocessor_has_its_convention_here() -> None:
    """A new one comes with the name of the ControlNet that was trained on its hints."""
    assert PREPROCESSORS.keys() == CONVENTIONS.keys()


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_preprocessor_is_offered_for_the_net_that_was_trained_on_it(name: str) -> None:
    convention, entry = CONVENTIONS[name], PREPROCESSORS[name]
    assert convention.net in entry.controls
    assert entry.drawn == convention.nearest


@pytest.mark.parametrize(
    "name", [name for name in CONVENTIONS if name not in of_kind("pose", "faces")]
)
def test_a_hint_is_rgb_in_0_to_1(name: str) -> None:
    hint = hint_of(name)
    assert hint.dtype == torch.float32
    assert hint.shape == (128, 160, 3)
    assert hint.min() >= (-1 if name == "inpaint" else 0)
    assert hint.max() <= 1
    assert hint.max() > 0.3


@pytest.mark.parametrize("name", of_kind("white lines", "soft white lines"))
def test_lines_are_white_and_the_ground_is_black(name: str) -> None:
    hint = hint_of(name)
    assert not (ground(hint) > 2 / 255).any()  # the foot of a sigmoid
    assert hint[SQUARE].max() > 0.4
    assert torch.equal(hint, hint[..., :1].expand_as(hint)), "the channels are equal"


@pytest.mark.parametrize("name", of_kind("white lines"))
@pytest.mark.parametrize("resolution", [0, 96, 200])
def test_drawn_lines_have_nothing_between_black_and_white(name: str, resolution: int) -> None:
    """Also where the network looks at another size and the hint is resized."""
    sizing = Sizing((216, 136), "fit", resolution)
    assert levels(hint_of(name, sizing)) == [0.0, 1.0]


def test_m_lsd_s_lines_are_one_pixel_wide() -> None:
    hint = hint_of("mlsd")[..., 0]
    assert hint.sum(dim=0).max() == 1
    assert hint.sum(dim=1).max() > 20


@pytest.mark.parametrize("name", ["lineart", "lineart_anime"])
def test_line_art_is_the_inverse_of_what_its_network_draws(name: str) -> None:
    """The stand-in draws the square in black on white paper, as those networks do."""
    hint = hint_of(name)
    assert hint[SQUARE].min() > 0.85
    assert ground(hint).max() < 0.15


@pytest.mark.parametrize("name", ["hed", "pidinet"])
def test_safe_edges_have_three_levels(name: str) -> None:
    picture = torch.linspace(0, 1, 160).view(1, 1, 160, 1).expand(1, 8, 160, 3)
    hint = hint_of(name, image=picture, safe=True)
    assert set(hint.mul(255).round().int().unique().tolist()) == {0, 127, 255}


def test_near_is_white_over_the_whole_range() -> None:
    hint = hint_of("depth")  # the stand-in sees the dark square as near
    assert (hint.min(), hint.max()) == (0, 1)
    assert hint[SQUARE].mean() > 0.9
    assert ground(hint).max() < 0.1


@pytest.mark.parametrize(
    ("name", "settings"),
    [("normal_bae", {}), ("normal_from_depth", {}), ("normal_from_depth", {"axes": "v1.0"})],
)
def test_a_surface_that_faces_the_viewer_is_blue_today_and_was_red_in_1_0(
    name: str, settings: dict[str, Value]
) -> None:
    front = 0 if settings else 2
    flat = ground(hint_of(name, **settings))
    assert flat[:, front].min() > 0.95
    for other in {0, 1, 2} - {front}:
        assert (flat[:, other] - 0.5).abs().max() < 0.05


def test_what_faces_left_is_red_today_and_was_blue_in_1_0() -> None:
    """BAE's stand-in says that the square faces left; the near square's left edge does."""
    assert hint_of("normal_bae")[56, 80].tolist() == pytest.approx([1, 0.5, 0.5], abs=0.01)
    for axes, left in (("v1.1", 0), ("v1.0", 2)):
        hint = hint_of("normal_from_depth", axes=axes)
        assert hint[56, 64, left] > 0.9
        assert hint[56, 95, left] < 0.1
        assert hint[32, 80, 1] > 0.9, "its upper edge faces the top: green"
        assert hint[79, 80, 1] < 0.1


@pytest.mark.parametrize("name", ["seg_ade20k", "seg_labels"])
@pytest.mark.parametrize("sizing", [Sizing(), Sizing((216, 136), "fit"), Sizing((61, 47))])
def test_classes_have_the_palette_s_colours_and_no_mixture_of_them(
    name: str, sizing: Sizing
) -> None:
    hint = hint_of(name, sizing).mul(255).round().int()
    found = {tuple(colour) for colour in hint.reshape(-1, 3).unique(dim=0).tolist()}
    bars = {(0, 0, 0)} if sizing.fit == "fit" else set()
    assert found == {*COLOURS.values(), *bars}


def test_a_square_of_a_class_has_its_colour() -> None:
    for name in ("seg_ade20k", "seg_labels"):
        hint = hint_of(name).mul(255).round().int()
        assert tuple(hint[56, 80].tolist()) == COLOURS[PERSON]
        assert tuple(hint[8, 8].tolist()) == COLOURS[SKY]


def test_the_tile_s_picture_is_the_picture() -> None:
    image, _ = _scene(PREPROCESSORS["tile"])
    assert torch.equal(hint_of("tile"), image[0])


def test_shuffle_is_the_seed_s() -> None:
    assert torch.equal(hint_of("shuffle", seed=5), hint_of("shuffle", seed=5))
    assert not torch.equal(hint_of("shuffle", seed=5), hint_of("shuffle", seed=6))


def test_shuffle_is_known_to_the_core_by_its_net_s_name() -> None:
    """The core averages a control's residuals over the picture where the file has `_shuffle`."""
    assert "_shuffle" in CONVENTIONS["shuffle"].net
    assert "_shuffle" in PREPROCESSORS["shuffle"].controls


def test_masked_pixels_are_minus_one_or_black_and_the_others_the_picture_s() -> None:
    for name, value in (("inpaint", -1.0), ("inpaint_black", 0.0)):
        image, mask = _scene(PREPROCESSORS[name])
        hint, masked = hint_of(name), mask[0] > 0.5
        assert levels(hint[masked]) == [value]
        assert torch.equal(hint[~masked], image[0][~masked])
        bars = hint_of(name, Sizing((160, 160), "fit"))[:16]
        assert levels(bars) == [value], "what lies beside the picture is to be painted too"


@pytest.mark.parametrize("name", ["recolor_luminance", "recolor_intensity"])
def test_recolor_leaves_the_lightness_alone(name: str) -> None:
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]).view(1, 1, 3, 3)
    hint = hint_of(name, image=colours)
    assert torch.equal(hint, hint[..., :1].expand_as(hint))
    lightness = hint[0, :, 0].tolist()
    if name == "recolor_intensity":
        assert lightness == [1, 1, 1]
    else:  # L* of sRGB's primaries: https://en.wikipedia.org/wiki/CIELAB_color_space
        assert lightness == pytest.approx([0.532, 0.877, 0.323], abs=0.005)


def test_the_colour_palette_is_flat_in_cells_of_64_pixels() -> None:
    hint = hint_of("color_palette", Sizing((128, 128), "stretch"))
    for rows in (slice(0, 64), slice(64, 128)):
        for columns in (slice(0, 64), slice(64, 128)):
            assert len(hint[rows, columns].reshape(-1, 3).unique(dim=0)) == 1


@pytest.mark.parametrize("name", of_kind("pose"))
def test_people_are_drawn_for_openpose_1_1_by_default(name: str) -> None:
    settings = PREPROCESSORS[name].settings({})
    assert settings["style"] == "v1.1"
    assert settings["scale_sticks"] is False


def test_a_limb_is_dark_and_lies_under_its_bright_joints() -> None:
    """The first limb of the table, from the neck to the right shoulder: 0.6 of red."""
    points = [64, 20, 1, 64, 60, 1, 20, 60, 1, *[0] * 45]
    pose = {
        "people": [{"pose_keypoints_2d": points}],
        "canvas_width": 128,
        "canvas_height": 96,
    }
    size = {"width": 128, "height": 96}
    made = NODES["ControlStackDrawPose"]().make(pose_json=json.dumps(pose), **size)
    hint, _ = made["result"]
    pixels = hint[0].mul(255).round().int()
    limb, nose, neck, shoulder, nothing = pixels[[60, 20, 60, 60, 90], [42, 64, 64, 20, 5]].tolist()
    assert limb == [153, 0, 0]
    assert (nose, neck, shoulder) == ([255, 0, 0], [255, 85, 0], [255, 170, 0])
    assert nothing == [0, 0, 0]
