"""LoRA added to a MODEL and a CLIP: W + strength * alpha / rank * up @ down (arXiv 2106.09685).

Every layout in use names a weight after the module it changes, so all of them are brought to one,
kohya's: the dotted name with underscores. Modules are then looked up by it, those of a U-Net by
their names in diffusers and in ldm; nothing is guessed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from ...ground.errors import UserError
from ...ground.log import log
from ...ground.structured import read_json
from ...ground.wording import shown
from ...model_files.files import read_contents
from ...training.ldm_layout import unet_ldm_name
from ..sampling.base_model import BaseModel
from ..sampling.model import Model
from .clip import Clip
from .made_weights import set_whole, whole
from .weights import read_weights

UNET, TEXT, SECOND_TEXT = "lora_unet_", "lora_te_", "lora_te2_"
# Beginnings in kohya's files, diffusers' and PEFT's.
_BEGINNINGS = {
    "lora_unet_": UNET,
    "lora_te_": TEXT,
    "lora_te1_": TEXT,
    "lora_te2_": SECOND_TEXT,
    "unet.": UNET,
    "diffusion_model.": UNET,
    "text_encoder.": TEXT,
    "text_encoder_2.": SECOND_TEXT,
    **{f"text_encoders.clip_{name}.transformer.": TEXT for name in ("l", "h")},
    "text_encoders.clip_g.transformer.": SECOND_TEXT,
}
_NETWORKS = {UNET: "unet", TEXT: "text_encoder", SECOND_TEXT: "text_encoder_2"}
_DOWN, _UP, _ALPHA = "down", "up", "alpha"
_ENDINGS = {
    ".lora_down.weight": _DOWN,
    ".lora_up.weight": _UP,
    ".lora_A.weight": _DOWN,
    ".lora_B.weight": _UP,
    ".lora.down.weight": _DOWN,
    ".lora.up.weight": _UP,
    ".lora_linear_layer.down.weight": _DOWN,
    ".lora_linear_layer.up.weight": _UP,
    "_lora.down.weight": _DOWN,
    "_lora.up.weight": _UP,
    ".alpha": _ALPHA,
}
# The attention processors of diffusers before 0.22 named the projections themselves.
_OLD_TEXT = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}

# What diffusers' metadata may ask for beside one alpha.
_UNKNOWN = ("alpha_pattern", "use_rslora", "use_dora")

AnyModule = TypeVar("AnyModule", bound=nn.Module)


@dataclass(frozen=True)
class Change:
    """What a LoRA does to one weight; `down` is (rank, in, ...), `up` (out, rank, ...)."""

    down: Tensor
    up: Tensor
    alpha: float

    def added_to(self, weight: Tensor, strength: float) -> Tensor:
        """`weight` with the change at this strength, a new tensor."""
        rank = self.down.shape[0]
        product = self.up.flatten(1) @ self.down.flatten(1)
        scaled = product.to(weight.device) * (strength * self.alpha / rank)
        return (weight + scaled.reshape(weight.shape)).to(weight.dtype)

    def fits(self, weight: Tensor) -> bool:
        """Whether the change has the weight's size."""
        outputs, inputs = weight.shape[0], weight[0].numel()
        return (self.up.shape[0], self.down[0].numel()) == (outputs, inputs)


def apply_lora(
    model: Model, clip: Clip, path: Path, strength_model: float, strength_clip: float
) -> tuple[Model, Clip]:
    """MODEL and CLIP with the LoRA in `path` added; those given stay as they are.

    Only changed weights take memory of their own. A strength of 0 leaves its network out. Raises
    UserError where the file is damaged, of a variant that is not known, or fits neither.
    """
    changes = read_changes(path)
    matched: set[str] = set()
    if strength_model != 0:
        base = model.model
        unet = _changed(base.diffusion_model, UNET, changes, strength_model, matched, path)
        model = model.clone()
        model.model = BaseModel(unet, base.model_sampling, base.latent_scale)
    if strength_clip != 0:
        clip = _changed_clip(clip, changes, strength_clip, matched, path)
    strengths = {UNET: strength_model, TEXT: strength_clip, SECOND_TEXT: strength_clip}
    used = tuple(network for network, strength in strengths.items() if strength != 0)
    left = [name for name in changes if name.startswith(used) and name not in matched]
    if left and not matched:
        raise UserError(
            f"{path} fits nothing in this model: no module is called {shown(left[0])}; "
            "it was made for another family."
        )
    if left:
        said = f"{path.name}: {len(left)} of its weights have no place here: {shown(left[0])}"
        log.warning("%s", said)
    return model, clip


