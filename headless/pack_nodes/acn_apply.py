"""Advanced-ControlNet's loaders and apply nodes, by our own stack on a conditioning.

What they do is as adv_control/nodes_main.py, nodes_plusplus.py and nodes_deprecated.py of
https://github.com/Kosinkadink/ComfyUI-Advanced-ControlNet (1.5) have it. Without keyframes,
weights and mask they are the core's apply nodes. Keyframes whose weights change become several
controls of one net, of which one acts at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...ground.errors import UserError
from ...ground.names import inner_name
from ...ground.wording import listing, shown
from ...model_patch.conditioning import apply_to_conditioning
from ...model_patch.control import Control, ControlStack
from ...model_patch.factors import Factor, Span
from ...model_patch.mask import Mask
from ...model_patch.view import Frames
from ...nodes.upstream import window
from .. import folders
from ..core_nodes.controlnet import STRENGTH, apply_advanced, set_union_type
from ..core_nodes.declare import CORE_NODES, Declared, Input, integer, model_file, number
from ..pictures import read_image
from ..sampling.conditioning import Conditioning
from .acn_factors import WhileHeld, frame_strengths
from .acn_keyframes import MOST, Keyframe, Keyframes, LatentKeyframes
from .acn_weights import Weights, acn_node

MENU = "Adv-ControlNet 🛂🅐🅒🅝"

HOLD: Frames = "hold"
"""Of hints and masks that are fewer than the pictures the last one stays, where the core begins
anew."""


@dataclass(frozen=True)
class Given:
    """What an apply node has been given beside prompts and net."""

    image: Tensor
    strength: float
    span: tuple[float, float]
    mask: Tensor | None = None
    keyframes: Keyframes | None = None
    latents: LatentKeyframes | None = None
    weights: Weights | None = None
    vae: Any = None

    @property
    def is_plain(self) -> bool:
        """Whether the core's apply node does the same."""
        more = (self.mask, self.keyframes, self.latents, self.weights)
        return all(one is None for one in more) and len(self.image) == 1


class KeyframedNet:
    """A CONTROL_NET with keyframes of its loader: they act with whichever node applies it."""

    def __init__(self, net: Any, keyframes: Keyframes) -> None:
        self.net, self.keyframes = net, keyframes
        self._given: Given | None = None

    def copy(self) -> KeyframedNet:
        """The same net and keyframes, not applied yet."""
        return KeyframedNet(self.net.copy(), self.keyframes)

    def set_extra_arg(self, argument: str, value: Any = None) -> None:
        """As its net has it."""
        self.net.set_extra_arg(argument, value)

    def set_cond_hint(
        self,
        cond_hint: Tensor,
        strength: float = 1.0,
        timestep_percent_range: tuple[float, float] = (0.0, 1.0),
        vae: Any = None,
    ) -> KeyframedNet:
        """Keep hint (B, 3, H, W), strength and range, as nodes that apply a net set them."""
        image = cond_hint.movedim(1, -1)
        self._given = Given(
            image, strength, timestep_percent_range, keyframes=self.keyframes, vae=vae
        )
        return self

    def set_previous_controlnet(self, previous: Any) -> Any:
        """What lies on a conditioning for it, after `previous`."""
        assert self._given is not None
        entry = [[None, {} if previous is None else {"control": previous}]]
        (applied,) = apply_to_conditioning(controls(self.net, self._given), entry, window=window)
        return applied[0][1].get("control")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UserError(
            "this ControlNet has keyframes of its loader, which act where ComfyUI's or "
            "Advanced-ControlNet's apply nodes take it; elsewhere wire it without them, and "
            "Control Curve"
        )


def controls(net: Any, given: Given) -> ControlStack:
    """The controls of a net under keyframes: one for each set of weights, latent keyframes and mask
    that its keyframes hold, active while they hold it."""
    each = (given.keyframes or Keyframes()).carried()
    sets: dict[tuple[Any, ...], list[int]] = {}
    for number_, keyframe in enumerate(each):
        sets.setdefault(_held(keyframe, given), []).append(number_)
    starts, guaranteed = (
        tuple(getattr(one, name) for one in each) for name in ("start", "guaranteed")
    )
    made = []
    for numbers in sets.values():
        strengths = tuple(one.strength if i in numbers else 0.0 for i, one in enumerate(each))
        one = each[numbers[0]]
        while_held = WhileHeld(starts, guaranteed, strengths)
        factors = (*([while_held] if set(strengths) != {1.0} else []), *_factors(one, given))
        made.append(_control(net, given, factors))
    return tuple(made)


