"""What is in a file, read without its weights; test_inspect.py has the damaged files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from controlstack.model_files.files import is_pickle, read_contents
from controlstack.model_files.kinds import CONTROLNET, DIFFERENCE, KINDS, Kind, kind_of

ONE = torch.zeros(1)


def test_shapes_are_read_without_the_weights(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.float16)}
    save_file(tensors, tmp_path / "m.safetensors", {"made": "here"})
    torch.save(tensors, tmp_path / "m.pt")
    contents = read_contents(tmp_path / "m.safetensors")
    assert contents.shapes == {"a": (2, 3), "b": (4,)}
    assert contents.metadata == {"made": "here"}
    assert read_contents(tmp_path / "m.pt").shapes == contents.shapes


@pytest.mark.parametrize(
    ("pickled", "names"),
    [
        ({"state_dict": {"a": ONE}, "optimizer": {"b": ONE}}, {"a"}),
        ({"adapter": {"body.0.in_conv.weight": ONE}}, {"body.0.in_conv.weight"}),
        (
            {"ip_adapter": {"1.x": ONE}, "image_proj": {"y": ONE}},
            {"ip_adapter.1.x", "image_proj.y"},
        ),
        ({"a": ONE, "step": 3}, {"a"}),
    ],
)
def test_dictionaries_in_a_pickle_give_dotted_names(
    tmp_path: Path, pickled: dict[str, object], names: set[str]
) -> None:
    torch.save(pickled, tmp_path / "m.pt")
    assert set(read_contents(tmp_path / "m.pt").shapes) == names


def test_a_pickle_that_holds_itself(tmp_path: Path) -> None:
    endless: dict[str, object] = {"a": ONE, "b": 1}
    endless["self"] = endless
    torch.save(endless, tmp_path / "m.pt")
    assert "a" in read_contents(tmp_path / "m.pt").shapes


@pytest.mark.parametrize("old", [True, False])
def test_a_format_is_told_by_the_contents(tmp_path: Path, old: bool) -> None:
    torch.save({"a": ONE}, tmp_path / "m.safetensors", _use_new_zipfile_serialization=not old)
    assert is_pickle(tmp_path / "m.safetensors")
    assert read_contents(tmp_path / "m.safetensors").shapes == {"a": (1,)}
    save_file({"a": ONE}, tmp_path / "m.pt")
    assert not is_pickle(tmp_path / "m.pt")
    assert read_contents(tmp_path / "m.pt").shapes == {"a": (1,)}


def test_a_kind_says_what_loads_it_and_from_where() -> None:
    kind = kind_of(["lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight"])
    assert kind is KINDS["loras"]
    assert kind.place == "the node LoraLoader loads it, from the folder loras"
    assert kind_of(["nothing.known"]) is None
    assert kind_of([]) is None


PATCHES: dict[str, tuple[str, ...]] = {
    "a Z-Image Fun ControlNet": ("control_all_x_embedder.2-1.weight", "noise_refiner.0.x"),
    "a Qwen-Image DiffSynth ControlNet": ("controlnet_blocks.0.y_rms.weight", "img_in.weight"),
    "an Anima ControlNet-LLLite": ("lllite_conditioning1.conv1.weight",),
    "a Wan Uni3C ControlNet": ("controlnet_patch_embedding.weight", "controlnet_blocks.0.x"),
    "a SUPIR model": ("control_model.input_hint_block.0.weight", "project_modules.0.x"),
    "a USO style projector": ("feature_embedder.mid_layer_norm.bias",),
    "a MultiTalk or InfiniteTalk model": ("audio_proj.proj1.weight", "blocks.0.audio_cross_attn.x"),
    "an LTX duration head": ("attention_pooler.query_tokens", "mlp_out.weight"),
}


def kind(*names: str) -> Kind:
    found = kind_of(names)
    assert found is not None
    return found


@pytest.mark.parametrize("words", PATCHES)
def test_model_patches_are_told_apart_and_which_are_controls(words: str) -> None:
    found = kind(*PATCHES[words])
    assert found.words == words
    assert found.control == bool(found.family) == ("ControlNet" in words)
    assert found.family in words
    begin = "the node ModelPatchLoader loads it, from the folder model_patches, for the node "
    assert found.place == begin + found.node


def test_what_only_looks_like_a_model_patch() -> None:
    hint = "control_model.input_hint_block.0.weight"
    assert kind(hint) is CONTROLNET
    assert kind(hint, "model.diffusion_model.input_blocks.0.0.weight").control
    lllite = kind("lllite_unet_input_blocks_4.down.0.weight")
    assert (lllite.words, lllite.control) == ("a ControlNet-LLLite", False)
    whole = kind(
        "model.diffusion_model.patchify_proj.weight",
        "model.diffusion_model.duration_head.attention_pooler.query_tokens",
        "vae.decoder.x",
    )
    assert whole.words == "an LTX model's whole checkpoint"
    talking = kind("blocks.0.cross_attn.norm_k.weight", "audio_proj.proj1.weight")
    assert talking.words == "a Wan model"


def test_which_kinds_our_loader_takes() -> None:
    assert CONTROLNET.control
    assert kind("controlnet_blocks.0.weight").control
    assert kind("body.0.in_conv.weight").control
    assert not DIFFERENCE.control
    assert [one for one in KINDS.values() if one.control] == [CONTROLNET]
