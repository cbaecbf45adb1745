"""Whole runs on the tiny model: seeds, windows, masks, wrappers, and what is given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.ground.reporter import report_to
from controlstack.headless.sampling.model import Model
from controlstack.headless.sampling.sample import ksample
from controlstack.headless.sampling.samplers import SAMPLERS
from tests.tiny import tiny_conditioning, tiny_model

POSITIVE, NEGATIVE = tiny_conditioning(1), tiny_conditioning(2)
EMPTY = torch.zeros(1, 4, 8, 8)
PICTURE = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


def run(
    model: Model,
    *,
    latent: dict[str, Any] | None = None,
    seed: int = 3,
    steps: int = 3,
    cfg: float = 4.0,
    sampler: str = "euler",
    scheduler: str = "normal",
    positive: list[list[Any]] = POSITIVE,
    **kwargs: Any,
) -> Tensor:
    result: Tensor = ksample(
        model,
        seed,
        steps,
        cfg,
        sampler,
        scheduler,
        positive,
        NEGATIVE,
        latent or {"samples": EMPTY},
        **kwargs,
    )["samples"]
    return result


class Net:
    """A control net that gives nothing and keeps count."""

    def __init__(self, fail: bool = False) -> None:
        self.fail = fail
        self.events: list[str] = []

    def pre_run(self, model: Any, percent_to_sigma: Any) -> None:
        self.events.append("pre_run")

    def get_control(self, *args: Any) -> None:
        if self.fail:
            raise RuntimeError("half-way")

    def cleanup(self) -> None:
        self.events.append("cleanup")


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_seed_is_a_picture(model: Model, name: str) -> None:
    first = run(model, sampler=name)
    assert torch.equal(first, run(model, sampler=name))
    assert not torch.equal(first, run(model, sampler=name, seed=4))
    assert bool(first.isfinite().all())


def test_the_latent_comes_back_with_all_it_had(model: Model) -> None:
    latent = {"samples": PICTURE.clone(), "noise_mask": torch.ones(1, 8, 8), "extra": 1}
    result = ksample(model, 0, 2, 4.0, "euler", "normal", POSITIVE, NEGATIVE, latent)
    assert result.keys() == latent.keys()
    assert torch.equal(latent["samples"], PICTURE)
    result["samples"].add_(1)  # an ordinary tensor, not one of inference mode


def test_a_row_of_a_batch_can_be_made_alone(model: Model) -> None:
    batch = run(model, latent={"samples": torch.zeros(3, 4, 8, 8), "batch_index": [0, 1, 2]})
    alone = run(model, latent={"samples": EMPTY, "batch_index": [2]})
    torch.testing.assert_close(alone[0], batch[2], atol=1e-4, rtol=1e-4)


def test_windows_put_together_are_the_whole_run(model: Model) -> None:
    whole = run(model, steps=6)
    begun = run(model, steps=6, last_step=3, start_step=0)
    ended = run(
        model, latent={"samples": begun}, steps=6, start_step=3, last_step=99, disable_noise=True
    )
    torch.testing.assert_close(ended, whole, atol=1e-3, rtol=1e-4)


def test_forced_full_denoise_ends_without_noise(model: Model) -> None:
    left = run(model, steps=6, last_step=2)
    forced = run(model, steps=6, last_step=2, force_full_denoise=True)
    assert float(left.std()) != float(forced.std())


@pytest.mark.parametrize("window", [{"start_step": 9}, {"last_step": 0}, {"denoise": 0.0}])
def test_no_steps_no_change(model: Model, window: dict[str, Any]) -> None:
    assert torch.equal(run(model, latent={"samples": PICTURE}, **window), PICTURE)


@pytest.mark.parametrize("name", ["euler", "ddim", "uni_pc", "dpmpp_2m_sde"])
def test_a_mask_keeps_what_it_does_not_cover(model: Model, name: str) -> None:
    mask = torch.zeros(1, 64, 64)
    mask[..., 32:] = 1
    result = run(model, sampler=name, latent={"samples": PICTURE, "noise_mask": mask})
    # uni_pc ends at sigma 0.001, where a little noise is left.
    torch.testing.assert_close(result[..., :3], PICTURE[..., :3], atol=0.05, rtol=0)
    assert not torch.allclose(result[..., 5:], PICTURE[..., 5:], atol=0.5)


def test_partial_denoise_stays_near_the_picture(model: Model) -> None:
    def distance(denoise: float) -> float:
        result = run(model, latent={"samples": PICTURE}, cfg=1.0, denoise=denoise, steps=2)
        return float((result - PICTURE).norm())

    assert distance(0.05) < distance(0.5) < distance(1.0)


def test_cfg_1_evaluates_one_side_only(model: Model) -> None:
    batches: list[list[int]] = []

    def spy(executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        batches.append(args[-1]["cond_or_uncond"])
        return executor(x, *args, **kwargs)

    patched = model.clone()
    patched.add_wrapper_with_key("apply_model", "spy", spy)
    run(patched, cfg=1.0, steps=1)
    run(patched, cfg=2.0, steps=1)
    assert batches == [[0], [1, 0]]


def test_guidance_is_linear_in_its_scale(model: Model) -> None:
    def denoised(cfg: float) -> Tensor:
        return run(model, cfg=cfg, steps=1).double()

    step = denoised(2.0) - denoised(1.0)
    torch.testing.assert_close(denoised(4.0), denoised(1.0) + 3 * step, atol=1e-3, rtol=1e-3)


def test_wrappers_of_every_kind_are_called_from_the_outside_in(model: Model) -> None:
    calls: list[str] = []
    patched = model.clone()
    kinds = ["outer_sample", "sampler_sample", "predict_noise", "calc_cond_batch", "apply_model"]
    for kind in kinds:

        def wrapper(executor: Any, *args: Any, kind: str = kind, **kwargs: Any) -> Any:
            calls.append(kind)
            return executor(*args, **kwargs)

        patched.add_wrapper_with_key(kind, "test", wrapper)
    assert torch.equal(run(patched, steps=1), run(model, steps=1))
    assert calls == kinds


def test_outer_sample_has_comfyuis_arguments(model: Model) -> None:
    seen: dict[str, Any] = {}

    def wrapper(
        executor: Any,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None,
        callback: Any,
        disable_pbar: bool,
        seed: int,
        **kwargs: Any,
    ) -> Any:
        seen.update(sigmas=sigmas, seed=seed, patcher=executor.class_obj.model_patcher)
        args = (latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed)
        return executor(noise, *args, **kwargs)

    patched = model.clone()
    patched.add_wrapper_with_key("outer_sample", "test", wrapper)
    run(patched, steps=5, seed=8)
    assert len(seen["sigmas"]) == 6
    assert seen["seed"] == 8
    assert seen["patcher"] is patched


def test_each_step_knows_the_schedule_and_the_patcher(model: Model) -> None:
    sigmas: list[float] = []

    def spy(executor: Any, x: Tensor, t: Tensor, *args: Any, **kwargs: Any) -> Any:
        options = args[-1]
        sigmas.append(float(t[0]))
        assert float(options["sigmas"][0]) == float(t[0])
        assert options["sample_sigmas"].tolist()[:-1][len(sigmas) - 1] == sigmas[-1]
        assert executor.class_obj.current_patcher is patched
        return executor(x, t, *args, **kwargs)

    patched = model.clone()
    patched.add_wrapper_with_key("apply_model", "spy", spy)
    run(patched, steps=4)
    assert len(sigmas) == 4


@pytest.mark.parametrize("fail", [False, True])
def test_run_state_is_given_back_also_on_errors(model: Model, fail: bool) -> None:
    net = Net(fail)
    patched = model.clone()
    positive = [[POSITIVE[0][0], {"control": net, "control_apply_to_uncond": True}]]
    if fail:
        with pytest.raises(RuntimeError, match="half-way"):
            run(patched, positive=positive)
    else:
        run(patched, positive=positive)
    assert net.events == ["pre_run", "cleanup"]
    assert model.model.current_patcher is None
    assert "control" not in NEGATIVE[0][1]


def test_ctrl_c_stops_within_a_step_and_leaves_the_model_whole(model: Model) -> None:
    before = run(model)
    steps = 0

    class Stops:
        def stage(self, text: str) -> None:
            return None

        @contextmanager
        def steps(self, total: int, text: str) -> Iterator[Stops]:
            assert total == 3
            yield self

        def advance(self) -> None:
            nonlocal steps
            steps += 1
            if steps == 2:
                raise KeyboardInterrupt

    with report_to(Stops()), pytest.raises(KeyboardInterrupt):
        run(model)
    assert steps == 2
    assert model.model.current_patcher is None
    assert torch.equal(run(model), before)


def test_weights_are_never_written_to(model: Model) -> None:
    unet = model.model.diffusion_model
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    run(model, sampler="dpmpp_sde")
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())


def test_a_picture_of_no_numbers_is_an_error(model: Model) -> None:
    patched = model.clone()
    patched.add_wrapper_with_key("apply_model", "nan", lambda _, x, *args: x * float("nan"))
    with pytest.raises(UserError, match="cfg 4 gave values that are no numbers"):
        run(patched)


def test_errors_say_what_there_is(model: Model) -> None:
    with pytest.raises(UserError, match=r"'seeds_4'.*euler_ancestral"):
        run(model, sampler="seeds_4")
    with pytest.raises(UserError, match=r"\(1, 16, 8, 8\)"):
        run(model, latent={"samples": torch.ones(1, 16, 8, 8)})


def test_an_empty_latent_of_another_model_is_as_good(model: Model) -> None:
    empty = run(model, latent={"samples": torch.zeros(1, 4, 8, 8)})
    other = run(model, latent={"samples": torch.zeros(1, 16, 8, 8)})
    assert torch.equal(empty, other)
