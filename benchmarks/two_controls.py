"""One demo picture under two controls: this engine beside diffusers' own MultiControlNet pipeline.

Same weights, prompts, hints, steps and guidance, one thread, rounds taken in turns so that a busy
machine slows both. Each round encodes both prompts, samples and decodes. Aims: 4 s on an idle core,
1.5 GB at the peak, and at most 1.05 times diffusers' time.

Run: python benchmarks/two_controls.py [FOLDER of base/, controlnet-pose/ and controlnet-depth/]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from controlstack.demo.models import WEIGHTS
from controlstack.headless.models.loading import load_checkpoint, load_control_net
from controlstack.headless.sampling.sample import ksample
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch
from controlstack.nodes.hint_inputs import STANDING
from controlstack.preprocessors.pose.draw import draw_pose

EDGE, STEPS, GUIDANCE, SEED, ROUNDS = 128, 20, 3.0, 1, 5
PROMPT, NEGATIVE = "a person in a blue shirt in front of a red ball", ""
NETS = ("controlnet-pose", "controlnet-depth")


def hints() -> list[Tensor]:
    """A skeleton and a slope, (1, 3, EDGE, EDGE) in 0..1 each; what they show costs nothing."""
    skeleton = torch.from_numpy(draw_pose(STANDING, EDGE, EDGE)).movedim(-1, 0)[None] / 255
    slope = torch.linspace(0, 1, EDGE)[:, None].expand(1, 3, EDGE, EDGE).contiguous()
    return [skeleton, slope]


def with_controlstack(folder: Path) -> Callable[[], Any]:
    """One picture by this engine on the embedded host, ready to be made again and again."""
    model, clip, vae = load_checkpoint(folder / "base")
    stack = tuple(
        Control(load_control_net(folder / name), hint, name)
        for name, hint in zip(NETS, hints(), strict=True)
    )
    controlled = patch(model, stack)

    def picture() -> Tensor:
        latent = {"samples": torch.zeros(1, 4, EDGE // 8, EDGE // 8)}
        words = [clip.encode(text) for text in (PROMPT, NEGATIVE)]
        made = ksample(
            controlled, SEED, STEPS, GUIDANCE, "euler", "normal", words[0], words[1], latent
        )
        return vae.decode(made["samples"])

    return picture


def with_diffusers(folder: Path) -> Callable[[], Any]:
    """The same picture by StableDiffusionControlNetPipeline over a MultiControlNetModel."""
    import transformers
    from diffusers import (
        ControlNetModel,
        EulerDiscreteScheduler,
        StableDiffusionControlNetPipeline,
    )
    from diffusers.utils import logging

    for library in (logging, transformers.utils.logging):  # figures only, no advice
        library.set_verbosity_error()
        library.disable_progress_bar()
    nets = [ControlNetModel.from_pretrained(folder / name).float() for name in NETS]
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(
        folder / "base", controlnet=nets, safety_checker=None
    ).to(torch.float32)
    pipeline.scheduler = EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)

    def picture() -> Any:
        return pipeline(
            PROMPT,
            image=hints(),
            negative_prompt=NEGATIVE,
            width=EDGE,
            height=EDGE,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(SEED),
            output_type="pt",
        ).images

    return picture


def seconds(make: Callable[[], Any]) -> float:
    """How long one picture takes."""
    start = time.perf_counter()
    make()
    return time.perf_counter() - start


def peak_gigabytes() -> float:
    """The most memory this process has held (ru_maxrss counts KiB on Linux, bytes on macOS)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def peak_alone(folder: Path) -> float:
    """The peak of a process that makes one picture with this engine and does nothing else."""
    command = [sys.executable, __file__, str(folder), "--memory"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=WEIGHTS)
    parser.add_argument("--memory", action="store_true", help="print this process's own peak only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ours = with_controlstack(options.folder)
    if options.memory:
        ours()
        print(peak_gigabytes())
        return
    theirs = with_diffusers(options.folder)
    seconds(ours), seconds(theirs)  # the first picture warms up
    rounds = np.array([(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)])
    print(f"{EDGE} px, {STEPS} steps, guidance, two controls, one thread, {ROUNDS} rounds in turns")
    for name, column in zip(("ControlStack", "diffusers"), rounds.T, strict=True):
        spread = f"{column.min():.2f} to {column.max():.2f}"
        print(f"  {name:13} {np.median(column):6.2f} s  ({spread})")
    ratio = statistics.median(rounds[:, 0] / rounds[:, 1])
    print(f"  ratio         {ratio:6.3f}    (median of the rounds' own; aim 1.05 at most)")
    print(f"  peak memory   {peak_alone(options.folder):6.2f} GB (ControlStack alone; aim 1.5)")


if __name__ == "__main__":
    main()
