"""How long reading and checking a large workflow takes: the file, its graph, all that is wrong.

The file is what the canvas saves: 200 nodes, in chains of prompts, reroutes, a ControlNet and a
sampler that go on from one another. CPU seconds of this process, one thread; the first time is with
the import of what the checks need, the others are without.

python -m benchmarks.read_workflow [--nodes 200] [--times 5]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.sd15_files import write_checkpoint, write_control_net

CHECKPOINT, NET = "model.safetensors", "net.safetensors"


def drawn(count: int) -> dict[str, Any]:
    """A UI document with `count` nodes, rounded up to whole chains and what they share."""
    nodes: list[dict[str, Any]] = []
    links: list[list[Any]] = []

    def node(kind: str, outputs: str, values: list[Any] | None = None, **inputs: Any) -> int:
        key = len(nodes) + 1
        slots = []
        for name, (origin, slot, kind_of) in inputs.items():
            links.append([len(links) + 1, origin, slot, key, len(slots), kind_of])
            slots.append({"name": name.lstrip("_"), "type": kind_of, "link": len(links)})
        given = [{"name": one, "type": one, "links": []} for one in outputs.split()]
        entry = {"id": key, "type": kind, "mode": 0, "inputs": slots, "outputs": given}
        nodes.append({**entry, "properties": {}, "widgets_values": values or []})
        return key

    model = node("CheckpointLoaderSimple", "MODEL CLIP VAE", [CHECKPOINT])
    net = node("ControlNetLoader", "CONTROL_NET", [NET])
    latent = node("EmptyLatentImage", "LATENT", [512, 512, 1])
    hint = node("EmptyImage", "IMAGE", [512, 512, 1, 0])
    while len(nodes) < count:
        clip = node("Reroute", "*", None, _=(model, 1, "CLIP"))
        texts = [
            node("CLIPTextEncode", "CONDITIONING", [text], clip=(clip, 0, "CLIP"))
            for text in ("a {red|blue} house", "blurry")
        ]
        sides = {
            side: (text, 0, "CONDITIONING")
            for side, text in zip(("positive", "negative"), texts, strict=True)
        }
        both = node(
            "ControlNetApplyAdvanced",
            "CONDITIONING CONDITIONING",
            [1.0, 0.0, 1.0],
            **sides,
            control_net=(net, 0, "CONTROL_NET"),
            image=(hint, 0, "IMAGE"),
        )
        lora = node("FreeU", "MODEL", [1.1, 1.2, 0.9, 0.2], model=(model, 0, "MODEL"))
        latent = node(
            "KSampler",
            "LATENT",
            [len(nodes), "fixed", 20, 7.0, "euler", "normal", 1.0],
            model=(lora, 0, "MODEL"),
            positive=(both, 0, "CONDITIONING"),
            negative=(both, 1, "CONDITIONING"),
            latent_image=(latent, 0, "LATENT"),
        )
        image = node(
            "VAEDecode", "IMAGE", None, samples=(latent, 0, "LATENT"), vae=(model, 2, "VAE")
        )
        small = node("ImageScale", "IMAGE", ["area", 64, 64, "disabled"], image=(image, 0, "IMAGE"))
        node("PreviewImage", "", None, images=(small, 0, "IMAGE"))
        node("SaveImage", "", ["picture"], images=(image, 0, "IMAGE"))
    return {"nodes": nodes, "links": links, "version": 0.4}


def main() -> None:
    """Print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        for kind in ("checkpoints", "controlnet"):
            (models / kind).mkdir()
        write_checkpoint(models / "checkpoints" / CHECKPOINT)
        write_control_net(models / "controlnet" / NET)
        file = models / "workflow.json"
        document = drawn(given.nodes)
        file.write_text(json.dumps(document), encoding="utf-8")
        seconds = [_seconds(file, models) for _ in range(given.times + 1)]
    print(f"{len(document['nodes'])} nodes: read and checked in {min(seconds[1:]):.3f} s of CPU")
    print(f"(the best of {given.times}); the first time, with imports, {seconds[0]:.2f} s")


def _seconds(file: Path, models: Path) -> float:
    began = time.process_time()
    from controlstack.headless import host
    from controlstack.headless.folders import Folders
    from controlstack.headless.graph.registry import default_registry
    from controlstack.headless.graph.validate import validate
    from controlstack.headless.graph.workflow import load_workflow

    registry = default_registry()
    with host.use(Folders((models,), (models,), models, models)):
        validate(load_workflow(file, registry), registry)
    return time.process_time() - began


if __name__ == "__main__":
    main()
