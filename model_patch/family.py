"""Is a control net made for this kind of model? Told from layer widths, before anything computes.

A ControlNet is a copy of its base model's encoder (arXiv 2302.05543, 3.1), so layers of one name
have one width in both. Where widths differ, the two belong to different families.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from ..ground.errors import UserError
from .patch_net import PatchNet
from .protocols import BaseModel, ControlNet

_COMPILED = "_orig_mod."
"""What torch.compile puts before the names of the layers that it wraps."""

_WIDTHS = (("in_features", "out_features"), ("in_channels", "out_channels"))
"""What layers call their widths."""

Widths: TypeAlias = Mapping[str, tuple[int, int]]
"""Layer name -> (input, output) features or channels."""

# Where ComfyUI's control nets, and the embedded host's, keep their weights; a Control-LoRA keeps
# a dict of tensors.
_NETWORKS = ("control_model", "t2i_model", "control_weights")

# The layers that take the text in: U-Nets; SD 3 and Qwen-Image; Flux.
_TEXT_LAYERS = ("attn2.to_k", "context_embedder", "txt_in")

# The layers that take the latent in. Inpainting and editing models give them further channels,
# and ControlNets of the plain model work with those, so their inputs are not compared.
_LATENT_LAYERS = ("input_blocks.0.0", "conv_in", "img_in", "x_embedder.proj", "x_embedder")

UNETS = {
    768: "Stable Diffusion 1.x",
    1024: "Stable Diffusion 2.x",
    1280: "the SDXL refiner",
    2048: "SDXL",
}
"""Families of U-Nets by the width of the text that their cross-attention reads (the text encoders'
own widths)."""

# A part of a layer's name that only one family of diffusion transformers has.
_TRANSFORMERS = {
    "double_blocks.": "Flux",
    "joint_blocks.": "Stable Diffusion 3",
    "transformer_blocks.0.adaLN_modulation.": "Stable Diffusion 3",  # Stability's nets for 3.5
    ".img_mlp.": "Qwen-Image",
}


# Families by the class of ComfyUI's models (`comfy/model_base.py`), which loaders that name layers
# anew leave as it is.
_CLASSES = {
    **{"SD3": "Stable Diffusion 3", "Flux": "Flux", "QwenImage": "Qwen-Image"},
    **{"HunyuanDiT": "HunyuanDiT", "HunyuanVideo": "HunyuanVideo", "Lumina2": "Z-Image"},
    **{"WAN21": "Wan", "Anima": "Anima", "Flux2": "Flux.2", "AuraFlow": "AuraFlow"},
    **{"PixArt": "PixArt", "LTXV": "LTX-Video", "GenmoMochi": "Mochi", "HiDream": "HiDream"},
    **{"CosmosVideo": "Cosmos", "CosmosPredict2": "Cosmos", "Omnigen2": "OmniGen 2"},
}

# What controls families that take no ControlNet.
_OTHER_WAYS = {
    "Z-Image": "a Z-Image Fun ControlNet (a model patch)",
    "Wan": "WanFunControlToVideo, WanVaceToVideo, or a Uni3C ControlNet (a model patch)",
    "Anima": "an Anima LLLite (a model patch)",
    "Flux.2": "reference pictures (ReferenceLatent)",
}


def require_same_family(
    name: str, net: ControlNet | PatchNet, base: BaseModel, model_file: str = ""
) -> None:
    """Raise UserError where `net` was made for a model of another family than `base`.

    `name` is what errors call the net; `model_file` the model's, where it is known. A net whose
    layers tell nothing (a T2I adapter's have names of their own) passes.
    """
    if isinstance(net, PatchNet):
        return _require_patched_family(name, net, base, model_file)
    network = next((getattr(net, a) for a in _NETWORKS if getattr(net, a, None) is not None), None)
    if network is None:
        return
    ours, theirs = _widths(network), _widths(base.diffusion_model)
    mine, wanted = _family(ours), _family_of(base, theirs)
    difference = _difference(ours, theirs, bool(mine and wanted and mine != wanted))
    if difference is None:
        return
    here, there = wanted or type(base).__name__, mine or "another family"
    model = f"the model ({model_file})" if model_file else "the model"
    unlike = "is of another size" if here == there else f"is {here}"
    raise UserError(
        f"{name} was made for {there} and {model} {unlike}: {difference}. Use a ControlNet made "
        f"for this model, or the model it was made for.{other_ways(base)}"
    )


def _require_patched_family(name: str, net: PatchNet, base: BaseModel, model_file: str) -> None:
    model = f"the model ({model_file})" if model_file else "the model"
    family = family_of(base)
    if family != net.family:
        raise UserError(
            f"{name} is {net.words} and acts on {net.family} models, and {model} is "
            f"{family or type(base).__name__}. Use a model of that family.{other_ways(base)}"
        )
    widths = _widths(base.diffusion_model)
    for layer, width in net.widths.items():
        if layer in widths and widths[layer][0] != width:
            raise UserError(
                f"{name} is {net.words} for {net.family} models of another size than {model}: "
                f"{_numbers(f'the input width of layer {layer}', width, widths[layer][0])}. Use "
                "the model that it was made for."
            )


def other_ways(base: BaseModel) -> str:
    """A sentence, with a space before it, that names the nodes that control a model which takes no
    ControlNet; "" for others."""
    family = _by_class(base)
    return (
        f" {family} is controlled by {_OTHER_WAYS[family]} instead."
        if family in _OTHER_WAYS
        else ""
    )


def family_of(base: BaseModel) -> str:
    """The family's name, such as "SDXL"; "" where none is known."""
    return _family_of(base, _widths(base.diffusion_model))


def _difference(net: Widths, model: Widths, unlike: bool) -> str | None:
    """What differs first, with both numbers; the text's width says most. `unlike` is whether the
    families are known and differ.

    Layers that only one of the two has tell nothing: loaders that quantise or fuse a model give its
    layers names of their own.
    """
    mine, wanted = _text_width(net), _text_width(model)
    if mine is not None and wanted is not None and mine != wanted:
        return _numbers("the width of the text", mine, wanted)
    for layer, (net_in, net_out) in net.items():
        if layer in model:
            model_in, model_out = model[layer]
            if net_out != model_out:
                return _numbers(f"the output width of layer {layer}", net_out, model_out)
            if net_in != model_in and layer not in _LATENT_LAYERS:
                return _numbers(f"the input width of layer {layer}", net_in, model_in)
    if unlike and net.keys().isdisjoint(model):
        mine, wanted = (max((out for _, out in w.values()), default=0) for w in (net, model))
        if mine == wanted:
            return f"no layer of the net has the name of one of the model's {len(model)}"
        return _numbers("the widest layer", mine, wanted)
    return None


def _numbers(what: str, mine: int, wanted: int) -> str:
    return f"{what} is {mine} in the net and {wanted} in the model"


def _by_class(base: BaseModel) -> str:
    names = (kind.__name__ for kind in type(base).__mro__)
    return next((_CLASSES[name] for name in names if name in _CLASSES), "")


def _family_of(base: BaseModel, widths: Widths) -> str:
    return _by_class(base) or _family(widths)


def _family(widths: Widths) -> str:
    """The family's name, or "" where none is known by these layers."""
    for mark, family in _TRANSFORMERS.items():
        if any(mark in layer for layer in widths):
            return family
    text = _text_width(widths)
    if text is None or ("input_blocks.0.0" not in widths and "conv_in" not in widths):
        return ""
    return UNETS.get(text, f"a U-Net for texts {text} wide")


def _text_width(widths: Widths) -> int | None:
    for layer, (inputs, _) in widths.items():
        if layer.endswith(_TEXT_LAYERS):
            return inputs
    return None


_KNOWN: WeakKeyDictionary[nn.Module, Widths] = WeakKeyDictionary()
"""Of networks seen before: what their layers declare stays, and to walk through SDXL takes time."""


def _widths(network: Any) -> Widths:
    if not isinstance(network, nn.Module):
        return _lora_widths(network)
    if network not in _KNOWN:
        _KNOWN[network] = dict(_module_widths(network))
    return _KNOWN[network]


def _module_widths(network: nn.Module) -> Iterable[tuple[str, tuple[int, int]]]:
    # What layers declare, not their tensors' shapes: quantised weights are packed.
    for name, module in network.named_modules():
        if any(child is not None for child in module._modules.values()):
            continue
        for inputs, outputs in _WIDTHS:
            width = _declared(module, inputs), _declared(module, outputs)
            if isinstance(width[0], int) and isinstance(width[1], int):
                yield name.replace(_COMPILED, ""), (width[0], width[1])


def _declared(module: nn.Module, name: str) -> Any:
    # Without `nn.Module.__getattr__`: each "no" of it is an error with a sentence, and slow.
    return vars(module).get(name, getattr(type(module), name, None))


def _lora_widths(tensors: Mapping[str, Tensor]) -> Widths:
    """A Control-LoRA's layers: `up` is (out, rank, ...), `down` (rank, in, ...).

    Where kernels are kept as matrices too, (rank, in * height * width), only attention's layers,
    which have no kernels, tell their input's width.
    """
    layers = [name.removesuffix(".up") for name in tensors if name.endswith(".up")]
    pairs = {
        layer: (tensors[f"{layer}.down"], tensors[f"{layer}.up"])
        for layer in layers
        if f"{layer}.down" in tensors
    }
    kernels = any(down.ndim > 2 for down, _ in pairs.values())
    return {
        layer: (down.shape[1], up.shape[0])
        for layer, (down, up) in pairs.items()
        if kernels or "attn" in layer or layer in _LATENT_LAYERS
    }
