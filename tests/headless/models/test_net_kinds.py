"""Union nets, Control-LoRAs and differences on the embedded host, beside what they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from controlstack.ground.errors import UserError
from controlstack.headless import computing
from controlstack.headless.core_nodes.controlnet import apply_inpainting, set_union_type
from controlstack.headless.models.control_net import ControlNet
from controlstack.headless.models.difference import add
from controlstack.headless.models.inspect import check
from controlstack.headless.models.loading import load_control_net, load_difference
from controlstack.headless.models.made_weights import settle
from controlstack.headless.models.union_network import UnionNetwork
from controlstack.headless.sampling.sample import ksample
from controlstack.headless.transfer import checked_existing
from controlstack.model_patch.control import Control
from controlstack.model_patch.patch import patch
from controlstack.model_patch.union import SDXL_TYPES, types_of
from tests.headless.models.ldm import unet_names
from tests.headless.models.tiny_files import seeded
from tests.tiny import (
    Y_WIDTH,
    tiny_conditioning,
    tiny_controlnet,
    tiny_model,
    tiny_sdxl_unet,
    tiny_unet,
)

UNET = tiny_unet()
NETWORK = tiny_controlnet(UNET)
RANK = 2


def hint(seed: int = 0, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def control(net: Any, model: Any, batch: int = 2, y: Tensor | None = None) -> list[Tensor]:
    """The residuals of one step, those of the skips and the middle's."""
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(batch, 4, 8, 8, generator=generator)
    cond = {"c_crossattn": torch.randn(batch, 77, 16, generator=generator)}
    if y is not None:
        cond["y"] = y
    base = model.model
    net.pre_run(base, base.model_sampling.percent_to_sigma)
    try:
        found = net.get_control(x, torch.full((batch,), 3.0), cond, 1, {})
    finally:
        net.cleanup()
    return [*found["output"], *found["middle"]]


