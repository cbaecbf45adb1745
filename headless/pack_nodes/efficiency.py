"""efficiency-nodes-comfyui: its stacks, its loader and its sampler, without scripts.

By https://github.com/jags111/efficiency-nodes-comfyui (1.0.9), `efficiency_nodes.py`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from torch import Tensor

from ...ground.errors import UserError
from ...model_patch.conditioning import Conditioning
from ..core_nodes.controlnet import CONTROLLED, PROMPTS
from ..core_nodes.declare import CORE_NODES, Declared, integer, model_file, number
from ..core_nodes.sampling import SEED
from ..core_nodes.saving import PROMPT_AND_CANVAS
from ..resize import MAX_RESOLUTION
from ..sampling.sample import Latent
from ..sampling.samplers import SAMPLERS
from ..sampling.schedules import SCHEDULES, full_steps
from .core import core, require_core
from .declare import nodes_of
from .stacks import NONE, WEIGHT, Entries, applied, kept

eff_node = nodes_of("efficiency-nodes-comfyui")

STACKERS, LOADERS, SAMPLING = (
    f"Efficiency Nodes/{room}" for room in ("Stackers", "Loaders", "Sampling")
)

Loras: TypeAlias = list[tuple[str, float, float]]
"""What a LORA_STACK wire brings: file, strength on the model, strength on the text encoder."""

BAKED = "Baked VAE"
MOST_LORAS = 50


@eff_node(
    "Control Net Stacker",
    STACKERS,
    CONTROLLED,
    "CONTROL_NET_STACK",
    optional={"cnet_stack": "CONTROL_NET_STACK"},
    RETURN_NAMES=("CNET_STACK",),
)
def stacked(
    control_net: Any,
    image: Tensor,
    strength: float,
    start_percent: float,
    end_percent: float,
    cnet_stack: Entries | None = None,
) -> Entries:
    """One control more on a list."""
    return [*(cnet_stack or []), (control_net, image, strength, start_percent, end_percent)]


@eff_node(
    "Apply ControlNet Stack",
    STACKERS,
    PROMPTS,
    *("CONDITIONING", "CONDITIONING"),
    optional={"cnet_stack": "CONTROL_NET_STACK"},
    RETURN_NAMES=("CONDITIONING+", "CONDITIONING-"),
)
def apply_stack(
    positive: Conditioning, negative: Conditioning, cnet_stack: Entries | None = None
) -> tuple[Conditioning, ...]:
    """Both prompts under the controls of a list, as the core's apply nodes chain them."""
    return applied(cnet_stack, positive, negative)


def _lora_fields() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for i in range(1, MOST_LORAS + 1):
        found[f"lora_name_{i}"] = model_file("loras", NONE)
        found |= dict.fromkeys((f"lora_wt_{i}", f"model_str_{i}", f"clip_str_{i}"), WEIGHT)
    return found


@eff_node(
    "LoRA Stacker",
    STACKERS,
    {
        "input_mode": ["simple", "advanced"],
        "lora_count": integer(3, 0, MOST_LORAS, 1),
        **_lora_fields(),
    },
    "LORA_STACK",
    optional={"lora_stack": "LORA_STACK"},
    RETURN_NAMES=("LORA_STACK",),
)
def lora_stack(
    input_mode: str, lora_count: int, lora_stack: Loras | None = None, **given: Any
) -> Loras:
    """The first `lora_count` LoRAs that are named, with one strength each or with two."""
    two = ("lora_wt", "lora_wt") if input_mode == "simple" else ("model_str", "clip_str")
    made = [
        (given[f"lora_name_{i}"], given[f"{two[0]}_{i}"], given[f"{two[1]}_{i}"])
        for i in range(1, lora_count + 1)
        if given.get(f"lora_name_{i}", NONE) != NONE
    ]
    return [*made, *kept(lora_stack)]


