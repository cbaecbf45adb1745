"""The core nodes over sampling: inputs in ComfyUI's order, and what each does to its input."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from controlstack.ground.errors import UserError
from controlstack.headless.core_nodes import CORE_NODES as NODES
from controlstack.headless.core_nodes import conditioning, latent, regions
from controlstack.headless.core_nodes.sampling import sample_steps
from controlstack.headless.sampling.sample import ksample
from tests.tiny import tiny_conditioning, tiny_model

# ComfyUI 0.3.64's: the order is that of the widget values in a saved workflow.
INPUTS = {
    "KSampler": (
        "model seed steps cfg sampler_name scheduler positive negative latent_image denoise"
    ),
    "KSamplerAdvanced": (
        "model add_noise noise_seed steps cfg sampler_name scheduler positive negative "
        "latent_image start_at_step end_at_step return_with_leftover_noise"
    ),
    "CLIPTextEncode": "text clip",
    "CLIPSetLastLayer": "clip stop_at_clip_layer",
    "ConditioningCombine": "conditioning_1 conditioning_2",
    "ConditioningAverage": "conditioning_to conditioning_from conditioning_to_strength",
    "ConditioningConcat": "conditioning_to conditioning_from",
    "ConditioningZeroOut": "conditioning",
    "ConditioningSetArea": "conditioning width height x y strength",
    "ConditioningSetAreaPercentage": "conditioning width height x y strength",
    "ConditioningSetAreaStrength": "conditioning strength",
    "ConditioningSetMask": "conditioning mask strength set_cond_area",
    "ConditioningSetTimestepRange": "conditioning start end",
    "EmptyLatentImage": "width height batch_size",
    "LatentUpscale": "samples upscale_method width height crop",
    "LatentUpscaleBy": "samples upscale_method scale_by",
    "SetLatentNoiseMask": "samples mask",
}
DEFAULTS = {
    ("KSampler", "steps"): 20,
    ("KSampler", "cfg"): 8.0,
    ("KSampler", "denoise"): 1.0,
    ("KSamplerAdvanced", "end_at_step"): 10000,
    ("CLIPSetLastLayer", "stop_at_clip_layer"): -1,
    ("EmptyLatentImage", "width"): 512,
    ("ConditioningSetArea", "width"): 64,
    ("ConditioningSetTimestepRange", "end"): 1.0,
}


def test_ids_and_inputs_are_the_cores() -> None:
    found = {name: " ".join(NODES[name].INPUT_TYPES()["required"]) for name in INPUTS}
    assert found == INPUTS


def test_defaults_are_the_cores() -> None:
    for (name, key), value in DEFAULTS.items():
        assert NODES[name].INPUT_TYPES()["required"][key][1]["default"] == value
    menus = NODES["KSampler"].INPUT_TYPES()["required"]
    assert menus["sampler_name"][0][0] == "euler"
    assert menus["scheduler"][0][0] == "simple"


@pytest.mark.parametrize("name", INPUTS)
def test_every_node_has_its_function(name: str) -> None:
    node = NODES[name]
    assert callable(getattr(node(), node.FUNCTION))
    assert len(node.RETURN_TYPES) == 1


def test_advanced_is_the_plain_one_over_all_steps() -> None:
    model, (positive, negative) = tiny_model(), (tiny_conditioning(1), tiny_conditioning(2))
    start = {"samples": torch.zeros(1, 4, 8, 8)}
    shared = {
        **{"model": model, "steps": 2, "cfg": 4.0, "positive": positive, "negative": negative},
        **{"sampler_name": "euler", "scheduler": "karras"},
    }
    plain = ksample(**shared, seed=3, latent_image=start)

    def part(add_noise: str, begun: Any, first: int, last: int, leftover: str) -> Any:
        return sample_steps(
            **shared,
            **{"noise_seed": 3, "latent_image": begun, "add_noise": add_noise},
            **{"start_at_step": first, "end_at_step": last},
            return_with_leftover_noise=leftover,
        )

    advanced = part("enable", start, 0, 10000, "disable")
    assert torch.equal(plain["samples"], advanced["samples"])
    begun = part("enable", start, 0, 1, "enable")
    ended = part("disable", begun, 1, 10000, "disable")
    torch.testing.assert_close(plain["samples"], ended["samples"], atol=1e-3, rtol=1e-4)


def test_text_goes_through_clip() -> None:
    class Clip:
        layer = -1

        def clone(self) -> Clip:
            return Clip()

        def clip_layer(self, layer: int) -> None:
            self.layer = layer

        def encode(self, text: str) -> Any:
            return [[text, {"layer": self.layer}]]

    clip: Any = Clip()
    skipped = conditioning.set_last_layer(clip, -2)
    assert clip.layer == -1
    assert conditioning.encode_text(skipped, "a dog") == [["a dog", {"layer": -2}]]


def cond(value: float, tokens: int = 77, **settings: Any) -> list[list[Any]]:
    return [[torch.full((1, tokens, 4), value), settings]]


def test_combine_keeps_both() -> None:
    one, two = cond(1.0), cond(2.0)
    assert conditioning.combine(one, two) == one + two


def test_concat_appends_the_first() -> None:
    result = conditioning.concat(cond(1.0, kept=3), cond(2.0) + cond(9.0))
    assert result[0][0].shape == (1, 154, 4)
    assert result[0][0][0, ::77, 0].tolist() == [1.0, 2.0]
    assert result[0][1] == {"kept": 3}


def test_average_mixes_text_and_pooled_output() -> None:
    to = cond(1.0, 154, pooled_output=torch.tensor([0.0]), kept=3)
    source = cond(5.0, 77, pooled_output=torch.tensor([4.0]))
    result = conditioning.average(to, source, 0.75)
    text, settings = result[0]
    assert text[0, [0, 77], 0].tolist() == [2.0, 0.75]  # a shorter text is filled with zeros
    assert settings["pooled_output"].tolist() == [1.0]
    assert settings["kept"] == 3
    assert to[0][1]["pooled_output"].tolist() == [0.0]


def test_zero_out() -> None:
    result = conditioning.zero_out(cond(1.0, pooled_output=torch.ones(1, 4)))
    assert not result[0][0].any()
    assert not result[0][1]["pooled_output"].any()


def test_settings_are_added_to_a_copy() -> None:
    original = cond(1.0, strength=0.5)
    area = regions.set_area(original, 64, 128, 16, 24, 2.0)
    assert area[0][1] == {"area": (16, 8, 3, 2), "strength": 2.0, "set_area_to_bounds": False}
    span = regions.set_timestep_range(original, 0.2, 0.6)
    assert span[0][1] == {"strength": 0.5, "start_percent": 0.2, "end_percent": 0.6}
    mask = regions.set_mask(original, torch.ones(8, 8), "mask bounds", 0.7)
    assert mask[0][1]["mask"].shape == (1, 8, 8)
    assert mask[0][1]["set_area_to_bounds"] is True
    assert mask[0][1]["mask_strength"] == 0.7
    assert original[0][1] == {"strength": 0.5}


def test_empty_latents() -> None:
    made = latent.empty(520, 256, 3)
    assert made["samples"].shape == (3, 4, 32, 65)
    assert not made["samples"].any()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((96, 128), (16, 12)),
        ((8, 128), (16, 8)),
        # A side of 0 keeps the aspect, counted as the core does: latent pixels times pixels.
        ((0, 128), (16, 12)),
        ((128, 0), (21, 16)),
        ((0, 0), (8, 6)),
    ],
)
def test_latent_upscale_sizes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    samples = {"samples": torch.zeros(1, 4, 8, 6), "kept": 1}
    result = latent.upscale(samples, "bilinear", *size, "disabled")
    assert tuple(result["samples"].shape[2:]) == expected
    assert result["kept"] == 1


def test_latent_upscale_by_rounds_each_side() -> None:
    samples = {"samples": torch.zeros(1, 4, 9, 6), "kept": 1}
    result = latent.upscale_by(samples, "bilinear", 1.5)
    assert tuple(result["samples"].shape[2:]) == (14, 9)
    assert result["kept"] == 1
    with pytest.raises(UserError, match=r"0\.05 leaves nothing of a latent of 6 x 9.*0\.083"):
        latent.upscale_by(samples, "bilinear", 0.05)


def test_a_noise_mask_goes_with_the_latent() -> None:
    samples = {"samples": torch.zeros(1, 4, 8, 6)}
    result = latent.set_noise_mask(samples, torch.ones(2, 32, 24))
    assert result["noise_mask"].shape == (2, 1, 32, 24)
    assert "noise_mask" not in samples
