"""Can a ControlNet be trained on this base, and does a trained one fit it?"""

from __future__ import annotations

from typing import Any

from ..errors import UserError

_BLOCKS = ("CrossAttnDownBlock2D", "DownBlock2D")
_MIDDLE = "UNetMidBlock2DCrossAttn"
_PLAIN = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type")

_SHARED = (
    "in_channels",
    "block_out_channels",
    "down_block_types",
    "layers_per_block",
    "cross_attention_dim",
    "attention_head_dim",
    "num_attention_heads",
    "use_linear_projection",
    "transformer_layers_per_block",
    "norm_num_groups",
    "norm_eps",
    "act_fn",
    "only_cross_attention",
    "downsample_padding",
    "upcast_attention",
    "flip_sin_to_cos",
    "freq_shift",
)
"""What a ControlNet has in common with its U-Net, by the names of diffusers' configurations."""


def check_base(unet: Any) -> None:
    """UserError unless `unet` is a U-Net of the SD 1.x or 2.x kind, which ControlNets are trained
    on here.
    """
    from diffusers import UNet2DConditionModel

    if not isinstance(unet, UNet2DConditionModel):
        raise UserError(
            f"The base is not a U-Net but a {type(unet).__name__}: a ControlNet can be trained on "
            "the U-Net of a Stable Diffusion 1.x or 2.x model."
        )
    config: Any = unet.config
    for key in _PLAIN:
        if config.get(key) is not None:
            family = "the SDXL family" if config[key] == "text_time" else "another family"
            raise UserError(
                f"The base is of {family} ({key}: {config[key]!r}): ControlNets are trained here "
                "for Stable Diffusion 1.x and 2.x."
            )
    strange = [
        *(kind for kind in config.down_block_types if kind not in _BLOCKS),
        *([] if config.mid_block_type == _MIDDLE else [config.mid_block_type]),
    ]
    if strange:
        raise UserError(
            f"The base's encoder has a {strange[0]}: ControlNets are trained here for encoders of "
            f"{', '.join(_BLOCKS)} and {_MIDDLE}, as in Stable Diffusion 1.x and 2.x."
        )
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
    theirs: Any = unet.config
    wanted = {**theirs, "in_channels": theirs.out_channels}
    for key in _SHARED:
        if key not in network.config or key not in wanted:
            continue
        has, asks = _levels(network.config, key), _levels(wanted, key)
        if has != asks:
            raise UserError(
                f"{network_words[0].upper()}{network_words[1:]} does not fit {unet_words}: its "
                f"{key} is {_shown(has)}, and {unet_words} has {_shown(asks)}. Take one that was "
                "trained for this kind of base."
            )


def _levels(config: Any, key: str) -> Any:
    """A setting as a tuple of one value a level where diffusers allows one value for all."""
    value = config[key]
    if isinstance(value, list):
        return tuple(value)
    single = key in ("attention_head_dim", "cross_attention_dim", "transformer_layers_per_block")
    if (single or key == "only_cross_attention") and not isinstance(value, tuple):
        return (value,) * len(config["block_out_channels"])
    return value


def _shown(value: Any) -> str:
    """A value for a sentence; one for a level where all are the same."""
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else ", ".join(map(str, value))
    return str(value)