def _held(keyframe: Keyframe, given: Given) -> tuple[Any, ...]:
    latents = keyframe.latents if given.latents is None else given.latents
    null = keyframe.null if latents is not None else 0.0
    weights = None if given.weights is not None else keyframe.weights
    return id(weights), id(latents), null, id(keyframe.mask)


def _factors(keyframe: Keyframe, given: Given) -> tuple[Factor, ...]:
    """All that a keyframe holds beside its strength; what overrides it comes first."""
    weights = given.weights or keyframe.weights
    latents = keyframe.latents if given.latents is None else given.latents
    return (
        *(() if weights is None else weights.factors),
        *(() if latents is None else (frame_strengths(latents, keyframe.null),)),
        *(() if keyframe.mask is None else (Mask(_three(keyframe.mask)),)),
    )


def _control(net: Any, given: Given, factors: tuple[Factor, ...]) -> Control:
    return Control(
        net=net,
        hint=given.image.movedim(-1, 1),
        name=getattr(net, "name", type(net).__name__),
        strength=given.strength,
        span=Span(*given.span),
        mask=None if given.mask is None else _three(given.mask),
        vae=given.vae,
        frames=HOLD,
        also=factors,
    )


def _three(mask: Tensor) -> Tensor:
    return mask[None] if mask.ndim == 2 else mask


def applied(
    net: Any, given: Given, positive: Conditioning, negative: Conditioning
) -> tuple[Conditioning, ...]:
    """Both prompts under the net."""
    if given.strength == 0:
        return positive, negative
    if isinstance(net, KeyframedNet):
        kept = given.keyframes or net.keyframes
        net, given = net.net, Given(**{**vars(given), "keyframes": kept})
    if given.is_plain:
        return apply_advanced(
            positive, negative, net, given.image, given.strength, *given.span, given.vae
        )
    return apply_to_conditioning(controls(net, given), positive, negative, window=window)


_RANGE: dict[str, Input] = {
    "control_net": "CONTROL_NET",
    "image": "IMAGE",
    "strength": STRENGTH,
    "start_percent": number(0.0, 0.0, 1.0, 0.001),
    "end_percent": number(1.0, 0.0, 1.0, 0.001),
}
_FURTHER: dict[str, Input] = {
    "mask_optional": "MASK",
    "timestep_kf": "TIMESTEP_KEYFRAME",
    "latent_kf_override": "LATENT_KEYFRAME",
    "weights_override": "CONTROL_NET_WEIGHTS",
}
_BOTH: dict[str, Input] = {"positive": "CONDITIONING", "negative": "CONDITIONING", **_RANGE}
_ONE: dict[str, Input] = {"conditioning": "CONDITIONING", **_RANGE}
_VAE: dict[str, Input] = {**_FURTHER, "vae_optional": "VAE"}
_MODEL_AND_VAE: dict[str, Input] = {
    **_FURTHER,
    "model_optional": "MODEL",
    "vae_optional": "VAE",
}


def _given(
    image: Tensor,
    strength: float,
    start_percent: float,
    end_percent: float,
    mask_optional: Tensor | None = None,
    timestep_kf: Keyframes | None = None,
    latent_kf_override: LatentKeyframes | None = None,
    weights_override: Weights | None = None,
    vae_optional: Any = None,
) -> Given:
    return Given(
        *(image, strength, (start_percent, end_percent), mask_optional, timestep_kf),
        *(latent_kf_override, weights_override, vae_optional),
    )


@acn_node(
    "ACN_AdvancedControlNetApply_v2",
    MENU,
    _BOTH,
    *("CONDITIONING", "CONDITIONING"),
    optional=_VAE,
    RETURN_NAMES=("positive", "negative"),
)
def apply_both(
    positive: Conditioning, negative: Conditioning, control_net: Any, **given: Any
) -> tuple[Conditioning, ...]:
    """Both prompts under one ControlNet."""
    return applied(control_net, _given(**given), positive, negative)


@acn_node(
    "ACN_AdvancedControlNetApply",
    MENU,
    _BOTH,
    *("CONDITIONING", "CONDITIONING", "MODEL"),
    optional=_MODEL_AND_VAE,
    RETURN_NAMES=("positive", "negative", "model_opt"),
)
def apply_both_before(
    positive: Conditioning,
    negative: Conditioning,
    control_net: Any,
    model_optional: Any = None,
    **given: Any,
) -> tuple[Any, ...]:
    """The same under its older id; the model goes through."""
    return (*applied(control_net, _given(**given), positive, negative), model_optional)


