"""CONTROL_NET over diffusers' ControlNetModel, with the methods that ComfyUI's own object has."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...ground.errors import UserError
from ...ground.wording import listing
from ...model_patch.union import ARGUMENT as TYPES
from ...model_patch.union import SDXL_TYPES, types_of
from ..sampling.size_conditioning import y_width
from .control_base import ControlBase, Residuals, Run, broadcast_batch


class HintedNetwork(nn.Module):
    """A ControlNetModel in two halves: the hint's encoder, which sees no step, and the rest.

    Shares its weights with the network given, which stays whole and untouched. The encoder's output
    depends on the hint alone, so a run needs it once and not at every step.
    """

    num_control_type = 0
    """How many types of hints a union net knows; 0 of any other."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        config: Any = network.config
        self._whole = (network,)  # in a tuple, or its weights were counted twice
        # torch types a submodule as Tensor or Module; this one is a Module.
        self.hint_encoder: nn.Module = network.controlnet_cond_embedding  # type: ignore[assignment]
        self.flips_channels: bool = config.controlnet_conditioning_channel_order == "bgr"
        self.pools: bool = config.global_pool_conditions
        self.y_width = y_width(network)
        rest: Any = copy.copy(network)
        rest._modules = dict(network._modules)
        rest.controlnet_cond_embedding = nn.Identity()
        # Both are done here: the flip belongs before the encoder, the mean over the picture has to
        # come back at full size.
        rest.register_to_config(
            controlnet_conditioning_channel_order="rgb", global_pool_conditions=False
        )
        self.rest: nn.Module = rest

    @property
    def whole(self) -> nn.Module:
        """The network that was given."""
        return self._whole[0]

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.rest.parameters()).dtype

    def encode_hint(self, hint: Tensor, types: Sequence[int] = ()) -> Tensor:
        """(B, 3, 8h, 8w) in 0..1 to (B, C, h, w); union nets alone have types."""
        embedding: Tensor = self.hint_encoder(hint.flip(1) if self.flips_channels else hint)
        return embedding

    def labels(self, x: Tensor, y: Tensor | None, types: Sequence[int] = ()) -> Tensor | None:
        """What joins the time, made of SDXL's vector `y` (B, width) and of types; None for none."""
        return y

    def forward(
        self,
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        embedding: Tensor,
        scale: float,
        labels: Tensor | None = None,
    ) -> tuple[list[Tensor], Tensor]:
        """Residuals in encoder order and the middle one, each times `scale`; x is (B, 4, h, w)."""
        also = {} if labels is None else {"class_labels": labels}
        down, middle = self.rest(
            x, timestep, context, embedding, conditioning_scale=scale, return_dict=False, **also
        )
        return list(down), middle


class ControlNet(ControlBase):
    """CONTROL_NET of a ControlNetModel: residuals for the skips and the middle of the U-Net."""

    def __init__(
        self,
        network: nn.Module,
        name: str = "ControlNet",
        *,
        global_average_pooling: bool | None = None,
    ) -> None:
        """`network`: a diffusers ControlNetModel. `name` is what errors call it.

        `global_average_pooling`: use each residual's mean over the picture (shuffle nets); None
        takes what the network's configuration says.
        """
        halves = network if isinstance(network, HintedNetwork) else HintedNetwork(network)
        super().__init__(halves, name)
        pooled = halves.pools if global_average_pooling is None else global_average_pooling
        self.global_average_pooling = pooled

    @property
    def network(self) -> HintedNetwork:
        """The network in its two halves."""
        return cast(HintedNetwork, self._network)  # this class gives it no other

    @property
    def control_model(self) -> nn.Module | None:
        """The network without its hint encoder."""
        return self.network.rest

    def set_extra_arg(self, argument: str, value: Any = None) -> None:
        """Keep an argument for the network; UserError for a union type that it does not have."""
        known = len(types_of(self))
        if argument != TYPES or not known:
            super().set_extra_arg(argument, value)
            return
        if len(value) > 1:
            raise UserError(
                f"{self.name} is given {len(value)} union types and takes one for each hint: use "
                "an apply node for each, with the same net."
            )
        for number in value:
            if number >= known:
                asked = dict(enumerate(SDXL_TYPES)).get(number, number)
                raise UserError(
                    f"{self.name} knows {known} types of hints, {listing(types_of(self))}, and "
                    f"{asked} is not among them: use the ProMax net, which knows {len(SDXL_TYPES)}."
                )
        self.extra_args[argument] = value

    @property
    def _types(self) -> Sequence[int]:
        types: Sequence[int] = self.extra_args.get(TYPES) or ()
        return types

    def _bare_copy(self) -> ControlNet:
        return ControlNet(
            self.network, self.name, global_average_pooling=self.global_average_pooling
        )

    def _own(
        self, x: Tensor, t: Tensor, cond: Mapping[str, Any], batched_number: int, run: Run
    ) -> Residuals:
        context: Tensor = cond.get("crossattn_controlnet", cond["c_crossattn"])
        embedding = self._embedding(x, batched_number, run)
        dtype = self.network.dtype
        timestep = run.model_sampling.timestep(t)
        scaled = run.model_sampling.calculate_input(t, x).to(dtype)
        down, middle = self.network(
            scaled,
            timestep.to(dtype),
            context.to(x.device, dtype),
            embedding,
            self.strength,
            self.network.labels(scaled, self._y(cond, x, dtype), self._types),
        )
        if self.global_average_pooling:
            down, middle = [_mean_over_picture(r) for r in down], _mean_over_picture(middle)
        return {"input": [], "middle": [middle], "output": [*down]}

    def _y(self, cond: Mapping[str, Any], x: Tensor, dtype: torch.dtype) -> Tensor | None:
        """SDXL's vector for a net that takes one: the one that the U-Net is given."""
        width = self.network.y_width
        if not width:
            return None
        y: Tensor | None = cond.get("y")
        if y is None or y.shape[-1] != width:
            told = "gives none" if y is None else f"gives one {y.shape[-1]} wide"
            raise UserError(
                f"{self.name} takes a vector {width} wide beside the text and this model {told}: "
                "use a ControlNet made for this model."
            )
        return y.to(x.device, dtype)

    def _embedding(self, x: Tensor, batched_number: int, run: Run) -> Tensor:
        """The encoded hint for a latent of this size and batch; computed once per run."""
        key = (x.shape[0], batched_number, *x.shape[-2:], x.device)
        if key not in run.kept:
            hint = self._resized_hint(x).to(self.network.dtype)
            self._check_channels(hint)
            hint = broadcast_batch(hint, x.shape[0], batched_number)
            run.kept[key] = self.network.encode_hint(hint, self._types)
        embedding: Tensor = run.kept[key]
        return embedding

    def _check_channels(self, hint: Tensor) -> None:
        config: Any = self.network.rest.config
        if hint.shape[1] != config.conditioning_channels:
            raise UserError(
                f"{self.name} was given a hint of {hint.shape[1]} channels and takes "
                f"{config.conditioning_channels}; give it a colour picture."
            )


def _mean_over_picture(residual: Tensor) -> Tensor:
    """(B, C, h, w) to its mean over h and w, at the same size."""
    return residual.mean(dim=(2, 3), keepdim=True).repeat(1, 1, *residual.shape[2:])
