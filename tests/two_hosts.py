"""One workflow on either host: the picture that it saved and the latent before it.

ComfyUI is its own server; the embedded host runs in this process. Nothing of ComfyUI is imported.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors.torch import load
from torch import Tensor

from controlstack.headless import folders
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.model import Graph, Link, Node, Value
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow
from controlstack.headless.host import EmbeddedHost
from controlstack.nodes import host
from tests import cells, sd15_files
from tests.cells import Prompt

if TYPE_CHECKING:
    from tests.comfyui.server import Server

BAR = 40.0
"""The PSNR in dB that pictures of the two hosts have to reach (the issue's figure)."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Made:
    """What a host made: pictures (B, H, W, 3), and their latent (B, 4, h, w) as LATENT has it."""

    pictures: Pixels
    latent: Tensor


Run = Callable[[Graph], Made]


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio in dB of 8-bit pictures of one shape; infinite where equal."""
    error = np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def latent_difference(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a part of the latent's own standard deviation."""
    return float((one - other).abs().max() / one.std())


def write_files(base: Path) -> Path:
    """The models and input pictures that `tests.cells` names, laid out as ComfyUI's; `base`."""
    sd15_files.write_checkpoint(base / "models" / "checkpoints" / cells.CHECKPOINT)
    for seed, name in enumerate(cells.NETS, start=1):
        sd15_files.write_control_net(base / "models" / "controlnet" / name, seed)
    sd15_files.write_lora(base / "models" / "loras" / cells.LORA)
    shutil.copytree(cells.INPUT, base / "input")
    return base


def graph_of(prompt: Prompt) -> Graph:
    """A prompt as either host takes it."""
    return read_workflow(json.loads(json.dumps(prompt)), default_registry(), "prompt")


def embedded(base: Path) -> Run:
    """Graphs on the embedded host, with the files in `base`; loaded models are kept between."""
    registry = default_registry()
    executor = Executor(registry)
    places = folders.Folders(
        models=(base / "models",),
        input=(base / "input",),
        output=base / "embedded",
        temp=base / "temp",
    )

    def run(graph: Graph) -> Made:
        with _installed(), folders.use(places):
            validate(graph, registry)
            results = executor.run(graph)
            pictures = _pixels([path.read_bytes() for path in results.files()])
        origin = _latent_of(graph)
        return Made(pictures, results.value(origin.node, origin.slot)["samples"])

    return run


def on_comfyui(server: Server) -> Run:
    """Graphs on a running ComfyUI, each with one node more, which saves the latent."""

    def run(graph: Graph) -> Made:
        inputs: dict[str, Value] = {"samples": _latent_of(graph), "filename_prefix": "cell"}
        probe = Node("probe", "SaveLatent", inputs)
        probed = replace(graph, nodes={**graph.nodes, probe.id: probe})
        outputs = server.run(probed).outputs
        saved = outputs[_only(graph, "SaveImage").id]["images"]
        (latent,) = outputs[probe.id]["latents"]
        pictures = _pixels([server.picture(named) for named in saved])
        return Made(pictures, load(server.picture(latent))["latent_tensor"])

    return run


@contextmanager
def _installed() -> Iterator[None]:
    """The embedded host as the one that our nodes ask, for as long as it runs a graph."""
    before = list(host._installed)
    host.install(EmbeddedHost())
    try:
        yield
    finally:
        host._installed[:] = before


def _latent_of(graph: Graph) -> Link:
    """Where the latent of the saved picture comes from."""
    origin = _only(graph, "VAEDecode").inputs["samples"]
    assert isinstance(origin, Link)
    return origin


def _only(graph: Graph, node_type: str) -> Node:
    (found,) = (node for node in graph.nodes.values() if node.type == node_type)
    return found


def _pixels(files: list[bytes]) -> Pixels:
    return np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in files])
