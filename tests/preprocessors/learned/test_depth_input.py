"""Depth models see what their authors' code shows them: its size, its shape, its mirror image."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import interpolate

from controlstack.preprocessors.learned.depth import load_depth
from controlstack.preprocessors.learned.depth_input import AnyShape, lower_bound, minimal
from tests.tiny_depth import MODELS

CPU = torch.device("cpu")
CHANNELS = {"input_data_format": "channels_last"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    base = tmp_path_factory.mktemp("depth")
    return {name: make(base / name) for name, make in MODELS.items()}


def noise(height: int, width: int) -> np.ndarray:
    blocks = np.random.default_rng(1).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def by_the_authors(
    size: tuple[int, int], target: int, multiple: int, method: str
) -> tuple[int, int]:
    """`Resize.get_size` of Depth-Anything-V2 and of MiDaS, step by step."""
    width, height = size
    scale_height, scale_width = target / height, target / width
    if method == "lower_bound":
        fit_width = scale_width > scale_height
    else:
        fit_width = abs(1 - scale_width) < abs(1 - scale_height)
    scale = scale_width if fit_width else scale_height

    def constrained(x: float) -> int:
        y = int(np.round(x / multiple) * multiple)
        if method == "lower_bound" and y < target:
            y = int(np.ceil(x / multiple) * multiple)
        return y

    return constrained(scale * width), constrained(scale * height)


def test_known_sizes() -> None:
    assert lower_bound((640, 427), (518, 518), 14) == (770, 518)
    assert lower_bound((427, 640), (518, 518), 14) == (518, 770)
    assert lower_bound((4000, 3000), (518, 518), 14) == (686, 518)
    assert lower_bound((512, 512), (518, 518), 14) == (518, 518)
    assert minimal((640, 427), (384, 384), 32) == (576, 384)
    assert minimal((100, 60), (384, 384), 32) == (384, 224)
    assert minimal((512, 512), (384, 384), 32) == (384, 384)


@given(width=st.integers(8, 4000), height=st.integers(8, 4000))
def test_both_rules_are_the_authors(width: int, height: int) -> None:
    found = lower_bound((width, height), (518, 518), 14)
    assert found == by_the_authors((width, height), 518, 14, "lower_bound")
    assert min(found) == 518
    assert all(side % 14 == 0 for side in found)
    # A side of which MiDaS makes none has one multiple here.
    wanted = by_the_authors((width, height), 384, 32, "minimal")
    assert minimal((width, height), (384, 384), 32) == tuple(max(32, side) for side in wanted)


@pytest.mark.parametrize("size", [(640, 427), (100, 60), (399, 801), (32, 256), (512, 512)])
def test_transformers_processor_has_midas_rule(size: tuple[int, int]) -> None:
    processor = transformers.DPTImageProcessor(
        size={"height": 384, "width": 384}, keep_aspect_ratio=True, ensure_multiple_of=32
    )
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    values = processor(picture, return_tensors="pt", **CHANNELS)["pixel_values"]
    assert minimal(size, (384, 384), 32) == (values.shape[3], values.shape[2])


class Looking(nn.Module):
    """A network that tells what it was shown, as AnyShape or as its own kind."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.config, self.seen = network, getattr(network, "config", None), []

    def forward(self, pixel_values: Tensor) -> Any:
        self.seen.append(pixel_values)
        return self.network(pixel_values=pixel_values)


def test_depth_anything_sees_the_shorter_side_whole(models: dict[str, Path]) -> None:
    """Its own processor would scale 80 x 48 to 28 x 14; 28 are the 518 of the published one."""
    model = load_depth([models["depth_anything"]])
    (network,) = model.networks
    looking, picture = Looking(network), noise(48, 80)
    found = model.draw(picture, CPU, looking)
    (values,) = looking.seen
    assert values.shape == (1, 3, 28, 42)
    processor = transformers.DPTImageProcessor.from_pretrained(models["depth_anything"])
    inputs = processor(picture, size={"height": 28, "width": 42}, return_tensors="pt", **CHANNELS)
    assert torch.equal(values, inputs["pixel_values"])
    plain = transformers.DepthAnythingForDepthEstimation.from_pretrained(models["depth_anything"])
    with torch.no_grad():
        raw = plain(**inputs).predicted_depth
    assert np.allclose(found[..., 0], near_of(raw, (48, 80)), atol=1e-5)


def near_of(raw: Tensor, size: tuple[int, int]) -> np.ndarray:
    whole = interpolate(raw[:, None], size=size, mode="bicubic")[0, 0]
    near: np.ndarray = ((whole - whole.min()) / (whole.max() - whole.min())).numpy()
    return near


