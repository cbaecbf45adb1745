"""The locked model of a training run: from every form it lies in, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.models import loading
from controlstack.headless.models.clip import Clip
from controlstack.headless.models.encoders import ModelEncoders
from controlstack.headless.training_base import base_of, load_base, load_unet
from controlstack.training.base import Base, Encoders
from tests.headless.models.tiny_files import (
    checkpoint_tensors,
    save_control_net,
    save_pipeline,
    sd_clip,
    sd_unet,
    sd_vae,
    seeded,
    tiny_taesd,
)
from tests.tiny import tiny_clip, tiny_unet


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "sd.safetensors"
    save_file(checkpoint_tensors(sd_unet(), sd_vae(), sd_clip()), path)
    return path


def encoders(base: Base) -> Encoders:
    assert base.encoders is not None
    return base.encoders


def same(first: Any, second: Any) -> bool:
    theirs = second.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in first.state_dict().items())


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def ddpm(steps: int = 1000, start: float = 0.00085, end: float = 0.012) -> Tensor:
    """Stable Diffusion's cumulative alphas, as its configuration has them."""
    betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float()


# Where a base comes from


def test_a_pipeline_folder_is_taken_whole(pipeline: Path) -> None:
    base = load_base(pipeline)
    assert same(base.unet, tiny_unet())
    assert (base.name, base.prediction, str(base.device)) == ("model", "epsilon", "cpu")
    torch.testing.assert_close(base.alphas, ddpm(), rtol=1e-5, atol=1e-7)
    assert not any(parameter.requires_grad for parameter in base.unet.parameters())


def test_a_unet_folder_takes_what_lies_beside_it(pipeline: Path) -> None:
    base, whole = load_base(pipeline / "unet"), load_base(pipeline)
    assert same(base.unet, whole.unet)
    assert encoders(base).fingerprint == encoders(whole).fingerprint


def test_a_unet_folder_alone_takes_the_encoders_that_are_given(
    pipeline: Path, tmp_path: Path
) -> None:
    alone = shutil.copytree(pipeline / "unet", tmp_path / "alone")
    base = load_base(alone, pipeline / "text_encoder", pipeline / "vae")
    assert encoders(base).fingerprint == encoders(load_base(pipeline)).fingerprint
    assert same(load_unet(alone), base.unet)


def test_a_single_file_and_a_unet_file(checkpoint: Path, pipeline: Path, tmp_path: Path) -> None:
    whole = load_base(checkpoint)
    assert same(whole.unet, sd_unet())
    assert encoders(whole).words(["a"]).shape == (1, 77, 64)
    tensors = load_file(checkpoint)
    for name, prefix in (("unet", "model.diffusion_model."), ("vae", "first_stage_model.")):
        part = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        save_file(part, tmp_path / f"{name}.safetensors")
    clip = "cond_stage_model.transformer."
    text = {k.removeprefix(clip): v for k, v in tensors.items() if k.startswith(clip)}
    save_file(text, tmp_path / "text.safetensors")
    parts = [tmp_path / f"{name}.safetensors" for name in ("unet", "text", "vae")]
    apart = load_base(*parts)
    assert same(apart.unet, whole.unet)
    assert encoders(apart).fingerprint == encoders(whole).fingerprint


def test_a_given_vae_takes_the_place_of_the_model_s_own(pipeline: Path, tmp_path: Path) -> None:
    tiny_taesd().save_pretrained(tmp_path / "taesd")
    base = load_base(pipeline, vae=tmp_path / "taesd")
    assert encoders(base).fingerprint != encoders(load_base(pipeline)).fingerprint


