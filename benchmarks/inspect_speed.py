"""What `controlstack inspect` takes for a graph of 200 nodes, in CPU time beyond imports.

Aim: under 1 s. Ten samplers in a row, each under three controls, with a pack's node between.

Run: python -m benchmarks.inspect_speed
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from controlstack.headless import folders, host
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import problems_of
from controlstack.headless.graph.workflow import parse
from controlstack.headless.overview.overview import overview_of

NODES, ROUNDS = 200, 5


def graph(count: int = NODES) -> dict[str, Any]:
    """An API document of at least `count` nodes."""
    made: dict[str, Any] = {}

    def node(kind: str, **inputs: Any) -> list[Any]:
        made[str(len(made) + 1)] = {"class_type": kind, "inputs": inputs}
        return [str(len(made)), 0]

    base = node("CheckpointLoaderSimple", ckpt_name="v1-5.safetensors")
    latent = node("EmptyLatentImage", width=512, height=512, batch_size=1)
    while len(made) < count:
        positive = node("CLIPTextEncode", clip=[base[0], 1], text="a house")
        negative = node("CLIPTextEncode", clip=[base[0], 1], text="")
        for kind in ("canny", "depth", "openpose"):
            hint = node("ControlStackCanny", image=node("LoadImage", image=f"{kind}.png"))
            net = node("ControlNetLoader", control_net_name=f"control_v11p_sd15_{kind}.pth")
            applied = node(
                "ControlNetApplyAdvanced",
                positive=positive,
                negative=negative,
                control_net=net,
                image=hint,
                strength=0.8,
                start_percent=0.0,
                end_percent=0.7,
            )
            positive, negative = applied, [applied[0], 1]
        latent = node(
            "KSampler",
            model=node("IPAdapterApply", model=base),
            positive=positive,
            negative=negative,
            latent_image=latent,
            seed=1,
            steps=20,
            cfg=7.0,
            sampler_name="dpmpp_2m",
            scheduler="karras",
            denoise=0.6,
        )
        node("SaveImage", images=node("VAEDecode", samples=latent, vae=[base[0], 2]))
    return made


def main() -> None:
    """Print the least of some rounds."""
    document, registry = graph(), default_registry()
    nothing = Path("nowhere")
    nowhere = folders.Folders((nothing,), (nothing,), nothing, nothing)
    taken: dict[str, list[float]] = {"inspect": [], "run's check": []}
    with host.use(nowhere):
        for _ in range(ROUNDS):
            began = time.process_time()
            overview_of(parse(document, "graph"), registry)
            taken["inspect"].append(time.process_time() - began)
            began = time.process_time()
            problems_of(parse(document, "graph").graph(registry), registry)
            taken["run's check"].append(time.process_time() - began)
    for what, seconds in taken.items():
        print(
            f"{len(document)} nodes, {what}: {min(seconds):.3f} s of CPU time (least of {ROUNDS}, "
            f"the first {seconds[0]:.3f})"
        )


if __name__ == "__main__":
    main()
