"""The embedded host's answers to what a node may ask (`nodes/host.py`)."""

from __future__ import annotations

from pathlib import Path

from ..model_patch.protocols import ControlNet
from ..nodes import host
from . import folders


class EmbeddedHost:
    """Files from `folders`, nets from `models`; loads neither torch models nor diffusers early."""

    def names(self, kind: str) -> list[str]:
        """See `nodes.host.Host.names`."""
        return folders.names(kind)

    def find(self, kind: str, name: str) -> Path:
        """See `nodes.host.Host.find`."""
        return folders.find(kind, name)

    def check_control_net(self, name: str) -> None:
        """See `nodes.host.Host.check_control_net`."""
        from .models.inspect import check

        check(folders.find("controlnet", name), "controlnet")

    def load_control_net(self, name: str) -> ControlNet:
        """See `nodes.host.Host.load_control_net`."""
        from .models.loading import load_control_net

        return load_control_net(folders.find("controlnet", name))


def install() -> None:
    """Make the embedded host the one that our nodes ask."""
    host.install(EmbeddedHost())
