"""The hint encoded once, in networks of ComfyUI that would encode it at every step."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

ENCODERS: dict[tuple[str, str], tuple[str, ...]] = {
    ("comfy.cldm.cldm", "ControlNet"): ("input_hint_block",),
    ("comfy.ldm.flux.controlnet", "ControlNetFlux"): ("input_hint_block", "input_cond_block"),
}
"""Where classes of ComfyUI have layers that see the hint alone, read from `comfy/cldm/cldm.py` and
`comfy/ldm/flux/controlnet.py`. A class that derives from one may give them more to see."""

DECLARED = "hint_encoders"
"""A class of our own says by this attribute which of its layers see the hint alone."""


class Once(nn.Module):
    """An encoder of hints that answers from what it made before, as long as the network is called
    with one and the same hint tensor."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self._hint: Tensor | None = None  # held: no other tensor can have its id meanwhile
        self._made: list[Any] = []
        self._calls = 0

    @property
    def made(self) -> list[Any]:
        """What it would answer for the last hint."""
        return self._made

    def begin(self, hint: Tensor) -> None:
        """The network is called with this hint."""
        if hint is not self._hint:
            self._hint, self._made = hint, []
        self._calls = 0

    def forward(self, *args: Any) -> Any:
        """As the encoder's; a network that calls it several times gets an answer for each."""
        if torch.is_grad_enabled():
            return self.encoder(*args)
        if self._calls == len(self._made):
            self._made.append(self.encoder(*args))
        self._calls += 1
        return self._made[self._calls - 1]


def encode_once(net: Any) -> list[Once]:
    """Have a copy of a CONTROL_NET, made for one run, encode its hint once; returns what keeps it.

    The copy gets a network of its own that shares every layer with the host's and leaves that one
    as it is: nothing has to be given back, and what another run does with it stays its affair. Nets
    of other kinds are left alone: those that take latents embed them in one small layer, and T2I
    adapters are run once by the host itself.
    """
    network = getattr(net, "control_model", None)
    kind = type(network)
    places = getattr(kind, DECLARED, ENCODERS.get((kind.__module__, kind.__qualname__), ()))
    if not isinstance(network, nn.Module) or "forward" in vars(network):
        return []  # somebody has put another forward in its place
    encoders = {place: _layer(network, place) for place in places}
    kept = {place: Once(layer) for place, layer in encoders.items() if layer is not None}
    if not kept:
        return []
    for place, once in kept.items():
        network = _with(network, place.split("."), once)
    vars(network)["forward"] = _noting(weakref.ref(network), list(kept.values()))
    net.control_model = network
    return list(kept.values())


def _noting(network: Callable[[], Any], encoders: list[Once]) -> Callable[..., Any]:
    """The network's forward, which tells the encoders of the hint. It holds the network weakly, so
    that what is kept goes as the run drops the net."""

    def forward(*args: Any, hint: Tensor, **kwargs: Any) -> Any:
        for encoder in encoders:
            encoder.begin(hint)
        me = network()
        return type(me).forward(me, *args, hint=hint, **kwargs)

    return forward


def _layer(network: nn.Module, place: str) -> nn.Module | None:
    try:
        return network.get_submodule(place)
    except AttributeError:
        return None


def _with(network: nn.Module, place: list[str], layer: nn.Module) -> nn.Module:
    """A network with another layer at a place; all other layers, and hooks, are the same ones."""
    name, *rest = place
    inner = network._modules[name]
    own = copy(network)
    own._modules = {**network._modules}
    own._modules[name] = layer if not rest or inner is None else _with(inner, rest, layer)
    return own
