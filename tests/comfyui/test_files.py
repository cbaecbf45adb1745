"""A file that is no ControlNet: ours says what it is, and takes every file that the core takes."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file

from controlstack.ground.errors import UserError
from controlstack.hosts.comfy.host import ComfyHost
from controlstack.nodes.stack import ControlStackLoader
from tests.comfyui.models import CHECKPOINT_PREFIX, MODELS, NETS
from tests.comfyui.shapes import Shapes

# Names by which the core's loader tells the nets that are not in NETS (it reads no others first).
OTHER_NETS: dict[str, tuple[str, ...]] = {
    "HunyuanDiT": ("after_proj_list.18.bias", "blocks.0.attn1.Wqkv.weight"),
    "Flux XLabs": (
        "controlnet_blocks.0.weight",
        "double_blocks.0.img_attn.norm.key_norm.scale",
        "input_hint_block.0.weight",
    ),
    "Flux InstantX": ("controlnet_blocks.0.weight", "controlnet_x_embedder.weight"),
    "Flux MistoLine": ("controlnet_blocks.0.linear.weight", "double_blocks.0.img_mod.lin.weight"),
    "Qwen InstantX": (
        "controlnet_blocks.0.weight",
        "transformer_blocks.0.img_mlp.net.0.proj.weight",
    ),
    "Qwen Fun": ("control_blocks.0.after_proj.weight", "control_img_in.weight"),
    "in a whole checkpoint": (
        "control_model.zero_convs.0.0.weight",
        "control_model.input_hint_block.0.weight",
        "model.diffusion_model.input_blocks.0.0.weight",
        "first_stage_model.decoder.conv_in.weight",
    ),
    "T2I full": ("conv_in.weight", "body.0.block1.weight", "body.0.block2.weight"),
    "T2I diffusers": ("adapter.conv_in.weight", "adapter.body.0.resnets.0.block1.weight"),
    "Stable Cascade": ("backbone.0.0.weight",),
    "of a family to come": ("some_new_control.0.weight",),
}
OTHERS: dict[str, tuple[tuple[str, ...], str]] = {
    "LoRA": (
        ("lora_unet_down_blocks_0.lora_up.weight",),
        "a LoRA, not a ControlNet: the node Lora",
    ),
    "VAE": (("decoder.conv_in.weight",), "a VAE, not a ControlNet: the node VAELoader loads it"),
    "CLIP": (("text_model.embeddings.token_embedding.weight",), "the node CLIPLoader loads it"),
    "T5": (("encoder.block.0.layer.0.SelfAttention.q.weight",), "a T5 text encoder"),
    "CLIP vision": (("vision_model.post_layernorm.weight",), "from the folder clip_vision"),
    "upscaler": (("conv_first.weight",), "the node UpscaleModelLoader"),
    "old upscaler": (("model.1.sub.0.RDB1.conv1.0.weight",), "from the folder upscale_models"),
    "textual inversion": (
        ("emb_params",),
        "embedding:NAME in its text loads it, from the folder em",
    ),
    "IP-Adapter": (("ip_adapter.1.to_k_ip.weight",), "from the folder ipadapter"),
    "IP-Adapter for Flux": (
        ("double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight",),
        "an IP-Adapter",
    ),
    "Qwen-Image": (("transformer_blocks.0.img_mod.1.weight",), "a Qwen-Image model"),
    "Wan": (("model.diffusion_model.blocks.0.cross_attn.norm_k.weight",), "the node UNETLoader"),
    "motion module": (("down_blocks.0.motion_modules.0.x",), "an AnimateDiff motion module"),
    "style model": (("redux_down.weight",), "the node StyleModelLoader"),
    "LLLite": (("lllite_unet_input_blocks_4.down.0.weight",), "a ControlNet-LLLite"),
    "difference": (
        ("difference", "control_model.zero_convs.0.0.weight"),
        "the node DiffControlNetLoader loads it, from the folder controlnet",
    ),
}


@pytest.fixture
def folder(comfy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which this ComfyUI looks for ControlNets."""
    import folder_paths

    known = folder_paths.folder_names_and_paths["controlnet"]
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "controlnet", ([str(tmp_path)], *known[1:])
    )
    return tmp_path


def hollow(path: Path, shapes: Shapes) -> str:
    """A safetensors file with these tensors, all zero, that takes no room; its name."""
    entries, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        entries[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
    header = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + end)
    return path.name


def named(names: Iterable[str]) -> Shapes:
    return dict.fromkeys(names, (1,))


@pytest.mark.parametrize("net", NETS)
def test_every_net_of_the_parity_suite_passes(folder: Path, net: str) -> None:
    name = hollow(folder / "net.safetensors", NETS[net]())
    assert ControlStackLoader.VALIDATE_INPUTS(name) is True


@pytest.mark.parametrize("net", OTHER_NETS)
def test_every_net_that_the_core_tells_by_its_names_passes(folder: Path, net: str) -> None:
    name = hollow(folder / "net.safetensors", named(OTHER_NETS[net]))
    assert ControlStackLoader.VALIDATE_INPUTS(name) is True


@pytest.mark.parametrize("family", MODELS)
def test_base_models_are_refused(folder: Path, family: str) -> None:
    shapes = {CHECKPOINT_PREFIX + name: shape for name, shape in MODELS[family]().items()}
    said = ControlStackLoader.VALIDATE_INPUTS(hollow(folder / "a.safetensors", shapes))
    assert "loads it, from the folder diffusion_models." in str(said)
    shapes |= named(["first_stage_model.decoder.conv_in.weight"])
    said = ControlStackLoader.VALIDATE_INPUTS(hollow(folder / "a.safetensors", shapes))
    assert "the node CheckpointLoaderSimple loads it, from the folder checkpoints." in str(said)


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_surely_another_kind_is_refused(folder: Path, kind: str) -> None:
    names, words = OTHERS[kind]
    said = ControlStackLoader.VALIDATE_INPUTS(hollow(folder / "a.safetensors", named(names)))
    assert isinstance(said, str)
    assert words in said
    assert str(folder / "a.safetensors") in said
    assert "\n" not in said