def _check_loading(
    ckpt_name: str | None = None,
    vae_name: str | None = None,
    lora_name: str | None = None,
    token_normalization: str | None = None,
    weight_interpretation: str | None = None,
    empty_latent_width: int | None = None,
    empty_latent_height: int | None = None,
    batch_size: int | None = None,
) -> None:
    """Raise UserError for files and latents that the core's nodes refuse, and for ways to read a
    prompt that are not here; None comes through a link."""
    for node, name, field, none in (
        ("CheckpointLoaderSimple", ckpt_name, "ckpt_name", None),
        ("VAELoader", vae_name, "vae_name", BAKED),
        ("LoraLoader", lora_name, "lora_name", NONE),
    ):
        if name not in (None, none):
            require_core(node, **{field: name})
    size = {"width": empty_latent_width, "height": empty_latent_height, "batch_size": batch_size}
    if None not in size.values():
        require_core("EmptyLatentImage", **size)
    for field, chosen, plain in (
        ("token_normalization", token_normalization, "none"),
        ("weight_interpretation", weight_interpretation, "comfy"),
    ):
        if chosen not in (None, plain):
            raise UserError(
                f"{field} is {chosen}, and prompts are read here by {plain} alone; choose that, or "
                "run the workflow in ComfyUI"
            )


_SIDE = integer(512, 64, MAX_RESOLUTION, 64)


def _prompt(default: str) -> Declared:
    return "STRING", {"default": default, "multiline": True}


