"""What a stack of controls computes: multiply-adds of a run, counted, beside peers.

One set of random weights in Stable Diffusion 1.5's shapes, the same hints, seed and sampler (euler,
normal, guidance), for no control, ComfyUI's own nodes, this pack in ComfyUI, this pack's embedded
host and diffusers' pipeline. All controls of a run share one net's weights, which changes no count.
A count holds on any machine: a run of one step and one of two tell what a step costs and what comes
once. With --cache also what runs under ComfyUI's EasyCache compute, and with --time the
processor's seconds, in rounds taken in turns, as ratios to no control in the same round.

ComfyUI is the one at COMFYUI_PATH, whose Python runs this; without it only the last two are there.

Run: COMFYUI_PATH=... python -m benchmarks.control [--controls 1 2 3 5] [--edge 128] [--steps 20]
                                                   [--cache] [--time ROUNDS]
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop

from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.sampling.base_model import BaseModel
from controlstack.headless.sampling.model import Model
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.sample import ksample
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch

SEED, GUIDANCE, TOKENS, WIDTH = 1, 5.0, 77, 768
CACHE_STEPS, CACHE_THRESHOLD = 10, 5.0

Run = Callable[[int, int], Any]
"""A picture's latent by so many steps under so many controls."""


def drawn() -> tuple[nn.Module, nn.Module]:
    """A U-Net and a ControlNet of SD 1.5's shapes with random weights."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    torch.manual_seed(SEED)
    unet = UNet2DConditionModel(cross_attention_dim=WIDTH, attention_head_dim=8)
    network = ControlNetModel.from_unet(unet)
    zeros = (*network.controlnet_down_blocks, network.controlnet_mid_block)
    for layer in (*zeros, network.controlnet_cond_embedding.conv_out):
        nn.init.normal_(layer.weight, std=0.02)
    return unet.eval().requires_grad_(False), network.eval().requires_grad_(False)


class Given:
    """What every run is given."""

    def __init__(self, edge: int) -> None:
        drawing = torch.Generator().manual_seed(SEED)
        self.edge = edge
        self.words = [torch.randn(1, TOKENS, WIDTH, generator=drawing) for _ in range(2)]
        self.hints = [torch.rand(1, 3, edge, edge, generator=drawing) for _ in range(8)]

    @property
    def latent(self) -> Tensor:
        """An empty one."""
        return torch.zeros(1, 4, self.edge // 8, self.edge // 8)

    def stack(self, net: Any, controls: int) -> tuple[Control, ...]:
        """So many controls of one net."""
        return tuple(
            Control(net, hint, f"control {number}", 0.5)
            for number, hint in enumerate(self.hints[:controls], 1)
        )


def embedded(unet: nn.Module, network: nn.Module, given: Given) -> Run:
    """This pack without ComfyUI."""
    model = Model(BaseModel(unet, DiscreteSampling.from_betas(), latent_scale=0.18215))
    net = ControlNet(network, "net")
    sides = [[[words, {}]] for words in given.words]

    def run(steps: int, controls: int) -> Any:
        patched = patch(model, given.stack(net, controls))
        latent = {"samples": given.latent}
        return ksample(patched, SEED, steps, GUIDANCE, "euler", "normal", *sides, latent)

    return run


def pipeline(unet: nn.Module, network: nn.Module, given: Given) -> Run:
    """diffusers' StableDiffusionControlNetPipeline, over a MultiControlNetModel for several."""
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    parts = dict.fromkeys(("vae", "text_encoder", "tokenizer", "safety_checker"))
    parts |= {"feature_extractor": None, "unet": unet}
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )

    def run(steps: int, controls: int) -> Any:
        kind: Any = diffusers.StableDiffusionPipeline
        more: dict[str, Any] = {"width": given.edge, "height": given.edge}
        extra: dict[str, Any] = {}
        if controls:
            kind = diffusers.StableDiffusionControlNetPipeline
            nets = [network] * controls
            extra = {"controlnet": nets if controls > 1 else network}
            hints = given.hints[:controls]
            several = controls > 1
            more |= {"image": hints if several else hints[0]}
            more |= {"controlnet_conditioning_scale": [0.5] * controls if several else 0.5}
        made = kind(**parts, scheduler=scheduler, **extra)
        made.set_progress_bar_config(disable=True)
        return made(
            prompt_embeds=given.words[0],
            negative_prompt_embeds=given.words[1],
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(SEED),
            output_type="latent",
            **more,
        )

    return run


