"""Which files there are and how one is loaded: the only place where the two hosts differ.

In ComfyUI the answers are `folder_paths` and `comfy.controlnet`; anywhere else the embedded host
installs its own with `install`. Nothing here imports a host that is not already running.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol

import torch

from ..errors import UserError
from ..model_files.files import SAFETENSORS_SUFFIXES, is_pickle, read_contents
from ..model_files.kinds import CONTROLNET, kind_of
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
        """See `Host.check_control_net`. A kind of file that is not known here passes: ComfyUI's
        loader is to judge it, and newer ones take more.
        """
        path = self.find("controlnet", name)
        contents = read_contents(path)
        _check_ending(path)
        kind = kind_of(contents.shapes)
        if kind is not None and kind.loads != CONTROLNET.loads:
            raise UserError(f"{path} is {kind.words}, not {CONTROLNET.words}: {kind.place}.")

    def load_control_net(self, name: str) -> ControlNet:
        """See `Host.load_control_net`."""
        import comfy.controlnet

        self.check_control_net(name)  # validated already, unless the name came through a link
        path = self.find("controlnet", name)
        try:
            net: ControlNet | None = comfy.controlnet.load_controlnet(str(path))
        except torch.OutOfMemoryError:
            raise  # ComfyUI frees memory and says so itself
        except _NOT_LOADABLE as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise UserError(
                f"{path} cannot be loaded as a ControlNet, ComfyUI's loader says {reason!r}: fetch "
                "the file again, or update ComfyUI if the ControlNet is newer."
            ) from error
        if net is None:
            raise UserError(
                f"{path} is no ControlNet that this ComfyUI knows: pick another file from "
                "models/controlnet, or update ComfyUI if the ControlNet is newer."
            )
        return net


# What ComfyUI's loader, and torch in it, raise over a file that is not what it seems.
_NOT_LOADABLE = (RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError)


def _check_ending(path: Path) -> None:
    """ComfyUI goes by a file's name, where the contents may be of the other format."""
    named = path.suffix.lower() in SAFETENSORS_SUFFIXES
    if named == is_pickle(path):
        told, right = ("a pickle", ".pth") if named else ("a safetensors file", ".safetensors")
        raise UserError(f"{path} is {told} by its contents: rename it so that it ends {right}.")


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
