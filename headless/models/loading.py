"""The loaders: one function for each kind of model, whatever it lies in, file or folder.

All of them raise UserError where the file or folder is damaged, of another kind, or of a family
that the embedded host does not run; `inspect.check` says the same before anything is loaded.
"""

from __future__ import annotations

from pathlib import Path

from ...model_files.folders import weight_files
from ..sampling.model import Model
from . import components, inspect, single_file
from .clip import Clip
from .control_base import ControlBase
from .controlnet import ControlNet
from .t2i_adapter import T2IAdapter
from .vae import Vae

_POOLS = "_shuffle"  # how the names of shuffle ControlNets end, the only sign a single file gives


def load_checkpoint(path: Path) -> tuple[Model, Clip, Vae | None]:
    """MODEL, CLIP and VAE of a diffusers pipeline folder or a single SD 1.x checkpoint; no VAE
    where the file has none.
    """
    if path.is_dir():
        return components.load_pipeline(path)
    return single_file.load_checkpoint(path)


def load_unet(path: Path) -> Model:
    """MODEL of a diffusers `unet` folder, or of a file in CompVis' or diffusers' layout."""
    return components.load_unet(path) if path.is_dir() else single_file.load_unet(path)


def load_clip(path: Path) -> Clip:
    """CLIP of a `text_encoder` folder with its tokenizer, or of a CLIP-L file."""
    return components.load_clip(path) if path.is_dir() else single_file.load_clip(path)


def load_vae(path: Path) -> Vae:
    """VAE of a diffusers `vae` folder, or of a file in CompVis' or diffusers' layout."""
    return components.load_vae(path) if path.is_dir() else single_file.load_vae(path)


def load_control_net(path: Path) -> ControlBase:
    """CONTROL_NET of a ControlNet or T2I adapter: a diffusers folder, or a file in any layout."""
    if inspect.is_adapter(path):
        (file,) = weight_files(path) if path.is_dir() else (path,)
        return T2IAdapter(single_file.load_adapter_network(file), path.name)
    if path.is_dir():
        return ControlNet(components.load_control_network(path), path.name)
    pools = path.stem.removesuffix("_fp16").endswith(_POOLS)
    network = single_file.load_control_network(path)
    return ControlNet(network, path.name, global_average_pooling=pools or None)
