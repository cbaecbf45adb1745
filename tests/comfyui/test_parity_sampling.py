"""How it is sampled: strengths, ranges on every schedule, samplers, guidance, sizes, windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.comfyui.models import Shelf
from tests.comfyui.parity import Case, Line, Parity, call, case_of, noise, picture

ONE = ("sd15 ldm",)
THREE = ("sd15 ldm", "sd15 ldm b", "sd15 ldm")
CUSTOM = "comfy_extras.nodes_custom_sampler"


def lines_of(
    shelf: Shelf,
    nets: Sequence[str] = ONE,
    spans: Sequence[tuple[float, float]] = ((0.0, 1.0),) * 3,
    strengths: Sequence[float] = (0.8, 1.2, 0.5),
) -> list[Line]:
    return [Line(shelf.net(net), picture(i), strengths[i], *spans[i]) for i, net in enumerate(nets)]


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 1.7])
def test_strengths(shelf: Shelf, parity: Parity, strength: float) -> None:
    lines = lines_of(shelf, strengths=[strength])
    parity.check(case_of(shelf, "sd15"), lines, effect=strength > 0)


@pytest.mark.parametrize(
    "strengths", [(0.5, 0.0, 1.7), (0.0, 0.0, 1.0), (1.0, 0.5, 0.0), (0.0, 0.0, 0.0)], ids=str
)
def test_strengths_of_a_chain(
    shelf: Shelf, parity: Parity, strengths: tuple[float, float, float]
) -> None:
    lines = lines_of(shelf, THREE, strengths=strengths)
    parity.check(case_of(shelf, "sd15"), lines, effect=any(strengths))


SPANS = {
    "half": [(0.0, 0.5)],
    "late": [(0.05, 1.0)],  # "linear_quadratic" hardly comes later in four steps
    "three": [(0.001, 0.9), (0.3, 0.7), (0.0, 0.2)],
}


def schedulers() -> list[str]:
    """Every schedule that the host offers."""
    from comfy.samplers import KSampler

    return list(KSampler.SCHEDULERS)


def samplers() -> list[str]:
    """Every sampler that the host offers."""
    from comfy.samplers import KSampler

    return list(KSampler.SAMPLERS)


@pytest.mark.parametrize("spans", SPANS.values(), ids=SPANS.keys())
def test_ranges_on_every_schedule(
    shelf: Shelf, parity: Parity, spans: list[tuple[float, float]]
) -> None:
    lines = lines_of(shelf, THREE[: len(spans)], spans)
    plain = case_of(shelf, "sd15", steps=4)
    cases = {name: replace(plain, scheduler=name) for name in schedulers()}
    assert {"normal", "karras", "exponential", "sgm_uniform", "simple", "beta"} <= set(cases)
    parity.check_all(plain, cases, lines)


@pytest.mark.parametrize("family", ["sdxl", "sd3"])
def test_ranges_on_every_schedule_of_other_families(
    shelf: Shelf, parity: Parity, family: str
) -> None:
    net, vae = ("sd3 diffusers", shelf.vae()) if family == "sd3" else ("sdxl ldm", None)
    plain = case_of(shelf, family, cfg=4.0, steps=4 if family == "sd3" else 2)
    cases = {name: replace(plain, scheduler=name) for name in schedulers()}
    parity.check_all(plain, cases, [Line(shelf.net(net), picture(1), 1.0, 0.0, 0.6, vae)])


@pytest.mark.parametrize(
    ("family", "scheduler"),
    [
        ("sd15", "normal"),
        ("sd15", "karras"),
        ("sd3", "normal"),
        ("sd3", "simple"),
        ("sd3", "linear_quadratic"),
    ],
)
def test_ranges_that_end_on_a_step(
    shelf: Shelf, parity: Parity, family: str, scheduler: str
) -> None:
    """Whether the step at which a range begins or ends is in it hangs on the last bit."""
    net, vae = ("sd3 diffusers", shelf.vae()) if family == "sd3" else ("sd15 ldm", None)
    plain = case_of(shelf, family, scheduler=scheduler, steps=4)
    sampling = plain.model.get_model_object("model_sampling")
    sigmas = call(
        CUSTOM, "BasicScheduler", model=plain.model, scheduler=scheduler, steps=4, denoise=1.0
    )
    percents = [percent_at(sampling, float(sigma)) for sigma in sigmas[1:-1]]
    if family == "sd3":  # on a shifted flow these are the steps themselves
        percents += [0.25, 0.5, 0.75]
    spans = [span for percent in percents for span in ((0.0, percent), (percent, 1.0))]
    for span in spans:
        parity.check(plain, [Line(shelf.net(net), picture(1), 1.0, *span, vae)], effect=None)


def percent_at(sampling: object, sigma: float) -> float:
    """The percent at which `percent_to_sigma` comes closest to `sigma`, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if float(sampling.percent_to_sigma(middle)) > sigma:
            low = middle
        else:
            high = middle
    return high


