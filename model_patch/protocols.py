"""The host's two objects, as far as the engine speaks to them.

Both are ComfyUI's own (`comfy/model_patcher.py`, `comfy/controlnet.py`); the embedded host offers
the same methods, so the engine has no second code path. Only these names are used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

ControlDict = Mapping[str, Sequence[Tensor | None]]
"""Residuals as the host's U-Net reads them: "input", "middle", "output" lists."""


class Sampling(Protocol):
    """The noise schedule behind a MODEL."""

    def percent_to_sigma(self, percent: float) -> float:
        """The sigma at `percent` (0..1) of the training timesteps, counted from pure noise."""
        ...


class BaseModel(Protocol):
    """The model that a MODEL wraps; `executor.class_obj` of an "apply_model" wrapper."""

    @property
    def model_sampling(self) -> Sampling:
        """The schedule in force, patches included."""
        ...

    @property
    def diffusion_model(self) -> nn.Module:
        """The locked network."""
        ...


class Model(Protocol):
    """A MODEL on a wire."""

    @property
    def model(self) -> BaseModel:
        """What it wraps, shared with its clones."""
        ...

    def clone(self) -> Model:
        """A MODEL that shares the weights and may be patched without touching this one."""
        ...

    def add_wrapper_with_key(
        self, wrapper_type: str, key: str, wrapper: Callable[..., Any]
    ) -> None:
        """Append `wrapper(executor, *args, **kwargs)` around a call of the host."""
        ...

    def set_additional_models(self, key: str, models: list[Any]) -> None:
        """Replace the models that are loaded and offloaded together with this one."""
        ...

    def get_additional_models_with_key(self, key: str) -> list[Any]:
        """What `set_additional_models` holds under `key`."""
        ...

    def set_attachments(self, key: str, attachment: Any) -> None:
        """Keep an object under `key`, shared with all clones that are made from then on."""
        ...

    def get_attachment(self, key: str) -> Any:
        """What `set_attachments` holds under `key`, or None."""
        ...


class ControlNet(Protocol):
    """A CONTROL_NET on a wire."""

    strength: float

    def copy(self) -> ControlNet:
        """The same weights with run state of its own and no previous control."""
        ...

    def set_cond_hint(
        self,
        cond_hint: Tensor,
        strength: float,
        timestep_percent_range: tuple[float, float],
        vae: Any = None,
    ) -> ControlNet:
        """Give the hint, (B, 3, H, W) in 0..1, and the VAE of nets that take latents."""
        ...

    def set_extra_arg(self, argument: str, value: Any = None) -> None:
        """Keep an argument for the network."""
        ...

    def pre_run(self, model: BaseModel, percent_to_timestep_function: Callable[..., float]) -> None:
        """Called once before the first step of a sampling run."""
        ...

    def get_control(
        self,
        x_noisy: Tensor,
        t: Tensor,
        cond: Mapping[str, Any],
        batched_number: int,
        transformer_options: Mapping[str, Any],
    ) -> ControlDict | None:
        """The residuals for one step, times `strength`."""
        ...

    def get_models(self) -> list[Any]:
        """What the host's memory manager must load for this net."""
        ...

    def inference_memory_requirements(self, dtype: Any) -> int:
        """Bytes that the net needs while sampling, beside what `get_models` loads."""
        ...

    def cleanup(self) -> None:
        """Drop the run state."""
        ...
