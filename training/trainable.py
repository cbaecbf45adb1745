"""The network that is trained: a copy of the locked U-Net's encoder and middle block behind zero
convolutions, or one of the paper's two ablations of it.

Source: L. Zhang, A. Rao, M. Agrawala, "Adding Conditional Control to Text-to-Image Diffusion
Models", arXiv 2302.05543, sections 3 (the copy) and 4.3 (the ablations).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..ground.errors import UserError
from .base_fit import check_base, check_fits
from .checkpoint_state import is_finite
from .sdxl import Added, given, pooled_width
from .settings import NetSettings

_COPIED = (
    *("conv_in", "time_embedding", "add_embedding", "class_embedding"),
    *("down_blocks", "mid_block"),
)
"""The parts that a copy shares with its U-Net, under the same names; of SDXL's two names for one
(`sdxl.with_y`) it has one.
"""

_HINT_LAYERS = 4


def control_net_from(unet: Any, net: NetSettings, seed: int = 0) -> Any:
    """The network `net` for a locked `unet`, in fp32 on its device, ready for training.

    Kinds: "controlnet" starts as `unet`'s encoder and adds exactly nothing to it; "gaussian" is the
    same with ordinary convolutions in place of the zero ones; "lite" copies nothing and adds
    nothing at first; "control_lora" is "controlnet" on `unet`'s own weights, changed by factors of
    low rank. What is new is drawn from `seed` alone, the same on every machine. Raises
    UserError for a base that is no U-Net of the SD 1.x, 2.x or SDXL kind, for a lite network on
    SDXL, and for wrong hint channels.
    """
    check_base(unet)
    channels = hint_channels(net.hint_channels)
    with _seeded(seed):
        if net.kind == "lite":
            if pooled_width(unet):
                raise UserError(
                    "The base is of the SDXL family, and a lite network is made for Stable "
                    "Diffusion 1.x and 2.x, as the paper's was: set kind to controlnet."
                )
            from .lite import LiteControlNet

            network: Any = LiteControlNet.for_unet(unet, channels)
        elif net.kind == "control_lora":
            from .control_lora import ControlLoraModel

            network = ControlLoraModel.for_unet(unet, channels, net.rank)
        else:
            from diffusers import ControlNetModel

            network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=channels)
        if net.kind == "gaussian":
            _fill_zero_convolutions(network)
        _amplify_hints(network, net.hint_gain)
    return network.float().to(next(unet.parameters()).device).train()


def started_from(network: Any, unet: Any) -> Any:
    """A copy of a `network` that was trained before, to be trained further on `unet`; in fp32.

    The one given stays as it is. Raises UserError, naming the difference, where it does not fit,
    and for weights that are not finite.
    """
    import copy

    check_base(unet)
    check_fits(network, unet, "the ControlNet to start from", "the base")
    broken = [name for name, weight in network.named_parameters() if not is_finite(weight)]
    if broken:
        raise UserError(
            f"The ControlNet to start from holds numbers that are not finite, in {broken[0]}; take "
            "another."
        )
    started = copy.deepcopy(network).float().to(next(unet.parameters()).device)
    return started.requires_grad_(True).train()


def hint_channels(text: str) -> tuple[int, ...]:
    """The widths of the hint encoder's four layers from a text such as "16,32,96,256"."""
    words = [word.strip() for word in text.split(",")]
    fits = len(words) == _HINT_LAYERS and all(word.isdecimal() and int(word) for word in words)
    if not fits:
        raise UserError(
            f"hint_channels is {text!r}; give {_HINT_LAYERS} numbers from 1 up with commas "
            "between, such as 16,32,96,256."
        )
    return tuple(int(word) for word in words)


def controlled(
    unet: Any,
    network: Any,
    noisy: Tensor,
    timesteps: Tensor,
    words: Tensor,
    hints: Tensor,
    added: Added | None = None,
) -> Tensor:
    """The locked U-Net's prediction (n, c, h, w) with the network's residuals added.

    `noisy` (n, c, h, w), `timesteps` (n,), `words` (n, tokens, width), `hints` (n, 3, 8h, 8w) RGB
    in 0..1; `added` is what SDXL is told beside them.
    """
    lend(unet, network)
    also = given(added)
    down, middle = network(noisy, timesteps, words, hints, return_dict=False, **also)
    result: Tensor = unet(
        noisy, timesteps, words, return_dict=False, **also,
        down_block_additional_residuals=down, mid_block_additional_residual=middle,
    )[0]  # fmt: skip
    return result


def lend(unet: Any, network: Any) -> None:
    """Have a network that has no copied weights, a Control-LoRA, compute with those of `unet`."""
    if attach := getattr(network, "attach", None):
        attach(unet)


def copied_weights(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that start as the U-Net's; a lite network has none."""
    return [p for name, p in network.named_parameters() if is_copied(name)]


def new_weights(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that start from nothing: zero convolutions and hint encoder."""
    return [p for name, p in network.named_parameters() if not is_copied(name)]


def is_copied(name: str) -> bool:
    """Whether a network's parameter of this name is the U-Net's of the same name at first."""
    return name.partition(".")[0] in _COPIED


def weights_hash(module: nn.Module) -> str:
    """SHA-256 of all weights, to show that locked ones stayed as they were."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(
            value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def _fill_zero_convolutions(network: Any) -> None:
    """Normal weights in all zero convolutions, the last layer of the hint encoder among them.

    The paper says "standard convolution layers initialized with Gaussian weights" and no deviation.
    Here it is 1 / sqrt(fan in), so that a layer gives on what it gets at the same strength (Y.
    LeCun et al., "Efficient BackProp", 1998); biases stay 0.
    """
    ends = (*network.controlnet_down_blocks, network.controlnet_mid_block)
    for convolution in (*ends, network.controlnet_cond_embedding.conv_out):
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="linear")


@torch.no_grad()
def _amplify_hints(network: Any, gain: float) -> None:
    """Multiply the hint encoder's fresh weights. The usual initialisation weakens a signal about
    threefold a layer: a thin line is then lost among the biases, and training waits for it. 2.5
    keeps its strength.
    """
    encoder = network.controlnet_cond_embedding
    for convolution in (encoder.conv_in, *encoder.blocks):
        convolution.weight.mul_(gain)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Weights made on the CPU inside come from `seed`; random numbers outside go on as if nothing
    had been drawn, those of a GPU included.
    """
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(seed)
        yield
