"""Seconds a step of SDXL's U-Net on the embedded host, beside diffusers' own pipeline.

One set of random weights in SDXL's shape (attention 0, 2 and 10 blocks deep, texts 2048 wide, the
vector of 2816), the same texts, sizes, seed and sampler (euler, guidance), without control and
under one ControlNet. Processor's seconds on one thread, in rounds taken in turns in one process, as
ratios of the same round. `--width 320` is SDXL itself, 10 GB.

Run: python -m benchmarks.sdxl [--width 128] [--edge 256] [--steps 4] [--rounds 7]
"""

from __future__ import annotations

import argparse
import os
import statistics
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch
from torch import nn

from benchmarks.control import Run, seconds
from controlstack.headless.models.components import given_y
from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.models.vae import SDXL_SCALE
from controlstack.headless.sampling.base_model import BaseModel
from controlstack.headless.sampling.model import Model
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.sample import ksample
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch

SEED, GUIDANCE, TOKENS, WIDTH, POOLED = 1, 5.0, 77, 2048, 1280
STRENGTH = 0.5


def drawn(width: int) -> tuple[nn.Module, nn.Module]:
    """Diffusers' U-Net and ControlNet of SDXL's shape, `width` channels at first."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    widths = (width, 2 * width, 4 * width)
    torch.manual_seed(SEED)
    unet = UNet2DConditionModel(
        block_out_channels=widths,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        transformer_layers_per_block=(1, 2, 10),
        cross_attention_dim=WIDTH,
        attention_head_dim=tuple(each // 64 for each in widths),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=POOLED + 6 * 256,
    )
    network = ControlNetModel.from_unet(unet)
    for layer in (*network.controlnet_down_blocks, network.controlnet_mid_block):
        nn.init.normal_(layer.weight, std=0.02)
    return unet.eval().requires_grad_(False), network.eval().requires_grad_(False)


class Given:
    """What every run is given."""

    def __init__(self, edge: int) -> None:
        drawing = torch.Generator().manual_seed(SEED)
        self.edge = edge
        self.texts = [torch.randn(1, TOKENS, WIDTH, generator=drawing) for _ in range(2)]
        self.pooled = [torch.randn(1, POOLED, generator=drawing) for _ in range(2)]
        self.hint = torch.rand(1, 3, edge, edge, generator=drawing)


def embedded(unet: nn.Module, network: nn.Module, given: Given) -> Run:
    """This pack, on the same weights in the same memory."""
    model = Model(BaseModel(_taking_y(unet), DiscreteSampling.from_betas(), SDXL_SCALE))
    net = ControlNet(_taking_y(network), "net")
    sides = [
        [[text, {"pooled_output": pooled}]]
        for text, pooled in zip(given.texts, given.pooled, strict=True)
    ]
    latent = {"samples": torch.zeros(1, 4, given.edge // 8, given.edge // 8)}

    def run(steps: int, controls: int) -> Any:
        stack = tuple(Control(net, given.hint, "net", STRENGTH) for _ in range(controls))
        patched = patch(model, stack) if stack else model
        return ksample(patched, SEED, steps, GUIDANCE, "euler", "normal", *sides, latent)

    return run


def _taking_y(network: Any) -> nn.Module:
    """The network as the embedded host makes it, sharing the weights."""
    config, weights = given_y(dict(network.config), network.state_dict)
    with torch.device("meta"):
        known = {key: value for key, value in config.items() if not key.startswith("_")}
        made: nn.Module = type(network)(**known)
    made.load_state_dict(weights(), assign=True)
    return made.eval().requires_grad_(False)


def pipeline(unet: nn.Module, network: nn.Module, given: Given) -> Run:
    """diffusers' StableDiffusionXLPipeline, or the one with a ControlNet."""
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    names = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    parts = {**dict.fromkeys(names), "unet": unet, "add_watermarker": False}
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )

    def run(steps: int, controls: int) -> Any:
        kind: Any = diffusers.StableDiffusionXLPipeline
        more: dict[str, Any] = {"width": given.edge, "height": given.edge}
        extra: dict[str, Any] = {}
        if controls:
            kind = diffusers.StableDiffusionXLControlNetPipeline
            extra = {"controlnet": network}
            more |= {"image": given.hint, "controlnet_conditioning_scale": STRENGTH}
        made = kind(**parts, scheduler=scheduler, **extra)
        made.set_progress_bar_config(disable=True)
        return made(
            prompt_embeds=given.texts[0],
            negative_prompt_embeds=given.texts[1],
            pooled_prompt_embeds=given.pooled[0],
            negative_pooled_prompt_embeds=given.pooled[1],
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(SEED),
            output_type="latent",
            **more,
        )

    return run


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=128, help="channels at first; SDXL has 320")
    parser.add_argument("--edge", type=int, default=256, help="pixels of the picture")
    parser.add_argument("--steps", type=int, default=4, help="of a run")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    given, (unet, network) = Given(options.edge), drawn(options.width)
    runs = {
        "embedded": embedded(unet, network, given),
        "diffusers": pipeline(unet, network, given),
    }
    print(f"SDXL's shape, {options.width} channels at first, {options.edge} px, guidance")
    print("| controls | embedded, s a step | diffusers, s a step | ratio | least to most |")
    print("|---|---|---|---|---|", flush=True)
    for controls in range(2):
        took: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(options.rounds + 1):
            for name in list(runs)[:: 1 if turn % 2 else -1]:
                took[name].append(seconds(runs[name], options.steps, controls) / options.steps)
        pairs = list(zip(*took.values(), strict=True))[1:]  # the first round warms up
        ratios = [ours / theirs for ours, theirs in pairs]
        a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        print(f"| {controls} | {a:.2f} | {b:.2f} | {statistics.median(ratios):.3f} | {spread} |")


if __name__ == "__main__":
    main()
