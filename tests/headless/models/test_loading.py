"""Diffusers folders to the host's objects, and the nodes that load them by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from controlstack.ground.errors import UserError
from controlstack.headless import folders
from controlstack.headless.core_nodes import CORE_NODES, loaders
from controlstack.headless.models import loading
from controlstack.model_files.folders import weight_files
from tests.headless.models.tiny_files import save_control_net, save_pipeline, tiny_taesd
from tests.tiny import tiny_clip, tiny_unet

INPUTS = (torch.randn(1, 4, 8, 8), torch.tensor([5.0]), torch.randn(1, 77, 16))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    save_pipeline(root / "checkpoints" / "base")
    save_control_net(root / "controlnet" / "net")
    for kind, part in (("vae", "vae"), ("diffusion_models", "unet")):
        shutil.copytree(root / "checkpoints" / "base" / part, root / kind / "one")
    text = root / "text_encoders" / "one"
    shutil.copytree(root / "checkpoints" / "base" / "text_encoder", text)
    shutil.copytree(root / "checkpoints" / "base" / "tokenizer", text / "tokenizer")
    return root


@pytest.fixture
def used(models: Path) -> Iterator[Path]:
    with folders.use(folders.Folders((models,), (), models / "output", models / "temp")):
        yield models


def test_a_pipeline_folder_gives_the_models_it_was_made_of(models: Path) -> None:
    model, clip, vae = loading.load_checkpoint(models / "checkpoints" / "base")
    assert torch.equal(model.model.diffusion_model(*INPUTS)[0], tiny_unet()(*INPUTS)[0])
    tokenizer, text_encoder = tiny_clip()
    rows = tokenizer("cat", padding="max_length", max_length=77, return_tensors="pt").input_ids
    assert torch.equal(clip.encode("cat")[0][0], text_encoder(rows).last_hidden_state)
    assert vae.downscale_ratio == 8
    assert not any(p.requires_grad for p in model.model.diffusion_model.parameters())


def test_halves_and_an_approximate_vae(tmp_path: Path) -> None:
    base = save_pipeline(tmp_path / "base", vae=tiny_taesd(), half=True)
    model, _, vae = loading.load_checkpoint(base)
    wanted = tiny_unet().half().float()
    assert torch.equal(model.model.diffusion_model(*INPUTS)[0], wanted(*INPUTS)[0])
    assert vae.decode(torch.zeros(1, 4, 2, 2)).shape == (1, 16, 16, 3)


def test_the_scheduler_of_the_folder_is_the_models(models: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(models / "checkpoints" / "base", tmp_path / "base"))
    usual = loading.load_unet(base / "unet").get_model_object("model_sampling")
    assert float(usual.sigma_max) == pytest.approx(14.6146, abs=1e-3)  # SD 1.x
    config = base / "scheduler" / "scheduler_config.json"
    values = {**json.loads(config.read_text()), "prediction_type": "v_prediction", "beta_end": 0.01}
    config.write_text(json.dumps(values))
    other = loading.load_unet(base / "unet").get_model_object("model_sampling")
    assert other.prediction_type == "v_prediction"
    assert float(other.sigma_max) < 13


def test_sharded_and_variant_weights_are_found(models: Path, tmp_path: Path) -> None:
    unet = Path(shutil.copytree(models / "diffusion_models" / "one", tmp_path / "unet"))
    whole = unet / "diffusion_pytorch_model.safetensors"
    variant = whole.rename(unet / "diffusion_pytorch_model.fp16.safetensors")
    assert weight_files(unet) == [variant]
    variant.unlink()
    tiny_unet().save_pretrained(unet, max_shard_size="50KB")
    assert len(weight_files(unet)) > 1
    assert torch.equal(
        loading.load_unet(unet).model.diffusion_model(*INPUTS)[0], tiny_unet()(*INPUTS)[0]
    )


def test_a_configuration_that_does_not_fit_its_weights(models: Path, tmp_path: Path) -> None:
    net = Path(shutil.copytree(models / "controlnet" / "net", tmp_path / "net"))
    config = net / "config.json"
    values = json.loads(config.read_text())
    for change, words in (
        ({"layers_per_block": 3}, r"lacks \d+ of \d+ tensors"),
        ({"layers_per_block": 1}, "no place for"),
        ({"cross_attention_dim": 24}, r"is \(8, 16\) and its configuration asks for \(8, 24\)"),
        ({"down_block_types": ["Nonsense"] * 4}, "its configuration makes no model"),
    ):
        config.write_text(json.dumps({**values, **change}))
        with pytest.raises(UserError, match=words):
            loading.load_control_net(net)


def test_a_quantised_model_is_named(models: Path, tmp_path: Path) -> None:
    unet = Path(shutil.copytree(models / "diffusion_models" / "one", tmp_path / "unet"))
    state = {k: v.to(torch.int8) for k, v in tiny_unet().state_dict().items()}
    save_file(state, unet / "diffusion_pytorch_model.safetensors")
    with pytest.raises(UserError, match=r"stored as torch\.int8: a quantised model"):
        loading.load_unet(unet)


def test_a_text_encoder_without_its_tokenizer(models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / "text_encoders" / "one", tmp_path / "one"))
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(UserError, match="514 tokens and has no tokenizer"):
        loading.load_clip(folder)


def test_the_nodes_list_check_and_load(used: Path) -> None:
    (checkpoint,) = CORE_NODES["CheckpointLoaderSimple"].INPUT_TYPES()["required"]["ckpt_name"]
    assert checkpoint == ["base"]
    assert CORE_NODES["CheckpointLoaderSimple"].VALIDATE_INPUTS("base") is True
    assert len(loaders.load_checkpoint("base")) == 3
    assert loaders.load_unet("one", "default").model.get_dtype() == torch.float32
    assert loaders.load_vae("one").downscale_ratio == 8
    assert loaders.load_clip("one", "stable_diffusion").encode("a")
    assert loaders.load_control_net("net").name == "net"


def test_the_nodes_say_what_is_wrong_without_raising(used: Path) -> None:
    wrong = CORE_NODES["ControlNetLoader"].VALIDATE_INPUTS("gone")
    assert isinstance(wrong, str)
    assert "net" in wrong
    shutil.copytree(used / "vae" / "one", used / "controlnet" / "vae")
    refused = CORE_NODES["ControlNetLoader"].VALIDATE_INPUTS("vae")
    shutil.rmtree(used / "controlnet" / "vae")
    words = "AutoencoderKL where a ControlNetModel, ControlNetUnionModel, LiteControlNet, Control"
    assert words in str(refused)
