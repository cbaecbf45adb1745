"""CONTROL_NET over diffusers' ControlNetModel, with the methods that ComfyUI's own object has."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UserError
from ...model_patch.family import require_same_family
from ..resize import resize
from .broadcast import broadcast_batch

Residuals = dict[str, list[Tensor]]
LATENT_PIXELS = 8  # picture pixels a latent pixel covers, in every SD family


class HintedNetwork(nn.Module):
    """A ControlNetModel in two halves: the hint's encoder, which sees no step, and the rest.

    Shares its weights with the network given, which stays whole and untouched. The encoder's output
    depends on the hint alone, so a run needs it once and not at every step.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        config: Any = network.config
        # torch types a submodule as Tensor or Module; this one is a Module.
        self.hint_encoder: nn.Module = network.controlnet_cond_embedding  # type: ignore[assignment]
        self.flips_channels: bool = config.controlnet_conditioning_channel_order == "bgr"
        self.pools: bool = config.global_pool_conditions
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
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.rest.parameters()).dtype

    def encode_hint(self, hint: Tensor) -> Tensor:
        """(B, 3, 8h, 8w) in 0..1 to (B, C, h, w)."""
        embedding: Tensor = self.hint_encoder(hint.flip(1) if self.flips_channels else hint)
        return embedding

    def forward(
        self, x: Tensor, timestep: Tensor, context: Tensor, embedding: Tensor, scale: float
    ) -> tuple[list[Tensor], Tensor]:
        """Residuals in encoder order and the middle one, each times `scale`; x is (B, 4, h, w)."""
        down, middle = self.rest(
            x, timestep, context, embedding, conditioning_scale=scale, return_dict=False
        )
        return list(down), middle


@dataclass
class _Run:
    """What lives as long as one sampling run; `cleanup` drops it."""

    first: float  # the highest and lowest sigma of the range, both inclusive
    last: float
    model_sampling: Any
    embeddings: dict[tuple[Any, ...], Tensor] = field(default_factory=dict)


