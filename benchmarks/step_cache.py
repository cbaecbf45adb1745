"""Control Speed together with ComfyUI's EasyCache, which answers some steps in the model's place.

The demo model and its nets inside the ComfyUI at COMFYUI_PATH: each speed of Control Speed without
a cache and with EasyCache at several thresholds. Printed are in how many steps the model and each
net ran, the multiply-adds of the whole run beside the exact one's without a cache (counted by rows
that came to each network), PSNR against that run, mean and worst, and how well pictures follow:
edge F1, silhouette IoU and joints of the scene, and the largest of their losses in percent.

Run: COMFYUI_PATH=... python -m benchmarks.step_cache [--scenes 12] [--steps 20]
         [--thresholds 0.1,0.2,0.3] [--node EasyCacheNode]
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import torch
from torch import nn

import tests.comfyui as ours  # before ComfyUI's own folder "tests" can be found
from benchmarks.near_exact import CFG, SAMPLERS, SEED, TWO, Bench, psnr
from controlstack.demo import score
from controlstack.model_patch.patch import patch
from controlstack.model_patch.speed import EXACT, SPEEDS


class InComfy(Bench):
    """The same scenes and weights in ComfyUI."""

    def __init__(self, scenes: int, node: str) -> None:
        super().__init__(scenes, TWO)
        sys.path.insert(0, os.environ["COMFYUI_PATH"])
        import_module("comfy.cli_args").args.cpu = True
        self.host = import_module("comfy.sample")
        demo_pack = import_module(f"{ours.__name__}.demo_pack")
        self.guest = demo_pack.load_checkpoint(None, "")[0]
        self.nets = {kind: demo_pack.load_controlnet(kind) for kind in dict(TWO)}
        self.cache = getattr(import_module("comfy_extras.nodes_easycache"), node)
        self.unet_rows = rows_of(self.guest.model.diffusion_model.unet)
        self.net_rows = [rows_of(net.control_model.network) for net in self.nets.values()]

    def run(
        self, speed: str, steps: int, sampler: tuple[str, str], threshold: float
    ) -> tuple[np.ndarray[Any, Any], tuple[int, list[int]], float]:
        """Pictures, in how many steps the U-Net and each net ran, and multiply-adds."""
        stack = tuple(self._control(*kind, i, speed) for i, kind in enumerate(self.kinds))
        model = patch(self.guest, stack)
        if threshold:
            model = self.cache.execute(model, threshold, 0.15, 0.95, False).result[0]
        for rows in (self.unet_rows, *self.net_rows):
            rows.clear()
        latent = torch.zeros(len(self.tasks), 4, score.SIZE // 8, score.SIZE // 8)
        noise = self.host.prepare_noise(latent, SEED)
        with torch.inference_mode():
            made = self.host.sample(
                *(model, noise, steps, CFG, *sampler, *self.words, latent),
                disable_pbar=True,
                seed=SEED,
            )
            pictures = (self.vae.decode(made).clamp(0, 1) * 255).round().byte().numpy()
        flops = sum(self.unet_rows) * self.unet_flops
        flops += sum(map(sum, self.net_rows)) * self.net_flops
        return pictures, (len(self.unet_rows), [len(rows) for rows in self.net_rows]), flops


def rows_of(network: nn.Module) -> list[int]:
    """How many rows a network is given; the list grows with each call."""
    rows: list[int] = []
    network.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--thresholds", default="0.1,0.2,0.3")
    parser.add_argument("--node", default="EasyCacheNode", help="or LazyCacheNode")
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = InComfy(options.scenes, options.node)
    thresholds = [0.0, *map(float, options.thresholds.split(","))]
    titles = ("sampler", "speed", "cache", "model, nets ran", "of exact", "PSNR")
    print(f"| {' | '.join(titles)} | F1, IoU, joints | loss |\n|---|---|---|---|---|---|---|---|")
    for sampler in SAMPLERS:
        exact, _, whole = bench.run(EXACT, options.steps, sampler, 0.0)
        plain = bench.follows(exact)
        for speed in SPEEDS:
            for threshold in thresholds:
                made, (ran, nets), flops = bench.run(speed, options.steps, sampler, threshold)
                decibels, follows = psnr(exact, made), bench.follows(made)
                lost = max(1 - now / then for now, then in zip(follows, plain, strict=True))
                figures = ", ".join(f"{value:.3f}" for value in follows)
                print(
                    f"| {sampler[0]} | {speed} | {threshold or 'none'} | {ran}, "
                    f"{' and '.join(map(str, nets))} | {flops / whole:.3f} | "
                    f"{np.mean(decibels):.1f} ({min(decibels):.1f}) | {figures} | "
                    f"{100 * lost:.1f} % |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
