"""What every CONTROL_NET does: ComfyUI's protocol of hint, strength, range, chain and run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...ground.errors import UserError
from ...ground.latents import LATENT_PIXELS
from ...model_patch.family import require_same_family
from ...model_patch.union import ARGUMENT as TYPES
from ..resize import resize

if TYPE_CHECKING:
    from typing_extensions import Self

Residuals = dict[str, list[Tensor | None]]
GROUPS = ("input", "middle", "output")


@dataclass
class Run:
    """What lives as long as one sampling run; `cleanup` drops it.

    `kept` holds what depends on the hint alone, by the size and batch it was made for.
    """

    first: float  # the highest and lowest sigma of the range, both inclusive
    last: float
    model_sampling: Any
    kept: dict[tuple[Any, ...], Any] = field(default_factory=dict)


class ControlBase(ABC):
    """One network, its hint, its strength and the net before it.

    `copy()` shares the network; everything else belongs to the copy. Sampling calls `pre_run`, then
    `get_control` at every step, then `cleanup`.
    """

    def __init__(self, network: nn.Module | None, name: str) -> None:
        """`name` is what errors call it; `network` is None where it is made for each run."""
        self._network = network
        self.name = name
        self.hint: Tensor | None = None
        self.strength = 1.0
        self.timestep_percent_range = (0.0, 1.0)
        self.previous_controlnet: ControlBase | None = None
        self.extra_args: dict[str, Any] = {}
        self._run: Run | None = None

    @abstractmethod
    def _own(
        self, x: Tensor, t: Tensor, cond: Mapping[str, Any], batched_number: int, run: Run
    ) -> Residuals:
        """This net's residuals, times its strength: fresh lists, all of `GROUPS`."""

    @abstractmethod
    def _bare_copy(self) -> Self:
        """A net on the same network, with no settings yet."""

    def copy(self) -> Self:
        """A net with the same settings and weights, without the chain and the run of this one."""
        other = self._bare_copy()
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
    ) -> Self:
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

    def set_previous_controlnet(self, previous: ControlBase | None) -> Self:
        """Put a net before this one; the residuals of both are added. Returns the net itself."""
        self.previous_controlnet = previous
        return self

    def set_extra_arg(self, argument: str, value: Any = None) -> None:
        """Keep an argument for the network; a union type raises where the net is no union net."""
        if argument == TYPES and value:
            raise UserError(
                f"{self.name} is no union ControlNet, so it has no control type to set; "
                "use type auto, or remove the SetUnionControlNetType node."
            )
        self.extra_args[argument] = value

    def pre_run(self, model: Any, percent_to_timestep_function: Callable[[float], float]) -> None:
        """Begin a run on `model` (a BaseModel); the function turns a percentage into a sigma."""
        require_same_family(self.name, self, model)
        start, end = self.timestep_percent_range
        self._run = Run(
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
        own = self._own(x_noisy, t, cond, batched_number, run)
        return own if previous is None else self._merge(previous, own)

    def get_models(self) -> list[nn.Module]:
        """The networks of the whole chain, the first one first."""
        before = [] if self.previous_controlnet is None else self.previous_controlnet.get_models()
        return before if self._network is None else [*before, self._network]

    def cleanup(self) -> None:
        """End the run of the whole chain: drop what was kept; safe to call twice."""
        self._run = None
        if self.previous_controlnet is not None:
            self.previous_controlnet.cleanup()

    def inference_memory_requirements(self, dtype: torch.dtype) -> int:
        """Bytes the chain needs beside its weights: none that the host has to reserve."""
        return 0

    def _resized_hint(self, x: Tensor, multiple: int = LATENT_PIXELS) -> Tensor:
        """The hint for latents (B, 4, h, w), as the core cuts and resizes it: (N, C, 8h, 8w), the
        sides rounded up to multiples of `multiple`.
        """
        if self.hint is None:
            raise UserError(f"{self.name} was given no hint image; wire one to its apply node.")
        sides = (side * LATENT_PIXELS for side in (x.shape[-1], x.shape[-2]))
        width, height = (-(-side // multiple) * multiple for side in sides)
        return resize(self.hint, width, height, method="nearest-exact", crop="center").to(x.device)

    def _merge(self, previous: Residuals, own: Residuals) -> Residuals:
        """previous + own, place by place; nets of different depth do not fit one U-Net."""
        merged: Residuals = {}
        for group in GROUPS:
            before, rows = previous[group], own[group]
            if before and rows and len(before) != len(rows):
                raise UserError(
                    f"{self.name} gives {len(rows)} {group} residuals and the ControlNet before it "
                    f"{len(before)}; chain nets that were made for the same model."
                )
            merged[group] = [_sum(a, b) for a, b in zip_longest(before, rows)]
        return merged


def _sum(first: Tensor | None, later: Tensor | None) -> Tensor | None:
    if first is None or later is None:
        return later if first is None else first
    return first + later


def broadcast_batch(images: Tensor, batch: int, conditionings: int) -> Tensor:
    """Spread hints (N, ...) over a sampling batch made of `conditionings` blocks of equal size.

    One hint stays one row and broadcasts by itself, as many hints as rows are taken as they are.
    Otherwise they are cut or repeated to the size of one block, and that block is repeated for
    every conditioning (cond, uncond, areas).
    """
    if images.shape[0] in (1, batch):
        return images
    block = batch // conditionings
    repeats = -(-block // images.shape[0])
    rows = torch.cat([images] * repeats)[:block]
    return rows if block == batch else torch.cat([rows] * conditionings)