NAMED = ("euler", "heun", "dpmpp_2m", "dpmpp_2m_sde", "lcm", "uni_pc", "euler_ancestral", "ddim")


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("sampler", NAMED)
def test_samplers(shelf: Shelf, parity: Parity, sampler: str, batch: int) -> None:
    case = case_of(shelf, "sd15", sampler=sampler, latent={"samples": torch.zeros(batch, 4, 6, 6)})
    nets, spans = THREE[:2], [(0.0, 0.7), (0.3, 1.0)]
    parity.check(case, lines_of(shelf, nets, spans))


def test_every_other_sampler(shelf: Shelf, parity: Parity) -> None:
    plain = case_of(shelf, "sd15", steps=2, cfg=3.0)
    cases = {
        name: replace(plain, sampler=name)
        for name in samplers()
        if name not in NAMED and samples_images(replace(plain, sampler=name))
    }
    assert len(cases) > 20
    parity.check_all(plain, cases, lines_of(shelf, spans=[(0.0, 0.9)]))


def samples_images(case: Case) -> bool:
    """Some samplers are for models of another kind (video, frame by frame), and say so."""
    try:
        return bool(case.result.isfinite().all())
    except (ValueError, RuntimeError, TypeError, AttributeError, AssertionError):
        return False


@pytest.mark.parametrize("steps", [1, 2, 5, 6])
def test_numbers_of_steps(shelf: Shelf, parity: Parity, steps: int) -> None:
    parity.check(case_of(shelf, "sd15", steps=steps), lines_of(shelf, spans=[(0.0, 0.75)]))


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m_sde"])
@pytest.mark.parametrize("cfg", [1.0, 7.5])
def test_guidance(shelf: Shelf, parity: Parity, cfg: float, sampler: str) -> None:
    parity.check(case_of(shelf, "sd15", cfg=cfg, sampler=sampler), lines_of(shelf, THREE[:2]))


@pytest.mark.parametrize(
    ("denoise", "span"),
    [(0.6, (0.0, 1.0)), (0.6, (0.0, 0.5)), (0.6, (0.5, 1.0)), (0.25, (0.0, 0.5))],
)
def test_denoise(shelf: Shelf, parity: Parity, denoise: float, span: tuple[float, float]) -> None:
    latent = {"samples": noise(5, 1, 4, 6, 6)}
    # On this schedule the steps lie where the percents say.
    case = case_of(shelf, "sd15", denoise=denoise, latent=latent, scheduler="simple")
    covers = denoise > 1 - span[1]
    parity.check(case, lines_of(shelf, spans=[span]), effect=covers)


@pytest.mark.parametrize(
    ("hints", "latents", "cfg"),
    [(1, 2, 7.5), (2, 2, 7.5), (2, 2, 1.0), (3, 2, 7.5), (2, 3, 7.5), (2, 3, 1.0), (2, 1, 7.5)],
)
def test_one_hint_an_image(
    shelf: Shelf, parity: Parity, hints: int, latents: int, cfg: float
) -> None:
    """Also more hints than latents, and fewer."""
    latent = {"samples": torch.zeros(latents, 4, 6, 6)}
    case = case_of(shelf, "sd15", latent=latent, cfg=cfg, steps=2)
    nets = THREE[:2]
    lines = [Line(shelf.net(net), picture(i, batch=hints)) for i, net in enumerate(nets)]
    parity.check(case, lines)


@pytest.mark.parametrize(
    "size", [(9, 11), (7, 16), (12, 8), (5, 5)], ids=lambda s: f"{s[0]}x{s[1]}"
)
def test_sizes(shelf: Shelf, parity: Parity, size: tuple[int, int]) -> None:
    case = case_of(shelf, "sd15", latent={"samples": torch.zeros(1, 4, *size)})
    parity.check(case, lines_of(shelf, THREE[:2]))


