"""What shared workflows do beside the matrix of `tests/cells.py`: a prompt for each."""

from __future__ import annotations

from itertools import product
from typing import Any

from tests.cells import HINTS, LORA, Prompt, node, prompt

LONG = ", ".join(
    f"a {colour} {thing}"
    for colour, thing in product(
        ("red", "green", "(blue:1.3)", "yellow", "black", "white"),
        ("ball", "house", "tree", "bird", "boat", "lamp"),
    )
)  # 36 objects: more than the 75 tokens of one chunk


OF_SDXL = (
    *("dpmpp_2m_sde karras 2", "core's apply nodes 2", "our stack after the core's net"),
    *("control mask", "LoRA", "LoRA, U-Net alone", "long prompt", "empty negative prompt"),
    *("two texts combined", "texts averaged", "text for an area", "step windows", "img2img"),
    *("inpaint by mask", "second pass, larger", "batch of 2", "odd latent size", "guidance 1"),
)
"""Of `others`, those where the text, its pooled text, sizes or weights take another way in SDXL."""


def others() -> dict[str, Prompt]:
    """The prompts by name."""
    stochastic = ("euler_ancestral", "dpmpp_2m_sde", "dpmpp_sde", "lcm")
    return {
        **{f"{name} karras 2": prompt(2, name, "karras") for name in stochastic},
        **{f"{name} normal 2": prompt(2, name, "normal") for name in ("dpm_2", "uni_pc")},
        **{
            f"dpmpp_2m {name} 1": prompt(1, "dpmpp_2m", name)
            for name in ("exponential", "ddim_uniform", "beta")
        },
        "core's apply nodes 1": prompt(1, core=True),
        "core's apply nodes 2": prompt(2, "dpmpp_2m", "karras", core=True),
        "our stack after the core's net": _after_core(),
        "control mask": _masked(),
        "control mask, grey file": _with_values(_masked(), "mask", image=HINTS[1]),
        "cfg_rw": _with_values(prompt(2), "add1", mode="cfg_rw", strength=0.2),
        "LoRA": _lora(),
        "LoRA, U-Net alone": _with_values(_lora(), "lora", strength_clip=0.0),
        "clip skip 2": _clip_skip(),
        "long prompt": _with_values(prompt(1), "positive", text=LONG),
        "long negative prompt": _with_values(prompt(1), "negative", text=LONG),
        "empty negative prompt": _with_values(prompt(1), "negative", text=""),
        "two texts combined": _combined(),
        "texts averaged": _averaged(),
        "text for an area": _area(),
        "step windows": _windows(),
        "img2img": _from_picture("VAEEncode"),
        "img2img, heun": _from_picture("VAEEncode", "heun", "karras"),
        "inpaint by mask": _inpainted(),
        "inpaint by VAE": _from_picture("VAEEncodeForInpaint", mask=True),
        "second pass, larger": _second_pass(),
        "batch of 2": _with_values(prompt(1), "empty", batch_size=2),
        "odd latent size": _with_values(prompt(1), "empty", width=72, height=104),
        "guidance 1": _with_values(prompt(1), "sampler", cfg=1.0),
        "one step": _with_values(prompt(1), "sampler", steps=1),
        "20 steps": _with_values(prompt(2, "dpmpp_2m", "karras"), "sampler", steps=20),
    }


def sdxl() -> dict[str, Prompt]:
    """What SDXL has beside all of this: sizes, and a text for each of its encoders."""
    return {
        "clip skip 1": _with_values(_clip_skip(), "skip", stop_at_clip_layer=-1),
        "clip skip 3": _with_values(_clip_skip(), "skip", stop_at_clip_layer=-3),
        "sizes and two texts": _two_texts(),
        "two texts, one of them long": _with_values(_two_texts(), "positive", text_g=LONG),
        "sizes on the positive side, two controls": _two_texts(2),
    }


def _two_texts(controls: int = 1) -> Prompt:
    graph = prompt(controls)
    graph["positive"] = node(
        "CLIPTextEncodeSDXL",
        clip=["checkpoint", 1],
        width=512,
        height=768,
        crop_w=32,
        crop_h=16,
        target_width=1024,
        target_height=640,
        text_g=graph["positive"]["inputs"]["text"],
        text_l="a (boat:1.2) at sea",
    )
    return graph


