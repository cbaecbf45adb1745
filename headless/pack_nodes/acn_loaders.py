"""Advanced-ControlNet's loaders: nets with keyframes or a union type, and folders of pictures.

What they do is as adv_control/nodes_main.py, nodes_plusplus.py and nodes_deprecated.py of
https://github.com/Kosinkadink/ComfyUI-Advanced-ControlNet (1.5) have it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.names import inner_name
from ...ground.wording import listing, shown
from .. import folders
from ..core_nodes.controlnet import set_union_type
from ..core_nodes.declare import Declared, integer, model_file
from ..pictures import read_image
from .acn_apply import MENU, KeyframedNet
from .acn_keyframes import MOST, Keyframes, acn_node
from .core import core, require_core
from .stacks import loaded, require


def _with_keyframes(net: Any, keyframes: Keyframes | None) -> Any:
    return net if keyframes is None else KeyframedNet(net, keyframes)


_FILES = model_file("controlnet")
_DIFF = "DiffControlNetLoader"


@acn_node(
    "ACN_ControlNetLoaderAdvanced",
    MENU,
    {"cnet": _FILES},
    "CONTROL_NET",
    optional={"_tk_opt": "TIMESTEP_KEYFRAME"},
    check=lambda cnet: require(cnet),
)
def load(cnet: str, _tk_opt: Keyframes | None = None) -> Any:
    """A ControlNet or a T2I adapter, with keyframes if there are any."""
    return _with_keyframes(loaded(cnet), _tk_opt)


@acn_node(
    "ControlNetLoaderAdvanced",
    MENU,
    {"control_net_name": _FILES},
    "CONTROL_NET",
    optional={"tk_optional": "TIMESTEP_KEYFRAME"},
    check=lambda control_net_name: require(control_net_name),
)
def load_before(control_net_name: str, tk_optional: Keyframes | None = None) -> Any:
    """The same under its older id."""
    return _with_keyframes(loaded(control_net_name), tk_optional)


@acn_node(
    "ACN_DiffControlNetLoaderAdvanced",
    MENU,
    {"model": "MODEL", "cnet": _FILES},
    "CONTROL_NET",
    optional={"_tk_opt": "TIMESTEP_KEYFRAME"},
    check=lambda cnet: require_core(_DIFF, control_net_name=cnet),
)
def load_diff(model: Any, cnet: str, _tk_opt: Keyframes | None = None) -> Any:
    """As the core's DiffControlNetLoader, with keyframes if there are any."""
    return _with_keyframes(core(_DIFF, model=model, control_net_name=cnet)[0], _tk_opt)


@acn_node(
    "DiffControlNetLoaderAdvanced",
    MENU,
    {"model": "MODEL", "control_net_name": _FILES},
    "CONTROL_NET",
    optional={"tk_optional": "TIMESTEP_KEYFRAME"},
    check=lambda control_net_name: require_core(_DIFF, control_net_name=control_net_name),
)
def load_diff_before(
    model: Any, control_net_name: str, tk_optional: Keyframes | None = None
) -> Any:
    """The same under its older id."""
    net = core(_DIFF, model=model, control_net_name=control_net_name)[0]
    return _with_keyframes(net, tk_optional)


KINDS = {
    "openpose": "openpose",
    "depth": "depth",
    "hed/pidi/scribble/ted": "hed/pidi/scribble/ted",
    "canny/lineart/mlsd": "canny/lineart/anime_lineart/mlsd",
    "normal": "normal",
    "segment": "segment",
    "tile": "tile",
    "inpaint/outpaint": "repaint",
}
"""That pack's types of union nets (ControlNet++), and the core's."""
PLUS = f"{MENU}/ControlNet++"


def _union(name: str, kind: str) -> Any:
    net = loaded(name)
    return net if kind == "none" else set_union_type(net, KINDS[kind])


@acn_node(
    "ACN_ControlNet++LoaderSingle",
    PLUS,
    {"name": _FILES, "control_type": ([*KINDS, "none"], {"default": "none"})},
    "CONTROL_NET",
    check=lambda name: require(name),
)
def load_union(name: str, control_type: str) -> Any:
    """A union net that takes its hint for one type; UserError where the net is no union net."""
    return _union(name, control_type)


Plus = tuple[tuple[Tensor, str], ...]


@acn_node(
    "ACN_ControlNet++InputNode",
    PLUS,
    {"image": "IMAGE", "control_type": list(KINDS)},
    "PLUS_INPUT",
    optional={"prev_plus_input": "PLUS_INPUT"},
)
def union_input(image: Tensor, control_type: str, prev_plus_input: Plus = ()) -> Plus:
    """A hint for a union net, with its type."""
    return (*(prev_plus_input or ()), (image, control_type))


@acn_node(
    "ACN_ControlNet++LoaderAdvanced",
    PLUS,
    {"plus_input": "PLUS_INPUT", "name": _FILES},
    *("CONTROL_NET", "IMAGE"),
    check=lambda name: require(name),
)
def load_union_for(plus_input: Plus, name: str) -> tuple[Any, Tensor]:
    """A union net with its one hint. Raises UserError for several, which it would see at once."""
    if len(plus_input) > 1:
        kinds = listing(kind for _, kind in plus_input)
        raise UserError(
            f"{len(plus_input)} hints at once ({kinds}) have no equal here; give the net one, or "
            "apply it once for each"
        )
    ((image, kind),) = plus_input
    return _union(name, kind), image


_COUNT: Declared = integer(0, 0, MOST, 1)


@acn_node(
    "LoadImagesFromDirectory",
    MENU,
    {"directory": ("STRING", {"default": "", "multiline": False})},
    *("IMAGE", "MASK", "INT"),
    optional={"image_load_cap": _COUNT, "start_index": _COUNT},
)
def load_directory(
    directory: str, image_load_cap: int = 0, start_index: int = 0
) -> tuple[Tensor, Tensor, int]:
    """The pictures of a folder inside an input folder, in the order of their names.

    Raises UserError for a folder that is not there, holds no picture, or pictures of several sizes.
    """
    inner_name(directory, "the directory", "the input folders")
    bases = folders.current().input
    found = [folders.inside(base, directory, "the directory") for base in bases]
    folder = next((one for one in found if one.is_dir()), None)
    if folder is None:
        raise UserError(
            f"there is no folder {shown(directory)} in {listing(bases)}; put the pictures there"
        )
    files = [path for path in sorted(folder.iterdir())[start_index:] if not path.is_dir()]
    files = files[:image_load_cap] if image_load_cap else files
    read = [read_image(path) for path in files]
    if not read:
        raise UserError(f"the folder {shown(directory)} has no picture from {start_index} on")
    images, masks = ([one[:1] for one in each] for each in zip(*read, strict=True))
    for path, image, mask in zip(files, images, masks, strict=True):
        if image.shape != images[0].shape or mask.shape != masks[0].shape:
            raise UserError(
                f"{path.name} is {image.shape[2]} x {image.shape[1]} and {files[0].name} "
                f"{images[0].shape[2]} x {images[0].shape[1]}, or one has transparency; the "
                "pictures of a folder have to be alike"
            )
    return torch.cat(images), torch.cat(masks), len(images)
