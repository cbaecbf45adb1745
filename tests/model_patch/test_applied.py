"""Residuals that do not arrive are never passed over in silence."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from controlstack.model_patch.applied import Delivery, Watched
from controlstack.model_patch.residuals import NotAppliedError, ResidualMismatchError, Residuals

SIZES = (8, 8, 4)  # of the three skips


class UNet(nn.Module):
    """Takes residuals as ComfyUI's U-Net does: from the lists' ends, passing over what misfits."""

    def __init__(self, sizes: tuple[int, ...] = SIZES) -> None:
        super().__init__()
        self.input_blocks = nn.ModuleList(nn.Identity() for _ in sizes)
        self.sizes = sizes

    def run(self, control: Any, options: Mapping[str, Any]) -> list[Tensor]:
        features = []
        for index, size in enumerate(self.sizes):
            h = torch.zeros(1, 2, size, size)
            for patch in options.get("patches", {}).get("input_block_patch", ()):
                h = patch(h, {**options, "block": ("input", index)})
            features.append(h)
        control = control or {}
        return [*reversed([self.added(h, control.get("output")) for h in reversed(features)]),
                self.added(features[-1], control.get("middle"))]  # fmt: skip

    @staticmethod
    def added(h: Tensor, residuals: list[Tensor | None] | None) -> Tensor:
        residual = residuals.pop() if residuals else None
        return h if residual is None or residual.shape[1:] != h.shape[1:] else h + residual


def ones(*sizes: int) -> tuple[Tensor, ...]:
    return tuple(torch.ones(1, 2, size, size) for size in sizes)


def deliver(network: nn.Module, residuals: Residuals, **options: Any) -> Any:
    base: Any = SimpleNamespace(diffusion_model=network, model_sampling=None)
    step = SimpleNamespace(x=torch.zeros(1, 4, 8, 8), options=options)
    return Delivery(base)(Watched(residuals), step, network.run)


def test_what_fits_is_added_everywhere() -> None:
    taken = deliver(UNet(), Residuals(middle=ones(4), output=ones(*SIZES)))
    assert all(bool((h == 1).all()) for h in taken)


@pytest.mark.parametrize(
    ("residuals", "block", "shape"),
    [
        (Residuals(output=ones(8, 8, 8)), "output 2", (1, 2, 4, 4)),
        (Residuals(output=ones(4, 4)), "output 0", (1, 2, 8, 8)),
        (Residuals(middle=ones(8)), "middle 0", (1, 2, 4, 4)),
        (Residuals(input=ones(8, 4, 8)), "input 1", (1, 2, 8, 8)),
        (Residuals(output=(*ones(8, 8), torch.ones(1, 3, 4, 4))), "output 2", (1, 2, 4, 4)),
        (Residuals(output=(*ones(8, 8), torch.ones(2, 2, 4, 4))), "output 2", (1, 2, 4, 4)),
    ],
    ids=["size", "short-list", "middle", "input", "channels", "batch"],
)
def test_what_does_not_fit_says_where(
    residuals: Residuals, block: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ResidualMismatchError) as caught:
        deliver(UNet(), residuals)
    assert caught.value.block == block
    assert caught.value.features_shape == shape


def test_more_residuals_than_places() -> None:
    with pytest.raises(NotAppliedError, match="4 output residuals for a U-Net with 3 places"):
        deliver(UNet(), Residuals(output=ones(8, 8, 8, 4)))


def test_a_later_call_is_not_watched_again_unless_something_resizes() -> None:
    network = UNet()
    base: Any = SimpleNamespace(diffusion_model=network, model_sampling=None)
    delivery = Delivery(base)
    seen: list[int] = []

    def model(control: Any, options: Mapping[str, Any]) -> Any:
        seen.append(len(options.get("patches", {}).get("input_block_patch", ())))
        return network.run(control, options)

    def call(**options: Any) -> None:
        step = SimpleNamespace(x=torch.zeros(1, 4, 8, 8), options=options)
        delivery(Watched(Residuals(output=ones(*SIZES))), step, model)

    call()
    call()
    others = {"patches": {"input_block_patch": [lambda h, _: h]}}
    call(**others)
    call(**others)
    assert seen == [1, 0, 2, 2]
    assert len(others["patches"]["input_block_patch"]) == 1, "the host's own list was changed"


def test_a_patch_that_shrinks_features_at_a_later_step_is_noticed() -> None:
    shrink = {"patches": {"input_block_patch": [lambda h, _: h[..., ::2, ::2]]}}
    with pytest.raises(ResidualMismatchError):
        deliver(UNet(), Residuals(output=ones(*SIZES)), **shrink)


class Deaf(nn.Module):
    """A model that knows no control."""

    def run(self, control: Any, options: Mapping[str, Any]) -> Tensor:
        return torch.zeros(1)


class OutputOnly(nn.Module):
    def run(self, control: Any, options: Mapping[str, Any]) -> Any:
        return control.get("output")


def test_a_model_that_never_looks() -> None:
    with pytest.raises(NotAppliedError, match=r"SimpleNamespace.*middle and output"):
        deliver(Deaf(), Residuals(middle=ones(4), output=ones(8)))


def test_a_model_that_looks_at_one_side_only() -> None:
    deliver(OutputOnly(), Residuals(output=ones(8)))
    with pytest.raises(NotAppliedError, match="takes no residuals for input"):
        deliver(OutputOnly(), Residuals(input=ones(8), output=ones(8)))


@pytest.mark.parametrize(
    "read", [dict, list, lambda c: {**c}, lambda c: c.copy(), lambda c: [*c.items()]]
)
def test_copying_counts_as_reading(read: Any) -> None:
    watched = Watched(Residuals(output=ones(8)))
    assert watched.unread() == ["output"]
    read(watched)
    assert watched.unread() == []
