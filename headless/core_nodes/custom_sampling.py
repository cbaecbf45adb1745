"""The core's nodes that take sampling apart: noise, guider, sampler, and the run itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from ..sampling.conditioning import Conditioning
from ..sampling.model import Model
from ..sampling.sample import Guidance, Latent, NoiseSource, guidance, noised, sample
from ..sampling.samplers import SAMPLERS, Sampler
from ..sampling.three_sides import DualGuider, PerpendicularGuider
from .declare import Declared, core_node, integer, number
from .sampling import CFG, SEED

_SAMPLERS = "model/sampling/samplers"
_GUIDERS = "model/sampling/guiders"
_WORDS = "custom sampling"


@core_node("RandomNoise", "model/sampling/noise", {"noise_seed": integer(0, **SEED)}, "NOISE")
def random_noise(noise_seed: int) -> NoiseSource:
    """The noise of a seed."""
    return NoiseSource(noise_seed)


@core_node("DisableNoise", "model/sampling/noise", {}, "NOISE")
def no_noise() -> NoiseSource:
    """No noise to begin with."""
    return NoiseSource(0, silent=True)


@core_node("BasicGuider", _GUIDERS, {"model": "MODEL", "conditioning": "CONDITIONING"}, "GUIDER")
def basic_guider(model: Model, conditioning: Conditioning) -> Guidance:
    """One conditioning, without guidance."""
    return guidance(model, conditioning, None, 1.0)


@core_node(
    "CFGGuider",
    _GUIDERS,
    {
        "model": "MODEL",
        "positive": "CONDITIONING",
        "negative": "CONDITIONING",
        "cfg": number(8.0, **CFG),
    },
    "GUIDER",
)
def cfg_guider(
    model: Model, positive: Conditioning, negative: Conditioning, cfg: float
) -> Guidance:
    """Guidance from the negative towards the positive, `cfg` times as far."""
    return guidance(model, positive, negative, cfg)


@core_node(
    "DualCFGGuider",
    _GUIDERS,
    {
        "model": "MODEL",
        "cond1": "CONDITIONING",
        "cond2": "CONDITIONING",
        "negative": "CONDITIONING",
        "cfg_conds": number(8.0, **CFG),
        "cfg_cond2_negative": number(8.0, **CFG),
        "style": ["regular", "nested"],
    },
    "GUIDER",
)
def dual_guider(
    model: Model,
    cond1: Conditioning,
    cond2: Conditioning,
    negative: Conditioning,
    cfg_conds: float,
    cfg_cond2_negative: float,
    style: str,
) -> Guidance:
    """Guidance from the negative towards a second conditioning, and from that towards the first."""
    sides = {"positive": cond1, "middle": cond2, "negative": negative}
    return partial(DualGuider, model, sides, cfg_conds, cfg_cond2_negative, style == "nested")


@core_node(
    "PerpNegGuider",
    "experimental",
    {
        "model": "MODEL",
        "positive": "CONDITIONING",
        "negative": "CONDITIONING",
        "empty_conditioning": "CONDITIONING",
        "cfg": number(8.0, **CFG),
        "neg_scale": number(1.0, 0.0, 100.0, 0.01, advanced=True),
    },
    "GUIDER",
    EXPERIMENTAL=True,
)
def perpendicular_guider(
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    empty_conditioning: Conditioning,
    cfg: float,
    neg_scale: float,
) -> Guidance:
    """Guidance from an empty prompt towards the positive, less what of the negative is no part of
    the positive.
    """
    sides = {"positive": positive, "empty": empty_conditioning, "negative": negative}
    return partial(PerpendicularGuider, model, sides, cfg, neg_scale)


@core_node("KSamplerSelect", _SAMPLERS, {"sampler_name": list(SAMPLERS)}, "SAMPLER")
def select(sampler_name: str) -> Sampler:
    """A sampler of KSampler's menu."""
    return SAMPLERS[sampler_name]


def _number(default: float, most: float = 100.0, **more: Any) -> Declared:
    return number(default, 0.0, most, 0.01, round=False, **more)


