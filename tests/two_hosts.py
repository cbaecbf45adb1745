"""One workflow on either host: the picture that it saved and the latent before it.

ComfyUI is its own server; the embedded host runs in this process. Nothing of ComfyUI is imported.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load, save_file
from torch import Tensor

from controlstack.headless import folders, host
from controlstack.headless.graph.execute import Executor, Results
from controlstack.headless.graph.model import Graph, Link, Node, Value
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import read_workflow
from tests import cells, sd2_files, sd15_files, sdxl_files
from tests.cells import Prompt

if TYPE_CHECKING:
    from tests.comfyui.server import Server

VAE = "vae.safetensors"
BAR = 40.0
"""The PSNR in dB that pictures of the two hosts have to reach (the issue's figure)."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Made:
    """What a host made: pictures (B, H, W, 3), their latents (B, 4, h, w) as LATENT has them."""

    pictures: Pixels
    latent: Tensor


Run = Callable[[Graph], Made]

FAMILIES: dict[str, Any] = {"sd15": sd15_files, "sd2": sd2_files, "sdxl": sdxl_files}
"""What writes the files of weights of a family."""


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio in dB of 8-bit pictures of one shape; infinite where equal."""
    error = np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def latent_difference(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a part of the latent's own standard deviation."""
    return float((one - other).abs().max() / one.std())


def write_files(base: Path, family: str = "sd15") -> Path:
    """The models of a family and the input pictures that `tests.cells` names, laid out as
    ComfyUI's; `base`.
    """
    files = FAMILIES[family]
    files.write_checkpoint(base / "models" / "checkpoints" / cells.CHECKPOINT)
    for seed, name in enumerate(cells.NETS, start=1):
        files.write_control_net(base / "models" / "controlnet" / name, seed)
    files.write_lora(base / "models" / "loras" / cells.LORA)
    shutil.copytree(cells.INPUT, base / "input")
    return base


PARTS = {
    "sd15": {("text_encoders", "clip_l"): sd15_files.CLIP},
    "sdxl": {
        ("text_encoders", "clip_l"): sdxl_files.CLIP_L,
        ("text_encoders", "clip_g"): sdxl_files.CLIP_G,
    },
}
_ALWAYS = {("diffusion_models", "unet"): sd15_files.UNET, ("vae", "vae"): sd15_files.VAE}


def take_apart(models: Path, family: str) -> None:
    """The checkpoint's parts in files of their own, under the names that such files have."""
    with safe_open(models / "checkpoints" / cells.CHECKPOINT, "pt") as file:
        for (folder, name), prefix in {**_ALWAYS, **PARTS[family]}.items():
            kept = {
                key.removeprefix(prefix): file.get_tensor(key)
                for key in file.keys()  # noqa: SIM118 - no mapping
                if key.startswith(prefix)
            }
            (models / folder).mkdir(exist_ok=True)
            save_file(kept, models / folder / f"{name}.safetensors")


def from_parts(prompt: Prompt, unet: dict[str, Any], texts: dict[str, Any]) -> Prompt:
    """`prompt`, its model and texts from these loaders, its VAE of `take_apart`."""
    prompt |= {"unet": unet, "texts": texts, "vae": cells.node("VAELoader", vae_name=VAE)}
    del prompt["checkpoint"]
    parts = (["unet", 0], ["texts", 0], ["vae", 0])
    for one in prompt.values():
        for name, value in one["inputs"].items():
            if isinstance(value, list) and value[0] == "checkpoint":
                one["inputs"][name] = parts[value[1]]
    return prompt


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
        with host.use(places):
            validate(graph, registry)
            results = executor.run(graph)
            pictures = _pixels([path.read_bytes() for path in _saved(graph, results)])
        latents = [results.value(link.node, link.slot)["samples"] for link in _latents(graph)]
        return Made(pictures, torch.cat(latents))

    return run


def on_comfyui(server: Server) -> Run:
    """Graphs on a running ComfyUI, with nodes added that save the latents of the pictures."""

    def run(graph: Graph) -> Made:
        probes = [_probe(f"probe {i}", link) for i, link in enumerate(_latents(graph))]
        probed = replace(graph, nodes={**graph.nodes, **{probe.id: probe for probe in probes}})
        outputs = server.run(probed).outputs
        saved = [named for node in _all(graph, "SaveImage") for named in outputs[node.id]["images"]]
        files = [outputs[probe.id]["latents"][0] for probe in probes]
        latents = [load(server.picture(named))["latent_tensor"] for named in files]
        return Made(_pixels([server.picture(named) for named in saved]), torch.cat(latents))

    return run


def _probe(node_id: str, latent: Link) -> Node:
    inputs: dict[str, Value] = {"samples": latent, "filename_prefix": "cell"}
    return Node(node_id, "SaveLatent", inputs)


def _latents(graph: Graph) -> list[Link]:
    """Where the latents of the pictures come from."""
    origins = [node.inputs["samples"] for node in _all(graph, "VAEDecode")]
    return [origin for origin in origins if isinstance(origin, Link)]


def _all(graph: Graph, node_type: str) -> list[Node]:
    """The nodes of a type in the order of their ids, the same on both hosts."""
    return sorted(
        (node for node in graph.nodes.values() if node.type == node_type), key=lambda node: node.id
    )


def _saved(graph: Graph, results: Results) -> list[Path]:
    """The pictures that SaveImage wrote, in the order of `_all`."""
    root = folders.current().output
    images = [image for node in _all(graph, "SaveImage") for image in results.ui[node.id]["images"]]
    return [root / image["subfolder"] / image["filename"] for image in images]


def _pixels(files: list[bytes]) -> Pixels:
    return np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in files])
