"""A MODEL of ComfyUI as the locked model of a training run.

Imported in ComfyUI's process only, when a training node first runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...model_files.kinds import UNET_PREFIX
from ...model_files.unet_layout import unet_config
from ...training.base import Base
from ..bare_model import require_bare, require_base
from .encoders import ComfyEncoders

_WEIGHTS = "diffusion_model."
"""How the names of a MODEL's weights begin that are its U-Net's."""

_NEEDED = ("diffusers", "accelerate", "matplotlib")
"""What training needs and ComfyUI does not bring; the curve is drawn by the last one."""


@contextmanager
def training() -> Iterator[None]:
    """See `hosts.host.Host.training`.

    ComfyUI runs nodes in torch's inference mode, whose tensors cannot take part in training.
    """
    import comfy.model_management as manager

    manager.unload_all_models()
    with torch.inference_mode(False), torch.enable_grad():
        yield


def base_of(model: Any, clip: Any | None, vae: Any | None, name: str) -> Base:
    """See `hosts.host.Host.training_base`."""
    import comfy.model_management as manager

    _require_packages()
    _require_unet(model, name)
    require_bare(model, name)
    sampling = model.get_model_object("model_sampling")
    prediction = _prediction(sampling, name)
    encoders = None
    if clip is not None and vae is not None:
        encoders = ComfyEncoders(clip, vae, model.model, name)
    elif clip is not None or vae is not None:
        missing = "CLIP" if clip is None else "VAE"
        raise UserError(f"{name} came without its {missing}: wire one, training needs both.")
    device = manager.get_torch_device()
    with torch.inference_mode(False), torch.no_grad():
        sigmas = sampling.sigmas.to(device, torch.float64, copy=True)
        unet = _unet(model, name).to(device)
        return Base(unet, (1 / (1 + sigmas**2)).float(), prediction, encoders, name)


def _require_packages() -> None:
    missing = [package for package in _NEEDED if find_spec(package) is None]
    if missing:
        raise UserError(
            f"Training needs {' and '.join(missing)}, which ComfyUI does not bring: run "
            f"{sys.executable} -m pip install {' '.join(missing)}, then start ComfyUI again."
        )


def _require_unet(model: Any, name: str) -> None:
    """UserError unless the MODEL is a U-Net of the kind that ControlNets are trained for here."""
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
    from comfy.model_base import SDXL

    base = model.model
    known = isinstance(base, SDXL) or not base.adm_channels
    if isinstance(base.diffusion_model, UNetModel) and known:
        return
    family = type(base.model_config).__name__
    raise UserError(
        f"{name} is of the family {family} to ComfyUI: ControlNets are trained here for Stable "
        "Diffusion 1.x, 2.x and SDXL, so wire a MODEL of one of these."
    )


def _prediction(sampling: Any, name: str) -> str:
    """ "epsilon" or "v_prediction"; UserError where the model predicts, or is told, otherwise."""
    from comfy.model_sampling import EDM, EPS, V_PREDICTION, X0

    rows = torch.arange(len(sampling.sigmas), device=sampling.sigmas.device)
    # What the U-Net is told at each sigma must be its row: distilled and continuous models differ.
    plain = torch.equal(sampling.timestep(sampling.sigmas).to(rows), rows)
    if not plain or not isinstance(sampling, EPS) or isinstance(sampling, (EDM, X0)):
        kinds = ", ".join(kind.__name__ for kind in type(sampling).__mro__[1:3])
        raise UserError(
            f"{name} is sampled as {kinds}: training knows models that predict noise or v at 1000 "
            "timesteps, so take the node away that sets another sampling, or wire another MODEL."
        )
    return "v_prediction" if isinstance(sampling, V_PREDICTION) else "epsilon"


def _unet(model: Any, name: str) -> Any:
    """The MODEL's U-Net as diffusers' UNet2DConditionModel, on the CPU in float32, frozen."""
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    weights = _baked(model)
    try:
        told = unet_config({key: tuple(value.shape) for key, value in weights.items()})
    except UserError as error:
        raise error.at(f"{name} cannot be trained on") from error
    config = {key: value for key, value in told.items() if key != "_class_name"}
    config["attention_head_dim"] = _heads(model.model.model_config.unet_config, config)
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    ldm = {f"{UNET_PREFIX}{key}": value for key, value in weights.items()}
    try:
        unet.load_state_dict(convert_ldm_unet_checkpoint(ldm, config), assign=True)
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{name} is no whole U-Net of the Stable Diffusion 1.x, 2.x or SDXL kind: {reason}"
        ) from error
    require_base(unet, name)
    return unet.eval().requires_grad_(False)


def _baked(model: Any) -> dict[str, Tensor]:
    """The U-Net's weights by their ldm names, on the CPU in float32, with all patches in them.

    As the patcher itself applies them; copies, so that the MODEL keeps its own.
    """
    import comfy.lora

    baked: dict[str, Tensor] = {}
    for key, (stored, *patches) in model.get_key_patches(_WEIGHTS).items():
        weight, convert = stored
        value: Tensor = convert(weight.to("cpu", torch.float32, copy=True), inplace=True)
        if patches:
            value = comfy.lora.calculate_weight(patches, value, key)
        baked[key.removeprefix(_WEIGHTS)] = value
    return baked


def _heads(comfy: Mapping[str, Any], config: Mapping[str, Any]) -> int | list[int]:
    """Attention heads from ComfyUI's configuration: their number, or one number a level.

    ComfyUI gives either the number or the channels of one head, and -1 for the other.
    """
    width = comfy.get("num_head_channels", -1)
    if width == -1:
        return int(comfy["num_heads"])
    return [channels // width for channels in config["block_out_channels"]]
