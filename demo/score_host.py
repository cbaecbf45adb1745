"""Held-out pictures from the embedded host: each is made by a workflow graph, as a user's is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from ..headless import folders, host
from ..headless.graph.api_format import read_api
from ..headless.graph.execute import Executor, Results
from ..headless.graph.model import Graph, Json, JsonObject
from ..headless.graph.registry import default_registry
from ..headless.graph.validate import validate
from .models import aliases
from .scenes import SIZE
from .score import Picture, Task

SAMPLING: JsonObject = {
    "steps": 20,
    "cfg": 3.0,
    "sampler_name": "ddim",
    "scheduler": "sgm_uniform",
    "denoise": 1.0,
}
"""How scored pictures are sampled: `sgm_uniform` starts at the noisiest timestep."""


class HostScorer:
    """A `score.Generate` on the embedded host; models stay loaded from picture to picture."""

    def __init__(self, scratch: Path) -> None:
        """`scratch`: an empty folder for hints."""
        self._registry = default_registry()
        self._executor = Executor(self._registry)
        self._scratch = scratch

    def __call__(self, tasks: Sequence[Task], stack: tuple[str, ...]) -> Iterator[Picture]:
        """One uint8 picture (128, 128, 3) a task, with the task's own seed."""
        for task in tasks:
            for kind in stack:
                Image.fromarray(task.hints[kind]).save(self._scratch / f"{kind}_{task.seed}.png")
            yield self._picture(read_api(workflow(task, stack), "the scored workflow"))

    def _picture(self, graph: Graph) -> Picture:
        here, stands = self._scratch, aliases(graph, self._registry)
        places = folders.Folders(models=(), input=(here,), output=here, temp=here, aliases=stands)
        with host.use(places):
            validate(graph, self._registry)
            return pixels_of(self._executor.run(graph), "decode")


def pixels_of(results: Results, node: str) -> Picture:
    """The picture that a node gave, uint8 (H, W, 3)."""
    image: Tensor = results.value(node)  # (1, H, W, 3) in 0..1
    pixels: Picture = (image[0] * 255).round().byte().numpy()
    return pixels


def workflow(task: Task, stack: tuple[str, ...]) -> JsonObject:
    """The graph, in the API format, that makes the task's picture with the hints `stack` names."""
    nodes: JsonObject = {
        "base": _node("CheckpointLoaderSimple", ckpt_name="demo"),
        "prompt": _node("CLIPTextEncode", text=task.prompt, clip=["base", 1]),
        "negative": _node("CLIPTextEncode", text="", clip=["base", 1]),
        "empty": _node("EmptyLatentImage", width=SIZE, height=SIZE, batch_size=1),
        "sample": _node(
            "KSampler",
            model=["apply", 0] if stack else ["base", 0],
            positive=["prompt", 0],
            negative=["negative", 0],
            latent_image=["empty", 0],
            seed=task.seed,
            **SAMPLING,
        ),
        "decode": _node("VAEDecode", samples=["sample", 0], vae=["base", 2]),
        "show": _node("PreviewImage", images=["decode", 0]),
    }
    before: JsonObject = {}
    for kind in stack:
        nodes[f"{kind} net"] = _node("ControlStackLoader", control_net_name=f"demo {kind}")
        nodes[f"{kind} hint"] = _node("LoadImage", image=f"{kind}_{task.seed}.png")
        nodes[f"{kind} add"] = _node(
            "ControlStackAdd",
            control_net=[f"{kind} net", 0],
            image=[f"{kind} hint", 0],
            strength=1.0,
            start_percent=0.0,
            end_percent=1.0,
            mode="balanced",
            **before,
        )
        before = {"stack": [f"{kind} add", 0]}
    if stack:
        nodes["apply"] = _node("ControlStackApply", model=["base", 0], **before)
    return nodes


def _node(kind: str, **inputs: Json) -> JsonObject:
    return {"class_type": kind, "inputs": inputs}
