"""The embedded host's kinds of nets beside ComfyUI's: union nets, Control-LoRAs, differences.

The same file on both sides, loaded by each host's own loader where ComfyUI's takes small ones; what
is compared is the residuals of one step.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
import torch
from diffusers import UNet2DConditionModel as UNet
from safetensors.torch import load_file, save_file
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless import computing
from controlstack.headless.models.loading import load_control_net, load_difference, load_unet
from controlstack.headless.sampling.base_model import BaseModel
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from tests import sd15_files
from tests.comfyui import shapes, small
from tests.comfyui.small import SD15, SDXL, Family

Hosts = tuple[Any, Any]
"""What ComfyUI loaded, and what the embedded host did."""

TWO_LEVELS = {
    **shapes.SD15,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 1],
    "transformer_depth": [1, 1],
    "transformer_depth_middle": 1,
}
"""ComfyUI's configuration of the U-Net of `sd15_files`."""
TWO_LEVELS_XL = {**TWO_LEVELS, **shapes.SDXL}
TYPES = ([], [0], [3], [5])
SIZES = ((8, 8), (9, 13))
CLOSE = 5e-5  # of the largest value: diffusers' layers add in another order than ComfyUI's
FAMILIES = {"SD 1.5": SD15, "SDXL": SDXL}


