"""CONTROL_NET of a Control-LoRA: the model's own encoder, changed by factors of low rank.

Stability AI's format (https://huggingface.co/stabilityai/control-lora), as ComfyUI's `ControlLora`
reads it (`comfy/controlnet.py`): the file holds what the U-Net has not (the hint's encoder, the
zero convolutions), and for its layers `up` and `down`, whose product is added to their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...ground.errors import UserError
from ...model_files.folders import CONFIG, read_config
from ...training.ldm_layout import CONTROL_LORA as MARK
from ...training.ldm_layout import HINT_PLACES, ldm_name, ldm_named
from .control_base import ControlBase
from .control_net import ControlNet, HintedNetwork
from .made_weights import as_its_base, low_rank
from .weights import Weights, from_config, read_folder, read_weights

_ROLES = ("weight", "bias")


class ControlLora(ControlNet):
    """A ControlNet that exists while it runs, on the weights of the model that samples.

    Those are shared, not copied: a layer adds its product to its weight each time it computes.
    """

    def __init__(self, control_weights: Weights, name: str = "Control-LoRA") -> None:
        """`control_weights`: the file's tensors by their names; `name` is what errors call it."""
        ControlBase.__init__(self, None, name)
        self.control_weights = control_weights
        self.global_average_pooling = False

    @property
    def control_model(self) -> nn.Module | None:
        """The network without its hint encoder; None while it does not run."""
        return None if self._network is None else self.network.rest

    @property
    def network(self) -> HintedNetwork:
        """The network of the run."""
        if not isinstance(self._network, HintedNetwork):
            raise RuntimeError(f"{self.name} was asked for its network before pre_run")
        return self._network

    def _bare_copy(self) -> ControlLora:
        return ControlLora(self.control_weights, self.name)

    def pre_run(self, model: Any, percent_to_timestep_function: Callable[[float], float]) -> None:
        """Begin a run; UserError where the file does not fit the model's U-Net."""
        super().pre_run(model, percent_to_timestep_function)
        net = assembled(model.diffusion_model, self.control_weights, self.name)
        self._network = HintedNetwork(net)

    def cleanup(self) -> None:
        """End the run of the whole chain: drop what was kept; safe to call twice."""
        self._network = None
        super().cleanup()


def load(path: Path) -> ControlLora:
    """The Control-LoRA of a file, or of a folder that our training wrote."""
    if path.is_dir():
        weights = ldm_named(read_folder(path), read_config(path / CONFIG))
    else:
        weights = read_weights(path, lambda name: name != MARK)
    return ControlLora(weights, path.name)


def check(shapes: Mapping[str, tuple[int, ...]], source: Path) -> None:
    """UserError where a Control-LoRA's file lacks its hint's encoder or one half of a product."""
    wanted = [f"input_hint_block.{place}.weight" for place in HINT_PLACES]
    for name in shapes:
        stem, _, role = name.rpartition(".")
        if role in ("up", "down"):
            wanted += [f"{stem}.up", f"{stem}.down"]
    missing = [name for name in wanted if name not in shapes]
    if missing:
        raise UserError(
            f"{source} is no whole Control-LoRA: {missing[0]} is missing; fetch it again."
        )


def assembled(unet: nn.Module, weights: Weights, name: str) -> nn.Module:
    """Diffusers' ControlNetModel of `unet`'s shape: its layers, changed, and those of `weights`.

    Raises UserError, naming `name`, where a layer is in neither, or of another size than the
    model's.
    """
    net = _skeleton(unet, weights, Path(name))
    layers = net.config.layers_per_block
    hints = len(net.controlnet_cond_embedding.blocks)
    theirs = dict(unet.named_modules())
    like = next(unet.parameters())
    for path, layer in _leaves(net):
        base = theirs.get(path, nn.Identity())
        stem = ldm_name(f"{path}.weight", layers, hints).removesuffix(".weight")
        for role in _ROLES:
            wanted = getattr(layer, role, None)
            if wanted is None:
                continue
            own = weights.get(f"{stem}.{role}")
            given = getattr(base, role, None) if own is None else own.to(like)
            if given is None or given.shape != wanted.shape:
                raise UserError(_misfit(name, f"{stem}.{role}", given, wanted))
            setattr(layer, role, nn.Parameter(given, requires_grad=False))
        up, down = weights.get(f"{stem}.up"), weights.get(f"{stem}.down")
        if up is not None and down is not None:
            if len(up) * down[0].numel() != layer.weight.numel() or up.shape[1] != len(down):
                raise UserError(
                    f"{name} is a Control-LoRA for another model: its {stem} is {tuple(up.shape)} "
                    f"by {tuple(down.shape)} and the model's {tuple(layer.weight.shape)}; use the "
                    "model that it was made for."
                )
            low_rank(layer, base, up.to(like), down.to(like))
        elif f"{stem}.weight" not in weights:
            as_its_base(layer, base)
    made: nn.Module = net.eval()
    return made


def _skeleton(unet: nn.Module, weights: Weights, source: Path) -> Any:
    from diffusers import ControlNetModel

    config: Any = unet.config
    hint = [weights[f"input_hint_block.{place}.weight"] for place in HINT_PLACES]
    own = {
        "conditioning_channels": hint[0].shape[1],
        "conditioning_embedding_out_channels": [len(weight) for weight in hint],
    }
    return from_config(ControlNetModel, {**config, **own}, source)


def _leaves(net: nn.Module) -> Iterator[tuple[str, Any]]:
    for path, module in net.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            yield path, module


def _misfit(name: str, layer: str, given: Tensor | None, wanted: Tensor) -> str:
    if given is None:
        return f"{name} lacks {layer}, which the model has not either: fetch the file again."
    return (
        f"{name} is a Control-LoRA for another model: its {layer} is {tuple(given.shape)} and has "
        f"to be {tuple(wanted.shape)}; use the model that it was made for."
    )
