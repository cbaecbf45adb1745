"""The embedded host's T2I adapters against the core's: residuals, and where the U-Net adds them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from controlstack.headless.models.loading import load_control_net
from controlstack.headless.sampling.base_model import BaseModel
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.model_patch.residuals import Residuals
from tests.comfyui.shapes import Shapes, shapes_of
from tests.headless.models.ldm import unet_names
from tests.weights import drawn

CHANNELS = (32, 64, 128, 128)
TEXT = 16
NETS = ("full", "grey", "kernel 3", "learned halving", "light", "SDXL", "SDXL grey")
SIZES = ((8, 8), (9, 13), (16, 10))
Files = tuple[Any, Any]


@pytest.fixture(scope="module", params=NETS)
def nets(
    comfy: ModuleType, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Files:
    """One file, as the core loads it and as the embedded host does."""
    return _loaded(tmp_path_factory.mktemp("t2i") / "net.safetensors", _shapes(request.param))


def _shapes(name: str) -> Shapes:
    from comfy.t2i_adapter.adapter import Adapter, Adapter_light

    with torch.device("meta"):
        if name == "light":  # the core's loader knows no light adapter of other widths
            return shapes_of(Adapter_light(cin=192, channels=[320, 640, 1280, 1280], nums_rb=4))
        return shapes_of(
            Adapter(
                channels=list(CHANNELS),
                nums_rb=2,
                cin=_folded(name),
                ksize=3 if name == "kernel 3" else 1,
                sk=True,
                use_conv=name == "learned halving",
                xl="SDXL" in name,
            )
        )


def _folded(name: str) -> int:
    pixels = 16 if "SDXL" in name else 8
    return (1 if "grey" in name else 3) * pixels**2


def _loaded(path: Path, shapes: Shapes) -> Files:
    import comfy.controlnet

    save_file(drawn(shapes, seed=4), path)
    theirs = comfy.controlnet.load_controlnet(str(path))
    assert isinstance(theirs, comfy.controlnet.T2IAdapter)
    return theirs, load_control_net(path)


def _residuals(
    net: Any, size: tuple[int, int], base: Any, batch: int = 2, sigma: float = 2.0
) -> Any:
    x = torch.zeros(batch, 4, *size)
    net.pre_run(base, DiscreteSampling.from_betas().percent_to_sigma)
    found = net.get_control(x, torch.full((batch,), sigma), {"c_crossattn": None}, 2, {})
    net.cleanup()
    return found


def _hint(batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, 80, 72, generator=torch.Generator().manual_seed(2))


def _base(net: Any) -> Any:
    """What `pre_run` asks of a model: a U-Net of the net's widths, here without weights."""
    levels = 3 if getattr(net.t2i_model, "xl", False) else 4
    with torch.device("meta"):
        unet = _diffusers_unet(net.t2i_model.channels[:levels])
        return BaseModel(unet, DiscreteSampling.from_betas(), 1)


def _diffusers_unet(channels: tuple[int, ...]) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D",) * (len(channels) - 1) + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (len(channels) - 1),
        layers_per_block=2,
        cross_attention_dim=TEXT,
        attention_head_dim=8,
    )