class Comfy:
    """The ComfyUI at COMFYUI_PATH in this process, with the same weights in the same memory."""

    def __init__(self, path: str, unet: nn.Module, network: nn.Module, given: Given) -> None:
        sys.path.insert(0, path)
        import comfy.cli_args

        comfy.cli_args.args.cpu = True
        logging.getLogger().setLevel(logging.ERROR)  # its tables of names warn of a family's gaps
        import comfy.controlnet
        import comfy.sd
        import comfy.utils

        self.given = given
        weights = unet.state_dict()
        self.model = comfy.sd.load_diffusion_model_state_dict(dict(weights))
        self.net = comfy.controlnet.load_controlnet_state_dict(dict(network.state_dict()))
        names = comfy.utils.unet_to_diffusers(self.model.model.model_config.unet_config)
        loaded = self.model.model.diffusion_model
        for theirs, ours in names.items():
            if theirs in weights:  # let go of the host's copy
                loaded.get_parameter(ours).data = weights[theirs]

    def core(self, cached: bool = False) -> Run:
        """By ControlNetApplyAdvanced."""
        import nodes

        apply = nodes.ControlNetApplyAdvanced().apply_controlnet

        def run(steps: int, controls: int) -> Any:
            sides = [[[words, {}]] for words in self.given.words]
            for hint in self.given.hints[:controls]:
                sides = apply(*sides, self.net, hint.movedim(1, -1), 0.5, 0.0, 1.0)
            return self._sampled(self._cached(self.model) if cached else self.model, sides, steps)

        return run

    def ours(self, cached: bool = False) -> Run:
        """By a stack on the MODEL."""

        def run(steps: int, controls: int) -> Any:
            patched = patch(self.model, self.given.stack(self.net, controls))
            sides = [[[words, {}]] for words in self.given.words]
            return self._sampled(self._cached(patched) if cached else patched, sides, steps)

        return run

    def _cached(self, model: Any) -> Any:
        from comfy_extras.nodes_easycache import EasyCacheNode

        return EasyCacheNode.execute(model, CACHE_THRESHOLD, 0.0, 1.0, False).result[0]

    def _sampled(self, model: Any, sides: Sequence[Any], steps: int) -> Any:
        import comfy.sample

        latent = self.given.latent
        noise = comfy.sample.prepare_noise(latent, SEED)
        settings: Any = (steps, GUIDANCE, "euler", "normal")
        with torch.inference_mode():
            return comfy.sample.sample(
                model, noise, *settings, *sides, latent, disable_pbar=True, seed=SEED
            )


@contextmanager
def counting() -> Iterator[Callable[[], float]]:
    """Gives the multiply-adds, in thousands of millions, of what runs inside: of matrix products,
    convolutions and attention."""
    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop(query, key, value))

    with FlopCounterMode(display=False, custom_mapping={on_cpu: attention}) as counter:
        yield lambda: counter.get_total_flops() / 2e9  # it counts both of a multiply-add


def counted(run: Run, steps: int, controls: int) -> float:
    """The multiply-adds of a run, in thousands of millions."""
    with counting() as total:
        run(steps, controls)
        return total()


def seconds(run: Run, steps: int, controls: int) -> float:
    """The processor's seconds of a run."""
    began = time.process_time()
    run(steps, controls)
    return time.process_time() - began


