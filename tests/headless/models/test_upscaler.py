"""Models that make pictures larger."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.models import upscaler


def compact_weights() -> dict[str, Tensor]:
    """Random weights of Real-ESRGAN's compact network, 8 channels wide, for twice the size."""
    shapes = {
        **{"body.0.weight": (8, 3, 3, 3), "body.0.bias": (8,), "body.1.weight": (8,)},
        **{"body.2.weight": (8, 8, 3, 3), "body.2.bias": (8,), "body.3.weight": (8,)},
        **{"body.4.weight": (12, 8, 3, 3), "body.4.bias": (12,)},
    }
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(s, generator=generator) * 0.1 for name, s in shapes.items()}


class Doubled:
    """Every pixel twice each way; so whatever the pieces are, the whole is known."""

    scale = 2

    def __call__(self, picture: Tensor) -> Tensor:
        assert max(picture.shape[-2:]) <= upscaler.TILE
        return picture.repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.parametrize("size", [(20, 30), (512, 512), (600, 40), (513, 1100)])
def test_pieces_fade_into_the_whole(size: tuple[int, int]) -> None:
    image = torch.rand((1, *size, 3), generator=torch.Generator().manual_seed(0))
    large = upscaler.enlarge(Doubled(), image)
    expected = image.repeat_interleave(2, 1).repeat_interleave(2, 2)
    torch.testing.assert_close(large, expected, atol=1e-5, rtol=0)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(UserError, match="pip install spandrel"):
        upscaler.load_upscaler(Path("x.safetensors"))


def test_a_file_of_a_small_model(tmp_path: Path) -> None:
    pytest.importorskip("spandrel")
    save_file(compact_weights(), tmp_path / "small.safetensors")
    model = upscaler.load_upscaler(tmp_path / "small.safetensors")
    assert model.scale == 2
    assert upscaler.enlarge(model, torch.rand(2, 8, 9, 3)).shape == (2, 16, 18, 3)
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="spandrel knows"):
        upscaler.load_upscaler(tmp_path / "other.safetensors")
