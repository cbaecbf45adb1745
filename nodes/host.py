"""Which files there are and how one is loaded: the only place where the two hosts differ.

In ComfyUI the answers are `folder_paths` and `comfy.controlnet`; anywhere else the embedded host
installs its own with `install`. Nothing here imports a host that is not already running.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from ..ground.errors import UserError
from ..ground.progress import Steps, unseen
from ..model_files.files import SAFETENSORS_SUFFIXES, is_pickle, read_contents
from ..model_files.kinds import CONTROLNET, kind_of
from ..model_patch.protocols import ControlNet

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..training.base import Base

PREVIEW = 1024
"""Pixels of the longer side of a picture that is shown beside a progress bar, at most."""

HINT_WEIGHTS = "controlstack"
"""The kind of folder, in ComfyUI's words, that holds the weights of hint networks."""


class Host(Protocol):
    """What a node may ask of the program it runs in."""

    def names(self, kind: str) -> list[str]:
        """The model files of one kind ("controlnet"), as a user picks them."""
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

    def places(self) -> list[Path]:
        """The folders where weights of hint networks are looked for; downloads go to the first."""
        ...

    def place(self, networks: Sequence[torch.nn.Module]) -> torch.device:
        """Bring `networks` to where they compute, in the host's keeping, and return that device.

        To be asked before each use: the host may have taken them back since. Whoever keeps the
        networks keeps them in the host's memory; nothing else does.
        """
        ...

    def steps(self, total: int, text: str) -> AbstractContextManager[Steps]:
        """Show the progress of `total` steps, such as the pictures of a batch, inside the block."""
        ...

    def output(self) -> Path:
        """The folder of what is made."""
        ...

    def control_nets(self) -> Path:
        """The folder that new ControlNets are saved to, where the loader finds them."""
        ...

    def training_base(
        self, model: Any, clip: Any | None, vae: Any | None, name: str = "the base model"
    ) -> Base:
        """A MODEL as the locked model of a training run, on the device that trains, in float32.

        Without CLIP and VAE it has no encoders. What the MODEL's weights were patched with (LoRAs)
        is in them; the MODEL stays as it was. Raises UserError for a family that cannot be trained,
        for a MODEL that is changed in ways that no weights hold, and for one encoder without the
        other.
        """
        ...

    def control_net_of(self, network: Any, name: str) -> ControlNet:
        """A CONTROL_NET of a trained network (`training.copy.control_net_from`); errors call it
        `name`. It has the weights of this moment, on the CPU.
        """
        ...

    def training(self) -> AbstractContextManager[None]:
        """Inside the block gradients are recorded, and the host has freed the device.

        Tensors that came through wires have to be cloned there before they take part.
        """
        ...


class ComfyHost:
    """ComfyUI's own folders and loader."""

    def names(self, kind: str) -> list[str]:
        """See `Host.names`."""
        import folder_paths

        return list(folder_paths.get_filename_list(kind))

    def find(self, kind: str, name: str) -> Path:
        """See `Host.find`."""
        import folder_paths

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

    def places(self) -> list[Path]:
        """See `Host.places`. Folders that a user named for "controlstack" in his extra paths come
        first, then models/controlstack, models/depth, and what comfyui_controlnet_aux fetched.
        """
        import folder_paths

        own = Path(folder_paths.models_dir, HINT_WEIGHTS)
        folder_paths.add_model_folder_path(HINT_WEIGHTS, str(own))
        return list(dict.fromkeys([*_bases(HINT_WEIGHTS), *_bases("depth"), *_aux_folders()]))

    def place(self, networks: Sequence[torch.nn.Module]) -> torch.device:
        """See `Host.place`."""
        from . import host_memory

        return host_memory.place(networks)

    @contextmanager
    def steps(self, total: int, text: str) -> Iterator[Steps]:
        """See `Host.steps`. ComfyUI shows the node's own bar, without the words."""
        yield _ComfySteps(total)

    def output(self) -> Path:
        """See `Host.output`."""
        import folder_paths

        return Path(folder_paths.get_output_directory())

    def control_nets(self) -> Path:
        """See `Host.control_nets`."""
        return _bases("controlnet")[0]

    def training_base(
        self, model: Any, clip: Any | None, vae: Any | None, name: str = "the base model"
    ) -> Base:
        """See `Host.training_base`."""
        from . import comfy_training

        return comfy_training.base_of(model, clip, vae, name)

    def control_net_of(self, network: Any, name: str) -> ControlNet:
        """See `Host.control_net_of`."""
        from .comfy_net import control_net_of

        return control_net_of(network)

    def training(self) -> AbstractContextManager[None]:
        """See `Host.training`."""
        from . import comfy_training

        return comfy_training.training()


class _ComfySteps:
    """ComfyUI's progress bar, and its Cancel between two steps."""

    def __init__(self, total: int) -> None:
        import comfy.utils

        self._bar: Any = comfy.utils.ProgressBar(total)

    def advance(self, picture: Image | None = None) -> None:
        import comfy.model_management

        shown = None if picture is None else ("JPEG", picture, PREVIEW)
        self._bar.update_absolute(self._bar.current + 1, preview=shown)
        comfy.model_management.throw_exception_if_processing_interrupted()


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


def _aux_folders() -> list[Path]:
    """Where comfyui_controlnet_aux keeps its weights: nobody needs them twice.

    The pack tells its folder in AUX_ANNOTATOR_CKPTS_PATH while it runs; ckpts is its default.
    """
    import folder_paths

    told = os.environ.get("AUX_ANNOTATOR_CKPTS_PATH")
    named = [Path(told)] if told else []
    packs = folder_paths.get_folder_paths("custom_nodes")
    named += [Path(pack, "comfyui_controlnet_aux", "ckpts") for pack in packs]
    return [path for path in named if path.is_dir()]


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


def is_running() -> bool:
    """Whether there is a host to ask; nodes can be listed without one."""
    return bool(_installed) or "folder_paths" in sys.modules


def names(kind: str) -> list[str]:
    """The model files of one kind; none where no host runs (so that nodes can be listed)."""
    return current().names(kind) if is_running() else []


def steps(total: int, text: str) -> AbstractContextManager[Steps]:
    """The host's progress of `total` steps; none is shown where no host runs."""
    return current().steps(total, text) if is_running() else unseen(total, text)
