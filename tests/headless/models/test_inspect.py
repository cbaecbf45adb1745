"""What is wrong with a file is said in one sentence, before anything is loaded."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from controlstack.ground.errors import UserError
from controlstack.headless.models.inspect import check
from tests.headless.models.tiny_files import save_control_net, save_pipeline

ONE = torch.zeros(1)


def saved(path: Path, *names: str) -> Path:
    save_file({name: ONE.clone() for name in names}, path)
    return path


def said(path: Path, kind: str = "controlnet") -> str:
    with pytest.raises(UserError) as caught:
        check(path, kind)
    words = str(caught.value)
    assert "\n" not in words
    assert str(path) in words
    return words


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def header(tensors: object, data: bytes = b"") -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_a_missing_file_lists_what_there_is(tmp_path: Path) -> None:
    saved(tmp_path / "there.safetensors", "x")
    assert "there is there.safetensors" in said(tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty (0 bytes)"),
        (b"abc", "cut off: 3 bytes"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS pointer"),
        (b'{"_class_name": 1}' + b" " * 30, "is JSON"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 64, "a picture"),
        (struct.pack("<Q", 2**63) + b"{" * 100, "announces a header of 9223372036854775808 bytes"),
        (struct.pack("<Q", 4) + b"nope", "header is damaged"),
        (header([1, 2]), "header is damaged"),
        (header({"x": {"dtype": "F32", "shape": [1]}}), "header is damaged"),
        (header({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}), "header is dam"),
        (header({"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}), "header is dam"),
        (struct.pack("<Q", 200_000) + b"[" * 200_000, "header is damaged"),
        (b"PK\x03\x04" + b"\x00" * 64, "refused"),
        (pickle.dumps({"a": Path()}), "refused: open it where you trust it"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in said(written(tmp_path / "model.safetensors", data))


def test_a_cut_off_file_says_both_sizes(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", "a", "b")
    whole = path.read_bytes()
    written(path, whole[:-3])
    assert f"announces {len(whole)} bytes and it has {len(whole) - 3}" in said(path)
    written(path, whole + b"more")
    assert "is damaged" in said(path)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"weight": Bomb()}, tmp_path / "bomb.ckpt")
    assert "could run code and is refused" in said(tmp_path / "bomb.ckpt", "checkpoints")
    assert not (tmp_path / "ran").exists()


def test_a_pickle_of_something_else_than_weights(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    assert "holds a list" in said(tmp_path / "list.pt")


LORA = "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight"


@pytest.mark.parametrize(
    ("names", "kind", "words"),
    [
        (
            [LORA],
            "controlnet",
            "is a LoRA, not a ControlNet: the node LoraLoader loads it, from th",
        ),
        ([LORA], "checkpoints", "is a LoRA, not a whole checkpoint"),
        (
            ["control_model.input_hint_block.0.weight"],
            "loras",
            "a ControlNet, not a LoRA: the node",
        ),
        (["decoder.conv_in.weight"], "controlnet", "is a VAE, not a ControlNet"),
        (
            ["text_model.embeddings.token_embedding.weight"],
            "vae",
            "is a CLIP text encoder, not a V",
        ),
        (
            ["model.diffusion_model.x", "cond_stage_model.x"],
            "vae",
            "is a whole checkpoint, not a V",
        ),
        (["model.diffusion_model.x"], "checkpoints", "is a diffusion model, not a whole checkp"),
        (
            ["body.0.in_conv.weight"],
            "controlnet",
            "it is no whole T2I adapter of the Stable Diffusion k",
        ),
        (
            ["body.0.in_conv.weight"],
            "vae",
            "is a T2I adapter, not a VAE: the node ControlNetLoader l",
        ),
        (["conv_first.weight"], "controlnet", "is an upscaler, not a ControlNet: no node of the"),
        (
            ["model.diffusion_model.double_blocks.0.x", "vae.x"],
            "checkpoints",
            "is a Flux model's whole checkpoint: no node of the embedded host loads it.",
        ),
        (["lora_controlnet"], "vae", "is a Control-LoRA, not a VAE: the node ControlNetLoader"),
        (["lora_controlnet"], "controlnet", "no whole Control-LoRA: input_hint_block.0.weight is"),
        (
            ["difference", "control_model.x"],
            "controlnet",
            "is only a ControlNet's difference to its base model, not a ControlNet: the node Diff",
        ),
        (
            ["control_all_x_embedder.2-1.weight"],
            "controlnet",
            "is a Z-Image Fun ControlNet: the embedded host has no Z-Image models; run the work",
        ),
        (
            ["control_model.input_hint_block.0.weight", "project_modules.0.x"],
            "controlnet",
            "is a SUPIR model, not a ControlNet: no node of the embedded host",
        ),
        (
            ["double_blocks.0.x"],
            "diffusion_models",
            "is a Flux model: no node of the embedded host",
        ),
        (["double_blocks.0.x"], "vae", "is a Flux model, not a VAE: no node of the embedded host"),
        (["encoder.block.0.layer.0.SelfAttention.q.weight"], "text_encoders", "is a T5"),
        (["nonsense"], "vae", "is not a VAE, nor any other model known here: its first tensor is"),
        (["input_hint_block.0.weight"], "controlnet", "no whole ControlNet"),
    ],
)
def test_a_file_of_another_kind_says_where_it_belongs(
    tmp_path: Path, names: list[str], kind: str, words: str
) -> None:
    assert words in said(saved(tmp_path / "m.safetensors", *names), kind)


def test_no_tensors_at_all(tmp_path: Path) -> None:
    assert "has no tensors" in said(written(tmp_path / "m.safetensors", header({})))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("pipeline") / "base")


def copied(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "base"))


def set_values(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_whole_ones_pass(whole: Path, tmp_path: Path) -> None:
    check(whole, "checkpoints")
    check(whole / "unet", "diffusion_models")
    check(whole / "vae", "vae")
    check(whole / "text_encoder", "text_encoders")
    check(save_control_net(tmp_path / "net"), "controlnet")


def test_a_folder_of_another_class(whole: Path) -> None:
    words = (
        "is a UNet2DConditionModel where a ControlNetModel, ControlNetUnionModel, LiteControlNet"
    )
    assert words in said(whole / "unet", "controlnet")


def test_no_pipeline(whole: Path) -> None:
    assert "no diffusers pipeline" in said(whole / "unet", "checkpoints")


def test_a_part_is_missing(whole: Path, tmp_path: Path) -> None:
    base = copied(whole, tmp_path)
    (base / "vae").rename(base / "gone")
    assert "a 'StableDiffusionPipeline' without a vae folder" in said(base, "checkpoints")


def test_weights_are_missing_or_cut(whole: Path, tmp_path: Path) -> None:
    base = copied(whole, tmp_path)
    file = base / "unet" / "diffusion_pytorch_model.safetensors"
    written(file, file.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"unet.*cut off"):
        check(base, "checkpoints")
    file.unlink()
    with pytest.raises(UserError, match="has no weights"):
        check(base, "checkpoints")


def test_the_refiner_is_named(whole: Path, tmp_path: Path) -> None:
    base = copied(whole, tmp_path)
    values = {"addition_embed_type": "text_time", "cross_attention_dim": 1280}
    set_values(base / "unet" / "config.json", **values)
    with pytest.raises(UserError, match="of the SDXL refiner, which does not run here"):
        check(base, "checkpoints")


def test_a_text_encoder_of_another_type(whole: Path, tmp_path: Path) -> None:
    base = copied(whole, tmp_path)
    set_values(base / "text_encoder" / "config.json", model_type="t5")
    with pytest.raises(UserError, match="of type 't5'"):
        check(base, "checkpoints")


@pytest.mark.parametrize("text", ["{", "[]", "null", "[" * 100_000])
def test_a_damaged_configuration(whole: Path, tmp_path: Path, text: str) -> None:
    base = copied(whole, tmp_path)
    (base / "model_index.json").write_text(text)
    with pytest.raises(UserError, match=r"JSON|nested"):
        check(base, "checkpoints")
