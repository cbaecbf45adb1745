"""Core nodes in pieces, for inpainting, of sums, and of plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from controlstack.demo.models import BASE
from controlstack.ground.errors import UserError
from controlstack.headless import folders, host
from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow
from controlstack.headless.models.loading import load_checkpoint
from controlstack.headless.models.tiles import in_tiles
from controlstack.headless.models.vae import Vae
from controlstack.headless.sampling.conditioning import convert, prepare
from tests.tiny import tiny_conditioning, tiny_model, tiny_unet


def run(node: str, **inputs: Any) -> Any:
    """What one call gives: the value, or all of several."""
    result: Any = CORE_NODES[node]().run(**inputs)
    made = result["result"] if isinstance(result, dict) else result
    return made[0] if len(made) == 1 else made


@pytest.fixture(scope="module")
def vae() -> Vae:
    """The demo model's."""
    found = load_checkpoint(BASE)[2]
    assert found is not None
    return found


def picture(height: int, width: int, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    made = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    return made.clamp(0, 1).movedim(1, -1)


TILES = {"tile_size": 64, "overlap": 16, "temporal_size": 64, "temporal_overlap": 8}


def test_a_picture_that_fits_is_in_one_piece(vae: Vae) -> None:
    small = picture(32, 32, 2)
    latent = run("VAEEncode", pixels=small, vae=vae)
    tiled = run("VAEEncodeTiled", pixels=small, vae=vae, **TILES)
    torch.testing.assert_close(tiled["samples"], latent["samples"], rtol=0, atol=1e-5)
    whole = run("VAEDecode", samples=latent, vae=vae)
    pieces = run("VAEDecodeTiled", samples=latent, vae=vae, **TILES)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-5)


def test_pieces_of_a_large_picture_are_nearly_the_whole(vae: Vae) -> None:
    large = picture(160, 208)
    latent = run("VAEEncode", pixels=large, vae=vae)
    tiled = run("VAEEncodeTiled", pixels=large, vae=vae, **TILES)
    assert tiled["samples"].shape == latent["samples"].shape
    assert (tiled["samples"] - latent["samples"]).abs().mean() < 0.1 * latent["samples"].std()
    whole = run("VAEDecode", samples=latent, vae=vae)
    pieces = run("VAEDecodeTiled", samples=latent, vae=vae, **TILES)
    assert pieces.shape == whole.shape == (1, 160, 208, 3)
    assert not torch.equal(pieces, whole)
    assert (pieces - whole).abs().mean() < 0.03
    with pytest.raises(UserError, match="overlap is 32 and tile_size 64"):
        run("VAEEncodeTiled", pixels=large, vae=vae, **{**TILES, "overlap": 32})


def test_a_network_that_sees_one_pixel_is_the_same_in_pieces() -> None:
    whole = torch.rand(1, 2, 50, 70, generator=torch.Generator().manual_seed(1))
    seen: list[tuple[int, ...]] = []

    def network(piece: Tensor) -> Tensor:
        seen.append(tuple(piece.shape[-2:]))
        return piece.repeat_interleave(2, -1).repeat_interleave(2, -2) * 3

    made = in_tiles(network, whole, (32, 40), 8, 2)
    torch.testing.assert_close(made, network(whole), rtol=1e-6, atol=1e-6)
    assert set(seen[:-1]) == {(32, 40), (32, 38), (26, 40), (26, 38)}


def test_inpainting_is_told_to_models_made_for_it(vae: Vae) -> None:
    pixels, mask = picture(64, 64), torch.zeros(1, 32, 32)
    mask[:, :, 16:] = 1
    prompts = {"positive": tiny_conditioning(3), "negative": tiny_conditioning(4)}
    given = {"pixels": pixels, "mask": mask, "vae": vae}
    positive, negative, latent = run("InpaintModelConditioning", **prompts, **given)
    plain = run("VAEEncode", pixels=pixels, vae=vae)
    assert torch.equal(latent["samples"], plain["samples"])
    assert latent["noise_mask"].shape == (1, 1, 64, 64)
    bare = run("InpaintModelConditioning", **prompts, **given, noise_mask=False)[2]
    assert set(bare) == {"samples"}
    model = tiny_model(tiny_unet(in_channels=9)).model
    noise = torch.zeros(2, 4, 8, 8)
    size = noise.shape[-2:]
    old = torch.nn.functional.interpolate(torch.full((2, 4, 1, 1), 7.0), size)
    ready, _ = prepare(model, [convert(positive), convert(negative)], noise, old, None)
    channels = ready[0]["model_conds"]["c_concat"]
    assert channels.shape == (2, 5, 8, 8)
    assert torch.equal(channels[:, 0, :, 5:], torch.ones(2, 8, 3))
    assert torch.equal(channels[:, 0, :, :3], torch.zeros(2, 8, 3))
    told = model.process_latent_in(positive[0][1]["concat_latent_image"])
    assert torch.allclose(channels[:1, 1:], told)
    untold, _ = prepare(model, [*map(convert, prompts.values())], noise, old, None)
    assert not torch.equal(untold[0]["model_conds"]["c_concat"], channels)
    four = tiny_model().model
    ignored, _ = prepare(four, [convert(positive), convert(negative)], noise, old, None)
    assert "c_concat" not in ignored[0]["model_conds"]


