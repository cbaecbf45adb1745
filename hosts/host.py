"""Which files there are and how one is loaded: the only place where the two hosts differ.

In ComfyUI the answers are ComfyUI's own (`comfy/`); anywhere else a program says with `use` whose
they are. Nothing here imports a host that is not already running.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from ..ground.errors import UserError
from ..ground.progress import Steps, unseen
from ..model_patch.patch_net import PatchNet
from ..model_patch.protocols import ControlNet

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from ..training.base import Base

PREVIEW = 1024
"""Pixels of the longer edge of a picture that is shown beside a progress bar, at most."""

SCHEDULERS = (
    *("simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal"),
    *("linear_quadratic", "kl_optimal"),
)
"""Schedules of noise levels that every host has, in the order of ComfyUI's menu."""

CONTROL_FOLDERS = ("controlnet", "model_patches")
"""The kinds of folders that hold controls; a name that is in both is the first one's."""

HINT_WEIGHTS = "controlstack"
"""The kind of folder, in ComfyUI's words, that holds the weights of hint networks."""


class Host(Protocol):
    """What a node may ask of the program it runs in."""

    def names(self, kind: str) -> list[str]:
        """The model files of one kind ("controlnet"), as a user picks them; none of a kind that
        the host does not know."""

    def find(self, kind: str, name: str) -> Path:
        """Where the file `name` lies. Raises UserError when it is not there."""

    def check_control_net(self, name: str) -> None:
        """Raise UserError if the file `name`, in any of `CONTROL_FOLDERS`, cannot be a control;
        load nothing."""

    def load_control_net(self, name: str) -> Any:
        """The host's own CONTROL_NET, or MODEL_PATCH, of the file `name`: what the file is, in
        whichever of `CONTROL_FOLDERS` it lies."""

    def patch_net(self, patch: Any) -> PatchNet:
        """A MODEL_PATCH on a wire as a control. Raises UserError for one that is none."""

    def places(self) -> list[Path]:
        """The folders where weights of hint networks are looked for; downloads go to the first."""

    def place(self, networks: Sequence[torch.nn.Module]) -> torch.device:
        """Bring `networks` to where they compute, in the host's keeping, and return that device.

        To be asked before each use: the host may have taken them back since. Whoever keeps the
        networks keeps them in the host's memory; nothing else does.
        """

    def steps(self, total: int, text: str) -> AbstractContextManager[Steps]:
        """Show the progress of `total` steps, such as the pictures of a batch, inside the block."""

    def schedulers(self) -> list[str]:
        """The names of its schedules of noise levels."""

    def sigmas(self, model: Any, scheduler: str, steps: int, denoise: float) -> Tensor:
        """The noise levels (steps + 1,) of a MODEL by a schedule, as the core's BasicScheduler
        gives them: `denoise` below 1 takes the end of a longer one, at 0 there are none."""

    def usual_sampling(self) -> Any:
        """The noise levels of Stable Diffusion 1.x, 2.x and SDXL, for where no model is known."""

    def preview(self, picture: Image) -> Mapping[str, str]:
        """Save a picture among those that are only shown, and name it as the front end wants it in
        the `images` of a node's `ui`."""

    def shown(self, pictures: Iterable[Image]) -> list[Mapping[str, str]]:
        """The first of the pictures that a node made, saved and named as `preview` does, to be seen
        on the node; none, and nothing is taken of `pictures`, where nobody could look."""

    def running(self) -> Mapping[str, Any]:
        """The inputs of the node that runs now, as far as the graph tells their values."""

    def output(self) -> Path:
        """The folder of what is made."""

    def control_nets(self) -> Path:
        """The folder that new ControlNets are saved to, where the loader finds them."""

    def training_base(
        self, model: Any, clip: Any | None, vae: Any | None, name: str = "the base model"
    ) -> Base:
        """A MODEL as the locked model of a training run, on the device that trains, in float32.

        Without CLIP and VAE it has no encoders. What the MODEL's weights were patched with (LoRAs)
        is in them; the MODEL stays as it was. Raises UserError for a family that cannot be trained,
        for a MODEL that is changed in ways that no weights hold, and for one encoder without the
        other.
        """

    def control_net_of(self, network: Any, name: str) -> ControlNet:
        """A CONTROL_NET of a network that was trained (`training.trainable`); errors call it
        `name`. It has the weights of this moment, on the CPU.
        """

    def network_of(self, control_net: Any, unet: Any, name: str) -> Any:
        """The network of a CONTROL_NET, to be trained on a locked `unet` or moved to it: of
        diffusers' layout, a copy in fp32 on the CPU.

        Raises UserError, which calls it `name`, for a T2I adapter, a union net, a Control-LoRA and
        whatever else holds no copy of an encoder of this shape.
        """

    def training(self) -> AbstractContextManager[None]:
        """Inside the block gradients are recorded, and the host has freed the device.

        Tensors that came through wires have to be cloned there before they take part.
        """


_HOST: ContextVar[Host] = ContextVar("controlstack_host")


@contextmanager
def use(host: Host) -> Iterator[Host]:
    """Let `host` answer inside the block, also in ComfyUI's process, and the former one after it.

    It holds for this thread and what it calls, as context variables do.
    """
    token = _HOST.set(host)
    try:
        yield host
    finally:
        _HOST.reset(token)


def current() -> Host:
    """The host this process runs in. Raises UserError where there is none."""
    host = _HOST.get(None)
    if host is None and "folder_paths" in sys.modules:
        from .comfy.host import ComfyHost

        return ComfyHost()
    if host is None:
        raise UserError(
            "no host is running: use this node in ComfyUI, or through `controlstack run`."
        )
    return host


def is_running() -> bool:
    """Whether there is a host to ask; nodes can be listed without one."""
    return _HOST.get(None) is not None or "folder_paths" in sys.modules


def names(kind: str) -> list[str]:
    """The model files of one kind; none where no host runs (so that nodes can be listed)."""
    return current().names(kind) if is_running() else []


def control_names() -> list[str]:
    """The files of controls in all `CONTROL_FOLDERS`, each name once, in the folders' order."""
    return list(dict.fromkeys(name for kind in CONTROL_FOLDERS for name in names(kind)))


def schedulers() -> list[str]:
    """The host's schedules; those that all have where no host runs."""
    return current().schedulers() if is_running() else list(SCHEDULERS)


def steps(total: int, text: str) -> AbstractContextManager[Steps]:
    """The host's progress of `total` steps; none is shown where no host runs."""
    return current().steps(total, text) if is_running() else unseen(total, text)
