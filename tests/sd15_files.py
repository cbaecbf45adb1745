"""Stable Diffusion 1.5 files of random weights, in the layout people download, for either host.

The U-Net is SD 1.5's in everything ComfyUI tells a family by, with two levels of one layer (44 M
parameters); the text encoder and the VAE have their full shapes, which ComfyUI's classes fix. All
is stored as float16, as shared checkpoints are, so that every host computes with the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.headless.models.ldm import unet_names, vae_names
from tests.weights import drawn

LEVELS = (320, 320)
LAYERS = 1
TEXT_WIDTH = 768
HEADS = 8
UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP = "cond_stage_model.transformer."

# Factors on single layers, chosen so that no picture is clipped, and a control left out, or the
# weight of a word, is seen in it (docs/two-hosts.md has the figures).
_FACTORS = {
    f"{UNET}out.2.weight": 0.25,
    f"{VAE}decoder.conv_out.weight": 0.8,
}
_LAST_BLOCK = len(LEVELS) * (LAYERS + 1) - 1
_GROUP = 10  # channels in each of the 32 groups of the U-Net's norms
_THROUGH = 4.0  # how far the path stands out from the random rest of its channels
_NOISE_FOUND = 1.05  # the part of the noise that the path finds
_TEXT = 3.0  # how loud the text is beside what a block's picture holds
_ZERO_CONV = 0.8  # how large a ControlNet's residuals are beside the U-Net's own skips

Shapes = dict[str, tuple[int, ...]]


def write_checkpoint(path: Path, seed: int = 0) -> Path:
    """A whole checkpoint (U-Net, text encoder, VAE) in CompVis' layout, 0.5 GB; returns `path`."""
    return _write(path, _unet_shapes() | shapes_of(text_state(), CLIP) | vae_shapes(), seed)


def write_unet(path: Path, seed: int = 0) -> Path:
    """The U-Net of that checkpoint alone, 88 MB; returns `path`."""
    return _write(path, _unet_shapes(), seed)


def write_control_net(path: Path, seed: int = 1) -> Path:
    """A ControlNet for that checkpoint in CompVis' layout, 50 MB; returns `path`."""
    return _write(path, _control_net_shapes(), seed)


def write_lora(path: Path, seed: int = 3, rank: int = 4) -> Path:
    """A LoRA for that checkpoint in kohya's layout, on all queries; returns `path`."""
    weights = {
        name.removesuffix(".weight"): shape
        for name, shape in {**shapes_of(_unet_state()), **shapes_of(text_state())}.items()
        if name.endswith(("to_q.weight", "q_proj.weight"))
    }
    shapes: Shapes = {}
    for name, (outputs, inputs) in weights.items():
        side = "lora_te" if name.startswith("text_model.") else "lora_unet"
        module = f"{side}_{name.replace('.', '_')}"
        shapes[f"{module}.lora_down.weight"] = (rank, inputs)
        shapes[f"{module}.lora_up.weight"] = (outputs, rank)
    return _write(path, shapes, seed)


def _write(path: Path, shapes: Shapes, seed: int) -> Path:
    return write(path, shapes, seed, _LAST_BLOCK, loudness)


def write(
    path: Path, shapes: Shapes, seed: int, last_block: int, factor: Callable[[str], float]
) -> Path:
    """Tensors of these names and shapes, each times its `factor`, with the path that finds the
    noise through the U-Net's output block of this number; returns `path`.
    """

    def stored(name: str, shape: tuple[int, ...]) -> Tensor:
        """One tensor at a time: drawing all at once would hold every one as float32 as well."""
        tensor = drawn({name: shape}, seed)[name] * factor(name)
        _let_noise_through(name, tensor, last_block)
        return tensor.half()

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: stored(name, shape) for name, shape in shapes.items()}, path)
    return path


def loudness(name: str) -> float:
    """How much louder than drawn a tensor is, so that text and control are seen."""
    if name.endswith(("attn2.to_q.weight", "attn2.to_out.0.weight")):
        return _TEXT
    if name.startswith(("control_model.zero_convs.", "control_model.middle_block_out.")):
        return _ZERO_CONV
    return _FACTORS.get(name, 1.0)


def _let_noise_through(name: str, tensor: Tensor, last_block: int) -> None:
    """Make the U-Net find the noise: a path from its input to its output beside the random rest.

    A random U-Net's answer has nothing to do with its input, and what it samples is the starting
    noise, fifteen times too large, whatever the prompt says. Here latent channel c takes the 10
    channels of one output norm's group, half of them negated (silu(x) - silu(-x) = x), through the
    first skip: noise falls with sigma, as under a trained model.
    """
    for c in range(4):
        group = torch.arange(_GROUP * c, _GROUP * (c + 1))
        signs = torch.where(group % 2 == 0, 1.0, -1.0)
        if name == f"{UNET}input_blocks.0.0.weight":
            tensor[group] = 0
            tensor[group, c, 1, 1] = signs
        elif name == f"{UNET}output_blocks.{last_block}.0.skip_connection.weight":
            tensor[group] = 0
            tensor[group, LEVELS[0] + group, 0, 0] = _THROUGH
        elif name == f"{UNET}out.2.weight":
            tensor[c, group] = 0
            tensor[c, group, 1, 1] = signs * (_NOISE_FOUND * 2 / _GROUP)


def _unet_shapes() -> Shapes:
    return shapes_of(unet_names(_unet_state(), LAYERS), UNET)


def _unet_state() -> Mapping[str, Tensor]:
    from diffusers import UNet2DConditionModel

    unet = on_meta(
        lambda: UNet2DConditionModel(
            block_out_channels=LEVELS,
            down_block_types=("CrossAttnDownBlock2D",) * len(LEVELS),
            up_block_types=("CrossAttnUpBlock2D",) * len(LEVELS),
            layers_per_block=LAYERS,
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=HEADS,
        )
    )
    return unet.state_dict()


def _control_net_shapes() -> Shapes:
    from diffusers import ControlNetModel

    net = on_meta(
        lambda: ControlNetModel(
            block_out_channels=LEVELS,
            down_block_types=("CrossAttnDownBlock2D",) * len(LEVELS),
            layers_per_block=LAYERS,
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=HEADS,
        )
    )
    return shapes_of(unet_names(net.state_dict(), LAYERS), "control_model.")


def vae_shapes() -> Shapes:
    """SD's autoencoder in a checkpoint."""
    from diffusers import AutoencoderKL

    vae = on_meta(
        lambda: AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        )
    )
    return shapes_of(vae_names(vae.state_dict(), 4), VAE)


def text_state() -> Mapping[str, Tensor]:
    """SD 1.x's text encoder, names from "text_model." on."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=77,
    )
    state = on_meta(lambda: CLIPTextModel(config)).state_dict()
    return {
        f"text_model.{name.removeprefix('text_model.')}": value for name, value in state.items()
    }


def on_meta(make: Callable[[], Any]) -> Any:
    """A module without memory."""
    with torch.device("meta"):
        return make()


def shapes_of(state: Mapping[str, Tensor], prefix: str = "") -> Shapes:
    """The names, behind a prefix, and shapes of tensors."""
    return {prefix + name: tuple(tensor.shape) for name, tensor in state.items()}
