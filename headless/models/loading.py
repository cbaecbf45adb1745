"""The loaders: one function for each kind of model, whatever it lies in, file or folder.

All of them raise UserError where the file or folder is damaged, of another kind, or of a family
that the embedded host does not run; `inspect.check` says the same before anything is loaded.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ...ground.errors import UserError
from ...model_files.files import read_contents
from ...model_files.folders import read_config, weight_files
from ..sampling.base_model import BaseModel
from ..sampling.model import Model
from ..sampling.model_sampling import DiscreteSampling
from ..sampling.size_conditioning import y_width
from . import components, control_lora, difference, inspect, tokenizers
from .clip import Clip
from .control_base import ControlBase
from .control_net import ControlNet, HintedNetwork
from .parts import (
    PROJECTION,
    SECOND,
    Part,
    adapter_part,
    checkpoint_kinds,
    part_of,
)
from .t2i_adapter import T2IAdapter
from .telling import kind_of_text, sampling_of, texts_of
from .text_encoder import SD1, SDXL_G, SDXL_L, TextEncoder, TextKind
from .union_network import UnionNetwork
from .vae import LATENT_SCALE, SDXL_SCALE, Vae

_TINY_SDXL = "taesdxl"  # madebyollin's tiny VAE for SDXL: only its name tells it from SD 1.x's
_POOLS = "_shuffle"  # how the names of shuffle ControlNets end, the only sign a single file gives


def load_checkpoint(path: Path) -> tuple[Model, Clip, Vae | None]:
    """MODEL, CLIP and VAE of a diffusers pipeline folder or a single checkpoint; no VAE where the
    file has none.
    """
    if path.is_dir():
        texts = [folder for folder in (path / "text_encoder", path / SECOND) if folder.is_dir()]
        return load_unet(path / "unet"), load_clip(*texts), load_vae(path / "vae")
    has_vae = "vae" in checkpoint_kinds(read_contents(path).shapes)
    return load_unet(path), load_clip(path), load_vae(path) if has_vae else None


def load_unet(path: Path) -> Model:
    """MODEL of a diffusers `unet` folder, on the noise schedule of the `scheduler` folder beside
    it, or of a file in CompVis' or diffusers' layout, a checkpoint among them, on the schedule that
    the file tells (`telling.sampling_of`).
    """
    unet = components.make_unet(part_of(path, "diffusion_models"))
    schedule = path.parent / "scheduler" / "scheduler_config.json"
    if path.is_dir() and schedule.is_file():
        sampling = DiscreteSampling.from_scheduler_config(read_config(schedule))
    else:
        marks = read_contents(path).shapes if path.is_file() else {}
        sampling = sampling_of(unet, marks, path)
    return Model(BaseModel(unet, sampling, SDXL_SCALE if y_width(unet) else LATENT_SCALE))


def load_clip(*paths: Path) -> Clip:
    """CLIP of a `text_encoder` folder, of a text encoder's file, or of what a checkpoint has; of
    two of these, in any order, SDXL's. A tokenizer lies inside or beside it, or is OpenAI's.
    """
    parts = texts_of(*paths)
    kinds = [kind_of_text(parts[0])] if len(parts) == 1 else [SDXL_L, SDXL_G]
    return Clip(*map(_text_encoder, parts, kinds))


def _text_encoder(part: Part, kind: TextKind) -> TextEncoder:
    network, projection = components.make_text_encoder(part)
    if kind == SDXL_G and projection is None:
        raise UserError(
            f"{part.source} has no {PROJECTION}, which SDXL's pooled text goes through: get the "
            "text encoder with its projection."
        )
    path = part.source
    inside = (path, path / "tokenizer") if path.is_dir() else ()
    beside = "tokenizer_2" if path.name == SECOND else "tokenizer"
    places = (*inside, path.parent / beside)
    tokenizer = tokenizers.load(places, network.config.vocab_size, path)
    return TextEncoder(network, tokenizer, kind, None if kind == SD1 else projection)


def load_vae(path: Path) -> Vae:
    """VAE of a diffusers `vae` folder, of a file in CompVis' or diffusers' layout, or of the one in
    a checkpoint."""
    autoencoder = components.make_autoencoder(part_of(path, "vae"))
    return Vae(autoencoder, SDXL_SCALE if _TINY_SDXL in path.stem.lower() else LATENT_SCALE)


def load_control_network(path: Path) -> nn.Module:
    """Diffusers' ControlNetModel or ControlNetUnionModel, or our LiteControlNet, of a folder or a
    file in any layout; our ControlLoraModel of a folder.
    """
    return components.make_control_network(part_of(path, "controlnet"))


def load_control_net(path: Path) -> ControlBase:
    """CONTROL_NET of a ControlNet, T2I adapter or Control-LoRA: a diffusers folder, or a file in
    any layout.
    """
    if inspect.is_adapter(path):
        (file,) = weight_files(path) if path.is_dir() else (path,)
        part = adapter_part(file, read_contents(file).shapes)
        return T2IAdapter(components.make_adapter(part), path.name)
    if inspect.is_control_lora(path):
        return control_lora.load(path)
    pools = path.is_file() and path.stem.removesuffix("_fp16").endswith(_POOLS)
    network = load_control_network(path)
    union = hasattr(network, "control_add_embedding")
    halves = UnionNetwork(network) if union else HintedNetwork(network)
    return ControlNet(halves, path.name, global_average_pooling=pools or None)


def load_difference(path: Path, model: Model) -> ControlBase:
    """CONTROL_NET of a file that may hold only its difference to a base model, which is then added
    to the weights of `model`'s U-Net.
    """
    if not path.is_file() or difference.MARK not in read_contents(path).shapes:
        return load_control_net(path)
    network = load_control_network(path)
    difference.add(network, model.model.diffusion_model, path)
    return ControlNet(HintedNetwork(network), path.name)