@eff_node(
    "Efficient Loader",
    LOADERS,
    {
        "ckpt_name": model_file("checkpoints"),
        "vae_name": model_file("vae", BAKED),
        "clip_skip": integer(-1, -24, -1, 1),
        "lora_name": model_file("loras", NONE),
        "lora_model_strength": WEIGHT,
        "lora_clip_strength": WEIGHT,
        "positive": _prompt("CLIP_POSITIVE"),
        "negative": _prompt("CLIP_NEGATIVE"),
        "token_normalization": ["none", "mean", "length", "length+mean"],
        "weight_interpretation": ["comfy", "A1111", "compel", "comfy++", "down_weight"],
        "empty_latent_width": _SIDE,
        "empty_latent_height": _SIDE,
        "batch_size": integer(1, 1, 262144),
    },
    *("MODEL", "CONDITIONING", "CONDITIONING", "LATENT", "VAE", "CLIP", "DEPENDENCIES"),
    optional={"lora_stack": "LORA_STACK", "cnet_stack": "CONTROL_NET_STACK"},
    check=_check_loading,
    RETURN_NAMES=(
        *("MODEL", "CONDITIONING+", "CONDITIONING-", "LATENT", "VAE", "CLIP", "DEPENDENCIES"),
    ),
)
def load(
    ckpt_name: str,
    vae_name: str,
    clip_skip: int,
    lora_name: str,
    lora_model_strength: float,
    lora_clip_strength: float,
    positive: str,
    negative: str,
    token_normalization: str,
    weight_interpretation: str,
    empty_latent_width: int,
    empty_latent_height: int,
    batch_size: int,
    lora_stack: Loras | None = None,
    cnet_stack: Entries | None = None,
) -> tuple[Any, ...]:
    """Checkpoint, LoRAs, CLIP skip, both prompts under a list of controls, and an empty latent.

    DEPENDENCIES, for that pack's XY plots, is None.
    """
    _check_loading(
        token_normalization=token_normalization, weight_interpretation=weight_interpretation
    )
    model, clip, vae = core("CheckpointLoaderSimple", ckpt_name=ckpt_name)
    named = [(lora_name, lora_model_strength, lora_clip_strength)] if lora_name != NONE else []
    for name, on_model, on_clip in [*named, *(lora_stack or [])]:
        strengths = {"strength_model": on_model, "strength_clip": on_clip}
        model, clip = core("LoraLoader", model=model, clip=clip, lora_name=name, **strengths)
    (clip,) = core("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=clip_skip)
    prompts = [core("CLIPTextEncode", clip=clip, text=text)[0] for text in (positive, negative)]
    prompts = list(applied(cnet_stack, *prompts))
    if vae_name != BAKED:
        (vae,) = core("VAELoader", vae_name=vae_name)
    size = {"width": empty_latent_width, "height": empty_latent_height, "batch_size": batch_size}
    return (model, *prompts, *core("EmptyLatentImage", **size), vae, clip, None)


_ALONE = ("AYS SD1", "AYS SDXL", "AYS SVD", "GITS")
"""That pack's further schedulers."""


_TILES = {"tile_size": 320, "overlap": 64, "temporal_size": 64, "temporal_overlap": 8}


def _check_sampling(
    scheduler: str | None = None, steps: int | None = None, denoise: float | None = None
) -> None:
    """Raise UserError for a scheduler that is not here; None comes through a link."""
    if scheduler in _ALONE:
        raise UserError(f"scheduler is {scheduler}, which is not here; choose one of ComfyUI's")
    if scheduler is not None and scheduler not in SCHEDULES:
        raise UserError(f"there is no scheduler {scheduler}; there is {', '.join(SCHEDULES)}")
    if steps is not None and denoise is not None:
        full_steps(steps, denoise)


@eff_node(
    "KSampler (Efficient)",
    SAMPLING,
    {
        "model": "MODEL",
        "seed": integer(0, SEED["least"], SEED["most"]),
        "steps": integer(20, 1, 10000),
        "cfg": ("FLOAT", {"default": 7.0, "min": 0.0, "max": 100.0}),
        "sampler_name": list(SAMPLERS),
        "scheduler": [*SCHEDULES, *_ALONE],
        "positive": "CONDITIONING",
        "negative": "CONDITIONING",
        "latent_image": "LATENT",
        "denoise": number(1.0, 0.0, 1.0, 0.01),
        "preview_method": ["auto", "latent2rgb", "taesd", "vae_decoded_only", "none"],
        "vae_decode": ["true", "true (tiled)", "false"],
    },
    *("MODEL", "CONDITIONING", "CONDITIONING", "LATENT", "VAE", "IMAGE"),
    optional={"optional_vae": "VAE", "script": "SCRIPT"},
    hidden=PROMPT_AND_CANVAS,
    check=_check_sampling,
    RETURN_NAMES=("MODEL", "CONDITIONING+", "CONDITIONING-", "LATENT", "VAE", "IMAGE"),
    OUTPUT_NODE=True,
)
def sample(
    preview_method: str,
    vae_decode: str,
    latent_image: Latent,
    optional_vae: Any = None,
    script: Any = None,
    prompt: dict[str, Any] | None = None,
    extra_pnginfo: dict[str, Any] | None = None,
    **given: Any,
) -> dict[str, Any]:
    """A KSampler that decodes and shows its pictures; IMAGE is None where it decodes none.

    Raises UserError for a script, which is another pack's part of it.
    """
    if script is not None:
        raise UserError("its script (XY plot, HighRes-Fix ...) is not here; take it off")
    _check_sampling(given["scheduler"])
    (samples,) = core("KSampler", latent_image=latent_image, **given)
    images: Tensor | None = None
    shown: dict[str, Any] = {"images": []}
    if optional_vae is not None and vae_decode != "false":
        tiled = vae_decode == "true (tiled)"
        node, more = ("VAEDecodeTiled", _TILES) if tiled else ("VAEDecode", {})
        (images,) = core(node, vae=optional_vae, samples=samples, **more)
        if preview_method != "none":
            preview = CORE_NODES["PreviewImage"]()
            seen = preview.run(images=images, prompt=prompt, extra_pnginfo=extra_pnginfo)
            shown = seen["ui"]
    prompts = (given["positive"], given["negative"])
    return {"ui": shown, "result": (given["model"], *prompts, samples, optional_vae, images)}
