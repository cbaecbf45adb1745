"""Samplers by the names of ComfyUI's menu: which function, which noise, which habits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from . import cfg_pp, dpm_solver, exponential, multistep, singlestep
from .noise import Noise, brownian, gaussian
from .stepping import Sample
from .unipc import uni_pc


@dataclass(frozen=True)
class Sampler:
    """A sampler, the noise it adds, and what else ComfyUI ties to its name."""

    sample: Sample
    noise: Callable[[Tensor, Tensor, int], Noise] = gaussian
    drop_penultimate: bool = False  # the last sigma above 0 is left out of KSampler's schedule
    own_inpaint_noise: bool = False  # what a mask keeps is noised with another draw
    both_sides: bool = False  # denoising gives the negative side's latent beside the guided one
    spanned: bool = False  # it is told between which sigmas it is to add noise: `span`


_there = partial(brownian, there=True)
_SDE: dict[str, Sample] = {
    "dpmpp_sde": singlestep.dpmpp_sde,
    "dpmpp_2m_sde": multistep.dpmpp_2m_sde,
    "dpmpp_2m_sde_heun": partial(multistep.dpmpp_2m_sde, solver_type="heun"),
    "dpmpp_3m_sde": multistep.dpmpp_3m_sde,
}


def _stochastic(name: str) -> dict[str, Sampler]:
    """A sampler on a Brownian path, which is drawn on the CPU or ("_gpu") where the latent lies."""
    return {
        name: Sampler(_SDE[name], noise=brownian),
        f"{name}_gpu": Sampler(_SDE[name], noise=_there),
    }


def _both(sample: Sample, **settings: float) -> Sampler:
    return Sampler(partial(sample, **settings) if settings else sample, both_sides=True)


SAMPLERS: dict[str, Sampler] = {
    "euler": Sampler(singlestep.euler),
    "euler_cfg_pp": _both(cfg_pp.euler_cfg_pp),
    "euler_ancestral": Sampler(singlestep.euler_ancestral),
    "euler_ancestral_cfg_pp": _both(cfg_pp.euler_cfg_pp, eta=1.0),
    "heun": Sampler(singlestep.heun),
    "heunpp2": Sampler(singlestep.heunpp2),
    "exp_heun_2_x0": Sampler(partial(exponential.seeds, shares=(1.0,), eta=0.0)),
    "exp_heun_2_x0_sde": Sampler(partial(exponential.seeds, shares=(1.0,))),
    "dpm_2": Sampler(singlestep.dpm_2, drop_penultimate=True),
    "dpm_2_ancestral": Sampler(singlestep.dpm_2_ancestral, drop_penultimate=True),
    "lms": Sampler(multistep.lms),
    "dpm_fast": Sampler(dpm_solver.dpm_fast),
    "dpm_adaptive": Sampler(dpm_solver.dpm_adaptive),
    "dpmpp_2s_ancestral": Sampler(singlestep.dpmpp_2s_ancestral),
    "dpmpp_2s_ancestral_cfg_pp": _both(cfg_pp.dpmpp_2s_ancestral_cfg_pp),
    **_stochastic("dpmpp_sde"),
    "dpmpp_2m": Sampler(multistep.dpmpp_2m),
    "dpmpp_2m_cfg_pp": _both(cfg_pp.dpmpp_2m_cfg_pp),
    **_stochastic("dpmpp_2m_sde"),
    **_stochastic("dpmpp_2m_sde_heun"),
    **_stochastic("dpmpp_3m_sde"),
    "ddpm": Sampler(singlestep.ddpm),
    "lcm": Sampler(singlestep.lcm),
    "ipndm": Sampler(multistep.ipndm),
    "ipndm_v": Sampler(multistep.ipndm_v),
    "deis": Sampler(multistep.deis),
    "res_multistep": Sampler(multistep.res_multistep),
    "res_multistep_cfg_pp": _both(cfg_pp.res_multistep_cfg_pp),
    "res_multistep_ancestral": Sampler(partial(multistep.res_multistep, eta=1.0)),
    "res_multistep_ancestral_cfg_pp": _both(cfg_pp.res_multistep_cfg_pp, eta=1.0),
    "gradient_estimation": Sampler(multistep.gradient_estimation),
    "gradient_estimation_cfg_pp": _both(cfg_pp.gradient_estimation_cfg_pp),
    "er_sde": Sampler(exponential.er_sde),
    "seeds_2": Sampler(partial(exponential.seeds, averaged=True)),
    "seeds_3": Sampler(partial(exponential.seeds, shares=(1 / 3, 2 / 3))),
    "sa_solver": Sampler(exponential.sa_solver, spanned=True),
    "sa_solver_pece": Sampler(partial(exponential.sa_solver, again=True), spanned=True),
    # DDIM without noise is Euler in this form.
    "ddim": Sampler(singlestep.euler, own_inpaint_noise=True),
    "uni_pc": Sampler(uni_pc, drop_penultimate=True),
    "uni_pc_bh2": Sampler(partial(uni_pc, exponential=True), drop_penultimate=True),
}
"""In the order of ComfyUI's menu."""
