"""A trainable network of a MODEL, and networks as files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from ..ground.atomic import beside, take
from ..ground.errors import UserError
from ..ground.log import log
from ..ground.names import require_bare_name, without_ending
from ..ground.parameters import parameters, settings_of
from ..ground.places import require_place
from ..hosts import host
from ..training.settings import NetSettings, NetworkSettings
from .train_values import CATEGORY, TRAINABLE, Trainable
from .upstream import HIDDEN, Prompt, file_behind
from .widgets import answer, filled, widgets


@filled
class ControlStackControlNetFromModel:
    """A MODEL -> a network to be trained on it."""

    DESCRIPTION = (
        "Makes a trainable ControlNet of a model: a copy of its encoder behind zero convolutions, "
        "which adds nothing before it is trained. The model is not changed."
    )
    SEARCH_ALIASES = (
        *("controlnet from unet", "create controlnet", "new controlnet", "trainable copy"),
        *("train controlnet", "训练", "从模型创建 ControlNet"),
    )
    CATEGORY = CATEGORY
    FUNCTION = "make"
    RETURN_TYPES = (TRAINABLE,)
    RETURN_NAMES = ("net",)
    OUTPUT_TOOLTIPS = ("The network, for Train ControlNet.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        fields = widgets(parameters(NetSettings))
        later = {"rank": fields.pop("rank")}  # workflows know the places of those before it
        seed = {"default": 0, "min": 0, "max": 2**63 - 1, "control_after_generate": False}
        words = "Decides the weights that do not come from the model."
        return {
            "required": {
                "model": (
                    "MODEL",
                    {"tooltip": "The model to control, of the SD 1.5, 2.x or SDXL family."},
                ),
                **fields,
                "net_seed": ("INT", {**seed, "tooltip": words}),
            },
            "optional": {
                **later,
                "start_from": (
                    "CONTROL_NET",
                    {
                        "tooltip": "A ControlNet to train further instead of a new one, from Load "
                        "ControlNet. Nothing: a new one is made of the model."
                    },
                ),
                "transfer_from": (
                    "MODEL",
                    {
                        "tooltip": "The model that start_from was trained on, to move it to the "
                        "new one: each weight becomes control + new model - old model."
                    },
                ),
            },
            "hidden": HIDDEN,
        }

    def make(
        self,
        model: Any,
        net_seed: int,
        start_from: Any = None,
        transfer_from: Any = None,
        prompt: Prompt | None = None,
        unique_id: str | None = None,
        **settings: Any,
    ) -> tuple[Trainable]:
        """Copy the MODEL's encoder (`training.trainable.control_net_from`), or take the ControlNet
        to start from, moved to the MODEL where its own one is given (`training.transfer`)."""
        from ..training.trainable import control_net_from
        from ..training.transfer import begun_from

        chosen = settings_of(NetSettings, settings, "ControlNet from Model")
        name = file_behind(prompt, unique_id, "model") or "the base model"
        if start_from is None and transfer_from is not None:
            raise UserError(
                "transfer_from is the model of an existing ControlNet; wire that to start_from."
            )
        here = host.current()
        about = {"kind": chosen.kind, "base": name}
        if chosen.kind == "control_lora":
            about["rank"] = str(chosen.rank)
        with here.training():
            base = here.training_base(model, None, None, name)
            if start_from is None:
                network = control_net_from(base.unet, chosen, net_seed)
                return (Trainable(network.cpu(), chosen, about),)
            first = file_behind(prompt, unique_id, "start_from", "control_net") or "a ControlNet"
            network = here.network_of(start_from, base.unet, first)
            old_name, old = "", None
            if transfer_from is not None:
                old_name = file_behind(prompt, unique_id, "transfer_from", "model") or "a model"
                old = here.training_base(transfer_from, None, None, old_name).unet.cpu()
            network = begun_from(network, chosen.kind, first, base.unet, old).cpu()
        begun = NetworkSettings(**asdict(chosen), start_from=first, transfer_from=old_name)
        return (Trainable(network, begun, about | {"start_from": first}),)


class ControlStackSaveControlNet:
    """A network -> a file that the loaders list."""

    DESCRIPTION = (
        "Saves a trained ControlNet to models/controlnet, where Load ControlNet finds it. Nothing "
        "is overwritten."
    )
    SEARCH_ALIASES = ("export controlnet", "write controlnet", "保存 ControlNet")
    CATEGORY = CATEGORY
    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("path",)
    OUTPUT_TOOLTIPS = ("Where the file or folder is.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The node's inputs and widgets."""
        return {
            "required": {
                "net": (TRAINABLE, {"tooltip": "The network, from Train ControlNet."}),
                "name": (
                    "STRING",
                    {
                        "default": "my_controlnet",
                        "tooltip": "The file's name. A number is added if it is taken.",
                    },
                ),
                "format": (
                    list(FORMATS),
                    {
                        "tooltip": "single file: what ComfyUI and others load. diffusers: a folder "
                        "for diffusers and for further training."
                    },
                ),
                "precision": (
                    list(PRECISIONS),
                    {"tooltip": "Numbers that the file keeps: fp16 is half as large."},
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, name: str | None = None) -> bool | str:
        """Whether a file of the name can be written; None where it comes through a link."""
        return answer(_require_place, name)

    def save(self, net: Trainable, name: str, format: str, precision: str) -> dict[str, Any]:
        """Write the file and say where."""
        import torch

        from ..training.export import save_folder, save_single_file

        _require_place(name)
        dtype = {"fp16": torch.float16, "fp32": torch.float32}[precision]
        ending = ".safetensors" if format == "single file" else ""
        with beside(next(_names(name, ending))) as part:
            if ending:
                save_single_file(net.network, part, dtype, net.about)
            else:
                save_folder(net.network, part, net.about, dtype)
            path = take(part, _names(name, ending))
        said = [str(path)]
        if note := _not_for_comfyui(net.network):
            log.warning("Save ControlNet: %s %s", path, note)
            said.append(note)
        return {"ui": {"text": said}, "result": (str(path),)}


FORMATS = ("single file", "diffusers")
PRECISIONS = ("fp16", "fp32")


def check_name(name: str) -> None:
    """Raise UserError for a name that is none, or would leave its folder."""
    require_bare_name(name, "a ControlNet's")


def _names(name: str, ending: str) -> Iterator[Path]:
    """name, name_2, name_3 ... in the folder of new ControlNets; the name's own ending goes."""
    folder, name = host.current().control_nets(), without_ending(name, ".safetensors")
    yield folder / f"{name}{ending}"
    yield from (folder / f"{name}_{number}{ending}" for number in count(2))


def _require_place(name: str) -> None:
    """Raise UserError for a name that is none, or that no file can be written under."""
    check_name(name)
    free = next(path for path in _names(name, ".safetensors") if not path.exists())
    require_place(free, "the ControlNet")


def _not_for_comfyui(network: Any) -> str | None:
    """Why ComfyUI cannot load the file of `network` again, as a sentence; None where it can."""
    from ..training.ldm_layout import unread_by_comfyui

    if type(network).__name__ == "LiteControlNet":
        return (
            "ComfyUI's own loader cannot read a lite network. Load it with ControlStack, without "
            "ComfyUI."
        )
    return unread_by_comfyui(network)