def custom() -> dict[str, Prompt]:
    """Prompts on samplers, schedules, noise and patches from nodes of their own, by name."""
    return {
        **{
            name: _custom(name)
            for name in ("euler", "dpmpp_3m_sde", "ddpm", "lms", "ipndm", "deis", "res_multistep")
        },
        **{
            f"{name}, cfg 1.5": _custom(name, cfg=1.5)
            for name in ("euler_cfg_pp", "euler_ancestral_cfg_pp", "dpmpp_2m_cfg_pp")
        },
        "one conditioning": _custom("heunpp2", cfg=None),
        **{f"two conditionings, {style}": _three_sides(style) for style in ("regular", "nested")},
        "Perp-Neg": _three_sides(None),
        "one after the other": _custom("dpmpp_2s_ancestral", split=3),
        "kl_optimal": _custom("dpm_2_ancestral", "kl_optimal"),
        "linear_quadratic": _custom("uni_pc_bh2", "linear_quadratic"),
        "steps of its own": _custom("dpm_adaptive"),
        "LCM sampling": _patched("ModelSamplingDiscrete", "lcm", sampling="lcm", zsnr=False),
        "velocity, no signal at the end": _patched(
            "ModelSamplingDiscrete", "euler", sampling="v_prediction", zsnr=True
        ),
        "guidance rescaled": _patched("RescaleCFG", "euler", multiplier=0.7),
        "FreeU": _patched("FreeU", "euler", b1=1.1, b2=1.2, s1=0.9, s2=0.2),
        "FreeU_V2": _patched("FreeU_V2", "euler", b1=1.3, b2=1.4, s1=0.9, s2=0.2),
    }


def _patched(node_type: str, sampler: str, **values: Any) -> Prompt:
    graph = prompt(1, sampler)
    graph["patch"] = node(node_type, model=graph["sampler"]["inputs"]["model"], **values)
    return _with_values(graph, "sampler", model=["patch", 0])


def _custom(
    sampler: str, scheduler: str = "karras", cfg: float | None = 7.0, split: int = 0
) -> Prompt:
    graph = prompt(1)
    model, seed = graph["sampler"]["inputs"]["model"], graph["sampler"]["inputs"]["seed"]
    sides = {"positive": ["positive", 0], "negative": ["negative", 0]}
    guided = node("CFGGuider", model=model, cfg=cfg, **sides)
    basic = node("BasicGuider", model=model, conditioning=["positive", 0])
    common = {"guider": ["guider", 0], "sampler": ["select", 0]}
    graph |= {
        "guider": basic if cfg is None else guided,
        "noise": node("RandomNoise", noise_seed=seed),
        "select": node("KSamplerSelect", sampler_name=sampler),
        "sigmas": node("BasicScheduler", model=model, scheduler=scheduler, steps=6, denoise=1.0),
        "split": node("SplitSigmas", sigmas=["sigmas", 0], step=split),
        "silence": node("DisableNoise"),
        "first": node(
            *("SamplerCustomAdvanced",),
            **{**common, "noise": ["noise", 0], "latent_image": ["empty", 0]},
            sigmas=["split", 0],
        ),
        "sampler": node(
            *("SamplerCustomAdvanced",),
            **{**common, "noise": ["silence" if split else "noise", 0]},
            sigmas=["split", 1],
            latent_image=["first" if split else "empty", 0],
        ),
    }
    if not split:
        del graph["first"], graph["silence"]
    return graph


def _three_sides(style: str | None) -> Prompt:
    """Under DualCFGGuider's `style`, or for None under PerpNegGuider."""
    graph = _custom("euler")
    graph["third"] = node("CLIPTextEncode", clip=["checkpoint", 1], text="a harbour")
    given = {"model": graph["guider"]["inputs"]["model"], "negative": ["negative", 0]}
    first, third = ["positive", 0], ["third", 0]
    scales = {"cfg_conds": 5.0, "cfg_cond2_negative": 3.0}
    graph["guider"] = (
        node("DualCFGGuider", cond1=first, cond2=third, **scales, style=style, **given)
        if style
        else node(
            *("PerpNegGuider",),
            **{"positive": first, "empty_conditioning": third, "cfg": 5.0, "neg_scale": 0.7},
            **given,
        )
    )
    return graph


def _with_values(graph: Prompt, name: str, **values: Any) -> Prompt:
    graph[name]["inputs"] |= values
    return graph


def _after_core() -> Prompt:
    """A net on the conditioning and a stack on the model in one run."""
    graph, core = prompt(1), prompt(2, core=True)
    for name in ("net1", "picture1", "hint1"):
        graph[name] = core[name]
    sides = {"positive": ["positive", 0], "negative": ["negative", 0]}
    graph["apply1"] = _with_values(core, "apply1", **sides)["apply1"]
    return _with_values(graph, "sampler", positive=["apply1", 0], negative=["apply1", 1])