def table(runs: dict[str, Run], counts: Sequence[int], steps: int) -> None:
    """Print what a step and a whole run compute."""
    titles = ("controls", "by", "a step, GMAC", "once, GMAC", f"{steps} steps, GMAC", "of none")
    print(f"| {' | '.join(titles)} |\n|---|---|---|---|---|---|", flush=True)
    plain: dict[str, float] = {}
    for controls in (0, *counts):
        for name, run in runs.items():
            one, two = (counted(run, number, controls) for number in (1, 2))
            step, once = two - one, 2 * one - two
            total = once + steps * step
            plain.setdefault(name, total)
            figures = f"{step:.2f} | {once:.2f} | {total:.1f} | {total / plain[name]:.3f}"
            print(f"| {controls} | {name} | {figures} |", flush=True)


def under_cache(comfy: Comfy, controls: int) -> None:
    """Print what runs under EasyCache compute, and in how many steps the model runs."""
    ran: list[int] = []
    network = comfy.model.model.diffusion_model
    hook = network.time_embed.register_forward_pre_hook(lambda *_: ran.append(1))
    print(f"\n{CACHE_STEPS} steps under EasyCache (threshold {CACHE_THRESHOLD:g})", flush=True)
    print("| controls | by | steps of the model | GMAC |\n|---|---|---|---|")
    for number in (0, controls):
        for name, run in {"core": comfy.core(True), "ControlStack": comfy.ours(True)}.items():
            ran.clear()
            total = counted(run, CACHE_STEPS, number)
            print(f"| {number} | {name} | {len(ran)} | {total:.1f} |", flush=True)
    hook.remove()


def timed(runs: dict[str, Run], counts: Sequence[int], steps: int, rounds: int) -> None:
    """Print ratios of the processor's seconds to those of no control by the same, in rounds of
    which each has every run once, forwards and backwards in turn."""
    print(f"\nprocessor's seconds of {steps} steps: of none, in {rounds} rounds in turns")
    print("| controls | by | median | least to most |\n|---|---|---|---|", flush=True)
    for run in runs.values():
        run(1, 1)  # warms up
    cells = [(controls, name) for controls in (0, *counts) for name in runs]
    took: dict[tuple[int, str], list[float]] = {cell: [] for cell in cells}
    for turn in range(rounds):
        for controls, name in cells[:: 1 if turn % 2 else -1]:
            took[controls, name].append(seconds(runs[name], steps, controls))
    for controls, name in cells[len(runs) :]:
        ratios = [a / b for a, b in zip(took[controls, name], took[0, name], strict=True)]
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        print(f"| {controls} | {name} | {statistics.median(ratios):.3f} | {spread} |")


def main() -> None:
    """Count, and measure where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--controls", type=int, nargs="+", default=[1, 2, 3, 5])
    parser.add_argument("--edge", type=int, default=128, help="pixels of the picture")
    parser.add_argument("--steps", type=int, default=20, help="of a run")
    parser.add_argument("--cache", action="store_true", help="also under EasyCache, two controls")
    parser.add_argument("--time", type=int, default=0, metavar="ROUNDS", help="also seconds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    given, (unet, network) = Given(options.edge), drawn()
    path = os.environ.get("COMFYUI_PATH")
    comfy = Comfy(path, unet, network, given) if path else None
    runs: dict[str, Run] = {}
    if comfy is not None:
        runs |= {"ComfyUI's nodes": comfy.core(), "ControlStack in ComfyUI": comfy.ours()}
    runs |= {"ControlStack embedded": embedded(unet, network, given)}
    runs |= {"diffusers": pipeline(unet, network, given)}
    print(f"SD 1.5 shapes, {options.edge} px, batch 1 with guidance; GMAC: 1e9 multiply-adds\n")
    table(runs, options.controls, options.steps)
    if options.cache and comfy is not None:
        under_cache(comfy, 2)
    if options.time:
        timed(runs, options.controls, 4, options.time)


if __name__ == "__main__":
    main()
