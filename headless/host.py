"""The embedded host's answers to what a node may ask (`hosts/host.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ground.errors import UserError
from ..ground.progress import Steps
from ..ground.reporter import reporter
from ..hosts import host
from ..model_patch.patch_net import PatchNet
from ..model_patch.protocols import ControlNet
from ..training.base import Base
from ..training.base_fit import not_to_start_from
from . import folders

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


SHOWN = 16
"""Pictures of a batch that are shown on a node, where somebody can see them."""


class EmbeddedHost:
    """`hosts.host.Host`: files from `folders`, nets from `models`; neither torch nor diffusers is
    imported early. With `watched` there is somebody who sees what nodes show.
    """

    def __init__(self, watched: bool = False) -> None:
        self._watched = watched

    def names(self, kind: str) -> list[str]:
        return folders.names(kind)

    def find(self, kind: str, name: str) -> Path:
        return folders.find(kind, name)

    def check_control_net(self, name: str) -> None:
        from .models.inspect import check

        check(folders.find_control(name), "controlnet")

    def load_control_net(self, name: str) -> Any:
        from .models.loading import load_control_net

        self.check_control_net(name)  # validated already, unless the name came through a link
        return load_control_net(folders.find_control(name))

    def patch_net(self, patch: Any) -> PatchNet:
        raise UserError(
            "a model patch acts on Z-Image, Qwen-Image, Anima or Wan, and this host has none of "
            "these models: run the workflow in ComfyUI."
        )

    def places(self) -> list[Path]:
        return [*folders.bases("controlstack"), *folders.bases("depth")]

    def place(self, networks: Sequence[torch.nn.Module]) -> torch.device:
        """On the device that was chosen for the run, where they stay."""
        from . import computing

        place = computing.current().device
        for network in networks:
            network.to(place)
        return place

    def steps(self, total: int, text: str) -> AbstractContextManager[Steps]:
        return reporter().steps(total, text)

    def schedulers(self) -> list[str]:
        from .sampling.schedules import SCHEDULES

        return list(SCHEDULES)

    def sigmas(self, model: Any, scheduler: str, steps: int, denoise: float) -> torch.Tensor:
        from .sampling.schedules import schedule

        return schedule(scheduler, model.get_model_object("model_sampling"), steps, denoise)

    def usual_sampling(self) -> Any:
        from .sampling.model_sampling import DiscreteSampling

        return DiscreteSampling.from_betas()

    def preview(self, picture: Image) -> Mapping[str, str]:

        png = BytesIO()
        picture.save(png, format="png", compress_level=1)
        path = folders.save("temp", "controlstack", png.getvalue())
        return {"filename": path.name, "subfolder": "", "type": "temp"}

    def shown(self, pictures: Iterable[Image]) -> list[Mapping[str, str]]:
        return [self.preview(one) for one in islice(pictures, SHOWN)] if self._watched else []

    def running(self) -> Mapping[str, Any]:
        from .graph.execute import RUNNING

        return RUNNING.get({})

    def output(self) -> Path:
        return folders.current().output

    def control_nets(self) -> Path:
        """Without folders of models it is the output folder."""
        return next(iter(folders.bases("controlnet")), folders.current().output)

    def training_base(
        self, model: Any, clip: Any | None, vae: Any | None, name: str = "the base model"
    ) -> Base:
        """The U-Net is a copy, as float32: its decoder may be trained."""
        from .models.made_weights import widened
        from .training_base import base_of

        base = base_of(model, clip, vae, name)
        return replace(base, unet=widened(deepcopy(base.unet)))

    def control_net_of(self, network: Any, name: str) -> ControlNet:
        from ..training.ldm_layout import CONTROL_LORA, CONTROL_LORA_CLASS, ldm_weights
        from ..training.sdxl import with_y
        from . import computing
        from .models.control_lora import ControlLora
        from .models.control_net import ControlNet as EmbeddedControlNet

        if type(network).__name__ == CONTROL_LORA_CLASS:
            named = ldm_weights(network).items()
            return ControlLora({n: one.clone() for n, one in named if n != CONTROL_LORA}, name)
        chosen = computing.current()
        net = with_y(deepcopy(network)).eval().requires_grad_(False)
        net = net.to(chosen.device, chosen.dtype)
        return EmbeddedControlNet(net, name)

    def network_of(self, control_net: Any, unet: Any, name: str) -> Any:
        from ..training.sdxl import as_diffusers
        from .models.control_net import ControlNet as EmbeddedControlNet
        from .models.control_net import HintedNetwork
        from .models.made_weights import widened

        plain = type(control_net) is EmbeddedControlNet
        if not plain or type(control_net.network) is not HintedNetwork:
            raise not_to_start_from(control_net, name)
        return as_diffusers(widened(deepcopy(control_net.network.whole))).float().cpu()

    def training(self) -> AbstractContextManager[None]:
        """There is nothing to free."""
        import torch

        return torch.enable_grad()


@contextmanager
def use(places: folders.Folders, watched: bool = False) -> Iterator[None]:
    """Let the embedded host, with these folders, be the one that our nodes ask in the block; with
    `watched` there is somebody who sees what nodes show.
    """
    with folders.use(places), host.use(EmbeddedHost(watched)):
        yield
