"""Small base models and nets of the real ComfyUI, in memory, weights drawn from a numpy seed.

Stable Diffusion's own topology (four levels, two blocks each, twelve skips) and text widths, with
32 channels: a step takes some 20 ms on one core. `models.py` beside this makes files; these are for
tests that need many models, odd weight types, or nets that misbehave.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from controlstack.model_patch.control import Control
from controlstack.model_patch.factors import Span
from tests.weights import drawn

CPU = torch.device("cpu")
SIDE = 8  # latents; pictures are 64 px
GAIN = 0.7  # keeps latents of random models in a range that half precision can hold


@dataclass(frozen=True)
class Family:
    """A model family of ComfyUI: its configuration class and what tells its U-Net from others.

    `depth` counts the transformers of each encoder block; two blocks a level.
    """

    config: str
    context: int
    channels: int
    depth: tuple[int, ...]
    pooled: int | None = None
    inputs: int = 4  # channels; 9 for inpainting, 8 for editing

    def unet(self) -> dict[str, Any]:
        """ComfyUI's configuration of a small U-Net of this family."""
        import comfy.supported_models

        levels = len(self.depth) // 2
        config = {
            "image_size": 32,
            "in_channels": self.inputs,
            "out_channels": 4,
            "model_channels": self.channels,
            "num_res_blocks": [2] * levels,
            "channel_mult": [1] + [2] * (levels - 1),
            "transformer_depth": list(self.depth),
            "transformer_depth_output": [d for d in self.depth[::2] for _ in range(3)],
            "transformer_depth_middle": 1,
            "context_dim": self.context,
            "use_spatial_transformer": True,
            "use_linear_in_transformer": self.pooled is not None,
            "use_temporal_attention": False,
            "legacy": False,
            "adm_in_channels": self.pooled,
            **({} if self.pooled is None else {"num_classes": "sequential"}),
        }
        # The class adds what cannot be read from a file, as the host's loader lets it.
        full: dict[str, Any] = getattr(comfy.supported_models, self.config)(config).unet_config
        return full


SD15 = Family("SD15", context=768, channels=32, depth=(1, 1, 1, 1, 1, 1, 0, 0))
SDXL = Family("SDXL", context=2048, channels=64, depth=(0, 0, 1, 1, 1, 1), pooled=2816)
SD2 = Family("SD20", context=1024, channels=64, depth=(1, 1, 1, 1, 1, 1, 0, 0))
INPAINTING = replace(SD15, inputs=9)
ONE_LEVEL = replace(SD15, depth=(1, 0))
"""For torch to compile, which takes seconds, or minutes, where it optimises."""


def fill(module: torch.nn.Module, seed: int, gain: float = GAIN) -> None:
    """Random weights in place, cast to the types that `module` stores."""
    module.requires_grad_(False).eval()
    own = {value.data_ptr(): (name, value) for name, value in module.state_dict().items()}
    for name, value in own.values():  # one by one: large ones are not kept twice
        value.copy_(drawn({name: value.shape}, seed, gain)[name])


def base(
    family: Family = SD15,
    dtype: torch.dtype = torch.float32,
    cast: torch.dtype | None = None,
    seed: int = 1,
) -> Any:
    """A MODEL on the CPU: weights kept in `dtype`, computed in `cast` (None: as they are kept)."""
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models

    config = getattr(comfy.supported_models, family.config)(family.unet())
    config.set_inference_dtype(dtype, cast)
    kind = comfy.model_base.SDXL if family is SDXL else comfy.model_base.BaseModel
    model = kind(config, device=CPU)
    if family.inputs == 9:
        model.set_inpaint()
    fill(model.diffusion_model, seed)
    return comfy.model_patcher.ModelPatcher(model, CPU, CPU)


