"""Which demo model stands in for which file name, and the size a workflow takes on with it.

The demo model was trained on 128 px pictures, so a workflow for 512 px runs at a quarter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ..ground.errors import UserError
from ..headless import folders
from ..headless.graph.model import Graph, Link, Value
from ..headless.graph.named_files import NamedFile, named_files
from ..headless.graph.override import override
from ..headless.graph.registry import InputSpec, Registry
from ..headless.graph.values import convert
from ..headless.models import inspect
from ..model_files.folders import CONFIG, read_config
from ..nodes.hints import NODE_CLASS_MAPPINGS as HINTS
from ..training.base_fit import per_level
from .stand_ins import StandIn, stand_in

WEIGHTS = Path(__file__).parent / "weights"
BASE = WEIGHTS / "base"
NATIVE = 128
"""Pixels of a side of the pictures that the demo model was trained on."""

CONTROL_NETS: Mapping[str, Path] = {
    kind: WEIGHTS / f"controlnet-{kind}" for kind in ("canny", "depth", "pose")
}
"""The demo's ControlNets, by the kind of their hints."""

PARTS: Mapping[str, Path] = {
    "checkpoints": BASE,
    "diffusion_models": BASE / "unet",
    "text_encoders": BASE / "text_encoder",
    "vae": BASE / "vae",
}
"""The part of the demo base model for each kind of model."""

SHAPE = frozenset({"block_out_channels", "layers_per_block", "cross_attention_dim"})
"""What a ControlNet's configuration has in common with that of the base it was trained for."""

LATENTS = ("EmptyLatentImage", "EmptySD3LatentImage")
"""Nodes that say how large the picture is."""

SIZES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(LATENTS, ("width", "height")),
    "Efficient Loader": ("empty_latent_width", "empty_latent_height"),
    **dict.fromkeys(("ImageScale", "LatentUpscale", "EmptyImage"), ("width", "height")),
    "ImageScaleToMaxDimension": ("largest_size",),
    **dict.fromkeys(("LatentComposite", "LatentCompositeMasked"), ("x", "y")),
    "LatentCrop": ("width", "height", "x", "y"),
    **dict.fromkeys(HINTS, ("width", "height")),
    "ConditioningSetArea": ("width", "height", "x", "y"),
}
"""Inputs counted in pixels of the picture that is made."""

MULTIPLE = 8
"""Sizes stay multiples of the VAE's factor."""


def require_weights() -> None:
    """Raise UserError where the demo models are not there, as in the archive for ComfyUI."""
    if not BASE.is_dir():
        raise UserError(
            f"There are no demo models in {WEIGHTS}: the archive that ComfyUI's registry hands out "
            "leaves them out; clone the repository to have them."
        )


def own_nets(graph: Graph, registry: Registry) -> set[str]:
    """The names of ControlNets in `graph` that are in the folders of models and fit the demo base:
    somebody trained them for it.
    """
    return {one.name for one in _control_nets(graph, registry) if _fits(one.name)}


def _fits(name: str) -> bool:
    try:
        config = inspect.control_net_config(folders.find("controlnet", name))
        base = read_config(BASE / "unet" / CONFIG)
        same = (per_level(config, key) == per_level(base, key) for key in config.keys() & SHAPE)
        return "block_out_channels" in config and all(same)
    except (UserError, KeyError):  # not there, or nothing that loads
        return False


def aliases(
    graph: Graph, registry: Registry, own: Collection[str] = ()
) -> dict[str, dict[str, Path]]:
    """For `Folders.aliases`: a demo model for every model file that `graph` names, but the
    ControlNets `own`, LoRAs and upscale models. Raises UserError where there are no demo models.
    """
    require_weights()
    found: dict[str, dict[str, Path]] = {}
    for one in named_files(graph, registry):
        if part := PARTS.get(one.kind):
            found.setdefault(one.kind, {})[one.name] = part
    for name, stand in stand_ins(graph, registry, own).items():
        found.setdefault("controlnet", {})[name] = CONTROL_NETS[stand.kind]
    return found


def stand_ins(graph: Graph, registry: Registry, own: Collection[str] = ()) -> dict[str, StandIn]:
    """The demo net for each ControlNet that `graph` names, but its `own`, by the file's name."""
    nets = {one.name: one.node for one in reversed([*_control_nets(graph, registry)])}
    return {name: stand_in(graph, node, name) for name, node in nets.items() if name not in own}


def _control_nets(graph: Graph, registry: Registry) -> Iterator[NamedFile]:
    return (one for one in named_files(graph, registry) if one.kind == "controlnet")


def scale_factor(graph: Graph) -> float:
    """What every size must be multiplied by for the smallest picture's smaller side to be NATIVE.

    1 for a graph that is no larger than that, or says no size.
    """
    made = (_sides(graph, *kinds) for kinds in (LATENTS, ("Efficient Loader",), ("ImageScale",)))
    sides = next((found for found in made if found), [])
    return min(1.0, NATIVE / min(sides)) if sides else 1.0


def scaled(graph: Graph, registry: Registry, factor: float) -> Graph:
    """`graph` with every size in SIZES multiplied by `factor`, to the nearest MULTIPLE."""
    if factor == 1.0:
        return graph
    for node in graph.nodes.values():
        for name in SIZES.get(node.type, ()):
            if value := _pixels(node.inputs.get(name)):
                size = max(MULTIPLE, round(value * factor / MULTIPLE) * MULTIPLE)
                graph = override(graph, registry, f"{node.id}.{name}", str(size))
    return graph


def _sides(graph: Graph, *node_types: str) -> list[int]:
    return [
        value
        for node in graph.nodes.values()
        if node.type in node_types
        for name in SIZES[node.type]
        if (value := _pixels(node.inputs.get(name)))
    ]


def _pixels(value: Value) -> int:
    """The number of pixels that a node will be given for `value`: "512" is 512. 0 for what is none,
    which `validate` will refuse, and for what comes through a link.
    """
    try:
        pixels = None if isinstance(value, Link) else convert(_INT, value)
    except UserError:
        return 0
    return pixels if isinstance(pixels, int) and 0 < pixels <= _MOST else 0


_MOST = 1 << 24
_INT = InputSpec("", "INT", True, (), {})
