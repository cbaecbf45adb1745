"""What SDXL's networks are told beside noise, time and words: a pooled text, what size the picture
had, which part of it is seen, and at what size (D. Podell et al., "SDXL", arXiv 2307.01952, section
2.2).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

TEXT_TIME = "text_time"
"""Diffusers' `addition_embed_type` of SDXL."""
SIZES = 6
"""How many numbers are told: height and width of the picture, rows and columns that were cut off
above and at the left, height and width of what is seen. All in pixels; what was cut off is counted
in what is seen, as the paper's data was resized first (its appendix, algorithm 1)."""
SINUSOIDS = 256
"""Values for each of them (`addition_time_embed_dim`)."""
_IN_Y, _IN_ADDED = "class_embedding", "add_embedding"

Added: TypeAlias = Mapping[str, Tensor]
"""Diffusers' `added_cond_kwargs`: "text_embeds" (n, P), pooled texts, and "time_ids" (n, SIZES)."""


def pooled_width(unet: Any) -> int:
    """The width P of the pooled text that a U-Net or ControlNet is told; 0 for none."""
    config: Any = unet.config
    if config.get("addition_embed_type") != TEXT_TIME:
        return 0
    numbers = SIZES * int(config["addition_time_embed_dim"])
    return int(config["projection_class_embeddings_input_dim"]) - numbers


def as_sampled(pooled: Tensor | None, height: int, width: int) -> Added | None:
    """What is told where pictures of a size are drawn: nothing is cut off, as ComfyUI tells it
    where no node says otherwise. `pooled` (n, P); None for other bases.
    """
    if pooled is None:
        return None
    sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32)
    return {"text_embeds": pooled, "time_ids": sizes.expand(len(pooled), -1).to(pooled.device)}


def on(added: Added | None, *place: Any) -> Added | None:
    """What is told, with the texts moved as Tensor.to moves to `place`; sizes keep their type."""
    if added is None:
        return None
    texts = added["text_embeds"].to(*place)
    return {"text_embeds": texts, "time_ids": added["time_ids"].to(texts.device)}


def given(added: Added | None) -> dict[str, Any]:
    """The argument of diffusers' networks; none for other bases."""
    return {} if added is None else {"added_cond_kwargs": dict(added)}


def as_diffusers(network: Any) -> Any:
    """SDXL's network that takes all as one vector `y`, as the hosts call it, in diffusers' own
    form, which makes it of what is `Added`. Other networks are given back; weights are shared.
    """
    config: Any = network.config
    if config.get("class_embed_type") != "projection":
        return network
    from diffusers.models.embeddings import Timesteps

    made = _with_layers(network, _IN_Y, _IN_ADDED)
    made._modules["add_time_proj"] = Timesteps(
        SINUSOIDS, config["flip_sin_to_cos"], config["freq_shift"]
    )
    made.class_embedding = None
    made.register_to_config(
        addition_embed_type=TEXT_TIME, addition_time_embed_dim=SINUSOIDS, class_embed_type=None
    )
    return made


def with_y(network: Any) -> Any:
    """The inverse of `as_diffusers`; `y` (n, P + SIZES * SINUSOIDS) is given as `class_labels`."""
    if network.config.get("addition_embed_type") != TEXT_TIME:
        return network
    made = _with_layers(network, _IN_ADDED, _IN_Y)
    made._modules.pop("add_time_proj", None)
    made.register_to_config(addition_embed_type=None, class_embed_type="projection")
    return made


def _with_layers(network: Any, old: str, new: str) -> Any:
    """A copy that shares all weights, with the two layers under their other name."""
    made = copy.copy(network)
    made._modules = {new if k == old else k: module for k, module in network._modules.items()}
    made.__dict__.pop(new, None)  # diffusers' None where there are no such layers
    return made
