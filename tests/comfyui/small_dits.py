"""Flux, Chroma, Qwen-Image, HunyuanDiT and Stable Cascade: small bases in memory, nets as files.

Every net is a file in its real format and comes out of the host's own loader. Most loaders know one
width only: `narrowed` has such a loader make its class in the sizes below, and nothing else. The
kinds that end in `_real` go through the loader as it is, with as few blocks as it allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any
from unittest import mock

import torch

from tests.comfyui.shapes import Config, Shapes, on_meta, renamed, shapes_of
from tests.comfyui.small import CPU, fill

FLUX: Config = {
    **{"in_channels": 16, "out_channels": 16, "vec_in_dim": 768, "context_in_dim": 4096},
    **{"hidden_size": 64, "num_heads": 2, "axes_dim": [8, 12, 12], "mlp_ratio": 4.0},
    **{"depth": 3, "depth_single_blocks": 2, "theta": 10000, "patch_size": 2, "qkv_bias": True},
    **{"guidance_embed": True, "txt_ids_dims": []},
}
FLUX_NET = {"depth": 2, "depth_single_blocks": 2}
ONE_BLOCK = {"depth": 1, "depth_single_blocks": 1}
NO_SINGLE = {"depth": 2, "depth_single_blocks": 0}
CHROMA: Config = {
    **{name: value for name, value in FLUX.items() if name != "guidance_embed"},
    **{"in_channels": 64, "out_channels": 64, "vec_in_dim": None},
    **{"in_dim": 64, "out_dim": 64, "hidden_dim": 64, "n_layers": 1},
}
# One of the layers that Fun nets add at lies at 0, the next at 12.
QWEN: Config = {"attention_head_dim": 32, "num_attention_heads": 2, "axes_dims_rope": (8, 12, 12)}
QWEN_FUN: Config = {"inner_dim": 64, "attention_head_dim": 32, "num_attention_heads": 2}
# A net has 19 blocks, and the base must have as many skips.
HYDIT: Config = {
    **{"hidden_size": 64, "num_heads": 4, "mlp_ratio": 4.3637},
    **{"text_states_dim": 64, "text_states_dim_t5": 64},
}
CASCADE: Config = {
    # Ten places for control: those of a net's residuals 0, 4 and 8 are among them.
    **{"blocks": [[1, 4], [4, 1]], "c_hidden": [32, 32], "nhead": [2, 2], "c_cond": 32},
    "stable_cascade_stage": "c",
}
CASCADE_PLACES = [0, 4, 8, 12, 51, 55, 59, 63]


@dataclass(frozen=True)
class Base:
    """A base: its classes in `comfy.supported_models` and `comfy.model_base`, and its sizes."""

    config: str
    model: str
    sizes: Config


BASES = {
    "flux": Base("Flux", "Flux", {"image_model": "flux", **FLUX}),
    "chroma": Base("Chroma", "Chroma", {"image_model": "chroma", **CHROMA}),
    "qwen": Base("QwenImage", "QwenImage", {**QWEN, "num_layers": 13}),
    "hydit": Base("HunyuanDiT", "HunyuanDiT", {**HYDIT, "depth": 40}),
    "cascade": Base("Stable_Cascade_C", "StableCascade_C", CASCADE),
    "qwen_real": Base("QwenImage", "QwenImage", {"num_layers": 1}),
    "hydit_real": Base(
        *("HunyuanDiT", "HunyuanDiT"), {"hidden_size": 1408, "mlp_ratio": 4.3637, "depth": 40}
    ),
    "cascade_real": Base(
        *("Stable_Cascade_C", "StableCascade_C"),
        {**CASCADE, "c_hidden": [2048, 2048], "nhead": [32, 32], "c_cond": 2048},
    ),
    "flux_real": Base("Flux", "Flux", {"image_model": "flux", **FLUX, **ONE_BLOCK}),
}


def _native(shapes: Shapes) -> Shapes:
    return shapes


def _flux_diffusers(shapes: Shapes) -> Shapes:
    """As InstantX, Shakker and Alimama name them."""
    import comfy.utils

    blocks = {name.split(".")[0] + "." + name.split(".")[1] for name in shapes if "blocks." in name}
    counts = {
        "depth": sum(name.startswith("double_blocks.") for name in blocks),
        "depth_single_blocks": sum(name.startswith("single_blocks.") for name in blocks),
        "hidden_size": shapes["img_in.weight"][0],
    }
    return renamed(shapes, comfy.utils.flux_to_diffusers(counts))


def _flux_native(shapes: Shapes) -> Shapes:
    """As Flux names them itself; newer hosts have other names for its norms."""
    return {name.replace("_norm.weight", "_norm.scale"): shape for name, shape in shapes.items()}


def _mistoline(shapes: Shapes) -> Shapes:
    single = ("controlnet_single_blocks.", "single_controlnet_blocks.")
    return {name.replace(*single): shape for name, shape in _flux_native(shapes).items()}


@dataclass(frozen=True)
class Net:
    """A kind of net file.

    Args:
        where, name: the host's class for it.
        sizes: what its loader is told; it has the others from the file, or knows one only.
        kind: what its loader tells that class by itself.
        file: from the names of the class to the file's.
    """

    where: str
    name: str
    sizes: Config = field(default_factory=dict)
    kind: Config = field(default_factory=dict)
    file: Callable[[Shapes], Shapes] = _native

    @property
    def there(self) -> bool:
        """Whether this host has such nets."""
        return hasattr(import_module(self.where), self.name)


def _flux(
    file: Callable[[Shapes], Shapes], sizes: Mapping[str, Any] = FLUX_NET, **kind: Any
) -> Net:
    return Net("comfy.ldm.flux.controlnet", "ControlNetFlux", {**FLUX, **sizes}, kind, file)


def _instantx(sizes: Mapping[str, Any] = FLUX_NET, modes: int = 0, channels: int = 16) -> Net:
    kind = {"latent_input": True, "num_union_modes": modes, "control_latent_channels": channels}
    return _flux(_flux_diffusers, sizes, **kind)


def _qwen(sizes: Mapping[str, Any] = QWEN, **kind: Any) -> Net:
    where = "comfy.ldm.qwen_image.controlnet"
    return Net(where, "QwenImageControlNetModel", {**sizes}, {"num_layers": 1, **kind})


_FUN = ("comfy.ldm.qwen_image.controlnet", "QwenImageFunControlNetModel")
_HYDIT = ("comfy.ldm.hydit.controlnet", "HunYuanControlNet")
_CASCADE = ("comfy.ldm.cascade.controlnet", "ControlNet")
NETS = {
    "flux instantx": _instantx(),
    "flux instantx b": _instantx(),
    "flux union": _instantx(modes=7),
    "flux inpaint": _instantx(channels=17),
    "flux xlabs": _flux(_flux_native, NO_SINGLE),
    "flux mistoline": _flux(_mistoline, mistoline=True),
    "qwen instantx": _qwen(num_layers=2),
    "qwen inpaint": _qwen(num_layers=2, extra_condition_channels=4),
    "qwen fun": Net(*_FUN, kind=QWEN_FUN),  # its loader has the width from the file
    "hydit": Net(*_HYDIT, HYDIT),
    "cascade": Net(*_CASCADE, {"c_proj": 32}, {"c_in": 3, "proj_blocks": CASCADE_PLACES}),
    "flux_real union": _instantx(ONE_BLOCK, modes=7),
    "flux_real xlabs": _flux(_flux_native, {**ONE_BLOCK, "depth_single_blocks": 0}),
    "qwen_real instantx": _qwen({}),
    "hydit_real": Net(*_HYDIT),
    "cascade_real": Net(*_CASCADE, kind={"c_in": 3, "proj_blocks": CASCADE_PLACES}),
}


def base(family: str, seed: int = 1) -> Any:
    """The MODEL of one of `BASES`."""
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models

    kind = BASES[family]
    config = getattr(comfy.supported_models, kind.config)(_sizes(family, kind.sizes))
    config.set_inference_dtype(torch.float32, None)
    model = getattr(comfy.model_base, kind.model)(config, device=CPU)
    if family == "hydit_real":  # two blocks over and over, to save memory
        blocks = model.diffusion_model.blocks
        for i, block in enumerate(blocks):
            blocks[i] = blocks[0 if block.skip_linear is None else -1]
    fill(model.diffusion_model, seed)
    return comfy.model_patcher.ModelPatcher(model, CPU, CPU)


def net_shapes(name: str) -> Shapes:
    """What stands in the file of one of `NETS`."""
    kind = NETS[name]
    made = getattr(import_module(kind.where), kind.name)
    config = {**_sizes(name, kind.sizes), **kind.kind}
    if name.startswith("cascade"):  # of torchvision's layers
        with torch.device("meta"):
            return shapes_of(made(**config))
    return kind.file(on_meta(made, config))


@contextmanager
def narrowed(name: str) -> Iterator[None]:
    """Within it the host's loader makes nets of that kind in its sizes."""
    kind = NETS[name]
    with told(kind.where, kind.name, {} if "_real" in name else _sizes(name, kind.sizes)):
        yield