def test_an_inpainting_batch_of_any_size_gets_pictures_and_masks_spread_over_it(vae: Vae) -> None:
    pixels = torch.cat([picture(64, 64), 1 - picture(64, 64)])
    masks = torch.zeros(2, 64, 64)
    masks[0, :, 32:], masks[1, 32:] = 1, 1
    model = tiny_model(tiny_unet(in_channels=9)).model
    sides = {"positive": tiny_conditioning(3), "negative": tiny_conditioning(4)}

    def channels(pictures: int, masked: int, rows: int) -> Tensor:
        given = {"pixels": pixels[:pictures], "mask": masks[:masked], "vae": vae}
        told = run("InpaintModelConditioning", **sides, **given)[:2]
        noise = torch.zeros(rows, 4, 8, 8)
        ready, _ = prepare(model, [*map(convert, told)], noise, noise, None)
        found: Tensor = ready[0]["model_conds"]["c_concat"]
        return found

    assert torch.equal(channels(1, 1, 3), channels(1, 1, 1).expand(3, -1, -1, -1))
    both = channels(2, 2, 2)
    assert not torch.equal(both[0], both[1])
    # The first begins where half of the rows are not yet passed: `resize_to_batch_size`.
    assert torch.equal(channels(2, 2, 5), both[[0, 0, 1, 1, 1]])
    assert torch.equal(channels(2, 1, 4)[:, 1:], channels(2, 1, 2)[[0, 0, 1, 1], 1:])
    assert torch.equal(channels(2, 2, 1), both[:1])
    for node, more in (
        ("InpaintModelConditioning", sides),
        ("VAEEncodeForInpaint", {"grow_mask_by": 0}),
    ):
        three = pixels[[0, 1, 0]]
        with pytest.raises(UserError, match="there are 2 masks for 3 pictures"):
            run(node, pixels=three, mask=masks, vae=vae, **more)


def test_a_grey_mask_opens_step_by_step() -> None:
    model = tiny_model()
    mask = torch.tensor([0.0, 0.3, 0.7, 1.0]).repeat_interleave(2).expand(1, 1, 8, 8)
    source = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    latent = {"samples": source, "noise_mask": mask.clone()}
    given = {"seed": 3, "steps": 6, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal"}
    given |= {"positive": tiny_conditioning(3), "negative": tiny_conditioning(4), "denoise": 1.0}
    made = {}
    for strength in (None, 1.0, 0.5):
        patched = model
        if strength is not None:
            patched = run("DifferentialDiffusion", model=model, strength=strength)
        made[strength] = run("KSampler", model=patched, latent_image=latent, **given)["samples"]
    assert not torch.allclose(made[1.0], made[None])
    assert not torch.allclose(made[1.0], made[0.5])
    moved = (made[1.0] - source).abs().mean((0, 1, 2))
    # In the last step all is open, as in the core: what is black moves by that step alone.
    assert moved[:2].max() < 0.3 * moved[6:].min()


def test_latents_are_added_and_mixed() -> None:
    one, other = ({"samples": torch.full((2, 4, 4, 4), value)} for value in (3.0, 1.0))
    small = {"samples": torch.ones(1, 4, 2, 2)}
    assert (run("LatentAdd", samples1=one, samples2=small)["samples"] == 4).all()
    assert (run("LatentSubtract", samples1=one, samples2=other)["samples"] == 2).all()
    assert (run("LatentMultiply", samples=one, multiplier=-0.5)["samples"] == -1.5).all()
    mixed = run("LatentInterpolate", samples1=one, samples2=other, ratio=0.25)["samples"]
    torch.testing.assert_close(mixed, torch.full((2, 4, 4, 4), 1.5))
    with pytest.raises(UserError, match="4 and 16 channels"):
        run("LatentAdd", samples1=one, samples2={"samples": torch.ones(1, 16, 4, 4)})


def test_a_region_is_one_value() -> None:
    image = picture(20, 30)
    box = {"x": 3, "y": 5, "width": 10, "height": 4}
    cut = run("ImageCropV2", image=image, crop_region=box)
    assert torch.equal(cut, image[:, 5:9, 3:13])
    for wrong in ({"x": "a"}, [1, 2], {"width": 0}, {"x": -1}):
        with pytest.raises(UserError, match="crop_region is"):
            run("ImageCropV2", image=image, crop_region=wrong)


def test_a_switch_makes_one_side_alone(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "dark.png")
    places = folders.Folders((tmp_path,), (tmp_path,), tmp_path, tmp_path / "temp")
    prompt: dict[str, Any] = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "dark.png"}},
        "2": {"class_type": "LoadImageOutput", "inputs": {"image": "dark.png [output]"}},
        "3": {
            "class_type": "ComfySwitchNode",
            "inputs": {"switch": True, "on_false": ["1", 0], "on_true": ["2", 0]},
        },
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
        "5": {"class_type": "PreviewAny", "inputs": {"source": ["3", 0]}},
    }
    registry = default_registry()
    with host.use(places):
        graph = read_workflow(prompt, registry, "test")
        validate(graph, registry)
        results = Executor(registry).run(graph)
    assert "1" not in results.outputs
    assert results.value("4").shape == (1, 8, 8, 3)
    assert results.ui["5"]["text"][0].startswith("tensor(")
