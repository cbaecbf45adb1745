"""Core nodes on pictures, masks, latents and texts: known values.

`tests/comfyui/test_core_nodes_comfy.py` has ComfyUI's own beside them.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground import memory
from controlstack.ground.errors import UserError
from controlstack.headless import expressions
from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.sampling.noise import starting_noise


def run(node_id: str, **inputs: Any) -> Any:
    """The first output of a node."""
    result = CORE_NODES[node_id]().run(**inputs)
    return (result["result"] if isinstance(result, dict) else result)[0]


def dot(size: int = 5) -> Tensor:
    mask = torch.zeros(1, size, size)
    mask[0, size // 2, size // 2] = 1.0
    return mask


def test_size_of_a_batch() -> None:
    assert CORE_NODES["GetImageSize"]().run(image=torch.zeros(2, 30, 40, 3)) == (40, 30, 2)


def test_scaled_to_so_many_pixels() -> None:
    image = torch.rand(1, 100, 200, 3)
    scaled = run("ImageScaleToTotalPixels", image=image, upscale_method="area", megapixels=0.02)
    assert scaled.shape[1:3] == (102, 205)  # 0.02 x 1024 x 1024 = 20971.5 and twice as wide as high
    stepped = run(
        *("ImageScaleToTotalPixels",),
        **{"image": image, "upscale_method": "area", "megapixels": 0.02, "resolution_steps": 64},
    )
    assert stepped.shape[1:3] == (128, 192)


def test_a_grown_dot_is_a_diamond_or_a_square() -> None:
    assert int(run("GrowMask", mask=dot(), expand=1, tapered_corners=True).sum()) == 5
    assert int(run("GrowMask", mask=dot(), expand=1, tapered_corners=False).sum()) == 9
    assert int(run("GrowMask", mask=dot(9), expand=3, tapered_corners=True).sum()) == 25
    grown = run("GrowMask", mask=dot(9), expand=3, tapered_corners=False)
    assert torch.equal(run("GrowMask", mask=grown, expand=-3, tapered_corners=False), dot(9))


def test_a_feathered_mask_falls_linearly() -> None:
    feathered = run("FeatherMask", mask=torch.ones(1, 4, 8), left=4, top=0, right=2, bottom=0)
    assert feathered[0, 0].tolist() == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        *(("multiply", [0.0, 0.5]), ("add", [0.5, 1.0]), ("subtract", [0.0, 0.5])),
        *(("and", [0.0, 0.0]), ("or", [0.0, 1.0]), ("xor", [0.0, 1.0])),
    ],
)
def test_masks_combined(operation: str, expected: list[float]) -> None:
    below, above = torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[0.5, 0.5]]])
    combined = run("MaskComposite", destination=below, source=above, x=0, y=0, operation=operation)
    assert combined[0, 0].tolist() == expected
    assert below.tolist() == [[[0.0, 1.0]]]


def test_what_lies_outside_is_cut_off() -> None:
    below, above = torch.zeros(1, 4, 4, 3), torch.ones(1, 3, 3, 3)
    laid = run(
        "ImageCompositeMasked", destination=below, source=above, x=2, y=3, resize_source=False
    )
    assert laid[0, :, :, 0].nonzero().tolist() == [[3, 2], [3, 3]]
    beyond = run(
        "ImageCompositeMasked", destination=below, source=above, x=9, y=9, resize_source=False
    )
    assert torch.equal(beyond, below)


def test_margins_are_grey_and_their_mask_falls_by_the_square() -> None:
    margins = {"left": 8, "top": 0, "right": 0, "bottom": 0}
    padded, mask = CORE_NODES["ImagePadForOutpaint"]().run(
        image=torch.ones(1, 16, 16, 3), **margins, feathering=4
    )
    assert padded[0, 0, :9, 0].tolist() == [0.5] * 8 + [1.0]
    assert mask[0, 5, 6:14].tolist() == [1.0, 1.0, 1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    _, hard = CORE_NODES["ImagePadForOutpaint"]().run(
        image=torch.ones(1, 16, 16, 3), **margins, feathering=8
    )
    assert hard.sum() == 8 * 16


def test_a_blur_keeps_what_is_even_and_spreads_a_dot() -> None:
    even = torch.full((1, 9, 9, 3), 0.25)
    assert torch.allclose(run("ImageBlur", image=even, blur_radius=2, sigma=1.0), even)
    image = dot(9)[..., None].repeat(1, 1, 1, 3)
    blurred = run("ImageBlur", image=image, blur_radius=1, sigma=1.0)
    # exp(-1/2) beside the middle and exp(-1) at the corners, of 1 + 4 exp(-1/2) + 4 exp(-1)
    assert blurred[0, 4, 3:6, 0].tolist() == pytest.approx([0.1238, 0.2042, 0.1238], abs=1e-4)
    assert float(blurred[0, 3, 3, 0]) == pytest.approx(0.0751, abs=1e-4)
    with pytest.raises(UserError, match="radius of 9 wants a picture larger"):
        run("ImageBlur", image=even, blur_radius=9, sigma=1.0)


def test_sharpening_leaves_what_is_even() -> None:
    even = torch.full((1, 9, 9, 3), 0.25)
    sharp = run("ImageSharpen", image=even, sharpen_radius=2, sigma=1.0, alpha=1.0)
    assert torch.allclose(sharp, even, atol=1e-5)


def test_a_latent_taken_out_keeps_its_noise() -> None:
    latents = {"samples": torch.zeros(4, 4, 2, 2)}
    third = run("LatentFromBatch", samples=latents, batch_index=2, length=1)
    assert third["batch_index"] == [2]
    whole = starting_noise(latents["samples"], 7)
    alone = starting_noise(third["samples"], 7, third["batch_index"])
    assert torch.equal(alone[0], whole[2])
    again = run("RepeatLatentBatch", samples=third, amount=3)
    assert again["batch_index"] == [2, 3, 4]


def test_pictures_of_two_sizes_in_one_batch() -> None:
    both = run("ImageBatch", image1=torch.zeros(1, 8, 8, 3), image2=torch.ones(2, 4, 9, 4))
    assert both.shape == (3, 8, 8, 4)
    assert float(both[0, 0, 0, 3]) == 1.0


def test_a_colour_as_mask() -> None:
    image = torch.tensor([[[[1.0, 0.0, 0.0], [1.0, 0.003, 0.0]]]])
    assert run("ImageColorToMask", image=image, color=0xFF0000).tolist() == [[[1.0, 0.0]]]
    with pytest.raises(UserError, match="no alpha"):
        run("ImageToMask", image=image, channel="alpha")


def test_texts() -> None:
    assert run("StringConcatenate", string_a="a", string_b="b", delimiter=", ") == "a, b"
    assert run("StringSubstring", string="abcdef", start=-3, end=-1) == "de"
    flags = {"case_insensitive": True, "multiline": False, "dotall": False}
    found = run(
        *("RegexExtract",),
        **{"string": "12 cats, 3 dogs", "regex_pattern": r"(\d+) (\w+)", "group_index": 2},
        **{"mode": "All Groups", **flags},
    )
    assert found == "cats\ndogs"
    with pytest.raises(UserError, match="no regular expression"):
        run("RegexMatch", string="a", regex_pattern="(", **flags)
    with pytest.raises(UserError, match="replacement"):
        run("RegexReplace", string="a", regex_pattern="a", replace=r"\9")


@pytest.mark.parametrize(
    ("node", "more"),
    [
        ("RegexMatch", {}),
        ("RegexExtract", {"mode": "All Matches", "group_index": 1}),
        ("RegexReplace", {"replace": "", "count": 0}),
    ],
)
def test_an_expression_that_never_ends(
    node: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expressions, "SECONDS", 0.1)
    flags = {"case_insensitive": True, "multiline": False, "dotall": False}
    with pytest.raises(UserError, match="takes longer"):
        run(node, string="a" * 40 + "b", regex_pattern="(a|a)+$", **more, **flags)


def test_empty_latents_are_counted_with_their_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    # 10 x 16 channels x 16 x 16 numbers of 4 bytes are 164 kB, of which 4 channels are a quarter.
    monkeypatch.setattr(memory, "available", lambda: 100_000)
    size = {"width": 128, "height": 128, "batch_size": 10}
    wide = CORE_NODES["EmptySD3LatentImage"]
    assert "10 latents for 128 x 128 pixels would take 0.2 MB" in str(wide.VALIDATE_INPUTS(**size))
    with pytest.raises(UserError, match="10 latents for 128 x 128"):
        run("EmptySD3LatentImage", **size)
    assert CORE_NODES["EmptyLatentImage"].VALIDATE_INPUTS(**size) is True