_DEVICE: Declared = (["gpu", "cpu"], {"advanced": True})
_ADVANCED = {"eta": _number(1.0, advanced=True), "s_noise": _number(1.0, advanced=True)}
_SETTINGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "SamplerEulerAncestral": ("euler_ancestral", _ADVANCED),
    "SamplerEulerAncestralCFGPP": (
        "euler_ancestral_cfg_pp",
        {"eta": _number(1.0, 1.0), "s_noise": _number(1.0, 10.0)},
    ),
    "SamplerLMS": ("lms", {"order": integer(4, 1, 100, advanced=True)}),
    "SamplerDPMPP_3M_SDE": ("dpmpp_3m_sde", {**_ADVANCED, "noise_device": _DEVICE}),
    "SamplerDPMPP_2M_SDE": (
        "dpmpp_2m_sde",
        {"solver_type": ["midpoint", "heun"], **_ADVANCED, "noise_device": _DEVICE},
    ),
    "SamplerDPMPP_SDE": (
        "dpmpp_sde",
        {**_ADVANCED, "r": _number(0.5, advanced=True), "noise_device": _DEVICE},
    ),
    "SamplerDPMPP_2S_Ancestral": (
        "dpmpp_2s_ancestral",
        {"eta": _number(1.0), "s_noise": _number(1.0)},
    ),
    "SamplerDPMAdaptative": (
        "dpm_adaptive",
        {
            "order": integer(3, 2, 3, advanced=True),
            **{
                name: _number(default, advanced=True)
                for name, default in {
                    **{"rtol": 0.05, "atol": 0.0078, "h_init": 0.05},
                    **{"pcoeff": 0.0, "icoeff": 1.0, "dcoeff": 0.0},
                    **{"accept_safety": 0.81, "eta": 0.0, "s_noise": 1.0},
                }.items()
            },
        },
    ),
}
"""By node: the sampler, and the settings that it takes by name."""


def _declare(node_id: str, name: str, fields: Mapping[str, Any]) -> None:
    @core_node(node_id, _SAMPLERS, fields, "SAMPLER")
    def chosen(noise_device: str = "cpu", **settings: Any) -> Sampler:
        """A sampler of KSampler's menu with settings of its own."""
        whole = SAMPLERS[f"{name}_gpu" if noise_device == "gpu" else name]
        return replace(whole, sample=partial(whole.sample, **settings))


for _node_id, (_name, _fields) in _SETTINGS.items():
    _declare(_node_id, _name, _fields)


@core_node(
    "SamplerCustom",
    "model/sampling/custom",
    {
        "model": "MODEL",
        "add_noise": ("BOOLEAN", {"default": True, "advanced": True}),
        "noise_seed": integer(0, **SEED),
        "cfg": number(8.0, **CFG),
        "positive": "CONDITIONING",
        "negative": "CONDITIONING",
        "sampler": "SAMPLER",
        "sigmas": "SIGMAS",
        "latent_image": "LATENT",
    },
    *("LATENT", "LATENT"),
    RETURN_NAMES=("output", "denoised_output"),
)
def run(
    model: Model,
    add_noise: bool,
    noise_seed: int,
    cfg: float,
    positive: Conditioning,
    negative: Conditioning,
    sampler: Sampler,
    sigmas: Tensor,
    latent_image: Latent,
) -> tuple[Latent, Latent]:
    """A latent sampled along any levels, and what the last step took for the picture."""
    guided = guidance(model, positive, negative, cfg)
    source = NoiseSource(noise_seed, silent=not add_noise)
    return sample(guided, source, sampler, sigmas, latent_image, _WORDS)


@core_node(
    "SamplerCustomAdvanced",
    "model/sampling/custom",
    {
        "noise": "NOISE",
        "guider": "GUIDER",
        "sampler": "SAMPLER",
        "sigmas": "SIGMAS",
        "latent_image": "LATENT",
    },
    *("LATENT", "LATENT"),
    RETURN_NAMES=("output", "denoised_output"),
)
def run_advanced(
    noise: NoiseSource, guider: Guidance, sampler: Sampler, sigmas: Tensor, latent_image: Latent
) -> tuple[Latent, Latent]:
    """As SamplerCustom, with noise and guidance from nodes of their own."""
    return sample(guider, noise, sampler, sigmas, latent_image, _WORDS)


@core_node(
    "AddNoise",
    "model/sampling/noise",
    {"model": "MODEL", "noise": "NOISE", "sigmas": "SIGMAS", "latent_image": "LATENT"},
    "LATENT",
)
def add_noise(model: Model, noise: NoiseSource, sigmas: Tensor, latent_image: Latent) -> Latent:
    """A latent under noise, without sampling."""
    return noised(model, noise, sigmas, latent_image)
