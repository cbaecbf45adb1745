"""Stacks of tiny random nets, and how they are sampled on the embedded host."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.sampling.model import Model
from controlstack.headless.sampling.sample import ksample
from controlstack.model_patch.control import Control, ControlStack
from controlstack.model_patch.factors import Span
from tests.tiny import tiny_conditioning, tiny_controlnet, tiny_model, tiny_unet

STEPS = 4


UNET = tiny_unet()


POSITIVE, NEGATIVE = tiny_conditioning(3), tiny_conditioning(4)


def net(seed: int = 1, *, zero: bool = False) -> ControlNet:
    return ControlNet(tiny_controlnet(UNET, zero=zero, seed=seed), f"net {seed}")


def hint(seed: int = 0, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def control(seed: int = 1, **kwargs: Any) -> Control:
    return Control(net=net(seed), hint=hint(seed), name=f"net {seed}", **kwargs)


def sample(
    model: Model,
    *,
    positive: list[Any] = POSITIVE,
    negative: list[Any] = NEGATIVE,
    cfg: float = 5.0,
    sampler: str = "euler",
    scheduler: str = "normal",
    batch: int = 1,
    size: tuple[int, int] = (8, 8),
) -> Tensor:
    latent = {"samples": torch.zeros(batch, 4, *size)}
    out = ksample(model, 7, STEPS, cfg, sampler, scheduler, positive, negative, latent)
    samples: Tensor = out["samples"]
    return samples


def core_chain(conditioning: list[Any], stack: ControlStack) -> list[Any]:
    """What ComfyUI's ControlNetApplyAdvanced puts on a conditioning, once for each control."""
    chain = None
    for item in stack:
        assert isinstance(item.span, Span)
        bare = item.net.copy()
        bare.set_cond_hint(item.hint, item.strength, (item.span.start, item.span.end))
        assert isinstance(bare, ControlNet)
        chain = bare.set_previous_controlnet(chain)
    extra = {"control": chain, "control_apply_to_uncond": False}
    return [[embedding, {**options, **extra}] for embedding, options in conditioning]


def by_core(stack: ControlStack, **kwargs: Any) -> Tensor:
    # One chain object on both sides, as the node does: it is what lets the host batch them.
    positive = core_chain(POSITIVE, stack)
    negative = [[e, {**o, **{k: positive[0][1][k] for k in ("control", "control_apply_to_uncond")}}]
                for e, o in NEGATIVE]  # fmt: skip
    return sample(tiny_model(UNET), positive=positive, negative=negative, **kwargs)
