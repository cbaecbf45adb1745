"""Which demo model stands in for which file name, and the size a workflow takes on with it.

The demo model was trained on 128 px pictures, so a workflow for 512 px runs at a quarter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ..ground.errors import UserError
from ..headless import folders
from ..headless.graph.model import Graph, Link, Node, Value
from ..headless.graph.override import override
from ..headless.graph.registry import InputSpec, Registry
from ..headless.graph.values import convert
from ..headless.models import inspect
from ..model_files.folders import CONFIG, read_config
from ..nodes.hints import NODE_CLASS_MAPPINGS as HINTS
from ..nodes.rows import files_of
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

BASE_INPUTS: Mapping[tuple[str, str], tuple[str, Path]] = {
    ("CheckpointLoaderSimple", "ckpt_name"): ("checkpoints", BASE),
    ("CheckpointLoader", "ckpt_name"): ("checkpoints", BASE),
    ("Efficient Loader", "ckpt_name"): ("checkpoints", BASE),
    ("UNETLoader", "unet_name"): ("diffusion_models", BASE / "unet"),
    ("CLIPLoader", "clip_name"): ("text_encoders", BASE / "text_encoder"),
    ("VAELoader", "vae_name"): ("vae", BASE / "vae"),
}
"""Input of a loader -> the kind of model it names, and the part of the demo base model for it."""

SHAPE = frozenset({"block_out_channels", "layers_per_block", "cross_attention_dim"})
"""What a ControlNet's configuration has in common with that of the base it was trained for."""

CONTROL_INPUTS = (
    ("ControlNetLoader", "control_net_name"),
    ("ControlStackLoader", "control_net_name"),
    ("DiffControlNetLoader", "control_net_name"),
    ("ControlNetLoaderAdvanced", "control_net_name"),
    ("ACN_ControlNetLoaderAdvanced", "cnet"),
    *(
        (node, f"controlnet_{n}")
        for node in ("CR Multi-ControlNet Stack", "easy controlnetStack")
        for n in (1, 2, 3)
    ),
)
"""Inputs of loaders that name a ControlNet, "None" aside."""

LATENTS = ("EmptyLatentImage", "EmptySD3LatentImage")
"""Nodes that say how large the picture is."""

NAMING = frozenset(name for _, name in (*BASE_INPUTS, *CONTROL_INPUTS)) | {"controls"}
"""Inputs that name models."""

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


def own_nets(graph: Graph) -> set[str]:
    """The names of ControlNets in `graph` that are in the folders of models and fit the demo base:
    somebody trained them for it.
    """
    return {name for _, name in _control_nets(graph) if _fits(name)}


def _fits(name: str) -> bool:
    try:
        config = inspect.control_net_config(folders.find("controlnet", name))
        base = read_config(BASE / "unet" / CONFIG)
        same = (per_level(config, key) == per_level(base, key) for key in config.keys() & SHAPE)
        return "block_out_channels" in config and all(same)
    except (UserError, KeyError):  # not there, or nothing that loads
        return False


def aliases(graph: Graph, own: Collection[str] = ()) -> dict[str, dict[str, Path]]:
    """For `Folders.aliases`: a demo model for every model file that `graph` names, but the
    ControlNets `own`. Raises UserError where there are no demo models.
    """
    require_weights()
    found: dict[str, dict[str, Path]] = {}
    for node in graph.nodes.values():
        for name, value in node.inputs.items():
            if not isinstance(value, str):
                continue
            if part := BASE_INPUTS.get((node.type, name)):
                kind, path = part
                found.setdefault(kind, {})[value] = path
    for name, stand in stand_ins(graph, own).items():
        found.setdefault("controlnet", {})[name] = CONTROL_NETS[stand.kind]
    return found


def stand_ins(graph: Graph, own: Collection[str] = ()) -> dict[str, StandIn]:
    """The demo net for each ControlNet that `graph` names, but its `own`, by the file's name."""
    nets = {name: node for node, name in reversed([*_control_nets(graph)]) if name not in own}
    return {name: stand_in(graph, node, name) for name, node in nets.items()}


def _control_nets(graph: Graph) -> Iterator[tuple[Node, str]]:
    for node in graph.nodes.values():
        for name, value in node.inputs.items():
            named = isinstance(value, str) and value != "None"
            if (node.type, name) in CONTROL_INPUTS and named:
                yield node, str(value)
            if (node.type, name) == ("ControlStackRows", "controls"):
                yield from ((node, file) for file in files_of(value))


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
