"""Which files there are and how one is loaded: the only place where the two hosts differ.

In ComfyUI the answers are `folder_paths` and `comfy.controlnet`; anywhere else the embedded host
installs its own with `install`. Nothing here imports a host that is not already running.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol

from ..errors import UserError
from ..model_patch.protocols import ControlNet


class Host(Protocol):
    """What a node may ask of the program it runs in."""

    def names(self, kind: str) -> list[str]:
        """The model files of one kind ("controlnet", "depth"), as a user picks them."""
        ...

    def find(self, kind: str, name: str) -> Path:
        """Where the file `name` lies. Raises UserError when it is not there."""
        ...

    def check_control_net(self, name: str) -> None:
        """Raise UserError if the file `name` cannot be a ControlNet; load nothing."""
        ...

    def load_control_net(self, name: str) -> ControlNet:
        """The host's own CONTROL_NET of the file `name`."""
        ...


class ComfyHost:
    """ComfyUI's own folders and loader."""

    def names(self, kind: str) -> list[str]:
        """See `Host.names`. Learned annotators ("depth") are folders, so they are listed here."""
        import folder_paths

        if kind == "depth":
            return sorted(f.name for base in _bases(kind) for f in base.glob("*/") if f.is_dir())
        return list(folder_paths.get_filename_list(kind))

    def find(self, kind: str, name: str) -> Path:
        """See `Host.find`."""
        import folder_paths

        if kind == "depth":
            found = next((base / name for base in _bases(kind) if (base / name).is_dir()), None)
        else:
            found = folder_paths.get_full_path(kind, name)
        # A name comes from a workflow, which may be a stranger's: it must not leave its folder.
        if found is None or ".." in Path(name).parts or Path(name).is_absolute():
            raise UserError(f"{name} is not in ComfyUI's {kind} folders; put it there, or refresh.")
        return Path(found)

    def check_control_net(self, name: str) -> None:
        """See `Host.check_control_net`."""
        self.find("controlnet", name)

    def load_control_net(self, name: str) -> ControlNet:
        """See `Host.load_control_net`."""
        import comfy.controlnet

        path = self.find("controlnet", name)
        net: ControlNet | None = comfy.controlnet.load_controlnet(str(path))
        if net is None:
            raise UserError(
                f"{name} is no ControlNet that ComfyUI knows: pick a file from models/controlnet."
            )
        return net


def _bases(kind: str) -> list[Path]:
    """ComfyUI's folders for a kind that it may not know: its extra paths, or models/`kind`."""
    import folder_paths

    known = folder_paths.folder_names_and_paths.get(kind)
    return [Path(p) for p in known[0]] if known else [Path(folder_paths.models_dir, kind)]


_installed: list[Host] = []


def install(host: Host) -> None:
    """Make `host` the answer of `current`. ComfyUI's process has no need to."""
    _installed[:] = [host]


def current() -> Host:
    """The host this process runs in."""
    if _installed:
        return _installed[0]
    if "folder_paths" in sys.modules:
        return ComfyHost()
    raise UserError("no host is running: use this node in ComfyUI, or through `controlstack run`.")


def names(kind: str) -> list[str]:
    """The model files of one kind; none where no host runs (so that nodes can be listed)."""
    if "folder_paths" not in sys.modules and not _installed:
        return []
    return current().names(kind)
