"""What a plan has to know of model files: noise schedule, family, number of weights.

From a name, or from a file's header where the file is there. No weight is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...ground.errors import UserError
from ...ground.wording import shown
from ...inspection.cost import Cost, by_family, by_weights
from ...model_files.files import Shape, read_contents
from ...model_files.folders import CONFIG, read_config
from ...model_files.kinds import T2I_ADAPTER, UNET_PREFIX, kind_of
from ...model_files.unet_layout import under
from ...model_patch.family import UNETS
from .. import folders
from ..sampling.flow_sampling import FlowSampling
from ..sampling.model_sampling import DiscreteSampling
from .values import Model, Net

SD_3, FLUX = "Stable Diffusion 3", "Flux"
_TEXT = "attn2.to_k.weight"
_MARKS = {"joint_blocks.0.": SD_3, "double_blocks.0.": FLUX}
_NAMES = {"sd3": SD_3, "stable-diffusion-3": SD_3, "flux": FLUX}
_ASSUMED = "the noise schedule of Stable Diffusion 1.x, 2.x and SDXL is assumed"

# ComfyUI's `supported_models.py`: SD 3 has shift 3, Flux dev 1.15 and schnell none.
_SD_3_SHIFT, _FLUX_SHIFT = 3.0, 1.15


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a MODEL: its noise schedule, its family's name ("" for none), how many
    weights the U-Net has (0: not known), and what was assumed."""

    sampling: Any
    family: str = ""
    weights: int = 0
    notes: tuple[str, ...] = ()


def facts_of(model: Model) -> ModelFacts:
    """Of the file of a MODEL."""
    path = _path(model.kind, model.file)
    if path is None:
        return _by_name(model)
    try:
        return _of_folder(path, model) if path.is_dir() else _of_file(path, model)
    except UserError as error:
        return _by_name(model, error.sentence.rstrip("."))


def told_by_header(model: Model) -> str:
    """The family's name, where the file of a MODEL is here and tells it; else ""."""
    if _path(model.kind, model.file) is None:
        return ""
    facts = facts_of(model)
    return "" if facts.notes else facts.family


def cost_of(net: Net, model: ModelFacts) -> Cost:
    """A net's run beside a model's: by their files where both are there."""
    path = _path("controlnet", net.file) or _path("model_patches", net.file)
    if path is None or path.is_dir() or not model.weights:
        return by_family(model.family)
    try:
        shapes = read_contents(path).shapes
    except UserError:
        return by_family(model.family)
    if any("lora_controlnet" in name for name in shapes):  # few weights, and a whole net's run
        return by_family(model.family)
    return by_weights(_count(shapes), model.weights, once=kind_of(shapes) == T2I_ADAPTER)


def _path(kind: str, name: str) -> Path | None:
    return folders.here(kind, name) if name else None


def _of_folder(path: Path, model: Model) -> ModelFacts:
    """A diffusers pipeline, or its U-Net alone."""
    unet = path / "unet" if (path / "unet").is_dir() else path
    width = read_config(unet / CONFIG).get("cross_attention_dim")
    family = UNETS.get(width, "") if isinstance(width, int) else ""
    settings = path / "scheduler" / "scheduler_config.json"
    if settings.is_file():
        return ModelFacts(DiscreteSampling.from_scheduler_config(read_config(settings)), family)
    return ModelFacts(_sampling(family, model), family)


def _of_file(path: Path, model: Model) -> ModelFacts:
    contents = read_contents(path)
    shapes: Mapping[str, Shape] = under(contents.shapes, UNET_PREFIX) or contents.shapes
    family = next((f for mark, f in _MARKS.items() if any(mark in name for name in shapes)), "")
    width = next((shape[-1] for name, shape in shapes.items() if name.endswith(_TEXT)), None)
    family = family or (UNETS.get(width, "") if width is not None else "")
    if not family:
        kind = kind_of(contents.shapes)
        words = kind.words if kind is not None else "no kind of model that is known here"
        return ModelFacts(_sampling("", model), notes=(f"{path.name} is {words}: {_ASSUMED}",))
    # The mark of SDXL models that were trained from pure noise (ComfyUI's `supported_models.py`).
    if {"v_pred", "ztsnr"} <= contents.shapes.keys():
        sampling = DiscreteSampling.from_betas(zero_terminal_snr=True)
        return ModelFacts(sampling, family, _count(shapes))
    return ModelFacts(_sampling(family, model), family, _count(shapes))


def _by_name(model: Model, why: str = "") -> ModelFacts:
    """What a file's name tells, where the file cannot be read (`why`) or is not there."""
    name = model.file.lower()
    family = next((family for part, family in _NAMES.items() if part in name), "")
    where = why or (f"{shown(model.file)} is not here" if model.file else "the model is not known")
    if family:
        told = f"by its name its noise schedule is that of {family}"
    elif model.shift is not None:
        told = f"by the node that shifts it its noise schedule is a flow's of shift {model.shift:g}"
    else:
        family = "SDXL" if "xl" in name else ""
        told = _ASSUMED
    return ModelFacts(_sampling(family, model), family, notes=(f"{where}; {told}",))


def _sampling(family: str, model: Model) -> Any:
    if family == FLUX:
        if "schnell" in model.file.lower():
            return FlowSampling(1.0)
        return FlowSampling(model.shift or _FLUX_SHIFT, exponential=True)
    if family == SD_3 or model.shift is not None:
        return FlowSampling(model.shift or _SD_3_SHIFT)
    return DiscreteSampling.from_betas()


def _count(shapes: Mapping[str, Shape]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())
