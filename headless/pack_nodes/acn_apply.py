"""Advanced-ControlNet's apply nodes, by our own stack on a conditioning.

What they do is as adv_control/nodes_main.py and nodes_deprecated.py of
https://github.com/Kosinkadink/ComfyUI-Advanced-ControlNet (1.5) have it. Without keyframes,
weights and mask they are the core's apply nodes. Keyframes whose weights change become several
controls of one net, of which one acts at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ...ground.errors import UserError
from ...model_patch.conditioning import apply_to_conditioning
from ...model_patch.control import Control, ControlStack
from ...model_patch.factors import Factor, Span
from ...model_patch.mask import Mask
from ...model_patch.view import Frames
from ...nodes.upstream import window
from ..core_nodes.controlnet import CONTROLLED, PROMPTS, apply_advanced
from ..core_nodes.declare import Input
from ..sampling.conditioning import Conditioning
from .acn_factors import WhileHeld, frame_strengths
from .acn_keyframes import Keyframe, Keyframes, LatentKeyframes, acn_node
from .acn_weights import Weights

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
    each = [_overridden(one, given) for one in (given.keyframes or Keyframes()).carried()]
    sets: dict[tuple[Any, ...], list[int]] = {}
    for number, one in enumerate(each):
        held = (id(one.weights), id(one.latents), one.null, id(one.mask))
        sets.setdefault(held, []).append(number)
    starts, guaranteed = (
        tuple(getattr(one, name) for one in each) for name in ("start", "guaranteed")
    )
    made = []
    for numbers in sets.values():
        strengths = tuple(one.strength if i in numbers else 0.0 for i, one in enumerate(each))
        while_held = WhileHeld(starts, guaranteed, strengths)
        factors = [while_held] if set(strengths) != {1.0} else []
        made.append(_control(net, given, (*factors, *_factors(each[numbers[0]]))))
    return tuple(made)


def _overridden(keyframe: Keyframe, given: Given) -> Keyframe:
    """A keyframe with what the node was given in place of what it holds."""
    weights = keyframe.weights if given.weights is None else given.weights
    latents = keyframe.latents if given.latents is None else given.latents
    null = 0.0 if latents is None else keyframe.null
    return replace(keyframe, weights=weights, latents=latents, null=null)


def _factors(keyframe: Keyframe) -> tuple[Factor, ...]:
    """All that a keyframe holds beside its strength."""
    latents, mask = keyframe.latents, keyframe.mask
    return (
        *(() if keyframe.weights is None else keyframe.weights.factors),
        *(() if latents is None else (frame_strengths(latents, keyframe.null),)),
        *(() if mask is None else (Mask(_three(mask)),)),
    )


def _control(net: Any, given: Given, factors: tuple[Factor, ...]) -> Control:
    return Control(
        net=net,
        hint=given.image.movedim(-1, 1),
        name=getattr(net, "name", type(net).__name__),
        strength=given.strength,
        # Through a link any number comes; beyond the run it means the run's end, as in the core.
        span=Span(*(min(max(percent, 0.0), 1.0) for percent in given.span)),
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
        net, given = net.net, replace(given, keyframes=given.keyframes or net.keyframes)
    if given.is_plain:
        return apply_advanced(
            positive, negative, net, given.image, given.strength, *given.span, given.vae
        )
    return apply_to_conditioning(controls(net, given), positive, negative, window=window)


_FURTHER: dict[str, Input] = {
    "mask_optional": "MASK",
    "timestep_kf": "TIMESTEP_KEYFRAME",
    "latent_kf_override": "LATENT_KEYFRAME",
    "weights_override": "CONTROL_NET_WEIGHTS",
}
_BOTH: dict[str, Input] = {**PROMPTS, **CONTROLLED}
_ONE: dict[str, Input] = {"conditioning": "CONDITIONING", **CONTROLLED}
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
