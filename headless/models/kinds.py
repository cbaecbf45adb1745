"""What a file of weights is, told from the names of its tensors."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of file: the folder whose loader takes it (None where none does), and its name."""

    folder: str | None
    words: str


CHECKPOINT = Kind("checkpoints", "a whole checkpoint")
DIFFUSION_MODEL = Kind("diffusion_models", "a diffusion model")
TEXT_ENCODER = Kind("text_encoders", "a CLIP text encoder")
VAE = Kind("vae", "a VAE")
LORA = Kind("loras", "a LoRA")
CONTROLNET = Kind("controlnet", "a ControlNet")

LOADERS = {
    "checkpoints": "CheckpointLoaderSimple",
    "diffusion_models": "UNETLoader",
    "text_encoders": "CLIPLoader",
    "vae": "VAELoader",
    "loras": "LoraLoader",
    "controlnet": "ControlNetLoader",
}
"""The node that loads the files of each folder."""

KINDS = {
    kind.folder: kind for kind in (CHECKPOINT, DIFFUSION_MODEL, TEXT_ENCODER, VAE, LORA, CONTROLNET)
}

UNET_PREFIX = "model.diffusion_model."
"""What the U-Net's tensors are called in a whole checkpoint (CompVis/stable-diffusion)."""

# A part of a name that only one kind has; the first line that fits decides.
_MARKS: tuple[tuple[str, Kind], ...] = (
    ("lora_controlnet", Kind(None, "a Control-LoRA")),
    ("hada_w1_a", Kind(None, "a LyCORIS file (LoHa)")),
    ("lokr_w1", Kind(None, "a LyCORIS file (LoKr)")),
    (".lora_up.", LORA),
    (".lora_A.", LORA),
    (".lora.up.", LORA),
    (".lora_linear_layer.up.", LORA),
    ("_lora.up.", LORA),
    ("control_add_embedding.", Kind(None, "a union ControlNet (made for SDXL)")),
    ("controlnet_cond_embedding.", CONTROLNET),
    ("input_hint_block.", CONTROLNET),
    ("ip_adapter.", Kind(None, "an IP-Adapter")),
    ("body.0.in_conv.", Kind(None, "a T2I adapter")),
    ("body.0.resnets.", Kind(None, "a T2I adapter")),
    ("double_blocks.0.", Kind(None, "a Flux model")),
    ("joint_blocks.0.", Kind(None, "an SD 3 model")),
    ("motion_modules.0.", Kind(None, "an AnimateDiff motion module")),
    ("SelfAttention.q.", Kind(None, "a T5 text encoder")),
    ("vision_model.", Kind(None, "a CLIP with its vision part")),
    ("emb_params", Kind(None, "a textual inversion")),
    ("string_to_param", Kind(None, "a textual inversion")),
    ("conv_first.", Kind(None, "an upscaler")),
)


def kind_of(names: Collection[str]) -> Kind | None:
    """The kind of a file with tensors of these names; None where no kind is known by them."""
    for mark, kind in _MARKS:
        if any(mark in name for name in names):
            return kind
    if any(name.startswith(UNET_PREFIX) for name in names):
        return CHECKPOINT if _has_more_than_a_unet(names) else DIFFUSION_MODEL
    if "input_blocks.0.0.weight" in names or "time_embedding.linear_1.weight" in names:
        return DIFFUSION_MODEL
    if any(name.endswith("token_embedding.weight") for name in names):
        return TEXT_ENCODER
    if any(name.endswith(("decoder.conv_in.weight", "decoder.layers.0.weight")) for name in names):
        return VAE
    return None


def _has_more_than_a_unet(names: Collection[str]) -> bool:
    others = ("first_stage_model.", "cond_stage_model.", "conditioner.")
    return any(name.startswith(others) for name in names)
