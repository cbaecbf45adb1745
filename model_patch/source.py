"""Where residuals come from: copies of a control's net, each with the hint that a call sees."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..ground.errors import UserError
from .call import Call
from .control import Control
from .hint_once import Once, encode_once
from .inpaint import cut_out
from .patch_net import PatchNet
from .protocols import BaseModel, ControlNet
from .residuals import Residuals
from .union import set_types
from .view import Seen

KEPT_BYTES = 256 * 2**20
"""What all copies of one net may hold in a run; one is there in any case. Each has the hints of a
context window or an area ready for use; further ones take the place of the newest, so that of many
windows that come again and again the first ones stay ready. Of Stable Diffusion 1.5, both sides in
half precision, 16 frames of 512 px are 134 MB and an area of 1024 px is 34."""

BUILT = 8
"""Copies of a net that builds a network for each."""

_EINOPS = "EinopsError"
"""Raised by hosts' transformers for a side that is no whole number of tokens; a RuntimeError."""


class Source(Protocol):
    """Gives the residuals of exactly the rows of a call. A source may wrap another."""

    def __call__(self, call: Call, strength: float) -> Residuals:
        """They are multiplied by `strength` already, as nets do it in their own type."""
        ...

    def close(self) -> list[Exception]:
        """End the run: drop what is kept; returns what that failed with."""
        ...


class OfNet:
    """The residuals of a control's net for one run on one device."""

    def __init__(
        self,
        control: Control,
        net: ControlNet,
        base: BaseModel,
        ran: Callable[[Call], None] | None = None,
    ) -> None:
        """`ran` is told each call for which the net itself was run."""
        self._control = control
        self._ran = ran
        self._net_as_given = net
        self._base = base
        self._nets: dict[tuple[Seen, torch.Size], _Copy] = {}
        # A ControlLoRA builds a network for each copy: memory that areas' hints are not worth.
        self._builds = hasattr(net, "control_weights")
        self._hint = control.hint
        self._stays: Tensor | None = None
        if control.inpaint_mask is not None:
            self._hint, self._stays = cut_out(control.hint, control.inpaint_mask, control.view)

    def __call__(self, call: Call, strength: float) -> Residuals:
        """Run the net; raises UserError for what torch refuses."""
        with explained(self._control, call):
            seen = self._control.view(call, len(self._hint))
            net = self._net(seen, call.x)
            net.strength = strength
            before = _kept_features(net)
            given = net.get_control(call.x, call.t, call.cond, seen.repeats, call.options)
        if self._ran is not None and (before is None or _kept_features(net) is not before):
            self._ran(call)
        return Residuals.of(given)

    def close(self) -> list[Exception]:
        """As `Source` says."""
        failures: list[Exception] = []
        while self._nets:
            try:
                self._drop_newest()
            except Exception as failure:
                failures.append(failure)
        return failures

    def _net(self, seen: Seen, x: Tensor) -> ControlNet:
        # Nets keep their hint in the size of the batch and the latent that they saw last: another
        # batch, or an area of another size, another copy.
        key = seen, torch.Size() if self._builds else x.shape[2:]
        if key not in self._nets:
            if self._full(x.device):
                self._drop_newest()
            copy = self._nets[key] = _Copy(self._net_as_given.copy())  # cleaned up if this raises
            self._prepare(copy, seen)
        return self._nets[key].net

    def _full(self, device: torch.device) -> bool:
        if self._builds:
            return len(self._nets) >= BUILT
        known = {id(one) for one in _tensors([vars(self._net_as_given), self._hint])}
        sizes = [copy.bytes_on(device, known) for copy in self._nets.values()]
        return sum(sizes) + max(sizes, default=0) > KEPT_BYTES  # the next may be like the largest

    def _prepare(self, copy: _Copy, seen: Seen) -> None:
        control, net = self._control, copy.net
        needs: dict[str, Any] = {} if control.vae is None else {"vae": control.vae}
        if self._stays is not None:
            needs["extra_concat"] = [seen.of(self._stays)]
        net.set_cond_hint(seen.of(self._hint), control.strength, (0.0, 1.0), **needs)
        set_types(control.union_types, net, control.name)
        net.pre_run(self._base, self._base.model_sampling.percent_to_sigma)
        copy.encoders = encode_once(net)

    def _drop_newest(self) -> None:
        self._nets.popitem()[1].net.cleanup()


@dataclass
class _Copy:
    """A copy of the net, and what keeps its encoded hint where the net itself does not."""

    net: ControlNet
    encoders: Sequence[Once] = ()

    def bytes_on(self, device: torch.device, known: Collection[int]) -> int:
        """What it holds there, of tensors that the net as it was given, with these ids, has not."""
        held = _tensors([vars(self.net), *(encoder.made for encoder in self.encoders)])
        own = {id(one): one for one in held if one.device == device and id(one) not in known}
        return sum(one.nbytes for one in own.values())


def _tensors(held: Any) -> Iterator[Tensor]:
    """Those in a net's attributes, its layers left out."""
    if isinstance(held, Tensor):
        yield held
    elif isinstance(held, Mapping):
        yield from _tensors(list(held.values()))
    elif isinstance(held, (list, tuple)):
        for one in held:
            yield from _tensors(one)
    elif is_dataclass(held):
        yield from _tensors(vars(held))


def _kept_features(net: ControlNet) -> Any:
    """What a T2I adapter made of its hint, which it keeps in both hosts; None of other nets, which
    run whenever they are asked."""
    return getattr(net, "control_input", None)


@contextmanager
def explained(control: Control, call: Call) -> Iterator[None]:
    """Torch's own errors become a sentence; out of memory, interrupted and others pass through."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        # What fails on a GPU of itself is no question of shapes.
        of_shapes = type(error) in (RuntimeError, ValueError) or type(error).__name__ == _EINOPS
        if not of_shapes or "CUDA" in str(error):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"the net failed on a latent of shape {tuple(call.x.shape)} with a hint of shape "
            f"{tuple(control.hint.shape)} ({reason}); {_cure(control)}."
        ) from error


def _cure(control: Control) -> str:
    if isinstance(control.net, PatchNet) and control.net.latent_hint:  # it is of the family
        return "look first at the vae of Add ControlNet, which must be that of the model"
    return "use a ControlNet made for this base model, and a latent whose edges it can divide"