@contextmanager
def told(where: str, name: str, sizes: Config) -> Iterator[None]:
    """Within it the host makes its class in these sizes, whatever else it asks for."""
    module = import_module(where)
    made = getattr(module, name)
    with mock.patch.object(module, name, lambda **asked: made(**{**asked, **sizes})):
        yield


def _sizes(name: str, sizes: Config) -> Config:
    """The sizes of a base or net as far as this host knows them; those of "flux_real" as wide as
    its loader wants."""
    import comfy.ldm.chroma.model
    import comfy.ldm.flux.model

    params = {
        "flux": comfy.ldm.flux.model.FluxParams,
        "chroma": comfy.ldm.chroma.model.ChromaParams,
    }
    kind = name.split()[0].split("_")[0]
    if name.startswith("flux_real"):
        sizes = {**sizes, **_flux_width()}
    if kind not in params:
        return sizes
    known = {"image_model", *(one.name for one in fields(params[kind]))}
    return {name: value for name, value in sizes.items() if name in known}


def _flux_width() -> Config:
    """The narrowest Flux that this host tells from a file: of one head, or the real one."""
    import comfy.model_detection
    from comfy.ldm.flux.model import Flux

    heads = {"axes_dim": [16, 56, 56], "hidden_size": 128, "num_heads": 1}
    shapes = _flux_native(on_meta(Flux, _sizes("flux", {**FLUX, **ONE_BLOCK, **heads})))
    file = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    found = comfy.model_detection.detect_unet_config(file, "")
    return {name: found[name] for name in heads}
