"""Cancel: the run that is under way ends at its next step, or inside of it at the next layer."""

from __future__ import annotations

import threading
from typing import Any


class Stopped(KeyboardInterrupt):
    """A person stopped this run; what passes Ctrl-C through passes this through."""


class Stop:
    """Ends the work of one thread from another one."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._thread = 0
        self._hook: Any = None

    def begin(self) -> None:
        """A run begins, in the calling thread; what was asked before is void."""
        self._release()
        self._asked.clear()
        self._thread = threading.get_ident()

    def end(self) -> None:
        """The run has ended: nothing is left to stop."""
        self._thread = 0
        self._release()

    def ask(self) -> None:
        """End the run.

        Each step looks for this, and a step of a large network can take a minute: from now on
        every layer looks, by a hook that is there only while somebody wants to stop.
        """
        import torch

        self._asked.set()
        if self._hook is None and self._thread:
            self._hook = torch.nn.modules.module.register_module_forward_pre_hook(self._at_layer)

    def check(self) -> None:
        """Raise Stopped where that was asked."""
        if self._asked.is_set():
            raise Stopped

    def _at_layer(self, *_: object) -> None:
        if threading.get_ident() == self._thread:
            self.check()

    def _release(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
