"""What else is on the model: LoRA, hooks, wrappers, guidance and sampling patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.comfyui.models import Shelf
from tests.comfyui.parity import (
    Case,
    Line,
    Parity,
    call,
    case_of,
    core,
    noise,
    ours,
    picture,
)

ADVANCED = "comfy_extras.nodes_model_advanced"
HOOKS = "comfy_extras.nodes_hooks"


def lines_of(shelf: Shelf, *nets: str) -> list[Line]:
    spans, strengths = ((0.0, 0.7), (0.0, 1.0), (0.2, 1.0)), (0.8, 1.2, 0.5)
    return [Line(shelf.net(net), picture(i), strengths[i], *spans[i]) for i, net in enumerate(nets)]


def both(shelf: Shelf) -> list[Line]:
    """An ordinary net, and one that is made of the model's own weights."""
    return lines_of(shelf, "sd15 ldm", "sd15 control-lora")


@pytest.fixture
def lora(shelf: Shelf) -> str:
    """The name of a LoRA file, in a folder that ComfyUI knows."""
    import folder_paths

    path = shelf.lora("sd15")
    folder_paths.add_model_folder_path("loras", str(path.parent))
    return path.name


def with_lora(model: Any, name: str, strength: float) -> Any:
    return call(
        "nodes",
        "LoraLoaderModelOnly",
        model=model,
        lora_name=name,
        strength_model=strength,
    )


def test_lora_before_the_stack(shelf: Shelf, parity: Parity, lora: str) -> None:
    case = case_of(shelf, "sd15")
    with_it = replace(case, model=with_lora(case.model, lora, 0.7))
    result = parity.check(with_it, both(shelf))
    assert not torch.equal(result, core(case, both(shelf)).result), "the LoRA had no effect"


def test_lora_after_the_stack(shelf: Shelf, parity: Parity, lora: str) -> None:
    case = case_of(shelf, "sd15")
    with_it = replace(case, model=with_lora(case.model, lora, 0.7))
    controlled = ours(case, both(shelf))
    mine = replace(controlled, model=with_lora(controlled.model, lora, 0.7))
    parity.same(with_it, core(with_it, both(shelf)), mine)


@pytest.mark.parametrize("net", ["sd15 ldm", "sd15 control-lora"])
@pytest.mark.parametrize("sides", ["both", "positive"])
def test_lora_as_a_hook(shelf: Shelf, parity: Parity, lora: str, net: str, sides: str) -> None:
    """The model's weights change between the calls of a step."""
    case = case_of(shelf, "sd15")
    hooks = call(HOOKS, "CreateHookLora", lora_name=lora, strength_model=0.8, strength_clip=0.0)
    set_ = {
        side: call(HOOKS, "ConditioningSetProperties", cond_NEW=getattr(case, side), hooks=hooks,
                   strength=1.0, set_cond_area="default")
        for side in ("positive", "negative")
        if sides in ("both", side)
    }  # fmt: skip
    result = parity.check(replace(case, **set_), lines_of(shelf, net))
    assert not torch.equal(result, core(case, lines_of(shelf, net)).result), "no hook"


