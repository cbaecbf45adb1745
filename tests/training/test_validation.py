"""Validation sheets: the same pictures each time, their figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.training.base import Base, Texts
from controlstack.training.samples import Pixels, Sample
from controlstack.training.settings import ValidationSettings
from controlstack.training.validation import Validator
from tests.tiny import CONTEXT, tiny_controlnet
from tests.training.unets import sd15_unet

ALPHAS = torch.cumprod(1 - torch.linspace(0.001, 0.02, 50, dtype=torch.float64), 0).float()
SETTINGS = ValidationSettings(steps=2, guidance=2.0, seed=3)


class Encoders:
    """Prompts by their letters; the first three channels of a latent as a picture, enlarged."""

    fingerprint = "a test's"

    def __init__(self) -> None:
        self.decoded = 0

    def moments(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def words(self, prompts: Sequence[str]) -> Tensor:
        rows = [
            torch.randn(77, CONTEXT, generator=torch.Generator().manual_seed(len(prompt)))
            for prompt in prompts
        ]
        return torch.stack(rows)

    def texts(self, prompts: Sequence[str]) -> Texts:
        return Texts(self.words(prompts))

    def pictures(self, latents: Tensor) -> Tensor:
        self.decoded += len(latents)
        return (latents[:, :3] / 6 + 0.5).repeat_interleave(8, 2).repeat_interleave(8, 3)


def sample_of(number: int, width: int = 64, target: bool = True) -> Sample:
    hint = torch.rand(3, 64, width, generator=torch.Generator().manual_seed(number))
    picture = np.full((64, width, 3), number, np.uint8) if target else None
    return Sample(hint, "a" * number, picture)


def base() -> Base:
    return Base(sd15_unet(), ALPHAS, encoders=Encoders())


def brightness(picture: Pixels, of: Sample) -> Mapping[str, float]:
    return {"brightness": float(picture.mean()), "hint": float(of.hint.mean())}


def test_an_untrained_copy_is_the_base_and_the_seed_stays() -> None:
    of = base()
    samples = [sample_of(number) for number in range(2)]
    validator = Validator(of, samples, SETTINGS, brightness)
    tried = validator(10, tiny_controlnet(of.unet, zero=True))
    assert list(tried.figures) == ["brightness", "hint", "brightness without control"]
    assert tried.figures["brightness"] == tried.figures["brightness without control"]
    assert tried.figures["hint"] == pytest.approx(
        float(torch.stack([one.hint for one in samples]).mean())
    )
    again = validator(10, tiny_controlnet(of.unet, zero=True))
    assert again.figures == tried.figures
    assert again.sheet.tobytes() == tried.sheet.tobytes()


def test_a_trained_network_changes_only_its_own_column() -> None:
    of = base()
    validator = Validator(of, [sample_of(1)], SETTINGS, brightness)
    one = validator(10, tiny_controlnet(of.unet, zero=True)).figures
    other = validator(10, tiny_controlnet(of.unet)).figures
    assert one["brightness without control"] == other["brightness without control"]
    assert one["brightness"] != other["brightness"]


def test_what_the_base_draws_alone_is_drawn_once() -> None:
    of = base()
    encoders = of.encoders
    assert isinstance(encoders, Encoders)
    validator = Validator(of, [sample_of(n) for n in range(3)], SETTINGS)
    for step in range(3):
        validator(step, tiny_controlnet(of.unet))
    assert encoders.decoded == 3 * (3 + 1)


def test_hints_of_several_sizes_and_more_than_fit_at_once() -> None:
    of = base()
    sizes = (64, 64, 64, 64, 64, 128, 64)
    seen = []
    samples = [sample_of(n, width, target=False) for n, width in enumerate(sizes)]

    def look(picture: Pixels, sample: Sample) -> Mapping[str, float]:
        seen.append((picture.shape[1], sample.prompt))
        return {}

    Validator(of, samples, SETTINGS, look)(1, tiny_controlnet(of.unet))
    wanted = [(width, "a" * n) for n, width in enumerate(sizes)]
    assert seen == wanted * 2  # without control, and with it


def test_figures_that_are_no_numbers_do_not_count() -> None:
    of = base()
    values = iter([1.0, math.nan, 5.0, math.nan, math.nan, math.nan])
    samples = [sample_of(n) for n in range(3)]
    tried = Validator(of, samples, SETTINGS, lambda *_: {"joints": next(values)})(1, None)
    assert tried.figures["joints without control"] == 3.0
    assert math.isnan(tried.figures["joints"])


def test_a_base_without_encoders() -> None:
    with pytest.raises(UserError, match="needs the text encoder and the VAE"):
        Validator(Base(sd15_unet(), ALPHAS), [sample_of(1)], SETTINGS)
