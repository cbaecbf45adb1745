"""What is saved is what is loaded: here, in diffusers, in the embedded host; and nothing is lost
when a disk is full.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless.models import inspect
from controlstack.headless.models.loading import load_control_net
from controlstack.training.export import load_network, save_folder, save_single_file
from controlstack.training.ldm_layout import ldm_weights, unread_by_comfyui
from controlstack.training.settings import NetSettings
from controlstack.training.trainable import control_net_from, weights_hash
from tests.tiny import CONTEXT, tiny_unet
from tests.training.unets import sd2_unet, sd15_unet, sd21_unet

KINDS = ("controlnet", "gaussian", "lite")
CHANNELS = "4,4,8,8"


def network_of(unet: Any, kind: str = "controlnet") -> Any:
    """A network with something in its zero convolutions."""
    return stirred(control_net_from(unet, NetSettings(kind, CHANNELS)))


@torch.no_grad()
def stirred(network: Any) -> Any:
    """The network with all weights moved, so that no two are equal."""
    torch.manual_seed(6)
    for parameter in network.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return network


def inputs() -> tuple[Tensor, ...]:
    """Noisy latent, timestep, words and hint."""
    generator = torch.Generator().manual_seed(8)
    return (
        torch.randn(1, 4, 8, 8, generator=generator),
        torch.tensor([40]),
        torch.randn(1, 3, CONTEXT, generator=generator),
        torch.rand(1, 3, 64, 64, generator=generator),
    )


@torch.no_grad()
def residuals(network: Any) -> list[Tensor]:
    down, middle = network(*inputs(), return_dict=False)
    return [*down, middle]


@torch.no_grad()
def hosted(path: Path) -> list[Tensor]:
    """The residuals of what the embedded host loads from `path`, which it finds to be right."""
    inspect.check(path, "controlnet")
    halves = load_control_net(path).network
    noisy, times, words, hint = inputs()
    down, middle = halves(noisy, times, words, halves.encode_hint(hint), 1.0)
    return [*down, middle]


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_a_unet_is_written_as_diffusers_has_it(tmp_path: Path, dtype: torch.dtype | None) -> None:
    from diffusers import UNet2DConditionModel

    unet = sd2_unet()
    save_folder(unet, tmp_path / "ours", dtype=dtype)
    (unet if dtype is None else unet.half()).save_pretrained(tmp_path / "theirs")
    names = sorted(file.name for file in (tmp_path / "theirs").iterdir())
    assert sorted(file.name for file in (tmp_path / "ours").iterdir()) == names
    ours, theirs = (load_file(tmp_path / name / names[1]) for name in ("ours", "theirs"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    told = [
        {key: value for key, value in read.config.items() if not key.startswith("_")}
        for read in map(
            UNet2DConditionModel.from_pretrained, (tmp_path / "ours", tmp_path / "theirs")
        )
    ]
    assert told[0] == told[1]


def headers(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as opened:
        return dict(opened.metadata())


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file can grow beyond `limit` bytes inside: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_gives_back_every_bit(kind: str, tmp_path: Path) -> None:
    network = network_of(tiny_unet(), kind)
    save_folder(network, tmp_path / "net", {"base": "tiny", "steps": "7"})
    loaded = load_network(tmp_path / "net")
    assert type(loaded) is type(network)
    assert weights_hash(loaded) == weights_hash(network)
    for found, wanted in zip(residuals(loaded), residuals(network), strict=True):
        assert torch.equal(found, wanted)
    about = headers(tmp_path / "net" / "diffusion_pytorch_model.safetensors")
    assert about == {"format": "pt", "base": "tiny", "steps": "7"}


@pytest.mark.parametrize("make", [tiny_unet, sd2_unet])
def test_diffusers_loads_the_folder(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from diffusers import ControlNetModel

    network = network_of(make())
    save_folder(network, tmp_path)
    loaded = ControlNetModel.from_pretrained(tmp_path)
    assert weights_hash(loaded) == weights_hash(network)
    assert not caplog.records
    for found, wanted in zip(residuals(loaded), residuals(network), strict=True):
        torch.testing.assert_close(found, wanted)  # kernels round by how memory is aligned


def test_halves_stay_halves_in_a_folder_and_become_full_when_loaded(tmp_path: Path) -> None:
    save_folder(network_of(tiny_unet()).half(), tmp_path)
    stored = load_file(tmp_path / "diffusion_pytorch_model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.float16}
    assert {p.dtype for p in load_network(tmp_path).parameters()} == {torch.float32}


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("attends", ["CD", "DCC", "CCCD", "DCDCC"])
@pytest.mark.parametrize("linear", [False, True])
def test_diffusers_reads_the_ldm_layout_back(layers: int, attends: str, linear: bool) -> None:
    """Its converter goes the other way and was written by others."""
    from diffusers import ControlNetModel
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    kinds = {"C": "CrossAttnDownBlock2D", "D": "DownBlock2D"}
    network = ControlNetModel(
        block_out_channels=tuple(4 * (level + 1) for level in range(len(attends))),
        down_block_types=tuple(kinds[letter] for letter in attends),
        layers_per_block=layers,
        use_linear_projection=linear,
        cross_attention_dim=CONTEXT,
        attention_head_dim=2,
        norm_num_groups=4,
        conditioning_embedding_out_channels=(4, 4, 8, 8),
    )
    stirred(network)
    found = convert_controlnet_checkpoint(ldm_weights(network), dict(network.config))
    wanted = network.state_dict()
    assert {name for name, weight in found.items() if weight is not None} == set(wanted)
    for name, weight in wanted.items():
        assert found[name] is weight or torch.equal(found[name], weight), name


def test_the_names_are_those_of_published_files() -> None:
    """Some of control_v11p_sd15_canny's, read off its header."""
    from diffusers import ControlNetModel

    with torch.device("meta"):
        names = ldm_weights(ControlNetModel(cross_attention_dim=768))
    assert len(names) == 340
    wanted = {
        "time_embed.2.bias": (1280,),
        "input_blocks.0.0.weight": (320, 4, 3, 3),
        "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        "input_blocks.3.0.op.weight": (320, 320, 3, 3),
        "input_blocks.4.0.skip_connection.weight": (640, 320, 1, 1),
        "input_blocks.11.0.out_layers.3.weight": (1280, 1280, 3, 3),
        "zero_convs.11.0.weight": (1280, 1280, 1, 1),
        "input_hint_block.0.weight": (16, 3, 3, 3),
        "input_hint_block.14.weight": (320, 256, 3, 3),
        "middle_block.1.proj_in.weight": (1280, 1280, 1, 1),
        "middle_block.2.in_layers.2.weight": (1280, 1280, 3, 3),
        "middle_block_out.0.weight": (1280, 1280, 1, 1),
    }
    assert {name: tuple(names[name].shape) for name in wanted} == wanted


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("make", [sd15_unet, sd21_unet, tiny_unet])
def test_the_embedded_host_loads_the_single_file(
    make: Any, dtype: torch.dtype, tmp_path: Path
) -> None:
    network = network_of(make())
    path = tmp_path / "trained.safetensors"
    save_single_file(network, path, dtype, {"base": "tiny"})
    said = headers(path)
    assert (said["format"], said["base"]) == ("pt", "tiny")
    # What no shape tells: two heads and groups of 4 in the tiny one.
    assert json.loads(said["norm_num_groups"]) == network.config.norm_num_groups
    assert {weight.dtype for weight in load_file(path).values()} == {dtype}
    for parameter in network.parameters():
        parameter.data = parameter.data.to(dtype).float()  # what the file can hold
    for found, wanted in zip(hosted(path), residuals(network), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_the_embedded_host_loads_the_folder(kind: str, tmp_path: Path) -> None:
    network = network_of(tiny_unet(), kind)
    save_folder(network, tmp_path / "net")
    for found, wanted in zip(hosted(tmp_path / "net"), residuals(network), strict=True):
        torch.testing.assert_close(found, wanted)


def test_lite_has_no_single_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="LiteControlNet cannot be one file in ldm layout"):
        save_single_file(network_of(tiny_unet(), "lite"), tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "value"),
    [("controlnet_conditioning_channel_order", "bgr"), ("global_pool_conditions", True)],
)
def test_what_the_layout_cannot_say_has_no_single_file(
    key: str, value: Any, tmp_path: Path
) -> None:
    network = network_of(tiny_unet())
    network.register_to_config(**{key: value})
    with pytest.raises(UserError, match=f"whose {key} is {value} cannot be one file"):
        save_single_file(network, tmp_path / "x.safetensors")


