"""T2I adapters on the embedded host: diffusers' own as a witness, files in every layout, chains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.models.inspect import check
from controlstack.headless.models.loading import load_control_net
from controlstack.headless.models.t2i_adapter import T2IAdapter
from controlstack.headless.models.t2i_network import FULL, FULL_XL, LIGHT
from controlstack.headless.sampling.base_model import BaseModel
from controlstack.headless.sampling.sample import ksample
from controlstack.model_patch.control import Control
from controlstack.model_patch.factors import Span
from controlstack.model_patch.patch import patch
from tests.headless.models.t2i_files import adapter, save_adapter, tencent_names
from tests.headless.models.tiny_files import save_control_net
from tests.tiny import CHANNELS, tiny_conditioning, tiny_model, tiny_unet

TYPES = (FULL, LIGHT)
POSITIVE, NEGATIVE = tiny_conditioning(3), tiny_conditioning(4)
ENDS = (2, 5, 8, 11)  # of an SD 1.x encoder's levels, the input convolution being block 0


@pytest.fixture
def base() -> BaseModel:
    return tiny_model(tiny_unet()).model


def hint(batch: int = 1, size: int = 64) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(5))


def control(net: Any, base: BaseModel, batch: int = 2, sigma: float = 3.0, size: int = 8) -> Any:
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(batch, 4, size, size, generator=generator)
    cond = {"c_crossattn": torch.randn(batch, 77, 16, generator=generator)}
    net.pre_run(base, base.model_sampling.percent_to_sigma)
    try:
        return net.get_control(x, torch.full((batch,), sigma), cond, 2, {})
    finally:
        net.cleanup()


@pytest.mark.parametrize("adapter_type", TYPES)
@pytest.mark.parametrize("layout", ["diffusers", "diffusers bare", "tencent", "folder", "pickle"])
def test_the_features_are_diffusers_own(
    tmp_path: Path, base: BaseModel, adapter_type: str, layout: str
) -> None:
    theirs = adapter(adapter_type)
    net = load_control_net(save_adapter(tmp_path / "net", theirs, layout))
    assert isinstance(net, T2IAdapter)
    found = control(net.set_cond_hint(hint(), 0.5), base, batch=1)
    wanted = theirs(hint())
    assert found["middle"] == found["output"] == []
    rows = found["input"][::-1]
    assert [i for i, row in enumerate(rows) if row is not None] == list(ENDS)
    for end, feature in zip(ENDS, wanted, strict=True):
        assert feature.abs().max() > 0.01
        torch.testing.assert_close(rows[end], feature * 0.5, rtol=0, atol=1e-6)


def test_a_checkpoint_of_halves_is_computed_in_full_precision(tmp_path: Path) -> None:
    net = load_control_net(save_adapter(tmp_path / "net", adapter(FULL).half(), "tencent"))
    assert isinstance(net, T2IAdapter)
    assert next(net.t2i_model.parameters()).dtype == torch.float32


def test_a_grey_adapter_sees_the_mean_of_the_colours(tmp_path: Path, base: BaseModel) -> None:
    theirs = adapter(FULL, in_channels=1)
    net = load_control_net(save_adapter(tmp_path / "net", theirs, "tencent"))
    rows = control(net.set_cond_hint(hint()), base, batch=1)["input"][::-1]
    wanted = theirs(hint().mean(dim=1, keepdim=True))
    torch.testing.assert_close(rows[2], wanted[0], rtol=0, atol=1e-6)


def test_a_learned_halving_is_read_from_the_file(tmp_path: Path, base: BaseModel) -> None:
    tensors = tencent_names(adapter(FULL).state_dict())
    plain = control(_loaded(tmp_path / "a", tensors).set_cond_hint(hint()), base, batch=1)
    for block, channels in ((2, 8), (4, 16), (6, 16)):
        tensors[f"body.{block}.down_opt.op.weight"] = torch.randn(channels, channels, 3, 3)
        tensors[f"body.{block}.down_opt.op.bias"] = torch.randn(channels)
    learned = control(_loaded(tmp_path / "b", tensors).set_cond_hint(hint()), base, batch=1)
    assert torch.equal(plain["input"][-3], learned["input"][-3])  # the first level halves nothing
    assert not torch.equal(plain["input"][-6], learned["input"][-6])


def test_each_hint_goes_to_its_own_row_on_both_sides(tmp_path: Path, base: BaseModel) -> None:
    net = load_control_net(save_adapter(tmp_path / "net", adapter(LIGHT), "tencent"))
    rows = control(net.set_cond_hint(hint(batch=2)), base, batch=4)["input"]
    alone = control(net.set_cond_hint(hint(batch=2)[1:]), base, batch=4)["input"]
    assert rows[0].shape[0] == alone[0].shape[0] == 4
    for row, one in zip(rows, alone, strict=True):
        if row is not None:
            torch.testing.assert_close(row[1], one[0], rtol=0, atol=1e-6)
            assert torch.equal(row[3], row[1])


def test_it_is_computed_once_a_run_for_each_size(
    tmp_path: Path, base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = load_control_net(save_adapter(tmp_path / "net", adapter(LIGHT), "tencent"))
    assert isinstance(net, T2IAdapter)
    sizes: list[int] = []
    net.t2i_model.register_forward_hook(lambda m, args, out: sizes.append(args[0].shape[-1]))
    net = net.copy().set_cond_hint(hint())
    for _ in range(2):
        net.pre_run(base, base.model_sampling.percent_to_sigma)
        for size, batch in ((8, 2), (8, 4), (8, 2), (16, 2)):
            net.get_control(torch.zeros(batch, 4, size, size), torch.ones(batch), {}, 2, {})
        net.cleanup()
    assert sizes == [64, 128, 64, 128]


def test_range_and_strength(tmp_path: Path, base: BaseModel) -> None:
    net = load_control_net(save_adapter(tmp_path / "net", adapter(LIGHT), "tencent"))
    late = net.copy().set_cond_hint(hint(), 1.0, (0.5, 1.0))
    assert control(late, base, sigma=10.0) is None
    assert control(late, base, sigma=0.1) is not None
    weak = control(net.copy().set_cond_hint(hint(), 0.25), base)["input"][0]
    full = control(net.copy().set_cond_hint(hint(), 1.0), base)["input"][0]
    assert torch.equal(weak, full * 0.25)


@pytest.mark.parametrize("adapter_first", [True, False])
def test_a_chain_with_a_controlnet(tmp_path: Path, base: BaseModel, adapter_first: bool) -> None:
    t2i = load_control_net(save_adapter(tmp_path / "t2i", adapter(FULL), "tencent"))
    net = load_control_net(save_control_net(tmp_path / "net"))
    assert isinstance(net, ControlNet)
    nets = [n.copy().set_cond_hint(hint()) for n in (t2i, net)]
    alone = [control(n, base) for n in nets]
    first, last = nets if adapter_first else nets[::-1]
    both = control(last.set_previous_controlnet(first), base)
    assert len(last.get_models()) == 2
    for side, of in (("input", 0), ("middle", 1), ("output", 1)):
        assert len(both[side]) == len(alone[of][side])
        for found, wanted in zip(both[side], alone[of][side], strict=True):
            assert found is wanted is None or torch.equal(found, wanted)


def test_two_adapters_add_up(tmp_path: Path, base: BaseModel) -> None:
    net = load_control_net(save_adapter(tmp_path / "net", adapter(LIGHT), "tencent"))
    first, last = (net.copy().set_cond_hint(hint(), s) for s in (1.0, 0.5))
    alone = control(first, base)["input"], control(last, base)["input"]
    both = control(last.set_previous_controlnet(first), base)["input"]
    assert torch.equal(both[0], alone[0][0] + alone[1][0])
    assert both[1] is None


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("span", [Span(), Span(0.0, 0.5)])
def test_our_stack_gives_what_the_cores_nodes_give(tmp_path: Path, batch: int, span: Span) -> None:
    t2i = load_control_net(save_adapter(tmp_path / "t2i", adapter(FULL), "tencent"))
    net = load_control_net(save_control_net(tmp_path / "net"))
    limits = (span.start, span.end)
    first = t2i.copy().set_cond_hint(hint(), 0.8, limits)
    chain = net.copy().set_cond_hint(hint(), 0.5).set_previous_controlnet(first)
    chained = [_with(chain, side) for side in (POSITIVE, NEGATIVE)]
    stack = (Control(t2i, hint(), "t2i", 0.8, span), Control(net, hint(), "net", 0.5))

    def sampled(model: Any, sides: Sequence[Any]) -> Tensor:
        latent = {"samples": torch.zeros(batch, 4, 8, 8)}
        out: Tensor = ksample(model, 7, 3, 5.0, "euler", "normal", *sides, latent)["samples"]
        return out

    plain = (POSITIVE, NEGATIVE)
    wanted = sampled(tiny_model(), chained)
    assert torch.equal(sampled(patch(tiny_model(), stack), plain), wanted)
    assert not torch.allclose(wanted, sampled(patch(tiny_model(), stack[1:]), plain), atol=1e-2)


@pytest.mark.parametrize("change", [{"mode": "cfg_rw"}, {"mask": torch.ones(2, 64, 64)}])
def test_masks_and_modes_reach_every_row(tmp_path: Path, change: dict[str, Any]) -> None:
    t2i = load_control_net(save_adapter(tmp_path / "t2i", adapter(FULL), "tencent"))
    patched = patch(tiny_model(), (Control(t2i, hint(), "t2i", **change),))
    latent = {"samples": torch.zeros(2, 4, 8, 8)}
    out = ksample(patched, 7, 2, 5.0, "euler", "normal", POSITIVE, NEGATIVE, latent)["samples"]
    plain = ksample(tiny_model(), 7, 2, 5.0, "euler", "normal", POSITIVE, NEGATIVE, latent)
    for row, bare in zip(out, plain["samples"], strict=True):
        assert (row - bare).abs().max() > 0.1


def _with(net: Any, conditioning: list[Any]) -> list[Any]:
    extra = {"control": net, "control_apply_to_uncond": False}
    return [[text, {**options, **extra}] for text, options in conditioning]


def test_an_adapter_of_another_width_is_refused(tmp_path: Path, base: BaseModel) -> None:
    other = adapter(FULL, channels=(8, 16, 32, 32))
    net = load_control_net(save_adapter(tmp_path / "net", other, "tencent"))
    with pytest.raises(
        UserError, match=r"\(8, 16, 32, 32\) channels.*\(8, 16, 16, 16\); load a T2I"
    ):
        control(net.set_cond_hint(hint()), base)


@pytest.mark.parametrize("layers", [1, 3])
def test_features_come_at_the_ends_of_levels_of_any_depth(tmp_path: Path, layers: int) -> None:
    net = load_control_net(save_adapter(tmp_path / "net", adapter(FULL), "tencent"))
    unet = tiny_unet(layers=layers)
    found = control(net.set_cond_hint(hint()), tiny_model(unet).model, batch=1)
    rows = found["input"][::-1]
    ends = [level * (layers + 1) + layers for level in range(4)]
    assert [i for i, row in enumerate(rows) if row is not None] == ends
    x, t, text = torch.zeros(1, 4, 8, 8), torch.ones(1), torch.zeros(1, 77, 16)
    tiny_model(unet).model.apply_model(x, t, c_crossattn=text, control=found)  # and they fit


def test_features_deeper_than_the_model_are_left_out(tmp_path: Path, base: BaseModel) -> None:
    deep = adapter(FULL, channels=(*CHANNELS, 16))
    net = load_control_net(save_adapter(tmp_path / "net", deep, "tencent"))
    rows = control(net.set_cond_hint(hint()), base, batch=1)["input"]
    assert len(rows) == 12
    torch.testing.assert_close(rows[0], deep(hint())[3], rtol=0, atol=1e-6)


@pytest.mark.parametrize("layout", ["diffusers", "tencent", "folder"])
def test_an_adapter_for_sdxl(tmp_path: Path, layout: str) -> None:
    theirs = adapter(FULL_XL)
    path = save_adapter(tmp_path / "net", theirs, layout)
    check(path, "controlnet")
    base = tiny_model(tiny_unet(channels=CHANNELS[:3])).model
    net = load_control_net(path).set_cond_hint(hint(), 0.5)
    found = control(net, base, batch=1)
    # Where ComfyUI puts them: after the first halving, at the ends of two levels, in the middle.
    rows = found["input"][::-1]
    ends = [i for i, row in enumerate(rows) if row is not None]
    assert ends == [3, 5, 8]
    placed = [*(rows[end] for end in ends), *found["middle"]]
    for row, feature in zip(placed, theirs(hint()), strict=True):
        torch.testing.assert_close(row, feature * 0.5, rtol=0, atol=1e-6)
    odd, text = torch.zeros(1, 4, 12, 20), torch.zeros(1, 77, 16)  # not multiples of 16 pixels
    net.pre_run(base, base.model_sampling.percent_to_sigma)
    found = net.get_control(odd, torch.ones(1), {}, 1)
    base.apply_model(odd, torch.ones(1), c_crossattn=text, control=found)  # and they fit


def test_an_adapter_for_sdxl_on_another_model(tmp_path: Path, base: BaseModel) -> None:
    net = load_control_net(save_adapter(tmp_path / "net", adapter(FULL_XL), "tencent"))
    with pytest.raises(
        UserError, match=r"net\.safetensors is a T2I adapter for SDXL.* this model has 4"
    ):
        control(net.set_cond_hint(hint()), base)


def test_a_light_adapter_of_large_folds_is_refused(tmp_path: Path) -> None:
    tensors = tencent_names(adapter(LIGHT).state_dict())
    tensors["body.0.in_conv.weight"] = torch.zeros(2, 768, 1, 1)
    file = tmp_path / "net.safetensors"
    save_file(tensors, file)
    with pytest.raises(UserError, match="light one that folds 16 x 16 pixels"):
        check(file, "controlnet")


@pytest.mark.parametrize("adapter_type", TYPES)
def test_files_in_order_pass_the_check(tmp_path: Path, adapter_type: str) -> None:
    for layout in ("tencent", "diffusers", "folder"):
        check(save_adapter(tmp_path / layout, adapter(adapter_type), layout), "controlnet")


def test_half_an_adapter_says_what_is_missing(tmp_path: Path) -> None:
    tensors = tencent_names(adapter(FULL).state_dict())
    del tensors["body.3.block1.bias"]
    with pytest.raises(UserError, match=r"lacks 1 of \d+ tensors.*body.3.block1.bias"):
        _loaded(tmp_path / "net", tensors)


def test_a_hint_without_colours(tmp_path: Path, base: BaseModel) -> None:
    net = load_control_net(save_adapter(tmp_path / "net", adapter(FULL), "tencent"))
    with pytest.raises(UserError, match="a hint of 4 channels and takes 3; give it a colour"):
        control(net.set_cond_hint(torch.zeros(1, 4, 64, 64)), base)
    with pytest.raises(UserError, match="was given no hint image"):
        control(net.copy().set_cond_hint(None), base)


def _loaded(path: Path, tensors: dict[str, Tensor]) -> Any:
    file = path.with_suffix(".safetensors")
    save_file(tensors, file)
    return load_control_net(file)


def test_the_tiny_unet_is_what_these_adapters_are_for() -> None:
    assert tuple(adapter(FULL).config["channels"]) == CHANNELS
