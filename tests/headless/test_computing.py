"""Devices and types of numbers: what is kept in memory, what is computed, what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless import computing
from controlstack.headless.computing import Computing, chosen
from controlstack.headless.host import EmbeddedHost
from controlstack.headless.models import loading
from controlstack.headless.models.lora import apply_lora
from controlstack.headless.models.weights import read_weights
from tests.headless.large_layers import INPUTS, large_unet, lora_file, no_room
from tests.headless.models.ldm import unet_names

NARROW = (torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
SCALED = ("scale_weight", "weight_scale")


@pytest.fixture(scope="module")
def unet() -> Any:
    """A U-Net with layers that are large enough to be kept narrow."""
    return large_unet()


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run that keeps weights as narrow as their files have them."""
    with no_room(monkeypatch):
        yield


def _saved(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def _unet_file(path: Path, unet: Any, dtype: torch.dtype, scaled: str = "") -> Path:
    """As such files are shared: matrices and kernels narrow, scaled to their largest number."""
    tensors: dict[str, Tensor] = {}
    for name, value in unet_names(unet.state_dict(), 1).items():
        tensors[name] = value.to(dtype) if value.ndim > 1 else value.half()
        if scaled and value.ndim > 1:
            scale = value.abs().max() / 400
            tensors[name] = (value / scale).to(dtype)
            tensors[f"{name.removesuffix('.weight')}.{scaled}"] = scale
            tensors[f"{name.removesuffix('.weight')}.scale_input"] = torch.ones(1)
    if scaled:
        tensors["scaled_fp8"] = torch.zeros(2, dtype=dtype)
    return _saved(path, tensors)


def _types(module: torch.nn.Module) -> dict[torch.dtype, int]:
    found: dict[torch.dtype, int] = {}
    for parameter in module.parameters():
        found[parameter.dtype] = found.get(parameter.dtype, 0) + parameter.numel()
    return found


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("scaled", ["", *SCALED])
def test_narrow_weights_compute_as_whole_ones(
    tmp_path: Path,
    unet: Any,
    dtype: torch.dtype,
    scaled: str,
    short_of_memory: None,
) -> None:
    if scaled and dtype.itemsize > 1:
        pytest.skip("files of halves have no scales")
    path = _unet_file(tmp_path / "unet.safetensors", unet, dtype, scaled)
    kept = loading.load_unet(path).model.diffusion_model
    with computing.use(Computing()):
        whole = loading.load_unet(path).model.diffusion_model
    assert set(_types(whole)) == {torch.float32}
    assert _types(kept)[dtype] > 0.6 * sum(_types(kept).values())
    assert kept.dtype == torch.float32  # what it computes in
    assert torch.equal(kept(*INPUTS)[0], whole(*INPUTS)[0])
    exact = unet(*INPUTS)[0]
    far = (whole(*INPUTS)[0] - exact).abs().max() / exact.abs().max()
    assert far < {2: 0.05, 1: 0.6}[dtype.itemsize]


def test_room_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unet: Any) -> None:
    path = _unet_file(tmp_path / "unet.safetensors", unet, torch.float16)
    whole = 2 * path.stat().st_size
    with computing.use(chosen("cpu", "auto")):
        for room, kept in ((2 * whole + 1, False), (2 * whole - 1, True)):
            monkeypatch.setattr(computing, "available", lambda room=room: room)
            types = _types(loading.load_unet(path).model.diffusion_model)
            assert (torch.float16 in types) == kept


def test_a_lora_on_narrow_weights(tmp_path: Path, unet: Any, short_of_memory: None) -> None:
    path = _unet_file(tmp_path / "unet.safetensors", unet, torch.float8_e4m3fn, "scale_weight")
    file = lora_file(tmp_path / "lora.safetensors", unet)
    nothing: Any = None
    kept = apply_lora(loading.load_unet(path), nothing, file, 0.5, 0.0)[0].model.diffusion_model
    with computing.use(Computing()):
        whole = apply_lora(loading.load_unet(path), nothing, file, 0.5, 0.0)[0]
    assert torch.equal(kept(*INPUTS)[0], whole.model.diffusion_model(*INPUTS)[0])
    plain = loading.load_unet(path).model.diffusion_model
    assert not torch.equal(kept(*INPUTS)[0], plain(*INPUTS)[0])  # and what was given stays


def test_training_gets_whole_weights(tmp_path: Path, unet: Any, short_of_memory: None) -> None:
    path = _unet_file(tmp_path / "unet.safetensors", unet, torch.float16)
    model = loading.load_unet(path)
    base = EmbeddedHost().training_base(model, None, None)
    assert set(_types(base.unet)) == {torch.float32}
    assert torch.equal(base.unet(*INPUTS)[0], model.model.diffusion_model(*INPUTS)[0])
    assert torch.float16 in _types(model.model.diffusion_model)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_the_type_that_is_computed_in(tmp_path: Path, unet: Any, name: str) -> None:
    path = _unet_file(tmp_path / "unet.safetensors", unet, torch.float16)
    with computing.use(chosen("cpu", name)):
        model = loading.load_unet(path).model
    dtype = computing.DTYPES[name]
    assert set(_types(model.diffusion_model)) == {dtype} == {model.get_dtype()}
    x = INPUTS[0] * 3
    made = model.apply_model(x, torch.tensor([3.0]), c_crossattn=INPUTS[2])
    assert made.dtype == torch.float32
    whole = loading.load_unet(path).model.apply_model(x, torch.tensor([3.0]), c_crossattn=INPUTS[2])
    assert (made - whole).abs().max() < {"bf16": 0.1, "fp16": 0.02}[name] * whole.abs().max()


def test_eight_bits_computed_in_halves(tmp_path: Path, unet: Any) -> None:
    path = _unet_file(tmp_path / "unet.safetensors", unet, torch.float8_e5m2)
    with computing.use(chosen("cpu", "bf16")):
        network = loading.load_unet(path).model.diffusion_model
    assert set(_types(network)) == {torch.float8_e5m2, torch.bfloat16}


def test_other_readers_get_whole_numbers(tmp_path: Path, short_of_memory: None) -> None:
    path = _saved(tmp_path / "x.safetensors", {"a.weight": torch.ones(4, 4).half()})
    assert read_weights(path, whole=True)["a.weight"].dtype == torch.float32
    assert read_weights(path)["a.weight"].dtype == torch.float16


def test_auto_is_what_a_device_is_good_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert chosen("cpu", "auto").dtype == torch.float32
    assert chosen("cuda", "auto") == Computing(torch.device("cuda:0"), torch.float16, True)
    assert chosen("cuda:1", "bf16").device == torch.device("cuda:1")
    assert chosen("cuda", "fp16").of_pictures == torch.float32  # SDXL's VAE overflows in halves
    assert chosen("cuda", "bf16").of_pictures == torch.bfloat16
    with pytest.raises(UserError, match=r"--device cuda:2 is not there: .* has cuda:0 to cuda:1"):
        chosen("cuda:2", "auto")


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cuda", r"--device cuda: PyTorch .* sees no CUDA device here; leave --device out"),
        ("tpu", "--device tpu is no device; write cpu, cuda or cuda:N"),
        ("meta", "--device meta is not one that runs here"),
        ("", "is no device"),
    ],
)
def test_a_device_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, device: str, words: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match=words):
        chosen(device, "auto")
