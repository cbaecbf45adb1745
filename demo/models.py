"""Which demo model stands in for which file name, and the size a workflow takes on with it.

The demo model was trained on 128 px pictures, so a workflow for 512 px runs at a quarter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..ground.errors import UserError
from ..ground.wording import listing, shown
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

WEIGHTS = Path(__file__).parent / "weights"
BASE = WEIGHTS / "base"
NATIVE = 128
"""Pixels of a side of the pictures that the demo model was trained on."""

CONTROL_NETS: Mapping[str, Path] = {
    "canny": WEIGHTS / "controlnet-canny",
    "depth": WEIGHTS / "controlnet-depth",
    "openpose": WEIGHTS / "controlnet-pose",
    "pose": WEIGHTS / "controlnet-pose",
}
"""A word in a ControlNet's file name -> the demo ControlNet of that kind."""

BASE_INPUTS: Mapping[tuple[str, str], tuple[str, Path]] = {
    ("CheckpointLoaderSimple", "ckpt_name"): ("checkpoints", BASE),
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
    ("ControlNetLoaderAdvanced", "control_net_name"),
    ("ACN_ControlNetLoaderAdvanced", "cnet"),
    *(
        (node, f"controlnet_{n}")
        for node in ("CR Multi-ControlNet Stack", "easy controlnetStack")
        for n in (1, 2, 3)
    ),
)
"""Inputs of loaders that name a ControlNet, "None" aside."""

MISSING: Mapping[str, str] = {
    "LoraLoader": "the demo has no LoRA; bypass this node",
    "ControlStackDepth": "the demo has no depth estimator; load a depth map with LoadImage",
}
"""Node types that the demo models cannot serve, and what to do instead."""

SIZES: Mapping[str, tuple[str, ...]] = {
    "EmptyLatentImage": ("width", "height"),
    "Efficient Loader": ("empty_latent_width", "empty_latent_height"),
    "ImageScale": ("width", "height"),
    "LatentUpscale": ("width", "height"),
    **dict.fromkeys(HINTS, ("width", "height")),
    "ConditioningSetArea": ("width", "height", "x", "y"),
}
"""Inputs counted in pixels of the picture that is made."""

MULTIPLE = 8
"""Sizes stay multiples of the VAE's factor."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core inside the block, which is for the demo models.

    Their tensors are too small to share out: two idle cores made a picture no faster than one, and
    two busy ones took many times as long. Nor do the last bits then depend on how many there are.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
    ControlNets `own`.

    Raises UserError for a ControlNet whose kind its name does not tell, for a LoRA or a depth
    estimator, which the demo has not, and where there are no demo models.
    """
    require_weights()
    found: dict[str, dict[str, Path]] = {}
    for node in graph.nodes.values():
        if node.type in MISSING:
            raise UserError(f"{node.label}: {MISSING[node.type]}, or run without --demo")
        for name, value in node.inputs.items():
            if not isinstance(value, str):
                continue
            if part := BASE_INPUTS.get((node.type, name)):
                kind, path = part
                found.setdefault(kind, {})[value] = path
    for node, name in _control_nets(graph):
        if name not in own:
            found.setdefault("controlnet", {})[name] = _control_net(node, name)
    return found


def _control_nets(graph: Graph) -> Iterator[tuple[Node, str]]:
    for node in graph.nodes.values():
        for name, value in node.inputs.items():
            named = isinstance(value, str) and value != "None"
            if (node.type, name) in CONTROL_INPUTS and named:
                yield node, str(value)
            if (node.type, name) == ("ControlStackRows", "controls"):
                yield from ((node, file) for file in files_of(value))


def _control_net(node: Node, name: str) -> Path:
    for word, path in CONTROL_NETS.items():
        if word in name.lower():
            return path
    raise UserError(
        f"{node.label}: the demo has ControlNets for canny, depth and pose, and the name "
        f"{shown(name)} has none of these words; name another, put one that was trained for the "
        f"demo into {listing(folders.bases('controlnet'))}, or run without --demo"
    )


def scale_factor(graph: Graph) -> float:
    """What every size must be multiplied by for the smallest picture's smaller side to be NATIVE.

    1 for a graph that is no larger than that, or says no size.
    """
    made = (_sides(graph, kind) for kind in ("EmptyLatentImage", "Efficient Loader", "ImageScale"))
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


def _sides(graph: Graph, node_type: str) -> list[int]:
    return [
        value
        for node in graph.nodes.values()
        if node.type == node_type
        for name in SIZES[node_type]
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
    return max(pixels, 0) if isinstance(pixels, int) else 0


_INT = InputSpec("", "INT", True, (), {})