def assert_same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for side in ("input", "middle", "output"):
        # An SDXL adapter of the core's has a None more than its U-Net has blocks, which read from
        # the end.
        more = len(wanted[side]) - len(found[side])
        assert wanted[side][:more] == [None] * more
        assert more == (side == "input" and len(found["middle"]))
        for ours, theirs in zip(found[side], wanted[side][more:], strict=True):
            assert (ours is None) == (theirs is None)
            if theirs is not None:
                torch.testing.assert_close(ours, theirs.expand_as(ours), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("strength", [1.0, 0.35])
def test_residuals(nets: Files, size: tuple[int, int], strength: float) -> None:
    theirs, ours = (net.copy().set_cond_hint(_hint(), strength) for net in nets)
    wanted, base = _residuals(theirs, size, None), _base(ours)
    assert_same(_residuals(ours, size, base), wanted)
    assert max(r.abs().max() for r in wanted["input"] if r is not None) > 0.1


@pytest.mark.parametrize("hints", [2, 3])
def test_one_hint_for_each_picture(nets: Files, hints: int) -> None:
    theirs, ours = (net.copy().set_cond_hint(_hint(hints)) for net in nets)
    base = _base(ours)
    assert_same(_residuals(ours, (8, 8), base, batch=4), _residuals(theirs, (8, 8), None, batch=4))


@pytest.mark.parametrize("span", [(0.0, 0.5), (0.3, 1.0), (0.2, 0.21)])
@pytest.mark.parametrize("sigma", [14.0, 3.0, 0.1])
def test_ranges(nets: Files, span: tuple[float, float], sigma: float) -> None:
    theirs, ours = (net.copy().set_cond_hint(_hint(), 1.0, span) for net in nets)
    found = _residuals(ours, (8, 8), _base(ours), sigma=sigma)
    wanted = _residuals(theirs, (8, 8), None, sigma=sigma)
    assert (found is None) == (wanted is None)
    if wanted is not None:
        assert_same(found, wanted)


def test_a_chain_of_two(nets: Files) -> None:
    chains = []
    for net in nets:
        first = net.copy().set_cond_hint(_hint(), 0.7)
        chains.append(net.copy().set_cond_hint(_hint(2)).set_previous_controlnet(first))
    theirs, ours = chains
    assert_same(_residuals(ours, (8, 8), _base(ours)), _residuals(theirs, (8, 8), None))


@pytest.mark.parametrize("size", SIZES)
def test_the_unet_adds_them_at_the_same_places(
    comfy: ModuleType, tmp_path: Path, size: tuple[int, int]
) -> None:
    theirs, ours = _loaded(tmp_path / "net.safetensors", _shapes("full"))
    unet = _diffusers_unet(CHANNELS)
    unet.load_state_dict(drawn(shapes_of(unet), seed=5, gain=0.7))
    base = BaseModel(unet.eval().requires_grad_(False), DiscreteSampling.from_betas(), 1)
    core = _core_unet(unet)
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(2, 4, *size, generator=generator)
    text = torch.randn(2, 77, TEXT, generator=generator)
    sigma = torch.tensor([2.0, 2.0])

    def predicted(control: Any) -> Tensor:
        scaled = base.model_sampling.calculate_input(sigma, x)
        times = base.model_sampling.timestep(sigma).float()
        noise: Tensor = core(scaled, times, context=text, control=control)
        return base.model_sampling.calculate_denoised(sigma, noise, x)

    theirs, ours = (net.copy().set_cond_hint(_hint()) for net in (theirs, ours))
    with torch.no_grad():
        plain, wanted = predicted(None), predicted(_residuals(theirs, size, None))
        found = base.apply_model(x, sigma, c_crossattn=text, control=_residuals(ours, size, base))
        torch.testing.assert_close(base.apply_model(x, sigma, c_crossattn=text), plain)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
    assert (wanted - plain).abs().max() > 0.1


def _core_unet(unet: Any) -> Any:
    """The core's U-Net with the weights of diffusers' one."""
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    made = UNetModel(
        image_size=32,
        in_channels=4,
        out_channels=4,
        model_channels=CHANNELS[0],
        channel_mult=[channels // CHANNELS[0] for channels in CHANNELS],
        num_res_blocks=[2] * 4,
        transformer_depth=[1] * 6 + [0] * 2,
        transformer_depth_output=[1] * 9 + [0] * 3,
        transformer_depth_middle=1,
        context_dim=TEXT,
        num_heads=8,
        use_spatial_transformer=True,
        use_linear_in_transformer=False,
        legacy=False,
        operations=comfy.ops.disable_weight_init,
    )
    # The deepest level has no attention, so its upsampler comes one place earlier.
    names = unet_names(unet.state_dict(), layers=2)
    made.load_state_dict(
        {n.replace("output_blocks.2.2.", "output_blocks.2.1."): v for n, v in names.items()}
    )
    return made.eval().requires_grad_(False)


def test_residuals_are_counted_from_the_finest_in_both_hosts(nets: Files) -> None:
    for net in nets:
        made = _residuals(net.copy().set_cond_hint(_hint(), 1.0, (0.0, 1.0)), (16, 16), _base(net))
        heights = [place.height for place in Residuals.of(made).places()]
        assert heights == sorted(heights, reverse=True)
        # SDXL's net halves its picture once, for four maps.
        assert len(set(heights)) == (2 if getattr(net.t2i_model, "xl", False) else len(heights))
