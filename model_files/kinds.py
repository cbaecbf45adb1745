"""What a file of weights is, told from the names of its tensors, and what loads it in ComfyUI."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

MODEL_PATCHES = "model_patches"
"""The folder of what ComfyUI loads as a MODEL_PATCH."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name, and the folder below ComfyUI's `models` where it belongs."""

    words: str
    folder: str
    loads: str
    """What loads it in ComfyUI: "the node LoraLoader", or what a person does instead."""
    control: bool = False
    """Whether our loader takes it: it can be a line of a stack."""
    node: str = ""
    """The id of the node that takes what `loads` gives, where it is made for this kind alone."""
    family: str = ""
    """The models it is made for, of a control that is a model patch."""

    @property
    def place(self) -> str:
        """`the node LoraLoader loads it, from the folder loras`, and for which node."""
        taken = f", for the node {self.node}" if self.node else ""
        return f"{self.loads} loads it, from the folder {self.folder}{taken}"


def _kind(words: str, folder: str, node: str) -> Kind:
    return Kind(words, folder, f"the node {node}")


def _patch(words: str, node: str, family: str = "") -> Kind:
    """What ComfyUI calls a model patch, for `node`; one that is a control names its family."""
    kind = _kind(words, MODEL_PATCHES, "ModelPatchLoader")
    return replace(kind, node=node, family=family, control=bool(family))


CHECKPOINT = _kind("a whole checkpoint", "checkpoints", "CheckpointLoaderSimple")
DIFFUSION_MODEL = _kind("a diffusion model", "diffusion_models", "UNETLoader")
TEXT_ENCODER = _kind("a CLIP text encoder", "text_encoders", "CLIPLoader")
VAE = _kind("a VAE", "vae", "VAELoader")
LORA = _kind("a LoRA", "loras", "LoraLoader")
CONTROLNET = replace(_kind("a ControlNet", "controlnet", "ControlNetLoader"), control=True)
T2I_ADAPTER = replace(CONTROLNET, words="a T2I adapter")
UNION = replace(CONTROLNET, words="a union ControlNet (made for SDXL)")
CONTROL_LORA = replace(CONTROLNET, words="a Control-LoRA")
DIFFERENCE = replace(
    CONTROLNET,
    words="only a ControlNet's difference to its base model",
    loads="the node DiffControlNetLoader",
    control=False,
)
"""Told apart because any other loader gives a net that does nothing of use."""

KINDS = {
    kind.folder: kind for kind in (CHECKPOINT, DIFFUSION_MODEL, TEXT_ENCODER, VAE, LORA, CONTROLNET)
}
"""The kinds that have a folder to themselves in any Stable Diffusion workflow."""

UNET_PREFIX = "model.diffusion_model."
"""What the U-Net's tensors are called in a whole checkpoint (CompVis/stable-diffusion)."""

_LYCORIS = replace(LORA, words="a LyCORIS file")
_TEXTUAL_INVERSION = Kind(
    "a textual inversion", "embeddings", "a prompt with embedding:NAME in its text"
)
_STYLE_MODEL = _kind("a style model", "style_models", "StyleModelLoader")
_UPSCALER = _kind("an upscaler", "upscale_models", "UpscaleModelLoader")
_LANGUAGE_MODEL = replace(TEXT_ENCODER, words="a language model that encodes texts")

Z_IMAGE_FUN = _patch("a Z-Image Fun ControlNet", "ZImageFunControlnet", "Z-Image")
QWEN_DIFFSYNTH = _patch(
    "a Qwen-Image DiffSynth ControlNet", "QwenImageDiffsynthControlnet", "Qwen-Image"
)
ANIMA_LLLITE = _patch("an Anima ControlNet-LLLite", "AnimaLLLiteApply", "Anima")
WAN_UNI3C = _patch("a Wan Uni3C ControlNet", "WanUni3CControlnetApply", "Wan")
SUPIR = _patch("a SUPIR model", "SUPIRApply")
MULTITALK = _patch("a MultiTalk or InfiniteTalk model", "WanInfiniteTalkToVideo")
USO_PROJECTOR = _patch("a USO style projector", "USOStyleReference")
DURATION_HEAD = _patch("an LTX duration head", "LTXVDurationPredictor")

