"""comfyui_controlnet_aux's nodes by our own preprocessors.

`tests/comfyui/test_controlnet_aux.py` has that pack's own beside each.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from controlstack.ground.errors import UserError
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow
from controlstack.headless.pack_nodes import PACK_NODES
from controlstack.headless.pack_nodes.aux_around import EVERY
from controlstack.headless.pack_nodes.aux_pictures import padded, pictures, resized
from controlstack.headless.pack_nodes.aux_resize import fitted, thinned
from controlstack.nodes.images import of_picture
from controlstack.preprocessors.registry import PREPROCESSORS
from tests.annotator_files import publish, random_state
from tests.preprocessors.other_packs import AUX
from tests.tiny_depth import tiny_depth_anything

IMAGE = F.interpolate(
    torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)), (100, 140), mode="bicubic"
)
IMAGE = (IMAGE.clamp(0, 1) * 255).round().movedim(1, -1) / 255
IMAGE[:, 30:34] = IMAGE[:, :, 100:103] = 0.0
"""Two pictures of soft blobs with two black strokes."""


def run(node: str, **inputs: Any) -> Any:
    """The first output of one call."""
    return PACK_NODES[node]().run(**inputs)[0]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def own(name: str, resolution: int, **settings: Any) -> list[np.ndarray]:
    """The hints of our preprocessor, of the pictures as that pack looks at them."""
    entry, made = PREPROCESSORS[name], []
    assert entry.run is not None
    for picture in pictures(IMAGE):
        seen, (width, height) = padded(resized(picture, resolution, "cubic"))
        made.append(entry.run(seen, **settings)[:height, :width])
    return made


EXACT: list[tuple[str, dict[str, Any], str, dict[str, Any], bool]] = [
    ("CannyEdgePreprocessor", {}, "canny", {"low_threshold": 100, "high_threshold": 200}, False),
    (
        "LineartStandardPreprocessor",
        {"guassian_sigma": 2.0},
        "lineart_standard",
        {"gaussian_sigma": 2.0, "intensity_threshold": 8},
        False,
    ),
    ("BinaryPreprocessor", {"bin_threshold": 0}, "binary", {"bin_threshold": 0}, True),
    ("ShufflePreprocessor", {"seed": 5}, "shuffle", {"seed": 5}, False),
]


@pytest.mark.parametrize(("node", "given", "entry", "settings", "inverted"), EXACT)
@pytest.mark.parametrize("resolution", [128, 192, 64])
def test_a_hint_is_ours_at_that_pack_s_size(
    node: str, given: Any, entry: str, settings: Any, inverted: bool, resolution: int
) -> None:
    made = run(node, image=IMAGE, resolution=resolution, **given)
    expected = own(entry, resolution, **settings)
    assert made.shape[1:3] == (resolution, round(140 * resolution / 100))
    for hint, ours in zip(made, expected, strict=True):
        assert np.array_equal((hint * 255).byte().numpy(), 255 - ours if inverted else ours)
    assert made.std() > 0


def test_pictures_are_rounded_down_and_alpha_lies_on_white() -> None:
    level = torch.tensor([[[[0.5, 0.2, 1.0, 0.5]]]])
    assert pictures(level[..., :3])[0].tolist() == [[[127, 51, 255]]]
    alpha = 127 / 255
    laid = [int(v * alpha + 255 * (1 - alpha)) for v in (127, 51, 255)]
    assert pictures(level)[0].tolist() == [[laid]]
    with pytest.raises(UserError, match="1 x 2 x 3"):
        pictures(torch.zeros(1, 2, 3))


def test_padding_repeats_the_last_pixels() -> None:
    picture = np.arange(70 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(70, 64, 3)
    whole, size = padded(picture)
    assert size == (64, 70)
    assert whole.shape == (128, 64, 3)
    assert (whole[70:] == picture[69]).all()


def test_recolor_reads_red_as_blue_and_rounds_down() -> None:
    red = torch.zeros(1, 64, 64, 3)
    red[..., 0] = 200 / 255
    blue = red.flip(-1)
    exchanged = run("ImageLuminanceDetector", image=red, resolution=64)
    entry = PREPROCESSORS["recolor_luminance"]
    assert entry.run is not None
    plain = entry.run(pictures(blue)[0], gamma_correction=1.0)
    assert np.array_equal((exchanged[0] * 255).round().byte().numpy(), plain)
    darker = run("ImageIntensityDetector", image=red, gamma_correction=2.0, resolution=64)
    assert (darker * 255).unique().tolist() == [int(255 * (200 / 255) ** 2)]


def test_colours_of_cells_and_doubled_tiles_have_that_pack_s_sizes() -> None:
    colours = run("ColorPreprocessor", image=IMAGE, resolution=128)
    assert colours.shape == (2, 128, 179, 3)
    assert len(colours[0].reshape(-1, 3).unique(dim=0)) == 4
    assert run("TilePreprocessor", image=IMAGE, pyrUp_iters=3).shape == (2, 128, 128, 3)
    with pytest.raises(UserError, match=r"pyrUp_iters is 9, which leaves nothing of .* 140 x 100"):
        run("TilePreprocessor", image=IMAGE, pyrUp_iters=9)


def test_inpaint_takes_a_mask_of_any_size() -> None:
    mask = torch.zeros(1, 10, 14)
    mask[:, :, :7] = 1
    hint = run("InpaintPreprocessor", image=IMAGE, mask=mask)
    assert (hint[:, :, :60] == -1).all()
    assert torch.equal(hint[:, :, 80:], IMAGE[:, :, 80:])
    black = run("InpaintPreprocessor", image=IMAGE, mask=mask, black_pixel_for_xinsir_cn=True)
    assert (black[:, :, :60] == 0).all()
    with pytest.raises(UserError, match="2 pictures and 3 masks"):
        run("InpaintPreprocessor", image=IMAGE, mask=mask.expand(3, -1, -1))


def test_what_differs_is_said_once_a_run(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    prompt = _prompt(place, [("Scribble_XDoG_Preprocessor", {"threshold": n}) for n in (8, 9, 10)])
    registry = default_registry()
    graph = read_workflow(prompt, registry, "test")
    validate(graph, registry)
    for run_number in (1, 2):
        Executor(registry).run(graph)
        words = "Scribble_XDoG_Preprocessor: broad dark lines are filled, and have holes there"
        assert said(caplog).count(words) == run_number


def _prompt(place: Path, nodes: list[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    (place / "input").mkdir()
    Image.effect_noise((64, 48), 90).convert("RGB").save(place / "input" / "photo.png")
    prompt: dict[str, Any] = {"1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}}}
    for number, (kind, inputs) in enumerate(nodes):
        key = f"made {number}"
        prompt[key] = {"class_type": kind, "inputs": {"image": ["1", 0], **inputs}}
        prompt[f"shown {number}"] = {"class_type": "PreviewImage", "inputs": {"images": [key, 0]}}
    return prompt


@pytest.mark.parametrize(
    ("node", "file"),
    [
        ("HEDPreprocessor", "ControlNetHED.pth"),
        ("LineArtPreprocessor", "sk_model.pth"),
        ("M-LSDPreprocessor", "mlsd_large_512_fp32.pth"),
        ("OpenposePreprocessor", "body_pose_model.pth"),
        ("MiDaS-DepthMapPreprocessor", "dpt-hybrid-midas"),
        ("DepthAnythingV2Preprocessor", "Depth-Anything-V2-Large-hf"),
        ("DepthAnythingPreprocessor", "models/controlstack/depth-anything-large-hf"),
    ],
)
def test_a_network_that_is_not_here_is_named_before_anything_runs(
    node: str, file: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place / "hub"))
    registry = default_registry()
    graph = read_workflow(_prompt(place, [(node, {})]), registry, "test")
    with pytest.raises(UserError) as refused:
        validate(graph, registry)
    assert str(refused.value).count("\n") == 0
    assert file in str(refused.value)


def test_networks_look_at_the_padded_picture(models: Path) -> None:
    state = random_state("ControlNetHED.pth")
    publish(models / "lllyasviel" / "Annotators", "ControlNetHED.pth", state)
    safe, smooth = (
        run("HEDPreprocessor", image=IMAGE, safe=safe, resolution=128)
        for safe in ("enable", "disable")
    )
    assert safe.shape == (2, 128, 179, 3)
    assert {round(v * 255) for v in safe.unique().tolist()} <= {0, 127, 255}
    assert len(smooth.unique()) > 10
    drawn = run("FakeScribblePreprocessor", image=IMAGE, safe="enable", resolution=128)
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}


def test_a_smaller_depth_model_stands_in_and_says_so(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_depth_anything(models / "Depth-Anything-V2-Base-hf")
    node = PACK_NODES["DepthAnythingV2Preprocessor"]
    assert node.VALIDATE_INPUTS(ckpt_name="depth_anything_v2_vits.pth") is True
    with caplog.at_level(logging.WARNING, "controlstack"):
        hint = run("DepthAnythingV2Preprocessor", image=IMAGE[:1], resolution=64)
    assert hint.shape == (1, 64, 90, 3)
    words = "Depth-Anything-V2-Large-hf is not here, and Depth-Anything-V2-Base-hf is taken for it"
    assert f"DepthAnythingV2Preprocessor: {words}" in said(caplog)
    giant = node.VALIDATE_INPUTS(ckpt_name="depth_anything_v2_vitg.pth")
    assert giant.startswith("ckpt_name is depth_anything_v2_vitg.pth, whose network is not here")
    assert "has to be one of" in node.VALIDATE_INPUTS(ckpt_name="vit.pth")


def test_people_are_found_and_given_on(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    photo = Path(__file__).parents[2] / "photos" / "park_walk.jpg"
    with Image.open(photo) as opened:
        picture = of_picture(opened.convert("RGB"))
    with caplog.at_level(logging.WARNING, "controlstack"):
        hint, poses = PACK_NODES["DWPreprocessor"]().run(image=picture, resolution=256)
    assert min(hint.shape[1:3]) == 256
    assert hint.std() > 0
    assert poses[0]["people"]
    assert said(caplog) == [
        "DWPreprocessor: people, hands and faces are found by MediaPipe's networks; joints and "
        "limbs have a radius of 2 pixels, by the hint's size; 4 there"
    ]
    again = run("RenderPeopleKps", kps=poses, render_body=True, render_hand=True, render_face=True)
    assert again.shape[1] % 64 == again.shape[2] % 64 == 0  # the canvas is the padded picture
    part = again[:, : hint.shape[1], : hint.shape[2]]
    assert ((part > 0) == (hint > 0)).float().mean() > 0.999
    none = run(
        "RenderPeopleKps", kps=poses, render_body=False, render_hand=False, render_face=False
    )
    assert none.max() == 0


def test_the_menu_of_all_runs_what_there_is(models: Path) -> None:
    node = PACK_NODES["AIO_Preprocessor"]
    assert torch.equal(run("AIO_Preprocessor", image=IMAGE), IMAGE)
    made = run("AIO_Preprocessor", image=IMAGE, preprocessor="ScribblePreprocessor", resolution=64)
    assert torch.equal(made, run("ScribblePreprocessor", image=IMAGE, resolution=64))
    refused = node.VALIDATE_INPUTS(preprocessor="LeReS-DepthMapPreprocessor")
    assert refused.startswith("LeReS-DepthMapPreprocessor has no equal here: ")
    assert "ControlNetHED.pth" in node.VALIDATE_INPUTS(preprocessor="HEDPreprocessor")
    assert "has to be one of: none, Canny" in node.VALIDATE_INPUTS(preprocessor="canny")
    assert {*EVERY[1:]} <= set(AUX)
    assert run("ControlNetPreprocessorSelector", preprocessor="none") == "none"


def test_all_hints_come_with_their_names(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture = F.interpolate(IMAGE[:1].movedim(-1, 1), (256, 256)).movedim(1, -1)
    with caplog.at_level(logging.WARNING, "controlstack"):
        made = run("ExecuteAllControlNetPreprocessors", image=picture, resolution=256)
    assert made.shape[1:] == (256, 256, 3)
    green = (made == torch.tensor([0.0, 1.0, 0.0])).all(-1).flatten(1).any(1)
    assert green[0]
    assert green.float().mean() > 0.9
    (words,) = [words for words in said(caplog) if "without" in words]
    assert "HEDPreprocessor" in words
    assert len(made) >= 10


@pytest.mark.parametrize(
    ("mode", "resolution"),
    [("Just Resize", 512), ("Crop and Resize", 512), ("Resize and Fill", 366)],
)
def test_pixel_perfect_resolution(mode: str, resolution: int) -> None:
    size = {"image_gen_width": 512, "image_gen_height": 512, "resize_mode": mode}
    assert run("PixelPerfectResolution", original_image=IMAGE, **size) == resolution
    enlarged = run("HintImageEnchance", hint_image=IMAGE, **size)
    assert enlarged.shape == (2, 512, 512, 3)


def test_sizes_are_given_on() -> None:
    latent = {"samples": torch.zeros(1, 4, 24, 32)}
    assert PACK_NODES["ImageGenResolutionFromLatent"]().run(latent=latent) == (256, 192)
    assert PACK_NODES["ImageGenResolutionFromImage"]().run(image=IMAGE) == (140, 100)


def test_enlarged_lines_stay_thin_and_flat_colours_unblended() -> None:
    line = np.zeros((64, 64, 3), np.uint8)
    line[np.arange(60), np.arange(60)] = 255
    large = fitted(line, (256, 256), "Just Resize")
    assert set(np.unique(large)) == {0, 255}
    assert large[..., 0].sum(axis=1).max() <= 3 * 255
    assert not thinned(np.full((9, 9), 255, np.uint8), ends=False).all()
    flat = np.zeros((8, 8, 3), np.uint8)
    flat[:4, :4], flat[4:, 4:] = (255, 0, 0), (0, 90, 200)
    assert len(np.unique(fitted(flat, (37, 29), "Just Resize").reshape(-1, 3), axis=0)) == 3


def test_other_line_art_than_anyline_s_own_is_refused() -> None:
    node = PACK_NODES["AnyLineArtPreprocessor_aux"]
    said = node.VALIDATE_INPUTS(merge_with_lineart="manga_line")
    assert said.startswith("merge_with_lineart is manga_line, and has an equal here for lineart_st")


def test_hints_are_not_touched(models: Path) -> None:
    before: Tensor = IMAGE.clone()
    run("CannyEdgePreprocessor", image=IMAGE)
    run("InpaintPreprocessor", image=IMAGE, mask=torch.ones(1, 4, 4))
    assert torch.equal(before, IMAGE)
