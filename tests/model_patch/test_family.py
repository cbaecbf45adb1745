"""Families are told from layer widths."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from controlstack.ground.errors import UserError
from controlstack.model_patch.family import other_ways, require_same_family


class Base:
    """What the check needs of a host's base model."""

    def __init__(self, network: nn.Module) -> None:
        self.diffusion_model = network
        self.model_sampling: Any = None


class Net:
    def __init__(self, **networks: Any) -> None:
        self.__dict__.update(networks)


class Tree(nn.Module):
    """Layers under dotted names, on the meta device: a real model's skeleton."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, layer in layers.items():
            *path, last = name.split(".")
            holder: nn.Module = self
            for part in path:
                if part not in holder._modules:
                    holder.add_module(part, nn.Module())
                holder = holder.get_submodule(part)
            holder.add_module(last, layer)


def linear(inputs: int, outputs: int) -> nn.Module:
    return nn.Linear(inputs, outputs, device="meta")


def conv(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, device="meta")


def unet(text: int = 768, latent: int = 4, width: int = 320) -> nn.Module:
    key = "input_blocks.1.1.transformer_blocks.0.attn2.to_k"
    return Tree({"input_blocks.0.0": conv(latent, width), key: linear(text, width)})


def flux() -> nn.Module:
    return Tree({"txt_in": linear(4096, 3072), "double_blocks.0.img_mlp.0": linear(3072, 12288)})


def sd35_net() -> nn.Module:
    """Stability's ControlNets for 3.5 share no layer's name with any U-Net, and see no text."""
    return Tree({"transformer_blocks.0.adaLN_modulation.1": linear(2432, 14592)})


def check(net: Any, base: nn.Module, file: str = "") -> None:
    require_same_family("control 1 (pose.safetensors)", net, Base(base), file)


def test_the_same_family_passes() -> None:
    check(Net(control_model=unet()), unet())


def test_further_latent_channels_of_the_model_pass() -> None:
    check(Net(control_model=unet()), unet(latent=9))


@pytest.mark.parametrize(
    ("net", "base", "words"),
    [
        (unet(2048), unet(768), ["SDXL", "Stable Diffusion 1.x", "2048", "768"]),
        (unet(768), unet(1024), ["Stable Diffusion 1.x", "Stable Diffusion 2.x", "768", "1024"]),
        (flux(), unet(), ["Flux", "Stable Diffusion 1.x", "4096", "768"]),
        (unet(2048), flux(), ["SDXL", "Flux", "2048", "4096"]),
        (sd35_net(), unet(), ["Stable Diffusion 3", "Stable Diffusion 1.x", "14592", "320"]),
        (unet(width=64), unet(), ["another size", "input_blocks.0.0", "64", "320"]),
    ],
    ids=["xl-on-1", "1-on-2", "flux-on-1", "xl-on-flux", "3.5-on-1", "size"],
)
def test_both_names_both_families_both_numbers(
    net: nn.Module, base: nn.Module, words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        check(Net(control_model=net), base, "dream.safetensors")
    message = str(caught.value)
    assert message.startswith("control 1 (pose.safetensors) ")
    assert all(word in message for word in [*words, "dream.safetensors"])
    assert "\n" not in message


def lora(text: int) -> dict[str, torch.Tensor]:
    """A Control-LoRA's file: low-rank factors and the layers that it holds whole."""
    key = "input_blocks.1.1.transformer_blocks.0.attn2.to_k"
    return {
        f"{key}.up": torch.empty(320, 8, device="meta"),
        f"{key}.down": torch.empty(8, text, device="meta"),
        "input_blocks.0.0.up": torch.empty(320, 8, 1, 1, device="meta"),
        "input_blocks.0.0.down": torch.empty(8, 4, 3, 3, device="meta"),
        "zero_convs.0.0.weight": torch.empty(320, 320, 1, 1, device="meta"),
    }


def test_a_control_lora_is_told_from_its_factors() -> None:
    check(Net(control_weights=lora(768)), unet())
    with pytest.raises(UserError, match=r"SDXL.*Stable Diffusion 1.x.*2048.*768"):
        check(Net(control_weights=lora(2048)), unet())


def test_what_tells_nothing_passes() -> None:
    adapter = Tree({"body.0.in_conv": conv(64, 320)})
    check(Net(t2i_model=adapter), unet())
    check(Net(), unet())


FAMILIES = {
    "SD 1": unet(),
    "SD 1, narrow": unet(width=64),
    "SD 2": unet(1024),
    "SDXL": unet(2048),
    "Flux": flux(),
    "3.5": sd35_net(),
    "Qwen-Image": Tree({"transformer_blocks.0.img_mlp.net.0.proj": linear(3072, 12288)}),
    "SD 3": Tree({"joint_blocks.0.x_block.mlp.fc1": linear(1536, 12288)}),
    "no names known": Tree({"model.blocks.0.qkv": linear(3072, 12288)}),
}


@pytest.mark.parametrize("net", FAMILIES)
@pytest.mark.parametrize("base", FAMILIES)
def test_no_sentence_says_the_same_twice(net: str, base: str) -> None:
    """Whatever two kinds meet: they pass, or two different families or sizes, or numbers, are
    named."""
    try:
        check(Net(control_model=FAMILIES[net]), FAMILIES[base])
    except UserError as error:
        said = str(error)
        assert net != base
        there, here = re.search(r"was made for (.*?) and the model is (.*?):", said).groups()  # type: ignore[union-attr]  # found in each
        assert there != here
        numbers = re.search(r"is (\d+) in the net and (\d+) in the model", said)
        assert numbers is None or numbers[1] != numbers[2]


def test_a_compiled_model_is_told_by_the_names_of_its_own_layers() -> None:
    compiled = Tree({f"_orig_mod.{name}": m for name, m in unet().named_modules() if "_k" in name})
    check(Net(control_model=unet()), compiled)
    with pytest.raises(UserError, match="2048"):
        check(Net(control_model=unet(2048)), compiled)


@pytest.mark.parametrize(
    "layers",
    [
        {"model.transformer_blocks.0.mlp_fc1": linear(3072, 12288)},
        {"model.context_embedder": linear(4096, 3072), "model.proj_out": linear(3072, 64)},
    ],
    ids=["fused", "diffusers' names"],
)
def test_layers_with_a_loaders_own_names_pass(layers: dict[str, nn.Module]) -> None:
    check(Net(control_model=flux()), Tree(layers))


@pytest.mark.parametrize(
    ("kind", "node"),
    [
        ("Lumina2", "a Z-Image Fun ControlNet"),
        ("WAN22", "a Uni3C ControlNet"),
        ("Anima", "an Anima LLLite"),
        ("Flux2", "ReferenceLatent"),
    ],
)
def test_a_model_without_controlnets_names_what_controls_it(kind: str, node: str) -> None:
    parent = type("WAN21", (Base,), {}) if kind == "WAN22" else Base
    base = type(kind, (parent,), {})(unet(4096))
    with pytest.raises(UserError, match=f"controlled by .*{node}"):
        require_same_family("control 1", Net(control_model=unet()), base)
    assert other_ways(Base(unet())) == ""