def louder(executor: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A wrapper that changes what the model says."""
    return executor(*args, **kwargs) * 1.1


Patch = Callable[[Any], Any]


def wrapped(kind: str) -> Patch:
    def patch(model: Any) -> Any:
        clone = model.clone()
        clone.add_wrapper_with_key(kind, "another pack", louder)
        return clone

    return patch


def model_function(model: Any) -> Any:
    clone = model.clone()
    clone.set_model_unet_function_wrapper(
        lambda apply_model, given: (
            apply_model(given["input"], given["timestep"], **given["c"]) * 0.9
        )
    )
    return clone


def after_guidance(model: Any) -> Any:
    clone = model.clone()
    clone.set_model_sampler_post_cfg_function(lambda given: given["denoised"] * 0.95)
    return clone


def block_patches(model: Any) -> Any:
    """Patches inside the U-Net, beside the place where control is added."""
    clone = model.clone()
    clone.set_model_input_block_patch(lambda h, options: h * 1.05)
    clone.set_model_input_block_patch_after_skip(lambda h, options: h * 0.97)
    clone.set_model_output_block_patch(lambda h, skip, options: (h, skip * 1.1))
    clone.set_model_attn2_output_patch(lambda n, options: n * 0.9)
    return clone


PATCHES: dict[str, Patch] = {
    "wrapper of apply_model": wrapped("apply_model"),
    "wrapper of diffusion_model": wrapped("diffusion_model"),
    "wrapper of predict_noise": wrapped("predict_noise"),
    "wrapper of outer_sample": wrapped("outer_sample"),
    "model function": model_function,
    "after guidance": after_guidance,
    "block patches": block_patches,
}


@pytest.mark.parametrize("patch", PATCHES)
def test_another_patch_before(shelf: Shelf, parity: Parity, patch: str) -> None:
    case = case_of(shelf, "sd15")
    parity.check(replace(case, model=PATCHES[patch](case.model)), both(shelf))


@pytest.mark.parametrize("patch", PATCHES)
def test_another_patch_after(shelf: Shelf, parity: Parity, patch: str) -> None:
    plain = case_of(shelf, "sd15")
    case = replace(plain, model=PATCHES[patch](plain.model))
    controlled = ours(plain, both(shelf))
    mine = replace(controlled, model=PATCHES[patch](controlled.model))
    parity.same(case, core(case, both(shelf)), mine)


NODES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "v_prediction": (ADVANCED, "ModelSamplingDiscrete", {"sampling": "v_prediction", "zsnr": True}),
    "lcm sampling": (ADVANCED, "ModelSamplingDiscrete", {"sampling": "lcm", "zsnr": False}),
    "x0 sampling": (ADVANCED, "ModelSamplingDiscrete", {"sampling": "x0", "zsnr": False}),
    "edm": (
        ADVANCED,
        "ModelSamplingContinuousEDM",
        {"sampling": "v_prediction", "sigma_max": 120.0, "sigma_min": 0.002},
    ),
    "flow": (ADVANCED, "ModelSamplingSD3", {"shift": 3.0}),
    "flux": (
        ADVANCED,
        "ModelSamplingFlux",
        {"max_shift": 1.15, "base_shift": 0.5, "width": 512, "height": 512},
    ),
    "RescaleCFG": (ADVANCED, "RescaleCFG", {"multiplier": 0.7}),
    "FreeU_V2": (
        "comfy_extras.nodes_freelunch",
        "FreeU_V2",
        {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2},
    ),
    "PAG": ("comfy_extras.nodes_pag", "PerturbedAttentionGuidance", {"scale": 3.0}),
    "SAG": ("comfy_extras.nodes_sag", "SelfAttentionGuidance", {"scale": 0.5, "blur_sigma": 2.0}),
    "ToMe": ("comfy_extras.nodes_tomesd", "TomePatchModel", {"ratio": 0.5}),
    "CFG-Zero": ("comfy_extras.nodes_cfg", "CFGZeroStar", {}),
    "epsilon scaling": ("comfy_extras.nodes_eps", "EpsilonScaling", {"scaling_factor": 1.01}),
}


@pytest.mark.parametrize("node", NODES)
def test_nodes_before(shelf: Shelf, parity: Parity, node: str) -> None:
    module, name, inputs = NODES[node]
    case = case_of(shelf, "sd15", sampler="dpmpp_2m", scheduler="sgm_uniform", cfg=4.0)
    parity.check(replace(case, model=call(module, name, model=case.model, **inputs)), both(shelf))


@pytest.mark.parametrize("node", NODES)
def test_nodes_after(shelf: Shelf, parity: Parity, node: str) -> None:
    module, name, inputs = NODES[node]
    plain = case_of(shelf, "sd15", cfg=4.0)
    case = replace(plain, model=call(module, name, model=plain.model, **inputs))
    controlled = ours(plain, both(shelf))
    mine = replace(controlled, model=call(module, name, model=controlled.model, **inputs))
    parity.same(case, core(case, both(shelf)), mine)


@pytest.mark.parametrize("shift", [1.0, 3.0, 6.5])
def test_shifts_of_sd3(shelf: Shelf, parity: Parity, shift: float) -> None:
    case = case_of(shelf, "sd3", scheduler="simple", steps=4, cfg=4.0)
    shifted = call(ADVANCED, "ModelSamplingSD3", model=case.model, shift=shift)
    line = Line(shelf.net("sd3 stability"), picture(1), 1.0, 0.0, 0.5, shelf.vae())
    parity.check(replace(case, model=shifted), [line, replace(line, start=0.25, end=0.75)])


def test_differential_diffusion(shelf: Shelf, parity: Parity) -> None:
    mask = torch.linspace(0, 1, 64).repeat(1, 1, 64, 1)
    latent = {"samples": noise(6, 1, 4, 6, 6), "noise_mask": mask}
    case = case_of(shelf, "sd15", latent=latent, steps=4)
    model = call(
        "comfy_extras.nodes_differential_diffusion", "DifferentialDiffusion", model=case.model
    )
    parity.check(replace(case, model=model), both(shelf))


def test_the_same_patched_model_again(shelf: Shelf, parity: Parity) -> None:
    """Nothing of a run is left for the next, at another size and batch."""
    case = case_of(shelf, "sd15")
    patched = ours(case, both(shelf)).model
    for shape in ((1, 4, 6, 6), (2, 4, 6, 10), (1, 4, 6, 6)):
        now = replace(case, latent={"samples": torch.zeros(shape)})
        parity.same(now, core(now, both(shelf)), replace(now, model=patched))


def test_one_net_under_two_models(shelf: Shelf, parity: Parity) -> None:
    """The net object that our stack holds stays of use to the core's nodes, and to other models."""
    first, lines = case_of(shelf, "sd15"), both(shelf)
    second = replace(first, model=model_function(first.model), seed=8)
    for case in (first, second, first):
        parity.check(case, lines)


def test_a_model_that_takes_more_channels(shelf: Shelf, parity: Parity) -> None:
    """An inpainting model: the U-Net gets nine channels, the nets the four of the latent."""
    entries = {
        "concat_latent_image": noise(31, 1, 4, 6, 6),
        "concat_mask": (noise(32, 1, 1, 64, 64) > 0).float(),
    }

    def inpainting(case: Case) -> Case:
        sides = [
            [[context, {**given, **entries}] for context, given in side]
            for side in (case.positive, case.negative)
        ]
        return replace(case, positive=sides[0], negative=sides[1])

    parity.check(inpainting(case_of(shelf, "sd15_inpaint")), lines_of(shelf, "sd15 ldm"))