def assert_close(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max().clamp(min=1)


def saved(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def tiny_union(types: int = 6, **more: Any) -> Any:
    """Diffusers' ControlNetUnionModel for the tiny U-Net, every layer of it random."""
    from diffusers import ControlNetUnionModel

    config = {key: value for key, value in NETWORK.config.items() if not key.startswith("_")}
    union = {
        "num_control_type": types,
        "num_trans_channel": 8,
        "num_trans_head": 2,
        "num_proj_channel": 8,
        "addition_time_embed_dim": 256,
    }
    made = seeded(lambda: ControlNetUnionModel.from_config({**config, **union, **more}))
    generator = torch.Generator().manual_seed(4)
    for parameter in made.parameters():  # many begin as zeros
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return made


@pytest.fixture(scope="module")
def union() -> Any:
    return tiny_union()


@pytest.mark.parametrize("number", range(6))
def test_a_type_computes_as_diffusers_does_for_one_picture(union: Any, number: int) -> None:
    """For more of them diffusers' rows attend to one another, and ComfyUI's do not."""
    net = ControlNet(UnionNetwork(union), "union").set_cond_hint(hint(), 0.5)
    net.set_extra_arg("control_type", [number])
    model = tiny_model(UNET)
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(1, 4, 8, 8, generator=generator)
    text = torch.randn(1, 77, 16, generator=generator)
    sampling, sigma = model.model.model_sampling, torch.tensor([3.0])
    told = torch.zeros(1, 6)
    told[0, number] = 1
    down, middle = union(
        sampling.calculate_input(sigma, x),
        sampling.timestep(sigma).float(),
        text,
        [hint()],
        told,
        [number],
        conditioning_scale=0.5,
        return_dict=False,
    )
    assert_close(control(net, model, batch=1), [*down, middle])


def test_pictures_of_a_batch_do_not_see_one_another(union: Any) -> None:
    net = ControlNet(UnionNetwork(union), "union")
    net.set_extra_arg("control_type", [3])
    both = control(net.copy().set_cond_hint(hint(1, batch=2)), tiny_model(UNET))
    for row in range(2):
        alone = control(net.copy().set_cond_hint(hint(1, batch=2)[row : row + 1]), tiny_model(UNET))
        assert_close([one[row] for one in both], [one[row] for one in alone])


@pytest.mark.parametrize("layout", ["file", "folder"])
def test_files_of_unions(tmp_path: Path, union: Any, layout: str) -> None:
    if layout == "folder":
        path = tmp_path / "union"
        union.save_pretrained(path)
    else:
        path = saved(tmp_path / "union.safetensors", union.state_dict())
        union.save_config(tmp_path)  # heads and groups, which no shape tells
    check(path, "controlnet")
    net = load_control_net(path)
    assert types_of(net) == SDXL_TYPES[:6]
    wanted = control(ControlNet(UnionNetwork(union)).set_cond_hint(hint()), tiny_model(UNET))
    assert_close(control(net.set_cond_hint(hint()), tiny_model(UNET)), wanted)


def test_types_by_the_cores_node_and_by_a_stack(union: Any) -> None:
    net = ControlNet(UnionNetwork(union), "union")
    depth = set_union_type(net, "depth")
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    sides = tiny_conditioning(3), tiny_conditioning(4)

    def sampled(*controls: Control) -> Tensor:
        model = patch(tiny_model(UNET), controls)
        out: Tensor = ksample(model, 7, 2, 5.0, "euler", "normal", *sides, latent)["samples"]
        return out

    by_node = sampled(Control(depth, hint(), "net"))
    by_name = sampled(Control(net, hint(), "net", union_types=("depth",)))
    assert torch.equal(by_node, by_name)
    auto = sampled(Control(net, hint(), "net"))
    assert (auto - by_node).abs().max() > 1e-3
    canny = Control(net, hint(1), "canny", union_types=("canny",))
    pose = Control(net, hint(2), "pose", union_types=("pose",))
    assert not torch.equal(sampled(canny, pose), sampled(canny))  # one net, two lines


def test_types_that_a_union_has_not(union: Any) -> None:
    net = ControlNet(UnionNetwork(union), "xinsir.safetensors")
    with pytest.raises(UserError, match=r"xinsir.* knows 6 types .* and tile is not among them"):
        set_union_type(net, "tile")
    with pytest.raises(UserError, match="given 2 union types and takes one for each hint"):
        net.set_extra_arg("control_type", [0, 1])
    promax = ControlNet(UnionNetwork(tiny_union(8)), "promax")
    assert types_of(set_union_type(promax, "repaint")) == SDXL_TYPES


def test_a_union_net_for_sdxl_takes_the_vector() -> None:
    sizes = {
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": Y_WIDTH,
    }
    net = ControlNet(UnionNetwork(tiny_union(**sizes)), "union").set_cond_hint(hint())
    model = tiny_model(tiny_sdxl_unet())
    one, other = (
        torch.randn(2, Y_WIDTH, generator=torch.Generator().manual_seed(i)) for i in (1, 2)
    )
    assert not torch.equal(control(net, model, y=one)[-1], control(net, model, y=other)[-1])


def lora_of(unet: nn.Module, network: nn.Module) -> tuple[dict[str, Tensor], nn.Module]:
    """A Control-LoRA's tensors, and the ControlNet that it stands for on `unet`."""
    generator = torch.Generator().manual_seed(6)
    base, whole = unet.state_dict(), {}
    tensors: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        if name not in base:  # the hint's encoder, the zero convolutions
            tensors[name] = whole[name] = value
            continue
        whole[name] = base[name].clone()
        if value.ndim > 1:
            stem = name.removesuffix(".weight")
            up = torch.randn(len(value), RANK, generator=generator)
            down = torch.randn(RANK, *value.shape[1:], generator=generator) * 0.05
            tensors[f"{stem}.up"], tensors[f"{stem}.down"] = up, down
            whole[name] += (up @ down.flatten(1)).reshape(value.shape)
    merged = tiny_controlnet(tiny_unet())
    merged.load_state_dict(whole)
    named = unet_names({f"{name}.weight": value for name, value in tensors.items()}, 2)
    plain = {name.removesuffix(".weight"): value for name, value in named.items()}
    return {**plain, "lora_controlnet": torch.zeros(1)}, merged


@pytest.fixture(scope="module")
def lora() -> dict[str, Tensor]:
    return lora_of(UNET, NETWORK)[0]


@pytest.mark.parametrize("narrow", [False, True])
def test_a_control_lora_is_the_models_encoder_with_its_products(
    tmp_path: Path, narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = tiny_unet()
    if narrow:
        monkeypatch.setattr("controlstack.headless.models.made_weights.LARGE", 64)
        for layer in unet.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.weight = nn.Parameter(layer.weight.half(), requires_grad=False)
        rounded = {name: value.float() for name, value in unet.state_dict().items()}
        settle(unet, {}, torch.float32)
        plain = tiny_unet()
        plain.load_state_dict(rounded)
    else:
        plain = unet
    tensors, merged = lora_of(plain, NETWORK)
    path = saved(tmp_path / "lora.safetensors", tensors)
    check(path, "controlnet")
    net = load_control_net(path).set_cond_hint(hint(), 0.8)
    wanted = ControlNet(merged).set_cond_hint(hint(), 0.8)
    assert_close(control(net, tiny_model(unet)), control(wanted, tiny_model(unet)))
    assert net.control_model is None  # after the run there is no network
    assert net.get_models() == []


def test_a_control_lora_follows_the_model_it_runs_on(tmp_path: Path, lora: Any) -> None:
    net = load_control_net(saved(tmp_path / "lora.safetensors", lora)).set_cond_hint(hint())
    first = control(net, tiny_model(UNET))
    second = control(net.copy(), tiny_model(tiny_unet(seed=8)))
    assert not torch.equal(first[-1], second[-1])
    assert all(
        torch.equal(a, b) for a, b in zip(first, control(net, tiny_model(UNET)), strict=True)
    )


def test_a_control_lora_shares_the_models_weights(tmp_path: Path, lora: Any) -> None:
    net: Any = load_control_net(saved(tmp_path / "lora.safetensors", lora))
    base = tiny_model(UNET).model
    net.pre_run(base, base.model_sampling.percent_to_sigma)
    places = {value.data_ptr() for value in UNET.state_dict().values()}
    own = [v for v in net.control_model.state_dict().values() if v.data_ptr() not in places]
    names = ("input_hint_block.", "zero_convs.", "middle_block_out.")
    in_file = sum(v.numel() for name, v in lora.items() if name.startswith(names))
    hints = sum(v.numel() for name, v in lora.items() if name.startswith("input_hint_block."))
    assert sum(v.numel() for v in own) == in_file - hints


def test_a_control_lora_on_another_model(tmp_path: Path, lora: Any) -> None:
    net = load_control_net(saved(tmp_path / "lora.safetensors", lora)).set_cond_hint(hint())
    with pytest.raises(UserError, match=r"lora\.safetensors .*the text is 16 in the net and 24 in"):
        control(net, tiny_model(tiny_unet(cross_attention_dim=24)))
    wide = tiny_model(tiny_unet(channels=(16, 16, 16, 16)))
    words = r"lora\.safetensors is a Control-LoRA for another model: its input_blocks\.0\.0 is "
    with pytest.raises(UserError, match=words):
        control(net, wide)


def test_half_a_control_lora(tmp_path: Path, lora: Any) -> None:
    part = {name: value for name, value in lora.items() if not name.endswith("proj_in.down")}
    path = saved(tmp_path / "part.safetensors", part)
    with pytest.raises(UserError, match=r"no whole Control-LoRA: input_blocks.*down is missing"):
        check(path, "controlnet")
    part = {name: value for name, value in lora.items() if "zero_convs.3." not in name}
    net = load_control_net(saved(path, part)).set_cond_hint(hint())
    with pytest.raises(UserError, match=r"part\.safetensors lacks zero_convs\.3\.0\.weight"):
        control(net, tiny_model(UNET))


def test_a_union_type_on_a_control_lora(tmp_path: Path, lora: Any) -> None:
    net = load_control_net(saved(tmp_path / "lora.safetensors", lora))
    with pytest.raises(UserError, match="is no union ControlNet"):
        set_union_type(net, "depth")


def test_a_stack_with_a_control_lora(tmp_path: Path, lora: Any) -> None:
    net = load_control_net(saved(tmp_path / "lora.safetensors", lora))
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    sides = tiny_conditioning(3), tiny_conditioning(4)
    chained = net.copy().set_cond_hint(hint(), 0.6)
    by_chain = [
        [
            [text, {**more, "control": chained, "control_apply_to_uncond": False}]
            for text, more in side
        ]
        for side in sides
    ]
    wanted = ksample(tiny_model(UNET), 7, 2, 5.0, "euler", "normal", *by_chain, latent)["samples"]
    model = patch(tiny_model(UNET), (Control(net, hint(), "lora", 0.6),))
    found = ksample(model, 7, 2, 5.0, "euler", "normal", *sides, latent)["samples"]
    assert torch.equal(found, wanted)


def test_a_training_goes_on_with_plain_nets_alone(tmp_path: Path, lora: Any, union: Any) -> None:
    union.save_pretrained(tmp_path / "union")
    files = {
        tmp_path / "union": "is a union ControlNet.*; give a ControlNet",
        saved(
            tmp_path / "union.safetensors", union.state_dict()
        ): "is a union ControlNet.*; give a ControlNet",
        saved(tmp_path / "lora.safetensors", lora): "is a Control-LoRA as .* give the folder that",
    }
    for path, words in files.items():
        with pytest.raises(UserError, match=words):
            checked_existing(path)
    NETWORK.save_pretrained(tmp_path / "net")
    assert checked_existing(tmp_path / "net") == tmp_path / "net"


@pytest.fixture
def difference(tmp_path: Path) -> Path:
    """A net for a U-Net that shapes tell whole, as its difference to it."""
    from tests.headless.models.tiny_files import sd_control_net, sd_unet

    unet = sd_unet()
    net = sd_control_net(unet).state_dict()
    base = unet.state_dict()
    rest = {name: value - base[name] if name in base else value for name, value in net.items()}
    named = {f"control_model.{k}": v for k, v in unet_names(rest, 1).items()}
    return saved(tmp_path / "diff.safetensors", {**named, "difference": torch.zeros(1)})


def test_a_difference_is_added_to_the_models_weights(difference: Path) -> None:
    from tests.headless.models.tiny_files import sd_control_net, sd_unet

    model = tiny_model(sd_unet())
    check(difference, "controlnet", difference=True)
    net: Any = load_difference(difference, model)
    wanted = sd_control_net(sd_unet()).state_dict()
    found = net.network.rest.state_dict()
    assert set(found) < set(wanted)
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=1e-6)


def test_a_difference_is_added_to_weights_that_stay_narrow(difference: Path) -> None:
    """Whole is what a layer of the model computes with: eight bits times their scale."""
    base = nn.Sequential(nn.Linear(4, 4), nn.Linear(256, 256)).requires_grad_(False)
    narrow = (base[1].weight * 64).to(torch.float8_e4m3fn)
    base[1].weight = nn.Parameter(narrow, requires_grad=False)
    settle(base, {"1.weight": torch.tensor(1 / 64)}, torch.float32)
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(256, 256), nn.Linear(4, 4))
    before = [parameter.clone() for parameter in network.parameters()]
    add(network, base, difference)
    wanted = [base[0].weight, base[0].bias, narrow.float() / 64, base[1].bias, 0, 0]
    for own, old, more in zip(network.parameters(), before, wanted, strict=True):
        assert torch.equal(own, old + more)


def test_a_difference_without_its_model_or_to_another(difference: Path) -> None:
    with pytest.raises(UserError, match="the node DiffControlNetLoader loads it"):
        check(difference, "controlnet")
    with pytest.raises(UserError, match=r"diff\.safetensors is the difference to another model"):
        load_difference(difference, tiny_model(UNET))


def test_a_whole_net_through_the_loader_of_differences(tmp_path: Path) -> None:
    NETWORK.save_pretrained(tmp_path / "net")
    net = load_difference(tmp_path / "net", tiny_model(UNET))
    assert isinstance(net, ControlNet)


def test_an_inpainting_apply_node_leaves_the_mask_out_as_comfyui_does() -> None:
    sides = tiny_conditioning(), tiny_conditioning(4)
    picture = torch.rand(1, 64, 64, 3)
    inputs = {"strength": 0.5, "start_percent": 0.0, "end_percent": 1.0, "vae": None}
    net = ControlNet(NETWORK)
    made = apply_inpainting(
        mask=torch.ones(1, 64, 64),
        positive=sides[0],
        negative=sides[1],
        control_net=net,
        image=picture,
        **inputs,
    )
    assert torch.equal(made[0][0][1]["control"].hint, picture.movedim(-1, 1))


def test_nets_follow_the_device_and_the_numbers_of_a_run(tmp_path: Path, union: Any) -> None:
    union.save_pretrained(tmp_path / "union")
    with computing.use(computing.chosen("cpu", "bf16")):
        net = load_control_net(tmp_path / "union").set_cond_hint(hint())
    made = control(net, tiny_model(UNET))
    assert {one.dtype for one in made} == {torch.bfloat16}