def _apply_one(conditioning: Conditioning, control_net: Any, given: Mapping[str, Any]) -> Any:
    """One prompt, and the other one of the sampler's where that has no control."""
    found = _given(**given)
    (one, _) = applied(control_net, found, conditioning, [])
    if found.strength == 0:
        return one
    return [[text, {**options, "control_apply_to_uncond": True}] for text, options in one]


@acn_node(
    "ACN_AdvancedControlNetApplySingle_v2",
    MENU,
    _ONE,
    *("CONDITIONING", "MODEL"),
    optional=_VAE,
    RETURN_NAMES=("CONDITIONING", "model_opt"),
)
def apply_one(conditioning: Conditioning, control_net: Any, **given: Any) -> tuple[Any, None]:
    """One prompt under one ControlNet; there is no model to go through."""
    return _apply_one(conditioning, control_net, given), None


@acn_node(
    "ACN_AdvancedControlNetApplySingle",
    MENU,
    _ONE,
    *("CONDITIONING", "MODEL"),
    optional=_MODEL_AND_VAE,
    RETURN_NAMES=("CONDITIONING", "model_opt"),
)
def apply_one_before(
    conditioning: Conditioning, control_net: Any, model_optional: Any = None, **given: Any
) -> tuple[Any, Any]:
    """The same under its older id; the model goes through."""
    return _apply_one(conditioning, control_net, given), model_optional


def _load(node: str, **given: Any) -> Any:
    """What the core's loader gives."""
    return CORE_NODES[node]().run(**given)[0]


def _check(node: str, **given: Any) -> None:
    """Raise UserError for a file that the core's loader refuses."""
    said = CORE_NODES[node].VALIDATE_INPUTS(**given)
    if said is not True:
        raise UserError(str(said))


def _with_keyframes(net: Any, keyframes: Keyframes | None) -> Any:
    return net if keyframes is None else KeyframedNet(net, keyframes)


_FILES = model_file("controlnet")
_PLAIN, _DIFF = "ControlNetLoader", "DiffControlNetLoader"


@acn_node(
    "ACN_ControlNetLoaderAdvanced",
    MENU,
    {"cnet": _FILES},
    "CONTROL_NET",
    optional={"_tk_opt": "TIMESTEP_KEYFRAME"},
    check=lambda cnet: _check(_PLAIN, control_net_name=cnet),
)
def load(cnet: str, _tk_opt: Keyframes | None = None) -> Any:
    """A ControlNet or a T2I adapter, with keyframes if there are any."""
    return _with_keyframes(_load(_PLAIN, control_net_name=cnet), _tk_opt)


@acn_node(
    "ControlNetLoaderAdvanced",
    MENU,
    {"control_net_name": _FILES},
    "CONTROL_NET",
    optional={"tk_optional": "TIMESTEP_KEYFRAME"},
    check=lambda control_net_name: _check(_PLAIN, control_net_name=control_net_name),
)
def load_before(control_net_name: str, tk_optional: Keyframes | None = None) -> Any:
    """The same under its older id."""
    return _with_keyframes(_load(_PLAIN, control_net_name=control_net_name), tk_optional)


@acn_node(
    "ACN_DiffControlNetLoaderAdvanced",
    MENU,
    {"model": "MODEL", "cnet": _FILES},
    "CONTROL_NET",
    optional={"_tk_opt": "TIMESTEP_KEYFRAME"},
    check=lambda cnet: _check(_DIFF, control_net_name=cnet),
)
def load_diff(model: Any, cnet: str, _tk_opt: Keyframes | None = None) -> Any:
    """As the core's DiffControlNetLoader, with keyframes if there are any."""
    return _with_keyframes(_load(_DIFF, model=model, control_net_name=cnet), _tk_opt)


@acn_node(
    "DiffControlNetLoaderAdvanced",
    MENU,
    {"model": "MODEL", "control_net_name": _FILES},
    "CONTROL_NET",
    optional={"tk_optional": "TIMESTEP_KEYFRAME"},
    check=lambda control_net_name: _check(_DIFF, control_net_name=control_net_name),
)
def load_diff_before(
    model: Any, control_net_name: str, tk_optional: Keyframes | None = None
) -> Any:
    """The same under its older id."""
    net = _load(_DIFF, model=model, control_net_name=control_net_name)
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
    net = _load(_PLAIN, control_net_name=name)
    return net if kind == "none" else set_union_type(net, KINDS[kind])


@acn_node(
    "ACN_ControlNet++LoaderSingle",
    PLUS,
    {"name": _FILES, "control_type": ([*KINDS, "none"], {"default": "none"})},
    "CONTROL_NET",
    check=lambda name: _check(_PLAIN, control_net_name=name),
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
    check=lambda name: _check(_PLAIN, control_net_name=name),
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
