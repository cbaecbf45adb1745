"""U-Net and nets that torch compiles, for real: the picture's bits, and how often they compile."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.sampling.sample import ksample
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch
from tests.tiny import CONTEXT, tiny_controlnet, tiny_model, tiny_unet


class Graphs:
    """Stands in for a compiler: runs what torch traced as it is, and counts it."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, module: torch.fx.GraphModule, _: Sequence[Tensor]) -> object:
        self.made += 1
        return module.forward


def picture(unet: nn.Module, nets: Sequence[ControlNet], strengths: Sequence[float]) -> Tensor:
    drawing = torch.Generator().manual_seed(0)
    sides = [[[torch.randn(1, 77, CONTEXT, generator=drawing), {}]] for _ in range(2)]
    stack = tuple(
        Control(net, torch.rand(1, 3, 64, 64, generator=drawing), f"control {i}", strength)
        for i, (net, strength) in enumerate(zip(nets, strengths, strict=False), 1)
    )
    model = tiny_model(unet)
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    settings = (3, 2, 5.0, "euler", "normal")
    return ksample(patch(model, stack), *settings, *sides, latent)["samples"]


def test_a_stack_on_compiled_models_compiles_once_and_gives_the_same_picture() -> None:
    unet = tiny_unet(layers=1)
    nets = [ControlNet(tiny_controlnet(unet, seed=seed), f"net {seed}") for seed in (1, 2)]
    stacks = {"two": (0.5, 0.7), "weaker": (0.3, 0.9), "one": (0.5,), "none": ()}
    plain = {name: picture(unet, nets, strengths) for name, strengths in stacks.items()}
    assert len({made.numpy().tobytes() for made in plain.values()}) == len(stacks)

    torch._dynamo.reset()
    graphs = Graphs()
    for module in (unet, *(net.control_model for net in nets)):
        module.compile(backend=graphs)
    # The U-Net and each net; another strength and fewer nets need no more. Without residuals the
    # U-Net is another computation.
    for name, expected in (("two", 3), ("weaker", 3), ("one", 3), ("none", 4), ("two", 4)):
        assert torch.equal(picture(unet, nets, stacks[name]), plain[name]), name
        assert graphs.made == expected, name
    torch._dynamo.reset()