def _saved(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return path


def _residuals(net: Any, model: Any, size: tuple[int, int], family: Family = SD15) -> Any:
    """Of two pictures on two sides, with one hint; `model` is what samples."""
    generator = torch.Generator().manual_seed(8)
    x = torch.randn(4, 4, *size, generator=generator) * 3.0
    cond = {"c_crossattn": torch.randn(4, 77, family.context, generator=generator)}
    if family.pooled:
        cond["y"] = torch.randn(4, family.pooled, generator=generator)
    net = net.copy().set_cond_hint(small.hint(2), 0.7)
    net.pre_run(model, model.model_sampling.percent_to_sigma)
    with torch.no_grad():
        found = net.get_control(x, torch.full((4,), 3.0), cond, 2, {})
    net.cleanup()
    return found


def _assert_close(found: Any, wanted: Any, far: float = CLOSE) -> None:
    assert found["input"] == []
    for side in ("output", "middle"):
        assert len(found[side]) == len(wanted[side])
        for ours, theirs in zip(found[side], wanted[side], strict=True):
            assert theirs.abs().max() > 1e-3
            assert (ours - theirs).abs().max() <= far * theirs.abs().max()


def _embedded(base: Any, path: Path) -> Any:
    """ComfyUI's base model as the embedded host loads it."""
    state = base.model.diffusion_model.state_dict()
    return load_unet(
        _saved(path, {f"model.diffusion_model.{k}": v for k, v in state.items()})
    ).model


@pytest.fixture(scope="module")
def models(comfy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    """One U-Net file as a MODEL."""
    import comfy.sd

    path = sd15_files.write_unet(tmp_path_factory.mktemp("base") / "base.safetensors")
    return comfy.sd.load_diffusion_model(str(path)), load_unet(path)


@pytest.fixture(scope="module")
def union(comfy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    """One union net for SD 1.5's shape."""
    return _union(TWO_LEVELS, tmp_path_factory.mktemp("union"))


@pytest.fixture(scope="module")
def union_xl(comfy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    """One union net for SDXL's shape."""
    return _union(TWO_LEVELS_XL, tmp_path_factory.mktemp("union"))


def _union(table: dict[str, Any], folder: Path) -> Hosts:
    """ComfyUI's loader takes none so small: its network is given the weights of the file."""
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops
    import comfy.utils

    config = {n: v for n, v in table.items() if n not in ("out_channels", "transformer_depth")}
    network = comfy.cldm.cldm.ControlNet(
        hint_channels=3,
        transformer_depth=[1, 1],  # it empties what it is given
        union_controlnet_num_control_type=6,
        device=small.CPU,
        operations=comfy.ops.disable_weight_init,
        **config,
    )
    small.fill(network, 5)
    state = network.state_dict()
    table = {**table, "transformer_depth_output": [1] * 4}
    theirs = comfy.utils.unet_to_diffusers(table).items()
    names = {name: key for key, name in theirs if not key.startswith("class_embedding.")}
    hint = shapes.hint_names([name for name in state if name.startswith("input_hint_block.")])
    named = {
        names.get(name) or hint.get(name) or shapes.zero_conv_name(name): value
        for name, value in state.items()
    }
    net = comfy.controlnet.ControlNet(network, load_device=small.CPU)
    return net, load_control_net(_saved(folder / "union.safetensors", named))


@pytest.mark.parametrize("types", TYPES)
def test_a_union_net_for_sdxl(union_xl: Hosts, types: list[int]) -> None:
    config = union_xl[1].control_model.config
    shape = {name: config[name] for name in config if name in inspect.signature(UNet).parameters}
    ups = [kind.replace("Down", "Up") for kind in reversed(config.down_block_types)]
    with torch.device("meta"):
        unet = UNet.from_config({**shape, "up_block_types": ups})
    models = small.base(SDXL).model, BaseModel(unet, DiscreteSampling.from_betas(), 1)
    wanted, found = (
        _residuals(_typed(net, types), model, (8, 8), SDXL)
        for net, model in zip(union_xl, models, strict=True)
    )
    _assert_close(found, wanted)


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("size", SIZES)
def test_a_union_net(union: Hosts, models: Hosts, types: list[int], size: tuple[int, int]) -> None:
    wanted, found = (
        _residuals(_typed(net, types), model.model, size)
        for net, model in zip(union, models, strict=True)
    )
    _assert_close(found, wanted)


def _typed(net: Any, types: list[int]) -> Any:
    net = net.copy()
    net.set_extra_arg("control_type", types)
    return net


def test_types_change_what_a_union_net_gives(union: Hosts, models: Hosts) -> None:
    nets = [_typed(union[1], types) for types in TYPES]
    given = [_residuals(net, models[1].model, (8, 8))["middle"][0] for net in nets]
    for i, one in enumerate(given):
        assert all((one - other).abs().max() > 1e-2 for other in given[i + 1 :])


def test_a_type_that_only_promax_has(union: Hosts, models: Hosts) -> None:
    with pytest.raises(ValueError, match="ProMax"):
        _residuals(_typed(union[0], [6]), models[0].model, (8, 8))
    with pytest.raises(UserError, match=r"knows 6 types .*tile is not among them: use the ProMax"):
        _typed(union[1], [6])


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("size", SIZES)
def test_a_control_lora(
    comfy: ModuleType, name: str, size: tuple[int, int], tmp_path: Path
) -> None:
    family = FAMILIES[name]
    theirs = small.base(family)
    lora = small.control_lora(3, family)
    mark = {"lora_controlnet": torch.zeros(1)}
    ours = load_control_net(_saved(tmp_path / "lora.safetensors", {**lora.control_weights, **mark}))
    embedded = _embedded(theirs, tmp_path / "base.safetensors")
    wanted = _residuals(lora, theirs.model, size, family)
    _assert_close(_residuals(ours, embedded, size, family), wanted)
    assert ours.get_models() == []
    shared = embedded.diffusion_model.time_embedding.linear_1.bias
    ours.pre_run(embedded, embedded.model_sampling.percent_to_sigma)
    assert ours.control_model.time_embedding.linear_1.bias.data_ptr() == shared.data_ptr()


@pytest.mark.parametrize("half", [False, True])
def test_a_difference(models: Hosts, tmp_path: Path, half: bool) -> None:
    import comfy.controlnet

    path = sd15_files.write_control_net(tmp_path / "diff.safetensors")
    tensors = {name: value / 8 for name, value in load_file(path).items()}
    if not half:
        tensors = {name: value.float() for name, value in tensors.items()}
    _saved(path, {**tensors, "difference": torch.zeros(1)})
    theirs = comfy.controlnet.load_controlnet(str(path), models[0])
    wanted = _residuals(theirs, models[0].model, (8, 8))
    _assert_close(_residuals(load_difference(path, models[1]), models[1].model, (8, 8)), wanted)


NARROW = (torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


@pytest.mark.parametrize("dtype", NARROW)
def test_a_net_of_narrow_numbers(models: Hosts, tmp_path: Path, dtype: torch.dtype) -> None:
    import comfy.controlnet

    path = sd15_files.write_control_net(tmp_path / "net.safetensors")
    _saved(path, {name: value.to(dtype) for name, value in load_file(path).items()})
    theirs = comfy.controlnet.load_controlnet(str(path))
    wanted = _residuals(theirs, models[0].model, (8, 8))
    with (
        computing.use(computing.Computing(may_keep=True)),
        mock.patch.object(computing, "available", return_value=0),
    ):
        kept = load_control_net(path)
    for ours in (kept, load_control_net(path)):
        _assert_close(_residuals(ours, models[1].model, (8, 8)), wanted)


@pytest.mark.parametrize("dtype", NARROW[2:])
def test_a_model_of_scaled_eight_bits(
    comfy: ModuleType, tmp_path: Path, dtype: torch.dtype
) -> None:
    import comfy.sd

    # ComfyUI 0.3.64 is 2 % off: it multiplies such files in other numbers.
    pytest.importorskip("comfy.quant_ops")
    path = sd15_files.write_unet(tmp_path / "base.safetensors")
    beginning = "model.diffusion_model."
    tensors = {f"{beginning}scaled_fp8": torch.zeros(2, dtype=dtype)}
    for name, value in load_file(path).items():
        tensors[name] = value
        if value.ndim == 2:  # as such files are: every linear layer, no convolution
            scale = value.float().abs().max() / 200
            tensors[name] = (value.float() / scale).to(dtype)
            tensors[f"{name.removesuffix('weight')}scale_weight"] = scale
    _saved(path, tensors)
    theirs, ours = comfy.sd.load_diffusion_model(str(path)).model, load_unet(path).model
    generator = torch.Generator().manual_seed(8)
    x = torch.randn(2, 4, 8, 8, generator=generator) * 3.0
    text = torch.randn(2, 77, SD15.context, generator=generator)
    with torch.no_grad():
        wanted, found = (
            one.apply_model(x, torch.full((2,), 3.0), c_crossattn=text) for one in (theirs, ours)
        )
    assert (found - wanted).abs().max() <= CLOSE * wanted.abs().max()