@pytest.mark.parametrize("shape", [(64, 64), (8, 8), (1, 1), (300, 20)], ids=str)
def test_hints_of_any_size(shelf: Shelf, parity: Parity, shape: tuple[int, int]) -> None:
    hint = picture(2, 1, *shape)
    parity.check(case_of(shelf, "sd15"), [Line(shelf.net("sd15 ldm"), hint)])


def windows(case: Case) -> Tensor:
    """KSamplerAdvanced twice: steps 0 to 2 with the noise left in, then 2 to 4."""
    latent = case.latent
    for first, last in ((0, 2), (2, 4)):
        latent = call(
            "nodes",
            "KSamplerAdvanced",
            model=case.model,
            add_noise="enable" if first == 0 else "disable",
            noise_seed=case.seed,
            steps=4,
            cfg=case.cfg,
            sampler_name=case.sampler,
            scheduler=case.scheduler,
            positive=case.positive,
            negative=case.negative,
            latent_image=latent,
            start_at_step=first,
            end_at_step=last,
            return_with_leftover_noise="enable" if last == 2 else "disable",
        )
    samples: Tensor = latent["samples"]
    return samples


@pytest.mark.parametrize(
    ("sampler", "span"),
    [
        ("euler", (0.0, 0.35)),
        ("euler", (0.3, 0.8)),
        ("euler", (0.6, 1.0)),
        ("dpmpp_2m", (0.3, 0.8)),
        ("uni_pc", (0.3, 0.8)),
    ],
)
def test_step_windows(
    shelf: Shelf, parity: Parity, span: tuple[float, float], sampler: str
) -> None:
    case = case_of(shelf, "sd15", sampler=sampler, scheduler="simple", sample=windows)
    parity.check(case, lines_of(shelf, spans=[span]))


def custom(guider_of: Callable[[Case], object], sampler: object, case: Case) -> Tensor:
    sigmas = call(
        CUSTOM, "BasicScheduler", model=case.model, scheduler="karras", steps=3, denoise=1.0
    )
    latent = call(
        CUSTOM,
        "SamplerCustomAdvanced",
        noise=call(CUSTOM, "RandomNoise", noise_seed=case.seed),
        guider=guider_of(case),
        sampler=sampler,
        sigmas=sigmas,
        latent_image=case.latent,
    )
    samples: Tensor = latent["samples"]
    return samples


def cfg_guider(case: Case) -> object:
    return call(
        CUSTOM,
        "CFGGuider",
        model=case.model,
        positive=case.positive,
        negative=case.negative,
        cfg=case.cfg,
    )


def basic_guider(case: Case) -> object:
    return call(CUSTOM, "BasicGuider", model=case.model, conditioning=case.positive)


def dual_guider(case: Case) -> object:
    return call(
        CUSTOM,
        "DualCFGGuider",
        model=case.model,
        cond1=case.positive,
        cond2=[[case.positive[0][0].flip(1), case.positive[0][1]]],
        negative=case.negative,
        cfg_conds=case.cfg,
        cfg_cond2_negative=3.0,
        style="regular",
    )


GUIDERS = {"cfg": cfg_guider, "basic": basic_guider, "dual": dual_guider}


@pytest.mark.parametrize("guider", GUIDERS)
def test_guiders(shelf: Shelf, parity: Parity, guider: str) -> None:
    sampler = call(CUSTOM, "KSamplerSelect", sampler_name="heun")

    def sample(case: Case) -> Tensor:
        return custom(GUIDERS[guider], sampler, case)

    lines = lines_of(shelf, THREE[:2], [(0.0, 0.6), (0.2, 1.0)])
    parity.check(case_of(shelf, "sd15", sample=sample), lines)


def test_options_of_a_sampler(shelf: Shelf, parity: Parity) -> None:
    sampler = call(
        CUSTOM, "SamplerDPMPP_2M_SDE", solver_type="heun", eta=0.7, s_noise=1.1, noise_device="cpu"
    )

    def sample(case: Case) -> Tensor:
        return custom(cfg_guider, sampler, case)

    parity.check(case_of(shelf, "sd15", sample=sample), lines_of(shelf))
