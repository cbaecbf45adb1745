"""Single files: what shapes tell, what is renamed, and that the numbers arrive."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from controlstack.ground.errors import UserError
from controlstack.headless.models import inspect, layouts, loading
from tests.headless.models.ldm import unet_names, vae_names
from tests.headless.models.tiny_files import (
    checkpoint_tensors,
    sd_clip,
    sd_control_net,
    sd_unet,
    sd_vae,
    tiny_taesd,
)

UNET, VAE, CLIP = sd_unet(), sd_vae(), sd_clip()
NET = sd_control_net(UNET)
INPUTS = (torch.randn(1, 4, 8, 8), torch.tensor([5.0]), torch.randn(1, 77, 64))


def saved(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def equal(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_a_whole_checkpoint_gives_the_three_models_it_was_made_of(tmp_path: Path) -> None:
    path = saved(tmp_path / "sd.safetensors", checkpoint_tensors(UNET, VAE, CLIP))
    inspect.check(path, "checkpoints")
    inspect.check(path, "diffusion_models")
    model, clip, vae = loading.load_checkpoint(path)
    assert torch.equal(model.model.diffusion_model(*INPUTS)[0], UNET(*INPUTS)[0])
    assert equal(clip.text_encoder, CLIP)
    assert equal(vae.autoencoder, VAE)
    assert vae.factor == 1.0
    rows = clip.encoders[0].tokenize("a cat")
    assert rows[0][:4] == [(49406, 1.0), (320, 1.0), (2368, 1.0), (49407, 1.0)]
    latents = torch.randn(1, 4, 4, 4)
    assert torch.equal(
        vae.decode(latents), (VAE.decode(latents).sample / 2 + 0.5).clamp(0, 1).movedim(1, -1)
    )


@pytest.mark.parametrize("prefix", ["control_model.", ""])
def test_a_control_net_in_the_layout_of_its_authors(tmp_path: Path, prefix: str) -> None:
    tensors = {prefix + k: v for k, v in unet_names(NET.state_dict(), 1).items()}
    path = saved(tmp_path / "control_v11p_sd15_canny.safetensors", tensors)
    inspect.check(path, "controlnet")
    net = loading.load_control_net(path)
    assert net.name == path.name
    assert not net.global_average_pooling
    hint = torch.rand(1, 3, 64, 64)
    down, middle = net.network(*INPUTS, net.network.encode_hint(hint), 1.0)
    wanted = NET(*INPUTS, hint, return_dict=False)
    assert torch.equal(middle, wanted[1])
    assert all(torch.equal(a, b) for a, b in zip(down, wanted[0], strict=True))


def test_a_shuffle_net_is_known_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "control_v11e_sd15_shuffle_fp16.safetensors"
    assert loading.load_control_net(saved(path, NET.state_dict())).global_average_pooling


def test_a_control_net_file_in_diffusers_layout_with_and_without_its_config(tmp_path: Path) -> None:
    path = saved(tmp_path / "diffusion_pytorch_model.safetensors", NET.state_dict())
    told = loading.load_control_net(path)
    config = {**NET.config, "_class_name": "ControlNetModel", "norm_num_groups": 16}
    path.with_name("config.json").write_text(json.dumps(config))
    read = loading.load_control_net(path)
    assert told.network.rest.config.norm_num_groups == 32
    assert read.network.rest.config.norm_num_groups == 16


def test_a_unet_alone_in_either_layout(tmp_path: Path) -> None:
    for tensors in (UNET.state_dict(), unet_names(UNET.state_dict(), 1)):
        path = saved(tmp_path / "unet.safetensors", tensors)
        inspect.check(path, "diffusion_models")
        model = loading.load_unet(path)
        assert torch.equal(model.model.diffusion_model(*INPUTS)[0], UNET(*INPUTS)[0])


def test_a_vae_alone_in_either_layout_and_an_approximate_one(tmp_path: Path) -> None:
    for tensors in (VAE.state_dict(), vae_names(VAE.state_dict(), 4)):
        path = saved(tmp_path / "vae.safetensors", tensors)
        inspect.check(path, "vae")
        assert equal(loading.load_vae(path).autoencoder, VAE)
    taesd = tiny_taesd()
    path = saved(tmp_path / "taesd.safetensors", taesd.state_dict())
    with pytest.raises(UserError, match=r"lacks \d+ of"):  # shapes do not tell its blocks
        loading.load_vae(path)
    path.with_name("config.json").write_text(
        json.dumps({**taesd.config, "_class_name": "AutoencoderTiny"})
    )
    assert equal(loading.load_vae(path).autoencoder, taesd)


@pytest.mark.parametrize("projection", [True, False])
def test_a_text_encoder_alone_leaves_the_projection_out(tmp_path: Path, projection: bool) -> None:
    stem = "text_model." if projection else ""
    tensors = {stem + k.removeprefix("text_model."): v for k, v in CLIP.state_dict().items()}
    if projection:
        tensors["text_projection.weight"] = torch.zeros(64, 64)
    path = saved(tmp_path / "clip_l.safetensors", tensors)
    inspect.check(path, "text_encoders")
    assert equal(loading.load_clip(path).text_encoder, CLIP)


def test_a_checkpoint_as_a_pickle_of_plain_weights(tmp_path: Path) -> None:
    path = tmp_path / "sd.ckpt"
    tensors = checkpoint_tensors(UNET, VAE, CLIP)
    torch.save({"state_dict": tensors, "global_step": 3}, path)
    inspect.check(path, "checkpoints")
    assert equal(loading.load_checkpoint(path)[2].autoencoder, VAE)


def test_halves_are_loaded_as_float32(tmp_path: Path) -> None:
    path = saved(tmp_path / "half.safetensors", {k: v.half() for k, v in UNET.state_dict().items()})
    weight = next(loading.load_unet(path).model.diffusion_model.parameters())
    assert weight.dtype == torch.float32


def test_the_shapes_of_sd_1_5_tell_its_configuration() -> None:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        whole = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    shapes = {name: tuple(tensor.shape) for name, tensor in whole.state_dict().items()}
    ldm = {name: tuple(t.shape) for name, t in unet_names(whole.state_dict(), 2).items()}
    for told in (layouts.unet_config(shapes), layouts.unet_config(ldm)):
        for key, value in told.items():
            wanted = getattr(whole.config, key, "UNet2DConditionModel")
            assert value == (list(wanted) if isinstance(wanted, tuple) else wanted), key


def test_other_families_are_named() -> None:
    shapes = {k: tuple(v.shape) for k, v in unet_names(UNET.state_dict(), 1).items()}
    wide = {k: (s[0], 1280) if k.endswith("attn2.to_k.weight") else s for k, s in shapes.items()}
    with pytest.raises(UserError, match="1280 wide, as the SDXL refiner's"):
        layouts.unet_config(wide)
    with pytest.raises(UserError, match=r"takes classes beside the text \(label_emb.weight\)"):
        layouts.unet_config({**shapes, "label_emb.weight": (1, 1)})
    del shapes["out.2.weight"]
    with pytest.raises(UserError, match=r"no whole U-Net .*out\.2\.weight. is missing"):
        layouts.unet_config(shapes)


def test_the_refiners_text_encoder_is_named_before_loading(tmp_path: Path) -> None:
    prefix = "conditioner.embedders.0.model."
    shapes = {
        "token_embedding.weight": (4, 1280),
        "positional_embedding": (2, 1280),
        "transformer.resblocks.0.mlp.c_fc.weight": (4, 1280),
    }
    tensors = {
        k: v
        for k, v in checkpoint_tensors(UNET, VAE, CLIP).items()
        if not k.startswith("cond_stage_model")
    }
    texts = {prefix + name: torch.zeros(shape) for name, shape in shapes.items()}
    path = saved(tmp_path / "refiner.safetensors", {**tensors, **texts})
    with pytest.raises(UserError, match="the SDXL refiner's text encoder, which does not run here"):
        inspect.check(path, "checkpoints")