def test_others_may_read_what_others_may_read_of_new_files(tmp_path: Path) -> None:
    network = control_net_from(sd15_unet(), NetSettings())
    before = os.umask(0o027)
    try:
        save_folder(network, tmp_path / "net")
        save_single_file(network, tmp_path / "net.safetensors")
    finally:
        os.umask(before)
    files = [*(tmp_path / "net").iterdir(), tmp_path / "net.safetensors"]
    assert len(files) == 3
    assert {file.stat().st_mode & 0o777 for file in files} == {0o640}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net", "net.safetensors"]


def test_a_full_disk_leaves_the_old_network(tmp_path: Path) -> None:
    old, new = (network_of(tiny_unet(seed=seed)) for seed in (0, 1))
    folder, file = tmp_path / "net", tmp_path / "net.safetensors"
    save_folder(old, folder)
    save_single_file(old, file)
    (folder / "notes.txt").write_text("mine")
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with full_disk(100_000):
        for save, place in ((save_folder, folder), (save_single_file, file)):
            with pytest.raises(UserError, match=r"cannot be written: .*What was there before"):
                save(new, place)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == kept
    save_folder(new, folder)
    assert weights_hash(load_network(folder)) == weights_hash(new)
    assert (folder / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net", "net.safetensors"]


def test_folders_that_hold_no_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no ControlNet that can be read"):
        load_network(tmp_path)
    save_folder(network_of(tiny_unet()), tmp_path)
    config, weights = tmp_path / "config.json", tmp_path / "diffusion_pytorch_model.safetensors"
    whole, said = weights.read_bytes(), json.loads(config.read_text())

    config.write_text(json.dumps({**said, "_class_name": "UNet2DConditionModel"}))
    with pytest.raises(UserError, match="is that of a UNet2DConditionModel"):
        load_network(tmp_path)
    config.write_text(json.dumps({**said, "layers_per_block": "two"}))
    with pytest.raises(UserError, match="makes no network"):
        load_network(tmp_path)
    config.write_text(json.dumps({**said, "layers_per_block": 3}))
    with pytest.raises(UserError, match="the weights and what they are for differ in"):
        load_network(tmp_path)
    config.write_text(json.dumps(said))
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="holds no ControlNet that can be read"):
        load_network(tmp_path)


def test_what_comfyui_cannot_read_is_said() -> None:
    from diffusers import ControlNetModel

    with torch.device("meta"):
        sd15 = ControlNetModel(cross_attention_dim=768, attention_head_dim=8)
        sd21 = ControlNetModel(
            cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
        )
        narrow = ControlNetModel(
            cross_attention_dim=768, conditioning_embedding_out_channels=(8, 16, 32, 64)
        )
        heads = ControlNetModel(cross_attention_dim=768, attention_head_dim=4)
    assert unread_by_comfyui(sd15) is None
    assert unread_by_comfyui(sd21) is None
    assert "hint encoder of (8, 16, 32, 64) channels" in str(unread_by_comfyui(narrow))
    assert "attention heads" in str(unread_by_comfyui(heads))
    assert "texts 16 wide" in str(
        unread_by_comfyui(control_net_from(tiny_unet(), NetSettings(hint_channels="16,32,96,256")))
    )