@pytest.mark.parametrize("kind", sorted({"LoRA", "VAE", "upscaler", "textual inversion"}))
def test_the_core_takes_none_of_those(folder: Path, kind: str) -> None:
    import comfy.controlnet

    path = folder / "a.safetensors"
    hollow(path, named(OTHERS[kind][0]))
    assert comfy.controlnet.load_controlnet(str(path)) is None


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.safetensors", b"", "empty (0 bytes)"),
        ("a.safetensors", b"<!DOCTYPE html><html></html>", "is a web page, not a model"),
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        ("a.pth", b"PK\x03\x04" + bytes(64), "does not load as plain weights"),
        (
            "a.safetensors",
            b"GGUF\x03" + bytes(64),
            "is a GGUF file, which ComfyUI's loaders do not",
        ),
        ("a.safetensors", struct.pack("<Q", 10**6) + b"{" + bytes(50), "or cut off"),
    ],
)
def test_what_is_no_model_is_named(folder: Path, name: str, data: bytes, words: str) -> None:
    (folder / name).write_bytes(data)
    assert words in str(ControlStackLoader.VALIDATE_INPUTS(name))
    with pytest.raises(UserError, match=r"^\S+a\.") as caught:
        ComfyHost().load_control_net(name)
    assert words in str(caught.value)


def test_half_a_download_says_both_sizes(folder: Path) -> None:
    name = hollow(folder / "a.safetensors", NETS["sd15 ldm"]())
    path = folder / name
    whole = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(whole // 2)
    said = str(ControlStackLoader.VALIDATE_INPUTS(name))
    assert f"cut off: its header announces {whole} bytes and it has {whole // 2}" in said


def test_a_name_that_tells_the_other_format(folder: Path) -> None:
    tensors = {"input_hint_block.0.weight": torch.zeros(1)}
    torch.save(tensors, folder / "a.safetensors")
    assert "is a pickle by its contents: rename it so that it ends .pth" in str(
        ControlStackLoader.VALIDATE_INPUTS("a.safetensors")
    )
    save_file(tensors, folder / "b.pth")
    assert "a safetensors file by its contents: rename it so that it ends .safetensors" in str(
        ControlStackLoader.VALIDATE_INPUTS("b.pth")
    )


def test_a_pickle_of_dictionaries_is_told_by_what_is_in_them(folder: Path) -> None:
    one = torch.zeros(1)
    torch.save(
        {"image_proj": {"x": one}, "ip_adapter": {"1.to_k_ip.weight": one}}, folder / "a.bin"
    )
    assert "an IP-Adapter" in str(ControlStackLoader.VALIDATE_INPUTS("a.bin"))
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": one}}, folder / "b.pt")
    assert "a textual inversion" in str(ControlStackLoader.VALIDATE_INPUTS("b.pt"))
    torch.save({"state_dict": {"control_model.input_hint_block.0.weight": one}}, folder / "c.ckpt")
    assert ControlStackLoader.VALIDATE_INPUTS("c.ckpt") is True
    torch.save({"adapter": {"body.0.in_conv.weight": one}}, folder / "d.pth")
    assert ControlStackLoader.VALIDATE_INPUTS("d.pth") is True


def test_what_the_core_does_not_know_is_one_sentence(folder: Path) -> None:
    name = hollow(folder / "new.safetensors", named(["some_new_control.0.weight"]))
    with pytest.raises(UserError, match="is no ControlNet that this ComfyUI knows: pick another"):
        ControlStackLoader().load(name)


@pytest.mark.parametrize(
    "names", [("conv_in.weight", "body.0.block2.weight"), ("zero_convs.0.0.weight",)]
)
def test_what_the_core_stumbles_over_is_one_sentence(folder: Path, names: tuple[str, ...]) -> None:
    name = hollow(folder / "half.safetensors", named(names))
    with pytest.raises(UserError, match="cannot be loaded as a ControlNet, ComfyUI's") as caught:
        ControlStackLoader().load(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_name_through_a_link_is_checked_when_it_is_known(folder: Path) -> None:
    assert ControlStackLoader.VALIDATE_INPUTS(None) is True
    name = hollow(folder / "a.safetensors", named(OTHERS["LoRA"][0]))
    with pytest.raises(UserError, match="is a LoRA, not a ControlNet"):
        ControlStackLoader().load(name)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (
            "gone.safetensors",
            "is not in ComfyUI's controlnet or model_patches folders; put it there, or refresh.",
        ),
        ("../a.safetensors", "leaves its folder"),
        ("/etc/passwd", "leaves its folder"),
    ],
)
def test_a_file_that_is_not_there(folder: Path, name: str, what: str) -> None:
    hollow(folder / "a.safetensors", named(["input_hint_block.0.weight"]))
    said = str(ControlStackLoader.VALIDATE_INPUTS(name))
    assert name in said
    assert what in said


def test_running_out_of_memory_is_left_to_comfyui(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.controlnet

    def full(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(comfy.controlnet, "load_controlnet", full)
    name = hollow(folder / "a.safetensors", named(["input_hint_block.0.weight"]))
    with pytest.raises(torch.OutOfMemoryError):
        ControlStackLoader().load(name)
