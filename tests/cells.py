"""Prompts that both hosts run, one picture each, in API form, over `tests/sd15_files.py`'s files.

A cell of the matrix is sampler x scheduler x number of controls. For the comparison with ComfyUI,
its benchmark and the golden test; `tests/cells_beside.py` has what lies beside the matrix.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

Prompt = dict[str, dict[str, Any]]

WIDTH, HEIGHT = 64, 96
STEPS, GUIDANCE, SEED = 6, 7.0, 20
POSITIVE = "(a red ball:1.3) beside ((a person in a green shirt)), (snow:0.8) behind them"
UNWEIGHTED = "a red ball beside a person in a green shirt, snow behind them"
NEGATIVE = "blurry, (text:0.7)"

CHECKPOINT = "base.safetensors"
NETS = ("first.safetensors", "second.safetensors")
LORA = "change.safetensors"
HINTS = ("controlstack_scene.png", "controlstack_depth.png")
INPUT = Path(__file__).parents[1] / "workflows" / "input"

SAMPLERS = ("euler", "heun", "dpmpp_2m", "ddim")
SCHEDULERS = ("normal", "karras", "simple", "sgm_uniform")
STRENGTHS, SPANS = (0.9, 1.2), ((0.0, 1.0), (0.0, 0.8))


def matrix() -> dict[str, Prompt]:
    """The 48 cells of the matrix by name, such as "euler karras 2"."""
    return {
        f"{sampler} {scheduler} {controls}": prompt(controls, sampler, scheduler)
        for sampler, scheduler, controls in product(SAMPLERS, SCHEDULERS, range(3))
    }


def prompt(
    controls: int = 0, sampler: str = "euler", scheduler: str = "normal", core: bool = False
) -> Prompt:
    """One picture under `controls` nets, applied by our nodes or (`core`) by the core's own."""
    graph: Prompt = {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "positive": node("CLIPTextEncode", clip=["checkpoint", 1], text=POSITIVE),
        "negative": node("CLIPTextEncode", clip=["checkpoint", 1], text=NEGATIVE),
        "empty": node("EmptyLatentImage", width=WIDTH, height=HEIGHT, batch_size=1),
        "sampler": node(
            "KSampler",
            model=["checkpoint", 0],
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=["empty", 0],
            seed=SEED,
            steps=STEPS,
            cfg=GUIDANCE,
            sampler_name=sampler,
            scheduler=scheduler,
            denoise=1.0,
        ),
        "decode": node("VAEDecode", samples=["sampler", 0], vae=["checkpoint", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="cell"),
    }
    (_with_core if core else _with_stack)(graph, controls)
    return graph


def _with_stack(graph: Prompt, controls: int) -> None:
    for index in range(controls):
        _add_hint(graph, index, "ControlStackLoader")
        start, end = SPANS[index]
        graph[f"add{index}"] = node(
            "ControlStackAdd",
            control_net=[f"net{index}", 0],
            image=[f"hint{index}", 0],
            strength=STRENGTHS[index],
            start_percent=start,
            end_percent=end,
            mode="balanced",
            **({"stack": [f"add{index - 1}", 0]} if index else {}),
        )
    if controls:
        stack = [f"add{controls - 1}", 0]
        graph["apply"] = node("ControlStackApply", model=["checkpoint", 0], stack=stack)
        graph["sampler"]["inputs"]["model"] = ["apply", 0]


def _with_core(graph: Prompt, controls: int) -> None:
    for index in range(controls):
        _add_hint(graph, index, "ControlNetLoader")
        start, end = SPANS[index]
        sides = graph["sampler"]["inputs"]
        graph[f"apply{index}"] = node(
            "ControlNetApplyAdvanced",
            positive=sides["positive"],
            negative=sides["negative"],
            control_net=[f"net{index}", 0],
            image=[f"hint{index}", 0],
            strength=STRENGTHS[index],
            start_percent=start,
            end_percent=end,
        )
        sides |= {"positive": [f"apply{index}", 0], "negative": [f"apply{index}", 1]}


def _add_hint(graph: Prompt, index: int, loader: str) -> None:
    graph[f"net{index}"] = node(loader, control_net_name=NETS[index])
    graph[f"picture{index}"] = node("LoadImage", image=HINTS[index])
    graph[f"hint{index}"] = node(
        "ImageScale",
        image=[f"picture{index}", 0],
        upscale_method="area",
        width=WIDTH,
        height=HEIGHT,
        crop="center",
    )


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """One node of a prompt."""
    return {"class_type": class_type, "inputs": inputs}
