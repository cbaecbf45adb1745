"""An exponential moving average of parameters, the weights that are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Averages those of `module`'s parameters that are trained, in place of a copy of the module.

    The decay warms up as (1 + n) / (10 + n), so that the random start is forgotten early.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._live = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.average: dict[str, Tensor] = {n: p.detach().clone() for n, p in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the present parameters by one step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self.average.values()), list(self._live.values()), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module holds the average inside the block and its own parameters after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def settle(self) -> None:
        """Give the module the average for good."""
        for name, parameter in self._live.items():
            parameter.copy_(self.average[name])

    def live(self) -> dict[str, Tensor]:
        """The parameters as they are trained, to be kept beside the average."""
        return {name: p.detach() for name, p in self._live.items()}

    @torch.no_grad()
    def resume(self, live: Mapping[str, Tensor], updates: int) -> None:
        """Go on from a module that holds an average of so many `updates`; it is given the `live`
        parameters back.
        """
        self.updates = updates
        for name, parameter in self._live.items():
            self.average[name].copy_(parameter)
            parameter.copy_(live[name])

    def _swap(self) -> None:
        """Exchange average and parameters; no weight is copied."""
        for name, parameter in self._live.items():
            parameter.data, self.average[name] = self.average[name], parameter.data
