"""ComfyUI's MODEL_PATCHes that control, as a stack takes them. Imported in ComfyUI's process only.

What a patch is, is told from the class of its network; the host's own node makes its patches, on a
stand-in for the MODEL that takes them in. So each kind is a table line of what its node is given
and where its network adds (`comfy_extras/nodes_model_patch.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.latents import LATENT_PIXELS
from ...model_files import kinds
from ...model_files.kinds import Kind
from ...model_patch.patch_net import PATCH, Given, Patches, PatchNet
from ...model_patch.protocols import BaseModel

Z_IMAGE_BLOCKS = 30
"""Of a Z-Image model; its control layers are spread over them evenly."""


def patch_net_of(patch: Any) -> PatchNet:
    """A MODEL_PATCH as a control.

    Raises:
        UserError: a patch that is none, or of a kind that is not known here; says which node takes
            it.
    """
    network = type(patch.model).__name__
    if network in _NO_CONTROLS:
        other = _NO_CONTROLS[network]
        raise UserError(
            f"the model patch is {other.words}, which is no control: the node {other.node} takes "
            "it."
        )
    if network not in _CONTROLS:
        raise UserError(
            f"the model patch is of a kind that ControlStack does not know ({network}): use it "
            "with the node that was made for it, or update ControlStack."
        )
    kind, told, inputs = _CONTROLS[network]
    return PatchNet(
        words=kind.words,
        family=kind.family,
        node=kind.node,
        weights=patch,
        make=_maker(patch, kind.node, inputs),
        **told(patch.model),
    )


def _z_image(network: Any) -> dict[str, Any]:
    step = round(Z_IMAGE_BLOCKS / network.n_control_layers)
    refiner = len(network.control_noise_refiner) if network.refiner_control else 0
    inpainting = network.additional_in_dim > 0
    return {
        "blocks": (
            *(("refiner", i, refiner) for i in range(refiner)),
            *(("input", i * step, Z_IMAGE_BLOCKS) for i in range(network.n_control_layers)),
        ),
        "widths": {"layers.0.attention.qkv": network.control_layers[0].dim},
        "mask": inpainting,
        "picture": inpainting,
    }


def _z_image_inputs(given: Given) -> dict[str, Any]:
    return {
        "vae": given.vae,
        "image": _fitted(given.pictures, _padded(given)),
        "inpaint_image": _fitted(given.inpaint_image, _padded(given)),
        "mask": given.inpaint_mask,
    }


def _qwen_image(network: Any) -> dict[str, Any]:
    count = len(network.controlnet_blocks)
    inpainting = network.additional_in_dim > 0
    return {
        "blocks": tuple(("input", i, count) for i in range(count)),
        "widths": {"transformer_blocks.0.attn.to_q": network.img_in.out_features},
        "mask": inpainting,
        "stays": inpainting,
    }


def _qwen_image_inputs(given: Given) -> dict[str, Any]:
    return {
        "vae": _OneByOne(given.vae),
        "image": _fitted(given.pictures, given),
        "mask": given.inpaint_mask,
    }


def _anima(network: Any) -> dict[str, Any]:
    inpainting = network.cond_in_channels == 4
    there = sorted({int(name.split("_")[3]) for name in network.module_names})
    return {
        "blocks": tuple(("input", block, network.block_count) for block in there),
        "widths": {"blocks.0.self_attn.q_proj": network.model_dim},
        "latent_hint": False,
        "mask": inpainting,
        "stays": inpainting,
    }


def _anima_inputs(given: Given) -> dict[str, Any]:
    return {"image": _image(given.pictures), "mask": given.inpaint_mask, **_ALWAYS}


def _uni3c(network: Any) -> dict[str, Any]:
    return {
        "blocks": tuple(("input", i, network.num_layers) for i in range(network.num_layers)),
        "widths": {"blocks.0.self_attn.q": network.proj_out[0].out_features},
        "film": True,
    }


def _uni3c_inputs(given: Given) -> dict[str, Any]:
    return {"vae": given.vae, "render_video": _image(given.pictures), **_ALWAYS}


_ALWAYS = {"start_percent": 0.0, "end_percent": 1.0}
"""The engine says when."""

_Told = Callable[[Any], dict[str, Any]]
"""What a network says of itself, for `PatchNet`."""

_Inputs = Callable[[Given], dict[str, Any]]
"""What the host's node is given beside the MODEL, the patch and the strength."""