def step_by_step(network: Any, values: Tensor, patch: int) -> Tensor:
    """A DPT's parts called one by one, each with the patches down and across."""
    config, dpt = network.config, network.dpt
    more = {"interpolate_pos_encoding": True} if config.is_hybrid else {}
    embedded = dpt.embeddings(values, **more)
    hidden, states = embedded[0], []
    for layer in dpt.encoder.layer:
        out = layer(hidden)
        hidden = out[0] if isinstance(out, tuple) else out
        states.append(hidden)
    kept = [*embedded[1], *(states[i] for i in (2, 3))] if config.is_hybrid else states
    down, across = (side // patch for side in values.shape[-2:])
    depth: Tensor = network.head(network.neck(kept, down, across))
    return depth


SHAPES = [(32, 64), (96, 32), (64, 256), (32, 32)]
"""The third has 256 patches of 8 x 8: a square's number, which transformers would take for one."""


@pytest.mark.parametrize("name", ["dpt", "dpt_hybrid"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_dpt_takes_every_shape(
    name: str, shape: tuple[int, int], models: dict[str, Path]
) -> None:
    (network,) = load_depth([models[name]]).networks
    assert isinstance(network, AnyShape)
    values = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        found = network(pixel_values=values).predicted_depth
        wanted = step_by_step(network.network, values, network.patch)
    assert found.shape[-2] * shape[1] == found.shape[-1] * shape[0], "the picture's shape"
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("name", ["dpt", "dpt_hybrid"])
def test_a_square_gives_the_bits_of_transformers(name: str, models: dict[str, Path]) -> None:
    (network,) = load_depth([models[name]]).networks
    plain = transformers.DPTForDepthEstimation.from_pretrained(
        models[name], use_safetensors=name == "dpt"
    )
    values = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        found = network(pixel_values=values).predicted_depth
        assert torch.equal(found, plain.eval()(pixel_values=values).predicted_depth)


@pytest.mark.parametrize("name", ["dpt", "dpt_hybrid"])
def test_a_dpt_sees_the_picture_s_shape(name: str, models: dict[str, Path]) -> None:
    model = load_depth([models[name]])
    (network,) = model.networks
    shown: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(
        lambda _, args, named: shown.append(tuple(named["pixel_values"].shape)), with_kwargs=True
    )
    assert model(noise(48, 96), CPU).shape == (48, 96, 3)
    assert model(noise(96, 48), CPU).shape == (96, 48, 3)
    assert shown == [(1, 3, 32, 64), (1, 3, 64, 32)]


def test_two_threads_may_look_at_two_shapes(models: dict[str, Path]) -> None:
    model = load_depth([models["dpt"]])
    pictures = [noise(48, 96), noise(96, 48)]
    wanted = [model(picture, CPU) for picture in pictures]
    wrong: list[int] = []

    def look(which: int) -> None:
        for _ in range(10):
            if not np.array_equal(model(pictures[which], CPU), wanted[which]):
                wrong.append(which)

    threads = [threading.Thread(target=look, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("name", ["zoe", "zoe_nk"])
def test_zoe_looks_at_the_mirror_image_too(name: str, models: dict[str, Path]) -> None:
    model = load_depth([models[name]])
    picture = noise(48, 80)
    (network,) = model.networks
    looking = Looking(network)
    found = model.draw(picture, CPU, looking)
    values, mirrored = looking.seen
    assert torch.equal(mirrored, values.flip(-1))
    plain = transformers.ZoeDepthForDepthEstimation.from_pretrained(models[name]).eval()
    processor = transformers.ZoeDepthImageProcessor.from_pretrained(models[name])
    with torch.no_grad():
        one, other = (plain(pixel_values=v).predicted_depth for v in (values, mirrored))
    mean = type(plain(pixel_values=values))(predicted_depth=(one + other.flip(-1)) / 2)
    (depth,) = processor.post_process_depth_estimation(mean, source_sizes=[(48, 80)])
    metres = depth["predicted_depth"].detach().numpy()
    low, high = np.percentile(metres, (2, 85))
    assert np.allclose(found[..., 0], 1 - np.clip((metres - low) / (high - low), 0, 1), atol=1e-4)


class Leaning(nn.Module):
    """A network that takes what is bright for far, and more so the farther right it is."""

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        right = torch.linspace(0, 1, pixel_values.shape[-1])
        return SimpleNamespace(predicted_depth=pixel_values.mean(dim=1) + right)


def test_a_mirrored_picture_has_zoe_s_depth_mirrored(models: dict[str, Path]) -> None:
    model = replace(load_depth([models["zoe"]]), networks=(Leaning(),))
    picture = noise(48, 80)
    found = model(np.ascontiguousarray(picture[:, ::-1]), CPU)
    assert np.allclose(found[:, ::-1], model(picture, CPU), atol=1e-4)
    assert found.std() > 0.1