def test_v_prediction_and_its_schedule_come_from_the_scheduler(
    pipeline: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(pipeline, tmp_path / "v")
    file = folder / "scheduler" / "scheduler_config.json"
    config = json.loads(file.read_text()) | {"prediction_type": "v_prediction", "beta_end": 0.02}
    file.write_text(json.dumps(config))
    base = load_base(folder)
    assert base.prediction == "v_prediction"
    torch.testing.assert_close(base.alphas, ddpm(end=0.02), rtol=1e-5, atol=1e-7)


# What it computes


@pytest.mark.parametrize("step", [0, 500, 999])
def test_its_unet_predicts_what_the_model_on_the_graph_does(pipeline: Path, step: int) -> None:
    model, clip, vae = loading.load_checkpoint(pipeline)
    base = base_of(model, clip, vae, "model")
    noisy, words = random(2, 4, 8, 8), random(2, 77, 16)
    alpha = float(base.alphas[step])
    predicted = base.unet(noisy, torch.full((2,), step), words, return_dict=False)[0]
    picture = noisy - (1 - alpha) ** 0.5 * predicted  # sqrt(alpha) x0
    sigma = model.model.model_sampling.sigmas[step].expand(2)
    carried = noisy / alpha**0.5  # x0 + sigma noise
    denoised = model.model.apply_model(carried, sigma, c_crossattn=words)
    torch.testing.assert_close(alpha**0.5 * denoised, picture, rtol=1e-4, atol=1e-5)


def test_words_are_the_conditioning_of_a_plain_prompt(pipeline: Path) -> None:
    _, clip, _ = loading.load_checkpoint(pipeline)
    prompts = ["", "a red ball", "a long prompt " * 20]
    words = encoders(load_base(pipeline)).words(prompts)
    assert words.shape == (3, 77, 16)
    assert encoders(load_base(pipeline)).sizes == (4, 77, 16)
    assert encoders(load_base(pipeline)).tokens(prompts)[0] == 0
    for row, prompt in zip(words, prompts, strict=True):
        conditioning = clip.encode(prompt)[0][0]
        torch.testing.assert_close(row, conditioning[0, :77])


def test_parentheses_and_embedding_are_text(pipeline: Path) -> None:
    _, clip, _ = loading.load_checkpoint(pipeline)
    words = encoders(load_base(pipeline)).words(["a (b:1.5)", "embedding:x"])
    torch.testing.assert_close(words[0], clip.encode(r"a \(b:1.5\)")[0][0][0])
    assert not torch.equal(words[0], words[1])


def test_the_layer_of_the_clip_is_respected(pipeline: Path) -> None:
    model, clip, vae = loading.load_checkpoint(pipeline)
    skipping = clip.clone()
    skipping.clip_layer(-2)
    base, plain = base_of(model, skipping, vae, "m"), base_of(model, clip, vae, "m")
    torch.testing.assert_close(encoders(base).words(["a"]), skipping.encode("a")[0][0])
    assert encoders(base).fingerprint != encoders(plain).fingerprint


def test_moments_are_the_posterior_s_in_the_unet_s_scale(pipeline: Path) -> None:
    from diffusers import AutoencoderKL

    reference = AutoencoderKL.from_pretrained(pipeline / "vae").eval()
    pictures = random(2, 3, 32, 48).clamp(-1, 1)
    with torch.no_grad():
        posterior = reference.encode(pictures).latent_dist
    mean, deviation = encoders(load_base(pipeline)).moments(pictures)
    assert mean.shape == (2, 4, 4, 6)
    torch.testing.assert_close(mean, 0.18215 * posterior.mean, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(deviation, 0.18215 * posterior.std, rtol=1e-5, atol=1e-7)


def test_latents_go_back_to_pictures(pipeline: Path) -> None:
    from diffusers import AutoencoderKL

    reference = AutoencoderKL.from_pretrained(pipeline / "vae").eval()
    latents = random(1, 4, 4, 4)
    with torch.no_grad():
        decoded = reference.decode(latents / 0.18215).sample
    pictures = encoders(load_base(pipeline)).pictures(latents)
    torch.testing.assert_close(pictures, (decoded / 2 + 0.5).clamp(0, 1), rtol=1e-4, atol=1e-5)


def test_an_approximate_vae_has_one_latent(pipeline: Path, tmp_path: Path) -> None:
    taesd = tiny_taesd()
    taesd.save_pretrained(tmp_path / "taesd")
    pictures = random(1, 3, 32, 32).clamp(-1, 1)
    mean, deviation = encoders(load_base(pipeline, vae=tmp_path / "taesd")).moments(pictures)
    # Its scaling factor is 1: what it gives is in the U-Net's scale already.
    torch.testing.assert_close(mean, taesd.encode(pictures).latents, rtol=1e-5, atol=1e-6)
    assert torch.equal(deviation, torch.zeros_like(mean))


def test_the_fingerprint_is_that_of_the_encoders_weights(pipeline: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(pipeline, tmp_path / "changed")
    told = encoders(load_base(pipeline)).fingerprint
    tiny_unet(seed=9).save_pretrained(folder / "unet")
    assert encoders(load_base(folder)).fingerprint == told
    seeded(lambda: tiny_clip(seed=9)[1]).save_pretrained(folder / "text_encoder")
    assert encoders(load_base(folder)).fingerprint != told


# What is refused


def said(path: Path, *others: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_base(path, *others)
    words = str(caught.value)
    assert "\n" not in words
    assert str((others or (path,))[-1]) in words
    return words


def tensors(path: Path, *names: str) -> Path:
    save_file({name: torch.zeros(1) for name in names}, path)
    return path


def test_files_of_other_kinds_are_named(tmp_path: Path) -> None:
    lora = tensors(tmp_path / "l.safetensors", "lora_unet_x.lora_up.weight")
    assert "a LoRA, not a diffusion model" in said(lora)
    net = tensors(tmp_path / "c.safetensors", "zero_convs.0.0.weight", "input_hint_block.0.weight")
    assert "a ControlNet, not a diffusion model" in said(net)
    (tmp_path / "notes.txt").write_text("Not a model. " * 20)
    assert "no safetensors file" in said(tmp_path / "notes.txt")


def test_folders_of_other_kinds_are_named(pipeline: Path, tmp_path: Path) -> None:
    assert "ControlNetModel where a UNet2DConditionModel" in said(save_control_net(tmp_path / "c"))
    assert "AutoencoderKL where a UNet2DConditionModel" in said(pipeline / "vae")
    (tmp_path / "empty").mkdir()
    assert "neither model_index.json" in said(tmp_path / "empty")


def test_what_is_missing_is_said(pipeline: Path, tmp_path: Path) -> None:
    assert "is not there" in said(tmp_path / "gone.safetensors")
    alone = shutil.copytree(pipeline / "unet", tmp_path / "alone")
    assert "no text encoder and no VAE" in said(alone)
    with pytest.raises(UserError, match="has no VAE"):
        load_base(alone, pipeline / "text_encoder")
    assert "not a CLIP text encoder" in said(pipeline, tensors(tmp_path / "v.safetensors", "x.y"))


def test_encoders_of_another_model_are_refused(
    pipeline: Path, checkpoint: Path, tmp_path: Path
) -> None:
    _, wide = tiny_clip()
    wide.save_pretrained(tmp_path / "text_encoder")
    shutil.copytree(pipeline / "tokenizer", tmp_path / "tokenizer")
    with pytest.raises(UserError, match=r"gives texts 16 wide and sd.safetensors reads 64"):
        load_base(checkpoint, tmp_path / "text_encoder")


def test_the_text_encoders_of_another_family_are_refused(pipeline: Path) -> None:
    """SDXL's two together are wider than the first of them, which alone would fit."""
    model, clip, vae = loading.load_checkpoint(pipeline)
    both = Clip(*clip.encoders, *clip.encoders)
    with pytest.raises(UserError, match=r"gives texts 32 wide and sd reads 16: give the text enc"):
        base_of(model, both, vae, "sd")
    assert ModelEncoders(both, vae, 1.0).sizes == (4, 77, 32)
    assert encoders(base_of(model, clip, vae, "sd")).sizes == (4, 77, 16)


def test_an_inpainting_model_is_refused(tmp_path: Path, pipeline: Path) -> None:
    folder = shutil.copytree(pipeline, tmp_path / "inpainting")
    tiny_unet(in_channels=9).save_pretrained(folder / "unet")
    with pytest.raises(UserError, match=r"^inpainting: .* 9 channels"):
        load_base(folder)


def test_a_model_with_a_wrapper_is_refused(pipeline: Path) -> None:
    model, clip, vae = loading.load_checkpoint(pipeline)
    model = model.clone()
    model.add_wrapper_with_key("apply_model", "a", lambda executor, *given: executor(*given))
    with pytest.raises(UserError, match="apply_model"):
        base_of(model, clip, vae, "sd")


def test_one_encoder_without_the_other_is_refused(pipeline: Path) -> None:
    model, clip, _ = loading.load_checkpoint(pipeline)
    with pytest.raises(UserError, match="sd came without its VAE"):
        base_of(model, clip, None, "sd")
    assert base_of(model, None, None, "sd").encoders is None
