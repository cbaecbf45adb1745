"""Where residuals come from: copies of a control's net, each with the hint that a call sees."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from torch import Tensor

from ..ground.errors import UserError
from .call import Call
from .control import Control
from .inpaint import cut_out
from .protocols import BaseModel, ControlNet
from .residuals import Residuals
from .union import set_types
from .view import Seen

KEPT = 8
"""Copies kept of one net. Each holds the hints of a context window or an area, ready for use; a run
that has more of them makes the oldest anew."""


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

    def __init__(self, control: Control, base: BaseModel) -> None:
        self._control = control
        self._base = base
        self._nets: dict[Hashable, ControlNet] = {}
        self._hint = control.hint
        self._stays: Tensor | None = None
        if control.inpaint_mask is not None:
            self._hint, self._stays = cut_out(control.hint, control.inpaint_mask, control.view)

    def __call__(self, call: Call, strength: float) -> Residuals:
        """Run the net; raises UserError for what torch refuses."""
        with _explained(self._control, call):
            seen = self._control.view(call, len(self._hint))
            net = self._net(seen)
            net.strength = strength
            given = net.get_control(call.x, call.t, call.cond, seen.repeats, call.options)
        return Residuals.of(given)

    def close(self) -> list[Exception]:
        """As `Source` says."""
        failures: list[Exception] = []
        while self._nets:
            try:
                self._drop_oldest()
            except Exception as failure:
                failures.append(failure)
        return failures

    def _net(self, seen: Seen) -> ControlNet:
        key = None if seen.as_they_come(len(self._hint)) else (seen.rows, seen.latent)
        if (net := self._nets.pop(key, None)) is None:
            while len(self._nets) >= KEPT:
                self._drop_oldest()
            net = self._nets[key] = self._control.net.copy()  # cleaned up also if pre_run raises
            self._prepare(net, seen)
        self._nets[key] = net  # the newest lies last
        return net

    def _prepare(self, net: ControlNet, seen: Seen) -> None:
        control = self._control
        needs: dict[str, Any] = {} if control.vae is None else {"vae": control.vae}
        if self._stays is not None:
            needs["extra_concat"] = [seen.of(self._stays)]
        net.set_cond_hint(seen.of(self._hint), control.strength, (0.0, 1.0), **needs)
        set_types(control.union_types, net, control.name)
        net.pre_run(self._base, self._base.model_sampling.percent_to_sigma)

    def _drop_oldest(self) -> None:
        self._nets.pop(next(iter(self._nets))).cleanup()


@contextmanager
def _explained(control: Control, call: Call) -> Iterator[None]:
    """Torch's own errors become a sentence; out of memory, interrupted and others pass through."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        # What fails on a GPU of itself is no question of shapes.
        if type(error) not in (RuntimeError, ValueError) or "CUDA" in str(error):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"the net failed on a latent of shape {tuple(call.x.shape)} with a hint of shape "
            f"{tuple(control.hint.shape)} ({reason}); use a ControlNet made for this base model, "
            "and a latent whose edges it can divide."
        ) from error
