"""Can a ControlNet be trained on this base, and does a trained one fit it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ground.errors import UserError
from .sdxl import TEXT_TIME, pooled_width

NETWORKS = ("ControlNetModel", "LiteControlNet", "ControlLoraModel")
"""The classes of the networks that are trained here."""

_FAMILIES = "Stable Diffusion 1.x, 2.x or SDXL"
_BLOCKS = ("CrossAttnDownBlock2D", "DownBlock2D", "UNetMidBlock2DCrossAttn")
_PLAIN = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type")
_REFINER = 1280
"""The width of the text that the SDXL refiner reads: OpenCLIP bigG's alone."""

_SHARED = (
    "in_channels",
    "block_out_channels",
    "down_block_types",
    "layers_per_block",
    "cross_attention_dim",
    "attention_head_dim",
    "use_linear_projection",
    "transformer_layers_per_block",
    "norm_num_groups",
    "norm_eps",
    "act_fn",
    "only_cross_attention",
    "downsample_padding",
    "flip_sin_to_cos",
    "freq_shift",
    "addition_embed_type",
    "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
)
"""What a ControlNet has in common with its U-Net, by the names of diffusers' configurations: all
that decides what its weights mean. `upcast_attention` is left out: it is a matter of precision."""

_PER_LEVEL = (
    "attention_head_dim",
    "cross_attention_dim",
    "transformer_layers_per_block",
    "only_cross_attention",
)


def check_base(unet: Any) -> None:
    """UserError unless `unet` is one that a ControlNet can be trained on here: a U-Net of the SD
    1.x, 2.x or SDXL kind which takes a latent and no picture beside it.
    """
    _check_unet(unet, "the base")
    config: Any = unet.config
    if config.in_channels != config.out_channels:
        raise UserError(
            f"The base takes {config.in_channels} channels and gives {config.out_channels}: it is "
            "made for inpainting or editing. Train on the model that it was made from; the "
            "ControlNet then works with both."
        )


def check_fits(network: Any, unet: Any, network_words: str, unet_words: str) -> None:
    """UserError, saying what differs, unless `network` gives residuals that `unet` takes and, as
    far as it copies, has the same encoder.

    `network_words` and `unet_words` are what the sentence calls the two.
    """
    begins = _capital(network_words)
    kind = type(network).__name__
    if kind not in NETWORKS:
        raise UserError(f"{begins} is a {kind}, not a {' or '.join(NETWORKS)}.")
    _check_unet(unet, unet_words)
    theirs: Any = unet.config
    wanted = {**theirs, "in_channels": theirs["out_channels"]}  # the latent alone
    for key in _SHARED:
        if key not in network.config:
            continue  # a lite network has no attention, for one
        has, asks = per_level(network.config, key), per_level(wanted, key)
        if has != asks:
            raise UserError(
                f"{begins} does not fit {unet_words}: its {key} is {_shown(has)}, and {unet_words} "
                f"has {_shown(asks)}. Take one that was trained for this kind of base."
            )


def not_to_start_from(control_net: Any, name: str) -> UserError:
    """What is said of a CONTROL_NET, called `name`, that no network can be trained further from."""
    return UserError(
        f"{name} is a {type(control_net).__name__} without a ControlNet's copied encoder, as T2I "
        "adapters, union nets and Control-LoRAs are: start_from takes a ControlNet for one kind of "
        "hint."
    )


def _check_unet(unet: Any, words: str) -> None:
    from diffusers import UNet2DConditionModel

    begins = _capital(words)
    if not isinstance(unet, UNet2DConditionModel):
        raise UserError(
            f"{begins} is not a U-Net but a {type(unet).__name__}: ControlNets are made here for "
            f"the U-Net of a {_FAMILIES} model."
        )
    config: Any = unet.config
    if pooled_width(unet) and config.cross_attention_dim == _REFINER:
        raise UserError(
            f"{begins} is the SDXL refiner, which is not trained on here: train on SDXL's base "
            "model."
        )
    for key in _PLAIN:
        if config.get(key) not in (None, TEXT_TIME):
            raise UserError(
                f"{begins} is of another family ({key}: {config[key]!r}): ControlNets are made "
                f"here for {_FAMILIES}."
            )
    for kind in (*config.down_block_types, config.mid_block_type):
        if kind not in _BLOCKS:
            raise UserError(
                f"{begins} has a {kind} in its encoder: ControlNets are made here for "
                f"{_FAMILIES}, of {', '.join(_BLOCKS)} alone."
            )


def per_level(config: Mapping[str, Any], key: str) -> Any:
    """A configuration's value, as a tuple where diffusers allows one for all levels or one each.

    "attention_head_dim" is the number of heads, as diffusers reads it.
    """
    value = config[key]
    if key == "attention_head_dim":
        value = config.get("num_attention_heads") or value
    if isinstance(value, list):
        return tuple(value)
    if key in _PER_LEVEL and value is not None and not isinstance(value, tuple):
        return (value,) * len(config["block_out_channels"])
    return value


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _shown(value: Any) -> str:
    """A value for a sentence; one for a level where all are the same."""
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else ", ".join(map(str, value))
    return str(value)
