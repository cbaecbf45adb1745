"""CONTROL_NET of a T2I adapter: features of the hint, added inside the U-Net's encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from ...ground.errors import UserError
from .control_base import ControlBase, Residuals, Run, broadcast_batch
from .t2i_network import T2INetwork

LEVELS_XL = 3


class T2IAdapter(ControlBase):
    """Sees the hint alone, neither the latent nor the step: computed once a run.

    Its residuals are for the "input" blocks: the last layer of each level, before it is halved.
    """

    def __init__(self, network: T2INetwork, name: str = "T2I adapter") -> None:
        """`name` is what errors call it."""
        super().__init__(network, name)
        self.t2i_model = network
        self._layers: tuple[int, ...] = ()
        self.control_input: list[Tensor] | None = None
        """What it made of the hint last, by ComfyUI's name; another list once it ran again."""

    def pre_run(self, model: Any, percent_to_timestep_function: Callable[[float], float]) -> None:
        """Begin a run; UserError where the model's levels are not those of the adapter."""
        config = model.unet_config
        levels = tuple(config["block_out_channels"])
        if self.t2i_model.xl and len(levels) != LEVELS_XL:
            raise UserError(
                f"{self.name} is a T2I adapter for SDXL, whose U-Net has {LEVELS_XL} levels, and "
                f"this model has {len(levels)}: use an SDXL model, or an adapter made for this one."
            )
        # Features for deeper levels than the model has are left out, as in ComfyUI.
        if self.t2i_model.channels[: len(levels)] != levels:
            raise UserError(
                f"{self.name} was made for another model family: its features have "
                f"{self.t2i_model.channels} channels and the model's levels {levels}; load a T2I "
                "adapter that fits the checkpoint."
            )
        layers = config["layers_per_block"]
        self._layers = (layers,) * len(levels) if isinstance(layers, int) else tuple(layers)
        super().pre_run(model, percent_to_timestep_function)

    def _bare_copy(self) -> T2IAdapter:
        return T2IAdapter(self.t2i_model, self.name)

    def _own(
        self, x: Tensor, t: Tensor, cond: Mapping[str, Any], batched_number: int, run: Run
    ) -> Residuals:
        features = [
            broadcast_batch(one * self.strength, x.shape[0], batched_number).expand(
                x.shape[0], -1, -1, -1
            )
            for one in self._features(x, run)
        ]
        rows: list[Tensor | None] = []
        middle: list[Tensor | None] = []
        if self.t2i_model.xl:
            # The first map belongs where the first level's picture has been halved, the last one
            # to the middle (ComfyUI, `t2i_adapter/adapter.py`).
            first, second, third, last = features
            places = zip((first, second, third), (1, -1, 0), self._layers, strict=True)
            for one, more, layers in places:
                rows += [*[None] * (layers + more), one]
            middle = [last]
        else:
            for one, layers in zip(features, self._layers, strict=False):
                # Before a level's last layer come its halving, or the input convolution, and the
                # rest.
                rows += [*[None] * layers, one]
        rows.reverse()  # the U-Net takes "input" from the end of the list
        return {"input": rows, "middle": middle, "output": []}

    def _features(self, x: Tensor, run: Run) -> list[Tensor]:
        """One feature map a level for each hint, for latents of this size."""
        key = (*x.shape[-2:], x.device)
        if key not in run.kept:
            hint = self._resized_hint(x, self.t2i_model.pixels).to(
                next(self.t2i_model.parameters()).dtype
            )
            run.kept[key] = self.t2i_model(self._with_channels(hint))
        features: list[Tensor] = run.kept[key]
        self.control_input = features
        return features

    def _with_channels(self, hint: Tensor) -> Tensor:
        """A colour picture as the adapter's grey one; other differences are refused."""
        wanted = self.t2i_model.hint_channels
        if wanted == 1:
            return hint.mean(dim=1, keepdim=True)
        if hint.shape[1] != wanted:
            raise UserError(
                f"{self.name} was given a hint of {hint.shape[1]} channels and takes {wanted}; "
                "give it a colour picture."
            )
        return hint
