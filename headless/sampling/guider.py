"""One sampling run: classifier-free guidance around the model, ComfyUI's wrappers around each part.

The object that "outer_sample" and "predict_noise" wrappers see as `executor.class_obj`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..batch_rows import of_length
from . import wrappers
from .base_model import BaseModel
from .batching import calc_cond_batch
from .conditioning import Cond, Conditioning, convert, prepare
from .exponential import STOCHASTIC
from .model import Model
from .samplers import Sampler

DENOISE_MASK = "denoise_mask_function"
"""ComfyUI's option of a MODEL that makes another mask of the latent's at each step."""
GUIDANCE, AFTER_GUIDANCE = "sampler_cfg_function", "sampler_post_cfg_function"
BEFORE_GUIDANCE = "sampler_pre_cfg_function"
ALWAYS_BOTH = "disable_cfg1_optimization"
"""ComfyUI's model options: a function in guidance's place, functions of what guidance gave and of
what it is given, and whether a cfg of 1 has two sides."""

Callback = Callable[[int, Tensor, Tensor, int], None]
"""(step, denoised, latent, number of steps), once a step."""


class Guider:
    """Samples with one MODEL, a guidance scale, and a CONDITIONING "positive" and "negative"; a
    guider with further ones has them in the order in which ComfyUI's guider of that kind does."""

    def __init__(self, model: Model, sides: Mapping[str, Conditioning], cfg: float) -> None:
        self.model_patcher = model
        self.inner_model: BaseModel = model.model
        self.cfg = cfg
        self.conds = {name: convert(side) for name, side in sides.items()}
        options = wrappers.copy_options(model.model_options)
        inner = options.setdefault("transformer_options", {})
        inner["wrappers"] = wrappers.merged(inner.get("wrappers", {}), model.wrappers)
        self.model_options = options

    def sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: SamplerRun,
        sigmas: Tensor,
        denoise_mask: Tensor | None,
        callback: Callback | None,
        seed: int,
    ) -> Tensor:
        """Return the LATENT's samples after the run; everything on the CPU or the model's device.

        `noise` and `latent_image` are (B, 4, h, w), unscaled; `denoise_mask` (B, H, W) is 1 where
        to sample.
        """
        call = self._wrapped(self.outer_sample, self, wrappers.OUTER_SAMPLE)
        result: Tensor = call(
            noise, latent_image, sampler, sigmas, denoise_mask, callback, True, seed
        )
        return result

    def outer_sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: SamplerRun,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Callback | None = None,
        disable_pbar: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> Tensor:
        """Begin and end the run: devices, run state of the model and of every control."""
        device = self.model_patcher.load_device
        noise, latent_image, sigmas = (t.to(device) for t in (noise, latent_image, sigmas))
        if denoise_mask is not None:
            denoise_mask = _mask_like(denoise_mask.to(device), noise)
        if torch.count_nonzero(latent_image) > 0:  # an empty latent stays empty
            latent_image = self.inner_model.process_latent_in(latent_image)
        with ExitStack() as cleanup:
            self.inner_model.current_patcher = self.model_patcher
            cleanup.callback(setattr, self.inner_model, "current_patcher", None)
            self._prepare_conds(noise, latent_image, denoise_mask, cleanup)
            options = wrappers.copy_options(self.model_options)
            options["transformer_options"]["sample_sigmas"] = sigmas
            extra_args = {"model_options": options, "seed": seed}
            call = self._wrapped(sampler.sample, sampler, wrappers.SAMPLER_SAMPLE)
            samples: Tensor = call(
                self, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar
            )
        return self.inner_model.process_latent_out(samples.float())

    def __call__(
        self, x: Tensor, sigma: Tensor, model_options: dict[str, Any], seed: int | None = None
    ) -> Tensor:
        """Denoise `x` (B, 4, h, w) at `sigma` (B,) under guidance."""
        call = self._wrapped(self.predict_noise, self, wrappers.PREDICT_NOISE)
        result: Tensor = call(x, sigma, model_options, seed)
        return result

    def asked(self, options: Mapping[str, Any]) -> list[list[Cond] | None]:
        """The conditionings of one evaluation, in the order in which the model counts them; None
        for one without weight: at a scale of 1 the positive side is alone.
        """
        alone = math.isclose(self.cfg, 1.0) and not options.get(ALWAYS_BOTH)
        return [self.conds["positive"], None if alone else self.conds["negative"]]

    @property
    def count(self) -> int:
        """How many conditionings the model evaluates for one step, at most."""
        return sum(side is not None for side in self.asked(self.model_options))

    def predict_noise(
        self, x: Tensor, sigma: Tensor, model_options: dict[str, Any], seed: int | None = None
    ) -> Tensor:
        """Guidance of Ho & Salimans 2022 (https://arxiv.org/abs/2207.12598)."""
        sides = self.asked(model_options)
        made = self.evaluated(sides, x, sigma, model_options)
        made = self.before_guidance(made, sides, x, sigma, model_options)
        return self.guided(made, sides, self.cfg, x, sigma, model_options)

    def evaluated(
        self,
        sides: Sequence[list[Cond] | None],
        x: Tensor,
        sigma: Tensor,
        model_options: dict[str, Any],
    ) -> list[Tensor]:
        """What the model takes for the picture, for each side; zeros for None."""
        call = self._wrapped(calc_cond_batch, None, wrappers.CALC_COND_BATCH)
        made: list[Tensor] = call(self.inner_model, sides, x, sigma, model_options)
        return made

    def before_guidance(
        self,
        made: list[Tensor],
        sides: Sequence[list[Cond] | None],
        x: Tensor,
        sigma: Tensor,
        model_options: dict[str, Any],
    ) -> list[Tensor]:
        """What `sides` gave, changed by the functions of the MODEL that come before guidance."""
        for change in model_options.get(BEFORE_GUIDANCE, ()):
            told = self.told(x, sigma, model_options)
            made = change({**told, "conds": sides, "conds_out": made})
        return made

    def guided(
        self,
        made: Sequence[Tensor],
        sides: Sequence[list[Cond] | None],
        cfg: float,
        x: Tensor,
        sigma: Tensor,
        model_options: dict[str, Any],
    ) -> Tensor:
        """Guidance `cfg` times as far from the second of `made` towards the first, with the
        functions of the MODEL in its place and after it; `sides` are those that made the two.
        """
        positive, negative = made
        seen = {
            **self.told(x, sigma, model_options),
            **{"cond_denoised": positive, "uncond_denoised": negative, "cond_scale": cfg},
        }
        if guide := model_options.get(GUIDANCE):
            result: Tensor = x - guide({**seen, "cond": x - positive, "uncond": x - negative})
        else:
            result = negative + (positive - negative) * cfg
        return self.after_guidance(result, {**seen, "cond": sides[0], "uncond": sides[1]})

    def after_guidance(self, result: Tensor, seen: Mapping[str, Any]) -> Tensor:
        """What guidance gave, changed by the functions of the MODEL that come after it; they are
        told what was `seen` under ComfyUI's names.
        """
        for after in seen["model_options"].get(AFTER_GUIDANCE, ()):
            result = after({**seen, "denoised": result})
        return result

    def told(self, x: Tensor, sigma: Tensor, model_options: dict[str, Any]) -> dict[str, Any]:
        """What every function of the MODEL around guidance is told, under ComfyUI's names."""
        return {
            **{"model": self.inner_model, "input": x, "sigma": sigma, "timestep": sigma},
            **{"cond_scale": self.cfg, "model_options": model_options},
        }

    def _prepare_conds(
        self, noise: Tensor, latent: Tensor, mask: Tensor | None, cleanup: ExitStack
    ) -> None:
        ready = prepare(self.inner_model, list(self.conds.values()), noise, latent, mask)
        self.conds = dict(zip(self.conds, ready, strict=True))
        for control in _controls([cond for side in ready for cond in side]):
            cleanup.callback(control.cleanup)
            control.pre_run(self.inner_model, self.inner_model.model_sampling.percent_to_sigma)

    def _wrapped(self, fn: Callable[..., Any], owner: object, kind: str) -> Callable[..., Any]:
        registry = self.model_options["transformer_options"]["wrappers"]
        return wrappers.wrapped(fn, owner, registry, kind)


