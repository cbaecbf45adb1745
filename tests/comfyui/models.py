"""A folder of random-weight model files, and what ComfyUI's own loaders make of them."""

from __future__ import annotations

import gc
import shutil
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.comfyui import shapes, small_dits
from tests.comfyui.shapes import UNETS, Shapes
from tests.weights import drawn

MODELS: dict[str, Callable[[], Shapes]] = {
    **{family: partial(shapes.unet, family) for family in UNETS},
    "sd3": shapes.mmdit,
}
NETS: dict[str, Callable[[], Shapes]] = {
    # Two of the same shapes, so that a chain has nets that differ.
    "sd15 ldm": lambda: shapes.ldm_net(UNETS["sd15"]),
    "sd15 ldm b": lambda: shapes.ldm_net(UNETS["sd15"]),
    # The end of its name tells ComfyUI to average its residuals over the picture.
    "sd15 ldm shuffle": lambda: shapes.ldm_net(UNETS["sd15"]),
    "sd15 control-lora": lambda: shapes.control_lora("sd15"),
    "sd15_full t2i": shapes.t2i_adapter,
    "sd15_full control-lora": lambda: shapes.control_lora("sd15_full"),
    "sd15_wide diffusers": lambda: shapes.diffusers_net("sd15_wide"),
    "sd15_wide union": lambda: shapes.diffusers_net("sd15_wide", union=True),
    "sdxl ldm": lambda: shapes.ldm_net(UNETS["sdxl"]),
    "sdxl ldm b": lambda: shapes.ldm_net(UNETS["sdxl"]),
    "sdxl control-lora": lambda: shapes.control_lora("sdxl"),
    "sdxl_wide diffusers": lambda: shapes.diffusers_net("sdxl_wide"),
    "sdxl_wide union": lambda: shapes.diffusers_net("sdxl_wide", union=True),
    "sdxl_wide t2i": shapes.t2i_adapter_xl,
    "sd3 diffusers": shapes.sd3_net,
    "sd3 inpaint": lambda: shapes.sd3_net(channels=17),
    "sd3 stability": shapes.sd35_net,
}
VAES = {"hydit": "taesd 4", "qwen": "wan"}
CHECKPOINT_PREFIX = "model.diffusion_model."


class Shelf:
    """Files are written when they are first asked for, and loaded once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: dict[str, Any] = {}

    def model(self, family: str) -> Any:
        """A MODEL. "sd15" comes from a whole checkpoint, the others from diffusion models."""
        return self._once(f"{family} base", lambda: self._load_model(family))

    def net(self, name: str) -> Any:
        """A CONTROL_NET."""
        import comfy.controlnet

        def load() -> Any:
            if name not in small_dits.NETS:
                return comfy.controlnet.load_controlnet(str(self.file(name, NETS[name]())))
            file = self.file(name, small_dits.net_shapes(name))
            with small_dits.narrowed(name):
                return comfy.controlnet.load_controlnet(str(file))

        return self._once(name, load)

    def forget(self, family: str) -> None:
        """Let go of what was loaded of a family and its files: the wide ones take gigabytes."""
        for name in [name for name in self._loaded if name.split()[0] == family]:
            del self._loaded[name]
            self._path(name).unlink(missing_ok=True)
        gc.collect()

    def close(self) -> None:
        """Let go of everything, files too."""
        self._loaded.clear()
        shutil.rmtree(self.folder)

    def vae(self, family: str = "sd3") -> Any:
        """The VAE of a family whose nets want one, small."""
        import comfy.sd
        import comfy.utils

        kind = VAES.get(family.split("_")[0], "taesd 16")

        def load() -> Any:
            named = shapes.wan_vae() if kind == "wan" else shapes.taesd(int(kind.split()[1]))
            sd = comfy.utils.load_torch_file(str(self.file(f"{kind} vae", named)))
            with small_dits.told("comfy.ldm.wan.vae", "WanVAE", {"dim": shapes.WAN_WIDTH}):
                return comfy.sd.VAE(sd=sd)

        return self._once(f"{kind} vae", load)

    def lora(self, family: str) -> Path:
        """A LoRA for every attention projection of the family's U-Net, by ComfyUI's own names."""
        up_and_down: Shapes = {}
        for name, shape in MODELS[family]().items():
            if name.endswith(("to_q.weight", "to_v.weight", "to_out.0.weight")):
                stem = f"diffusion_model.{name.removesuffix('.weight')}"
                up_and_down[f"{stem}.lora_up.weight"] = (shape[0], shapes.LORA_RANK)
                up_and_down[f"{stem}.lora_down.weight"] = (shapes.LORA_RANK, shape[1])
        return self.file(f"{family} lora", up_and_down)

    def file(self, name: str, named: Shapes) -> Path:
        """The file of that name, with these tensors in half precision, as such files are."""
        path = self._path(name)
        if not path.exists():
            save_file(weights(name, named), path)
        return path

    def _path(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '_')}.safetensors"

    def _load_model(self, family: str) -> Any:
        import comfy.sd

        if family in small_dits.BASES:
            return small_dits.base(family)
        named = MODELS[family]()
        if family != "sd15":
            return comfy.sd.load_diffusion_model(str(self.file(family, named)))
        named = {f"{CHECKPOINT_PREFIX}{name}": shape for name, shape in named.items()}
        path = str(self.file(family, named))
        return comfy.sd.load_checkpoint_guess_config(path, output_vae=False, output_clip=False)[0]

    def _once(self, name: str, load: Callable[[], Any]) -> Any:
        if name not in self._loaded:
            self._loaded[name] = load()
            assert self._loaded[name] is not None, f"ComfyUI did not take the file {name}"
        return self._loaded[name]


def weights(name: str, named: Shapes) -> dict[str, Tensor]:
    """Drawn from the file's own name; marks and scales, which have no dimensions, and variances
    are 1."""
    seed = zlib.crc32(name.encode())
    ones = {key for key, shape in named.items() if not shape or key.endswith("running_var")}
    return {
        key: torch.ones(shape) if key in ones else drawn({key: shape}, seed)[key].half()
        for key, shape in named.items()
    }
