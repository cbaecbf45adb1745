"""apply_model: the U-Net's own answer, with and without residuals, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.sampling.base_model import BaseModel
from controlstack.headless.sampling.unet_control import _encoder_blocks, skip_shapes
from tests.tiny import tiny_conditioning, tiny_controlnet, tiny_model, tiny_unet

UNET = tiny_unet()
MODEL: BaseModel = tiny_model(UNET).model
X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * 3
SIGMA = torch.tensor([2.0, 3.0])
TEXT: Tensor = tiny_conditioning(batch=2)[0][0]


def denoised(**kwargs: Any) -> Tensor:
    with torch.no_grad():
        return MODEL.apply_model(X, SIGMA, c_crossattn=TEXT, **kwargs)


def by_hand(**kwargs: Any) -> Tensor:
    """Return the definition: scale, predict the noise, take it away."""
    column = SIGMA.view(2, 1, 1, 1)
    timestep = MODEL.model_sampling.timestep(SIGMA)
    with torch.no_grad():
        noise = UNET(X / (column**2 + 1).sqrt(), timestep, encoder_hidden_states=TEXT, **kwargs)
    return X - column * noise.sample


def residuals(size: int = 8) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = skip_shapes(MODEL.unet_config, torch.empty(2, 4, size, size))
    made = [torch.randn(shape, generator=generator) for shape in (*shapes, shapes[-1])]
    return made[:-1], made[-1]


def test_without_control() -> None:
    torch.testing.assert_close(denoised(), by_hand())


def test_with_control_it_is_diffusers_own_sum() -> None:
    skips, middle = residuals()
    control = {"input": [], "middle": [middle], "output": skips}
    expected = by_hand(
        down_block_additional_residuals=tuple(skips), mid_block_additional_residual=middle
    )
    torch.testing.assert_close(denoised(control=control), expected)
    assert not torch.allclose(denoised(control=control), denoised())


def test_lists_are_left_whole() -> None:
    skips, middle = residuals()
    control = {"middle": [middle], "output": skips}
    first = denoised(control=control)
    assert len(skips) == 12
    assert torch.equal(denoised(control=control), first)


@pytest.mark.parametrize(
    "control", [None, {}, {"middle": [], "output": []}, {"middle": [None], "output": [None] * 12}]
)
def test_control_that_holds_nothing_changes_nothing(control: Any) -> None:
    assert torch.equal(denoised(control=control), denoised())


def test_a_short_list_meets_the_last_skips() -> None:
    skips, _ = residuals()
    padded = [None] * 9 + skips[9:]
    assert torch.equal(
        denoised(control={"output": skips[9:]}), denoised(control={"output": padded})
    )


def test_middle_alone() -> None:
    _, middle = residuals()
    zeros = [torch.zeros_like(skip) for skip in residuals()[0]]
    expected = denoised(control={"middle": [middle], "output": zeros})
    assert torch.equal(denoised(control={"middle": [middle]}), expected)


def test_a_wrong_shape_is_an_error_with_both_shapes() -> None:
    skips, middle = residuals(size=16)
    with pytest.raises(UserError, match=r"output 0.*\(2, 8, 16, 16\).*\(2, 8, 8, 8\)"):
        denoised(control={"output": skips, "middle": [middle]})


def test_too_many_residuals_are_an_error() -> None:
    skips, _ = residuals()
    with pytest.raises(UserError, match=r"13 residuals.*12 places"):
        denoised(control={"output": [*skips, skips[-1]]})


def encoder_residuals(blocks: tuple[int, ...], size: int = 8) -> list[Tensor | None]:
    """For these blocks of the encoder, the first block last, as ComfyUI's U-Net reads them."""
    rows = [r if i in blocks else None for i, r in enumerate(residuals(size)[0])]
    return rows[::-1]