_CONTROLS: Mapping[str, tuple[Kind, _Told, _Inputs]] = {
    "ZImage_Control": (kinds.Z_IMAGE_FUN, _z_image, _z_image_inputs),
    "QwenImageBlockWiseControlNet": (kinds.QWEN_DIFFSYNTH, _qwen_image, _qwen_image_inputs),
    "AnimaLLLite": (kinds.ANIMA_LLLITE, _anima, _anima_inputs),
    "WanUni3CControlnet": (kinds.WAN_UNI3C, _uni3c, _uni3c_inputs),
}
"""By the class of the network."""

_NO_CONTROLS = {
    "SUPIR": kinds.SUPIR,
    "SigLIPMultiFeatProjModel": kinds.USO_PROJECTOR,
    "DurationHead": kinds.DURATION_HEAD,
    "MultiTalkModelPatch": kinds.MULTITALK,
}


class _OneByOne:
    """A VAE that encodes each picture alone: to Qwen-Image's own, which is Wan's, several are the
    frames of one film."""

    def __init__(self, vae: Any) -> None:
        self._vae = vae

    def encode(self, pictures: Tensor) -> Tensor:
        return torch.cat([self._vae.encode(picture[None]) for picture in pictures])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vae, name)


@dataclass
class _Taker:
    """Stands in for the MODEL that a node patches: its clone is itself, and takes what comes."""

    base: BaseModel
    taken: dict[str, list[Any]] = field(default_factory=dict)

    def clone(self) -> _Taker:
        return self

    def get_model_object(self, name: str) -> Any:
        import comfy.utils

        return comfy.utils.get_attr(self.base, name)

    def set_model_patch(self, patch: Any, name: str) -> None:
        self.taken.setdefault(name, []).append(patch)

    def __getattr__(self, name: str) -> Any:
        """The MODEL's own setters, which name the kinds and come to `set_model_patch`."""
        if not name.startswith("set_model_"):
            raise AttributeError(name)
        import comfy.model_patcher

        return MethodType(getattr(comfy.model_patcher.ModelPatcher, name), self)


def _maker(patch: Any, node: str, inputs: _Inputs) -> Callable[[BaseModel, Given], Patches]:
    def make(base: BaseModel, given: Given) -> Patches:
        import comfy.model_management as manager

        taker = _Taker(base)
        loaded = manager.loaded_models(only_currently_used=True)
        _call(node, model=taker, model_patch=patch, strength=1.0, **inputs(given))
        for function in (one for kind in taker.taken.values() for one in kind):
            # Else it encodes amid the model's first step, and all other patches lose their state.
            if hasattr(function, "encode_render_video"):
                function.prepared_render = function.encode_render_video(_padded(given).latent)
        if given.vae is not None:  # the VAE may have taken the model's place
            manager.load_models_gpu(loaded)
        functions = {kind: [_at(f, given) for f in made] for kind, made in taker.taken.items()}
        strong = [f for made in functions.values() for f in made if hasattr(f, "strength")]
        if not strong:
            raise UserError(
                f"the node {node} of this ComfyUI patches a model in a way that ControlStack does "
                "not know: update ControlStack."
            )

        def set_strength(strength: float) -> None:
            for function in strong:
                function.strength = strength

        return Patches(functions, set_strength)

    return make


def _call(node: str, **inputs: Any) -> None:
    import nodes

    kind = nodes.NODE_CLASS_MAPPINGS.get(node)
    if kind is None:
        raise UserError(f"this ComfyUI has no node {node}: update ComfyUI.")
    getattr(kind(), kind.FUNCTION)(**inputs)


def _at(function: Any, given: Given) -> Any:
    return function.to(given.device) if hasattr(function, "to") else function


def _image(pictures: Tensor) -> Tensor:
    return pictures.movedim(1, -1)


def _padded(given: Given) -> Given:
    """With a latent of whole tokens, as Z-Image and Wan pad it before their patches see it."""
    frames, height, width = given.latent
    return replace(given, latent=(frames, height + height % PATCH, width + width % PATCH))


def _fitted(pictures: Tensor | None, given: Given) -> Tensor | None:
    """In the size of what is sampled, as the host's patches resize it; they would encode twice."""
    if pictures is None:
        return None
    import comfy.utils

    height, width = (edge * LATENT_PIXELS for edge in given.latent[1:])
    if pictures.shape[-2:] != (height, width):
        pictures = comfy.utils.common_upscale(pictures, width, height, "area", "center")
    return _image(pictures)