def net(
    seed: int,
    family: Family = SD15,
    dtype: torch.dtype = torch.float32,
    cast: torch.dtype | None = None,
) -> Any:
    """A CONTROL_NET for `family`'s base model."""
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops

    outputs = ("out_channels", "transformer_depth_output")
    config = {**family.unet(), "in_channels": 4}  # nets are given the latents alone
    shape = {name: value for name, value in config.items() if name not in outputs}
    module = comfy.cldm.cldm.ControlNet(
        hint_channels=3,
        operations=comfy.ops.pick_operations(dtype, cast),
        device=CPU,
        dtype=dtype,
        **shape,
    )
    fill(module, seed)
    return comfy.controlnet.ControlNet(module, load_device=CPU, manual_cast_dtype=cast)


def control_lora(seed: int, family: Family = SD15, rank: int = 4) -> Any:
    """A ControlLoRA: a net that its host builds from the base model at every run."""
    import comfy.controlnet

    full = net(seed, family).control_model.state_dict()
    own = ("input_hint_block.", "zero_convs.", "middle_block_out.")
    shapes = {}
    for name, value in full.items():
        if name.startswith(own):
            shapes[name] = tuple(value.shape)
        elif name.endswith(".weight") and value.ndim > 1:
            layer = name.removesuffix(".weight")
            shapes[f"{layer}.up"] = (value.shape[0], rank, *[1] * (value.ndim - 2))
            shapes[f"{layer}.down"] = (rank, *value.shape[1:])
    return comfy.controlnet.ControlLora(drawn(shapes, seed, GAIN))


def hint(seed: int, batch: int = 1, height: int = 50, width: int = 70) -> Tensor:
    """A picture of noise, (batch, 3, height, width) in 0..1."""
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def words(seed: int, family: Family = SD15, tokens: int = 77) -> list[Any]:
    """CONDITIONING of random text features."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(1, tokens, family.context, generator=generator)
    pooled = {"pooled_output": torch.randn(1, 1280, generator=generator)}
    return [[text, {} if family.pooled is None else pooled]]


@dataclass(frozen=True)
class Line:
    """One control, put on by this pack or by ComfyUI's own node."""

    net: Any
    hint: Tensor
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0


def stack(*lines: Line) -> tuple[Control, ...]:
    """`lines` as this pack stacks them."""
    return tuple(
        Control(line.net, line.hint, f"control {i}", line.strength, Span(line.start, line.end))
        for i, line in enumerate(lines, 1)
    )


def chained(
    positive: list[Any],
    negative: list[Any],
    *lines: Line,
    apply: Callable[..., Any] | None = None,
) -> tuple[list[Any], list[Any]]:
    """`lines` as ComfyUI's own ControlNetApplyAdvanced, or another such node's `apply`, chains them
    on the conditioning."""
    import nodes

    apply = apply or nodes.ControlNetApplyAdvanced().apply_controlnet
    for line in lines:
        picture = line.hint.movedim(1, -1)
        span = (line.start, line.end)
        positive, negative = apply(positive, negative, line.net, picture, line.strength, *span)
    return positive, negative


def sample(
    model: Any,
    positive: list[Any] | None = None,
    negative: list[Any] | None = None,
    *,
    steps: int = 3,
    cfg: float = 4.0,
    batch: int = 1,
    side: int = SIDE,
    seed: int = 3,
    callback: Callable[..., None] | None = None,
) -> Tensor:
    """Euler on the normal schedule from an empty latent, as ComfyUI's KSampler does it."""
    import comfy.sample

    latent = torch.zeros(batch, 4, side, side)
    return comfy.sample.sample(
        model,
        comfy.sample.prepare_noise(latent, seed),
        steps,
        cfg,
        "euler",
        "normal",
        positive or words(11),
        negative or words(12),
        latent,
        callback=callback,
        disable_pbar=True,
        seed=seed,
    )


def is_one_paragraph(sentence: str) -> bool:
    """What ComfyUI shows in its dialog: no torch jargon, no line breaks."""
    jargon = ("mat1", "size of tensor", "NoneType", "object has no attribute")
    return "\n" not in sentence and not any(word in sentence for word in jargon)