class SamplerRun:
    """A sampler as "sampler_sample" wrappers see it."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def sample(
        self,
        guider: Guider,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Callback | None,
        noise: Tensor,
        latent_image: Tensor,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        """Return latents (B, 4, h, w) at sigmas[-1], begun from `latent_image` under `noise`.

        Where `denoise_mask` is 0 the latent image is kept: each evaluation sees it under its own
        noise, and its result is replaced by it.
        """
        sampling = guider.inner_model.model_sampling
        seed: int = extra_args["seed"]
        options = extra_args["model_options"]
        mask_of: Callable[..., Tensor] | None = options.get(DENOISE_MASK)
        levels, total = sigmas, len(sigmas) - 1
        kept_noise = _inpaint_noise(noise, seed) if self.sampler.own_inpaint_noise else noise

        free: list[Tensor] = []
        if self.sampler.both_sides:
            options = _telling_negative(options, free)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            sigmas = sigma.expand(x.shape[0])
            if denoise_mask is None:
                return guider(x, sigmas, options, seed)
            mask = denoise_mask
            if mask_of is not None:
                mask = mask_of(sigmas, mask, extra_options={"model": guider, "sigmas": levels})
            known = sampling.noise_scaling(sigma, kept_noise, latent_image)
            x = x * mask + known * (1.0 - mask)
            denoised = guider(x, sigmas, options, seed)
            return denoised * mask + latent_image * (1.0 - mask)

        def denoise_both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
            return denoise(x, sigma), free.pop()

        def on_step(step: int, denoised: Tensor, x: Tensor) -> None:
            if callback is not None:
                callback(step, denoised, x, total)

        from_scratch = _reaches(sigmas[0], sampling.sigma_max)
        x = sampling.noise_scaling(sigmas[0], noise, latent_image, from_scratch)
        fresh = self.sampler.noise(x, sigmas, seed)
        given = denoise_both if self.sampler.both_sides else denoise
        span = tuple(sampling.percent_to_sigma(percent) for percent in STOCHASTIC)
        told = {"span": span} if self.sampler.spanned else {}
        return self.sampler.sample(given, x, sigmas, fresh, on_step, **told)


def _telling_negative(options: dict[str, Any], told: list[Tensor]) -> dict[str, Any]:
    """Options with which each evaluation puts what the negative side alone gave into `told`."""

    def tell(args: dict[str, Any]) -> Tensor:
        told[:] = [args["uncond_denoised"]]
        denoised: Tensor = args["denoised"]
        return denoised

    before = options.get(AFTER_GUIDANCE, [])
    return {**options, AFTER_GUIDANCE: [*before, tell], ALWAYS_BOTH: True}


def _reaches(sigma: Tensor, highest: Tensor) -> bool:
    return float(sigma) > float(highest) or math.isclose(float(sigma), float(highest), rel_tol=1e-5)


def _inpaint_noise(noise: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed((seed + 1) % 2**64)
    return torch.randn(noise.shape, generator=generator).to(noise)


def _mask_like(mask: Tensor, noise: Tensor) -> Tensor:
    """Resize a mask (B, H, W) or (B, 1, H, W) to (B, 1, h, w) of the latent's batch and size."""
    mask = mask.reshape(-1, 1, *mask.shape[-2:]).to(noise.dtype)
    mask = F.interpolate(mask, size=noise.shape[2:], mode="bilinear")
    return of_length(mask, len(noise))


def _controls(conds: list[dict[str, Any]]) -> list[Any]:
    """Return every control net of the conditioning once."""
    controls = {id(c["control"]): c["control"] for c in conds if c.get("control") is not None}
    return list(controls.values())
