"""The core's nodes that change how a MODEL is sampled, on a clone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import torch
from torch import Tensor

from ..sampling.distilled import KINDS, sampling_of
from ..sampling.guider import DENOISE_MASK, GUIDANCE
from ..sampling.model import Model
from .declare import core_node, number

Scaled = Callable[[Tensor, float], Tensor]


@core_node(
    "ModelSamplingDiscrete",
    "model/patch",
    {
        "model": "MODEL",
        "sampling": list(KINDS),
        "zsnr": ("BOOLEAN", {"default": False, "advanced": True}),
    },
    "MODEL",
)
def set_sampling(model: Model, sampling: str, zsnr: bool) -> Model:
    """What the U-Net predicts: noise, velocity, the latent, or as LCMs do; with `zsnr` the last
    timestep holds no picture.
    """
    patched = model.clone()
    patched.model = copy(model.model)
    patched.model.model_sampling = sampling_of(sampling, zsnr)
    return patched


@core_node(
    "DifferentialDiffusion",
    "experimental",
    {"model": "MODEL"},
    "MODEL",
    optional={"strength": number(1.0, 0.0, 1.0, 0.01)},
)
def set_mask_over_steps(model: Model, strength: float = 1.0) -> Model:
    """A latent's mask that lets a pixel change from the step on at which its grey comes: the
    lighter, the earlier (Levin and Fried 2023, https://arxiv.org/abs/2306.00950). Below 1,
    `strength` mixes that with the mask as it is.
    """

    def mask_of(sigma: Tensor, mask: Tensor, extra_options: Mapping[str, Any]) -> Tensor:
        sampling = extra_options["model"].inner_model.model_sampling
        levels: Tensor = extra_options["sigmas"]
        last = torch.maximum(levels[-1], levels.new_tensor(float(sampling.sigma_min)))
        start, end, now = (sampling.timestep(one) for one in (levels[0], last, sigma[0]))
        open_now: Tensor = (mask >= (now - end) / (start - end)).to(mask.dtype)
        if 0 < strength < 1:
            return strength * open_now + (1 - strength) * mask
        return open_now

    patched = model.clone()
    patched.model_options[DENOISE_MASK] = mask_of
    return patched


@core_node(
    "RescaleCFG",
    "model/patch",
    {"model": "MODEL", "multiplier": number(0.7, 0.0, 1.0, 0.01)},
    "MODEL",
)
def rescale_guidance(model: Model, multiplier: float) -> Model:
    """Guidance whose velocity deviates as the positive side's does, mixed with plain guidance by
    `multiplier` (Lin et al. 2023, https://arxiv.org/abs/2305.08891, section 3.4).
    """

    def guide(args: Mapping[str, Any]) -> Tensor:
        x: Tensor = args["input"]
        sigma = args["sigma"].view(-1, *(1,) * (x.ndim - 1))
        scale = (sigma**2 + 1.0) ** 0.5
        inner = x / (sigma**2 + 1.0)
        positive, negative = (
            (inner - (x - args[side])) * scale / sigma for side in ("cond", "uncond")
        )
        guided = negative + args["cond_scale"] * (positive - negative)
        axes = tuple(range(1, x.ndim))
        rescaled = guided * (positive.std(axes, keepdim=True) / guided.std(axes, keepdim=True))
        velocity = multiplier * rescaled + (1.0 - multiplier) * guided
        moved: Tensor = inner - velocity * sigma / scale
        return x - moved

    patched = model.clone()
    patched.model_options[GUIDANCE] = guide
    return patched


def _free_u(node_id: str, first: float, second: float, scaled: Scaled) -> None:
    fields = {"b1": first, "b2": second, "s1": 0.9, "s2": 0.2}

    @core_node(
        node_id,
        "model/patch/unet",
        {
            "model": "MODEL",
            **{name: number(v, 0.0, 10.0, 0.01, advanced=True) for name, v in fields.items()},
        },
        "MODEL",
    )
    def free(model: Model, b1: float, b2: float, s1: float, s2: float) -> Model:
        """Decoder features made louder, and the low frequencies of its skips more quiet, where it
        has four and two times the U-Net's width (Si et al. 2023, https://arxiv.org/abs/2309.11497).
        """
        width = model.model.unet_config["block_out_channels"][0]
        levels = {4 * width: (b1, s1), 2 * width: (b2, s2)}

        def patch(h: Tensor, skip: Tensor, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
            if h.shape[1] not in levels:
                return h, skip
            louder, quieter = levels[h.shape[1]]
            half = h.shape[1] // 2
            h = torch.cat([scaled(h, louder)[:, :half], h[:, half:]], dim=1)
            return h, _low_frequencies(skip, quieter)

        patched = model.clone()
        inner = patched.model_options["transformer_options"]
        patches = dict(inner.get("patches", {}))
        patches["output_block_patch"] = [*patches.get("output_block_patch", ()), patch]
        inner["patches"] = patches
        return patched


def _by_mean(h: Tensor, factor: float) -> Tensor:
    """Louder where the mean of the channels is larger: from 1 at its smallest to `factor`."""
    mean = h.mean(dim=1, keepdim=True)
    low, high = mean.amin((1, 2, 3), keepdim=True), mean.amax((1, 2, 3), keepdim=True)
    spread = (high - low).clamp(min=torch.finfo(h.dtype).tiny)  # features of one place have none
    return h * ((factor - 1) * ((mean - low) / spread) + 1)


def _low_frequencies(x: Tensor, factor: float, radius: int = 1) -> Tensor:
    """Features (B, C, h, w) with their lowest frequencies scaled."""
    frequencies = torch.fft.fftshift(torch.fft.fftn(x.float(), dim=(-2, -1)), dim=(-2, -1))
    row, column = (edge // 2 for edge in x.shape[-2:])
    frequencies[..., row - radius : row + radius, column - radius : column + radius] *= factor
    back = torch.fft.ifftn(torch.fft.ifftshift(frequencies, dim=(-2, -1)), dim=(-2, -1))
    real: Tensor = back.real
    return real.to(x.dtype)


_free_u("FreeU", 1.1, 1.2, lambda h, factor: h * factor)
_free_u("FreeU_V2", 1.3, 1.4, _by_mean)