# A part of a name that only one kind has; the first line that fits decides. What the core's
# ControlNet loader takes comes first: it shares many names with the models it controls. Model
# patches are told as ComfyUI's ModelPatchLoader tells them (`nodes_model_patch.py`).
_MARKS: tuple[tuple[str, Kind], ...] = (
    ("lora_controlnet", CONTROL_LORA),
    ("hada_w1_a", replace(_LYCORIS, words="a LyCORIS file (LoHa)")),
    ("lokr_w1", replace(_LYCORIS, words="a LyCORIS file (LoKr)")),
    (".lora_up.", LORA),
    (".lora_A.", LORA),
    (".lora.up.", LORA),
    (".lora_linear_layer.up.", LORA),
    ("_lora.up.", LORA),
    ("control_add_embedding.", UNION),
    ("controlnet_cond_embedding.", CONTROLNET),
    ("input_hint_block.", CONTROLNET),
    ("lllite_dit_blocks_", ANIMA_LLLITE),
    ("lllite_conditioning1.", ANIMA_LLLITE),
    ("lllite_", Kind("a ControlNet-LLLite", "controlnet", "the node pack ControlNet-LLLite")),
    ("controlnet_blocks.0.y_rms.", QWEN_DIFFSYNTH),
    ("control_all_x_embedder.", Z_IMAGE_FUN),
    ("controlnet_patch_embedding.", WAN_UNI3C),
    ("controlnet_blocks.", replace(CONTROLNET, words="a ControlNet for transformers")),
    ("control_img_in.", replace(CONTROLNET, words="a ControlNet for Qwen-Image")),
    ("after_proj_list.", replace(CONTROLNET, words="a ControlNet for HunyuanDiT")),
    ("backbone.0.0.weight", replace(CONTROLNET, words="a ControlNet for Stable Cascade")),
    ("backbone.10.blocks.0.", replace(CONTROLNET, words="a ControlNet for Stable Cascade")),
    ("ip_adapter", Kind("an IP-Adapter", "ipadapter", "the node pack ComfyUI_IPAdapter_plus")),
    ("body.0.in_conv.", T2I_ADAPTER),
    ("body.0.resnets.", T2I_ADAPTER),
    ("body.0.block2.", T2I_ADAPTER),
    (
        "motion_modules.0.",
        Kind(
            "an AnimateDiff motion module",
            "animatediff_models",
            "the node pack ComfyUI-AnimateDiff-Evolved",
        ),
    ),
    ("individual_token_refiner.", replace(DIFFUSION_MODEL, words="a HunyuanVideo model")),
    ("double_blocks.0.", replace(DIFFUSION_MODEL, words="a Flux model")),
    ("joint_blocks.0.", replace(DIFFUSION_MODEL, words="an SD 3 model")),
    ("double_layers.0.", replace(DIFFUSION_MODEL, words="an AuraFlow model")),
    ("transformer_blocks.0.img_mod.", replace(DIFFUSION_MODEL, words="a Qwen-Image model")),
    ("blocks.0.cross_attn.norm_k.", replace(DIFFUSION_MODEL, words="a Wan model")),
    ("noise_refiner.0.", replace(DIFFUSION_MODEL, words="a Lumina or Z-Image model")),
    ("patchify_proj.", replace(DIFFUSION_MODEL, words="an LTX model")),
    # After the models, which may hold the same parts.
    ("audio_proj.proj1.", MULTITALK),
    ("feature_embedder.mid_layer_norm.", USO_PROJECTOR),
    ("attention_pooler.query_tokens", DURATION_HEAD),
    ("SelfAttention.q.", replace(TEXT_ENCODER, words="a T5 text encoder")),
    ("token_embd.", replace(_LANGUAGE_MODEL, words="a language model or a T5 text encoder")),
    ("vision_model.", _kind("a CLIP with its vision part", "clip_vision", "CLIPVisionLoader")),
    ("emb_params", _TEXTUAL_INVERSION),
    ("string_to_param", _TEXTUAL_INVERSION),
    ("style_embedding", _STYLE_MODEL),
    ("redux_down.", _STYLE_MODEL),
    ("position_net.", _kind("a GLIGEN model", "gligen", "GLIGENLoader")),
    ("conv_first.", _UPSCALER),
    (".RDB1.", _UPSCALER),
)
_SUPIR_MARKS = ("control_model.input_hint_block.", "project_modules.")


def kind_of(names: Collection[str]) -> Kind | None:
    """The kind of a file with tensors of these names; None where no kind is known by them."""
    if "difference" in names and any(name.startswith("control_model.") for name in names):
        return DIFFERENCE
    # SUPIR's net is an SDXL ControlNet of names; what joins it to the model is its own.
    if all(any(mark in name for name in names) for mark in _SUPIR_MARKS):
        return SUPIR
    for mark, kind in _MARKS:
        if any(mark in name for name in names):
            whole = kind.folder == DIFFUSION_MODEL.folder and _has_more_than_a_unet(names)
            return replace(CHECKPOINT, words=f"{kind.words}'s whole checkpoint") if whole else kind
    if any(name.startswith(UNET_PREFIX) for name in names):
        return CHECKPOINT if _has_more_than_a_unet(names) else DIFFUSION_MODEL
    if "input_blocks.0.0.weight" in names or "time_embedding.linear_1.weight" in names:
        return DIFFUSION_MODEL
    if any(name.endswith("token_embedding.weight") for name in names):
        return TEXT_ENCODER
    if any(name.startswith("model.layers.0.self_attn.") for name in names):
        return _LANGUAGE_MODEL
    if any(name.endswith(("decoder.conv_in.weight", "decoder.layers.0.weight")) for name in names):
        return VAE
    return None


def _has_more_than_a_unet(names: Collection[str]) -> bool:
    others = ("first_stage_model.", "cond_stage_model.", "conditioner.", "text_encoders.", "vae.")
    return any(name.startswith(others) for name in names)