class ControlNet:
    """One ControlNet, its hint, its strength and the net before it: ComfyUI's CONTROL_NET protocol.

    `copy()` shares the network; everything else belongs to the copy. Sampling calls `pre_run`, then
    `get_control` at every step, then `cleanup`.
    """

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
        self.network = halves
        self.name = name
        pooled = halves.pools if global_average_pooling is None else global_average_pooling
        self.global_average_pooling = pooled
        self.hint: Tensor | None = None
        self.strength = 1.0
        self.timestep_percent_range = (0.0, 1.0)
        self.previous_controlnet: ControlNet | None = None
        self.extra_args: dict[str, Any] = {}
        self._run: _Run | None = None

    @property
    def control_model(self) -> nn.Module:
        """The network without its hint encoder."""
        return self.network.rest

    def copy(self) -> ControlNet:
        """A net with the same settings and weights, without the chain and the run of this one."""
        other = ControlNet(
            self.network, self.name, global_average_pooling=self.global_average_pooling
        )
        other.hint = self.hint
        other.strength = self.strength
        other.timestep_percent_range = self.timestep_percent_range
        other.extra_args = dict(self.extra_args)
        return other

    def set_cond_hint(
        self,
        cond_hint: Tensor,
        strength: float = 1.0,
        timestep_percent_range: tuple[float, float] = (0.0, 1.0),
        vae: object = None,
        extra_concat: Sequence[Tensor] = (),
    ) -> ControlNet:
        """Set the hint (B, 3, H, W) in 0..1, any size; returns the net itself.

        `vae` and `extra_concat` are for networks that take latents; these take pixels, so the first
        is ignored, as in ComfyUI, and the second is refused.
        """
        if extra_concat:
            raise UserError(
                f"{self.name} takes no extra channels beside its hint: it is no inpainting net."
            )
        self.hint = cond_hint
        self.strength = strength
        self.timestep_percent_range = timestep_percent_range
        return self

    def set_previous_controlnet(self, previous: ControlNet | None) -> ControlNet:
        """Put a net before this one; the residuals of both are added. Returns the net itself."""
        self.previous_controlnet = previous
        return self

    def set_extra_arg(self, argument: str, value: Any = None) -> None:
        """Keep an argument for the network; a union type raises, as no net here is a union net."""
        if argument == "control_type" and value:
            raise UserError(
                f"{self.name} is no union ControlNet, so it has no control type to set; "
                "use type auto, or remove the SetUnionControlNetType node."
            )
        self.extra_args[argument] = value

    def pre_run(self, model: Any, percent_to_timestep_function: Callable[[float], float]) -> None:
        """Begin a run on `model` (a BaseModel); the function turns a percentage into a sigma."""
        require_same_family(self.name, self, model)
        start, end = self.timestep_percent_range
        self._run = _Run(
            float(percent_to_timestep_function(start)),
            float(percent_to_timestep_function(end)),
            model.model_sampling,
        )
        if self.previous_controlnet is not None:
            self.previous_controlnet.pre_run(model, percent_to_timestep_function)

    @torch.no_grad()
    def get_control(
        self,
        x_noisy: Tensor,
        t: Tensor,
        cond: Mapping[str, Any],
        batched_number: int,
        transformer_options: Mapping[str, Any] | None = None,
    ) -> Residuals | None:
        """The chain's residuals at one step, fresh lists, or None where nothing is active.

        `x_noisy` is the raw latent (B, 4, h, w), `t` its sigma (B,), `cond["c_crossattn"]` the text
        (B, n, C), `batched_number` how many conditionings the batch holds.
        """
        previous = None
        if self.previous_controlnet is not None:
            previous = self.previous_controlnet.get_control(
                x_noisy, t, cond, batched_number, transformer_options
            )
        run = self._run
        if run is None:
            raise RuntimeError(f"{self.name}: get_control was called before pre_run")
        sigma = float(t[0])
        if sigma > run.first or sigma < run.last:
            return previous
        down, middle = self._residuals(x_noisy, t, cond, batched_number, run)
        own: Residuals = {"input": [], "middle": [middle], "output": down}
        if self.global_average_pooling:
            own = {key: [_mean_over_picture(r) for r in rows] for key, rows in own.items()}
        return own if previous is None else self._merge(previous, own)

    def get_models(self) -> list[nn.Module]:
        """The networks of the whole chain, the first one first."""
        before = [] if self.previous_controlnet is None else self.previous_controlnet.get_models()
        return [*before, self.network]

    def cleanup(self) -> None:
        """End the run of the whole chain: drop the embeddings; safe to call twice."""
        self._run = None
        if self.previous_controlnet is not None:
            self.previous_controlnet.cleanup()

    def inference_memory_requirements(self, dtype: torch.dtype) -> int:
        """Bytes the chain needs beside its weights: none that the host has to reserve."""
        return 0

    def _residuals(
        self, x: Tensor, t: Tensor, cond: Mapping[str, Any], batched_number: int, run: _Run
    ) -> tuple[list[Tensor], Tensor]:
        context: Tensor = cond.get("crossattn_controlnet", cond["c_crossattn"])
        embedding = self._embedding(x, batched_number, run)
        dtype = self.network.dtype
        timestep = run.model_sampling.timestep(t)
        scaled = run.model_sampling.calculate_input(t, x)
        down, middle = self.network(
            scaled.to(dtype),
            timestep.to(dtype),
            context.to(x.device, dtype),
            embedding,
            self.strength,
        )
        return down, middle

    def _embedding(self, x: Tensor, batched_number: int, run: _Run) -> Tensor:
        """The encoded hint for a latent of this size and batch; computed once per run."""
        batch, _, height, width = x.shape
        key = (batch, batched_number, height, width, x.device)
        if key not in run.embeddings:
            if self.hint is None:
                raise UserError(f"{self.name} was given no hint image; wire one to its apply node.")
            self._check_channels(self.hint)
            size = width * LATENT_PIXELS, height * LATENT_PIXELS
            hint = resize(self.hint, *size, method="nearest-exact", crop="center")
            hint = hint.to(device=x.device, dtype=self.network.dtype)
            hint = broadcast_batch(hint, batch, batched_number)
            run.embeddings[key] = self.network.encode_hint(hint)
        return run.embeddings[key]

    def _check_channels(self, hint: Tensor) -> None:
        config: Any = self.network.rest.config
        if hint.shape[1] != config.conditioning_channels:
            raise UserError(
                f"{self.name} was given a hint of {hint.shape[1]} channels and takes "
                f"{config.conditioning_channels}; give it a colour picture."
            )

    def _merge(self, previous: Residuals, own: Residuals) -> Residuals:
        """previous + own, place by place; nets of different depth do not fit one U-Net."""
        merged: Residuals = {}
        for key, rows in own.items():
            if len(rows) != len(previous[key]):
                raise UserError(
                    f"{self.name} gives {len(rows)} {key} residuals and the ControlNet before it "
                    f"{len(previous[key])}; chain nets that were made for the same model."
                )
            merged[key] = [a + b for a, b in zip(previous[key], rows, strict=True)]
        return merged


def _mean_over_picture(residual: Tensor) -> Tensor:
    """(B, C, h, w) to its mean over h and w, at the same size."""
    return residual.mean(dim=(2, 3), keepdim=True).repeat(1, 1, *residual.shape[2:])