def _masked() -> Prompt:
    graph = prompt(1)
    graph["mask"] = _mask()
    return _with_values(graph, "add0", mask=["mask", 0])


def _mask(picture: str = HINTS[0]) -> dict[str, Any]:
    return node("LoadImageMask", image=picture, channel="red")


def _lora() -> Prompt:
    graph = prompt(1)
    graph["lora"] = node(
        "LoraLoader",
        model=["checkpoint", 0],
        clip=["checkpoint", 1],
        lora_name=LORA,
        strength_model=0.8,
        strength_clip=0.7,
    )
    graph["apply"]["inputs"]["model"] = ["lora", 0]
    return _with_clip(graph, "lora", 1)


def _clip_skip() -> Prompt:
    graph = prompt(1)
    graph["skip"] = node("CLIPSetLastLayer", clip=["checkpoint", 1], stop_at_clip_layer=-2)
    return _with_clip(graph, "skip", 0)


def _with_clip(graph: Prompt, name: str, slot: int) -> Prompt:
    for side in ("positive", "negative"):
        graph[side]["inputs"]["clip"] = [name, slot]
    return graph


def _second_text(graph: Prompt) -> Prompt:
    graph["more"] = node("CLIPTextEncode", clip=["checkpoint", 1], text="a (boat:1.2) at sea")
    return graph


def _combined() -> Prompt:
    graph = _second_text(prompt(1))
    graph["both"] = node(
        "ConditioningCombine", conditioning_1=["positive", 0], conditioning_2=["more", 0]
    )
    return _with_values(graph, "sampler", positive=["both", 0])


def _averaged() -> Prompt:
    graph = _second_text(prompt(1))
    graph["both"] = node(
        "ConditioningAverage",
        conditioning_to=["positive", 0],
        conditioning_from=["more", 0],
        conditioning_to_strength=0.7,
    )
    return _with_values(graph, "sampler", positive=["both", 0])


def _area() -> Prompt:
    graph = _combined()
    graph["area"] = node(
        "ConditioningSetArea",
        conditioning=["more", 0],
        width=64,
        height=64,
        x=0,
        y=16,
        strength=1.0,
    )
    return _with_values(graph, "both", conditioning_2=["area", 0])


def _windows() -> Prompt:
    """The steps in two nodes, the second begun from what the first left noisy."""
    graph = prompt(2, "euler", "karras")
    inputs = graph.pop("sampler")["inputs"]
    common = {"noise_seed": inputs.pop("seed"), **inputs}
    del common["denoise"]
    graph["first"] = node(
        "KSamplerAdvanced",
        **common,
        add_noise="enable",
        start_at_step=0,
        end_at_step=3,
        return_with_leftover_noise="enable",
    )
    graph["sampler"] = node(
        "KSamplerAdvanced",
        **common | {"latent_image": ["first", 0]},
        add_noise="disable",
        start_at_step=3,
        end_at_step=10000,
        return_with_leftover_noise="disable",
    )
    return graph


def _from_picture(
    encoder: str, sampler: str = "euler", scheduler: str = "normal", mask: bool = False
) -> Prompt:
    graph = prompt(1, sampler, scheduler)
    graph["start"] = node(encoder, pixels=["hint0", 0], vae=["checkpoint", 2])
    if mask:
        graph["mask"] = _mask()
        _with_values(graph, "start", mask=["mask", 0], grow_mask_by=6)
    return _with_values(graph, "sampler", latent_image=["start", 0], denoise=0.6)


def _inpainted() -> Prompt:
    graph = _from_picture("VAEEncode")
    graph["mask"] = _mask()
    graph["masked"] = node("SetLatentNoiseMask", samples=["start", 0], mask=["mask", 0])
    return _with_values(graph, "sampler", latent_image=["masked", 0])


def _second_pass() -> Prompt:
    """A picture made again at 1.5 times its size, the way of many "hires fix" workflows."""
    graph = prompt(1, "dpmpp_2m", "karras")
    graph["larger"] = node(
        "LatentUpscaleBy", samples=["sampler", 0], upscale_method="bislerp", scale_by=1.5
    )
    graph["again"] = node("KSampler", **graph["sampler"]["inputs"])
    _with_values(graph, "again", latent_image=["larger", 0], denoise=0.5)
    return _with_values(graph, "decode", samples=["again", 0])