def read_changes(path: Path) -> dict[str, Change]:
    """The changes in a LoRA file by the kohya name of the module; UserError as `apply_lora`."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in read_weights(path, whole=True).items():
        module, role = _split(name, path)
        parts.setdefault(module, {})[role] = tensor
    alphas = _alphas(path)
    return {module: _change(module, found, alphas, path) for module, found in parts.items()}


def _change(
    module: str, found: Mapping[str, Tensor], alphas: Mapping[str, float], path: Path
) -> Change:
    if not {_DOWN, _UP} <= found.keys():
        raise UserError(
            f"{path} is not whole: {shown(module)} has only {', '.join(sorted(found))}."
        )
    down, up, alpha = found[_DOWN], found[_UP], found.get(_ALPHA)
    matched = min(down.ndim, up.ndim) >= 2 and 0 < len(down) == up[:1].numel()
    if not matched or (alpha is not None and alpha.numel() != 1):
        raise UserError(
            f"{path} is damaged: the tensors of {shown(module)} are {tuple(down.shape)} and "
            f"{tuple(up.shape)}, which is no change of one rank."
        )
    if alpha is not None:
        return Change(down, up, float(alpha))
    network = next(network for network in _NETWORKS if module.startswith(network))
    return Change(down, up, alphas.get(network, float(len(down))))


def _split(name: str, path: Path) -> tuple[str, str]:
    """A tensor's name as (kohya name of the module, role)."""
    ending = next((e for e in _ENDINGS if name.endswith(e)), None)
    if ending is None:
        raise UserError(
            f"{path} is a variant of LoRA that the embedded host does not know: it has a tensor "
            f"{shown(name)}."
        )
    stem = name.removesuffix(ending).removeprefix("base_model.model.")
    beginning = next((b for b in _BEGINNINGS if stem.startswith(b)), "")
    network = _BEGINNINGS.get(beginning, UNET)
    module = stem.removeprefix(beginning).replace(".processor.", ".")
    if ending.startswith("_"):
        parent, _, last = module.rpartition(".")
        last = last.replace("to_out", "to_out.0") if network == UNET else _OLD_TEXT[last]
        module = f"{parent}.{last}"
    return network + module.replace(".", "_"), _ENDINGS[ending]


def _alphas(path: Path) -> dict[str, float]:
    """The alpha that diffusers keeps beside the tensors, one for each network."""
    text = read_contents(path).metadata.get("lora_adapter_metadata")
    if text is None:
        return {}
    try:
        said: Any = read_json(text, f"{path} (lora_adapter_metadata)", "metadata")
        if any(said.get(f"{name}.{key}") for name in _NETWORKS.values() for key in _UNKNOWN):
            raise UserError(f"{path} asks for {', '.join(_UNKNOWN)}, which are not known here.")
        return {
            network: float(str(said[f"{name}.lora_alpha"]))
            for network, name in _NETWORKS.items()
            if f"{name}.lora_alpha" in said
        }
    except UserError:
        raise
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} has damaged metadata (lora_adapter_metadata).") from error


def _changed_clip(
    clip: Clip, changes: Mapping[str, Change], strength: float, matched: set[str], path: Path
) -> Clip:
    encoders = []
    for encoder, side in zip(clip.encoders, (TEXT, SECOND_TEXT), strict=False):
        network = _changed(encoder.network, side, changes, strength, matched, path)
        projection, key = encoder.projection, f"{side}text_projection"
        change = changes.get(key)
        if change is not None and projection is not None and change.fits(projection):
            projection = change.added_to(projection, strength)
            matched.add(key)
        encoders.append(replace(encoder, network=network, projection=projection))
    return Clip(*encoders, layer=clip.layer)


def _changed(
    module: AnyModule,
    network: str,
    changes: Mapping[str, Change],
    strength: float,
    matched: set[str],
    path: Path,
) -> AnyModule:
    """A copy of `module` with the changes of one network; shares every weight that stays."""
    kept = [*module.parameters(), *module.buffers()]
    copied = copy.deepcopy(module, {id(tensor): tensor for tensor in kept})
    for name, part in copied.named_modules():
        names = _unet_names(name, module) if network == UNET else (_text_name(name),)
        keys = (network + known.replace(".", "_") for known in names)
        key = next((key for key in keys if key in changes), "")
        change = changes.get(key)
        weight = getattr(part, "weight", None)
        if change is None or not isinstance(weight, Tensor):
            continue
        if not change.fits(weight):
            raise UserError(
                f"{path} was made for another model: it changes {name} as "
                f"({change.up.shape[0]}, {change.down[0].numel()}), which is {tuple(weight.shape)} "
                "here."
            )
        set_whole(part, change.added_to(whole(part), strength).to(kept[0].dtype))
        matched.add(key)
    return copied


def _text_name(name: str) -> str:
    # Text encoders are named from "text_model." on, a level that transformers >= 5 has no longer.
    return f"text_model.{name.removeprefix('text_model.')}"


def _unet_names(name: str, unet: Any) -> tuple[str, ...]:
    """What a U-Net's module is called in LoRAs: as in diffusers, where what SDXL's vector goes
    through has another name, and as in ldm.
    """
    attends = [hasattr(level, "attentions") for level in unet.up_blocks]
    try:
        ldm = unet_ldm_name(f"{name}.weight", unet.config.layers_per_block, attends)
    except KeyError:  # a part without a weight of its own
        return (name,)
    return name.replace("class_embedding.", "add_embedding."), ldm.removesuffix(".weight")