def test_input_residuals_at_the_ends_of_levels_are_diffusers_own() -> None:
    ends = (2, 5, 8, 11)
    features = [residuals()[0][i] for i in ends]
    with torch.no_grad():
        theirs = UNET(
            MODEL.model_sampling.calculate_input(SIGMA, X),
            MODEL.model_sampling.timestep(SIGMA).float(),
            encoder_hidden_states=TEXT,
            down_intrablock_additional_residuals=[f.clone() for f in features],
            return_dict=False,
        )[0]
    wanted = MODEL.model_sampling.calculate_denoised(SIGMA, theirs, X)
    control = {"input": encoder_residuals(ends)}
    assert torch.equal(denoised(control=control), wanted)
    assert len(control["input"]) == 12  # not emptied
    assert not torch.equal(wanted, denoised())


@pytest.mark.parametrize("block", range(12))
def test_every_block_of_the_encoder_takes_one(block: int) -> None:
    seen: list[Tensor] = []
    module = _encoder_blocks(UNET)[block]
    hook = module.register_forward_hook(
        lambda module, args, output: seen.append(output[0] if isinstance(output, tuple) else output)
    )
    plain, other = denoised(), denoised(control={"input": encoder_residuals((block,))})
    hook.remove()
    assert not torch.equal(plain, other)
    assert torch.equal(seen[1], seen[0])  # our hook comes after this one, and nothing before moved
    assert torch.equal(denoised(), plain)  # and it is gone


def test_input_residuals_join_those_of_a_controlnet() -> None:
    skips, middle = residuals()
    both = denoised(control={"input": encoder_residuals((2,)), "output": skips, "middle": [middle]})
    assert not torch.equal(both, denoised(control={"output": skips, "middle": [middle]}))
    assert not torch.equal(both, denoised(control={"input": encoder_residuals((2,))}))


def test_an_input_residual_of_a_wrong_shape_or_too_many() -> None:
    with pytest.raises(UserError, match=r"input 9.*\(2, 8, 16, 16\).*\(2, 8, 8, 8\)"):
        denoised(control={"input": encoder_residuals((2,), size=16)})
    with pytest.raises(UserError, match=r"13 residuals.*12 places"):
        denoised(control={"input": [None, *encoder_residuals((2,))]})


def test_the_unet_is_left_clean_by_an_error() -> None:
    def fail(module: Any, args: Any) -> None:
        raise RuntimeError("half-way")

    plain = denoised()
    hook = UNET.mid_block.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="half-way"):
        denoised(control={"input": encoder_residuals((2,))})
    hook.remove()
    assert torch.equal(denoised(), plain)


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (16, 10)])
def test_skip_shapes_are_those_of_a_controlnet(size: tuple[int, int]) -> None:
    x = torch.zeros(1, 4, *size)
    with torch.no_grad():
        skips, middle = tiny_controlnet(UNET)(
            x,
            torch.tensor([1.0]),
            encoder_hidden_states=TEXT[:1],
            controlnet_cond=torch.zeros(1, 3, size[0] * 8, size[1] * 8),
            return_dict=False,
        )
    shapes = skip_shapes(MODEL.unet_config, x)
    assert [tuple(skip.shape) for skip in skips] == shapes
    assert tuple(middle.shape) == shapes[-1]


def test_wrappers_see_the_raw_latent_and_the_model() -> None:
    seen: list[Any] = []

    def wrapper(executor: Any, x: Tensor, t: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        seen.append((executor.class_obj, x, t))
        result: Tensor = executor(x, t, *args, **kwargs)
        return result * 2

    options = {"wrappers": {"apply_model": {"a": [wrapper], "b": [wrapper]}}}
    assert torch.equal(denoised(transformer_options=options), denoised() * 4)
    assert [entry[0] for entry in seen] == [MODEL, MODEL]
    assert seen[0][1] is X
    assert seen[0][2] is SIGMA


def test_latents_are_scaled_and_back() -> None:
    assert MODEL.process_latent_in(torch.ones(1)).item() == pytest.approx(0.18215)
    torch.testing.assert_close(MODEL.process_latent_out(MODEL.process_latent_in(X)), X)
