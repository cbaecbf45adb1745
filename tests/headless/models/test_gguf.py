"""Base models of GGUF files: their numbers are the library's, whole or packed till a layer runs."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from controlstack.ground.errors import UserError
from controlstack.headless import computing
from controlstack.headless.computing import Computing, chosen
from controlstack.headless.host import EmbeddedHost
from controlstack.headless.models import loading
from controlstack.headless.models.inspect import check
from controlstack.headless.models.lora import apply_lora
from controlstack.headless.models.weights import read_weights
from controlstack.model_files.files import is_gguf, is_pickle, read_contents, read_tensors
from tests import gguf_files, net_files
from tests.headless.large_layers import INPUTS, large_unet, lora_file, no_room
from tests.headless.models.ldm import unet_names
from tests.headless.models.tiny_files import seeded

gguf = pytest.importorskip("gguf")
PACKED = [kind for kind in gguf_files.KINDS if kind not in ("F16", "BF16")]


@pytest.fixture(scope="module")
def unet() -> Any:
    """A U-Net with layers that are large enough to stay packed."""
    return large_unet()


@pytest.fixture(scope="module")
def files(unet: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The U-Net in every kind."""
    folder = tmp_path_factory.mktemp("gguf")
    named = unet_names(unet.state_dict(), 1)
    return {
        kind: gguf_files.write_unet(folder / f"{kind}.gguf", named, kind)
        for kind in gguf_files.KINDS
    }


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run that has no room to unpack weights before they are needed."""
    with no_room(monkeypatch):
        yield


def network(path: Path) -> Any:
    return loading.load_unet(path).model.diffusion_model


def packed_part(module: Any) -> float:
    """The part of a network's numbers that have no memory of their own."""
    numbers = {one: one.numel() for one in module.parameters()}
    return sum(n for one, n in numbers.items() if one.is_meta) / sum(numbers.values())


@pytest.mark.parametrize("kind", gguf_files.KINDS)
def test_numbers_are_the_library_s(
    kind: str, files: dict[str, Path], unet: Any, tmp_path: Path
) -> None:
    numbers = gguf_files.read_as_the_library_does(files[kind])
    contents = read_contents(files[kind])
    assert contents.shapes == {name: tuple(value.shape) for name, value in numbers.items()}
    assert contents.metadata == {"general.architecture": "sd1"}
    for name, tensor in read_tensors(files[kind]):
        assert torch.equal(tensor.float(), numbers[name])
    save_file(numbers, tmp_path / "same.safetensors")
    check(files[kind], "diffusion_models")
    ours, same = network(files[kind]), network(tmp_path / "same.safetensors")
    assert {one.dtype for one in ours.parameters()} == {torch.float32}
    expected = same.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in ours.state_dict().items())
    assert torch.equal(ours(*INPUTS)[0], same(*INPUTS)[0])
    assert not torch.equal(ours(*INPUTS)[0], unet(*INPUTS)[0])  # it is these that ran


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.usefixtures("short_of_memory")
def test_packed_weights_compute_as_whole_ones(kind: str, files: dict[str, Path]) -> None:
    kept = network(files[kind])
    with computing.use(Computing()):
        whole = network(files[kind])
    assert packed_part(kept) > 0.6
    assert kept.dtype == torch.float32  # what it computes in
    assert torch.equal(kept(*INPUTS)[0], whole(*INPUTS)[0])


@pytest.mark.parametrize("kind", ["F16", "BF16"])
@pytest.mark.usefixtures("short_of_memory")
def test_halves_stay_halves(kind: str, files: dict[str, Path]) -> None:
    kept = network(files[kind])
    with computing.use(Computing()):
        whole = network(files[kind])
    dtype = {"F16": torch.float16, "BF16": torch.bfloat16}[kind]
    assert dtype in {one.dtype for one in kept.parameters()}
    assert torch.equal(kept(*INPUTS)[0], whole(*INPUTS)[0])


def test_room_decides(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path]) -> None:
    whole = sum(4 * value.numel() for value in network(files["Q4_0"]).parameters())
    with computing.use(chosen("cpu", "auto")):
        for room, kept in ((2 * whole, False), (2 * whole - 1, True)):
            monkeypatch.setattr(computing, "available", lambda room=room: room)
            assert (packed_part(network(files["Q4_0"])) > 0) == kept
    assert not Computing(torch.device("cuda"), torch.float16, may_keep=True).packs(10**15)


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_the_type_that_is_computed_in(files: dict[str, Path], name: str) -> None:
    with computing.use(chosen("cpu", name)):
        made = network(files["Q8_0"])
    assert {one.dtype for one in made.parameters()} == {computing.DTYPES[name]}
    whole = network(files["Q8_0"]).state_dict()
    for key, value in made.state_dict().items():
        assert torch.equal(value, whole[key].to(computing.DTYPES[name]))


@pytest.mark.usefixtures("short_of_memory")
def test_a_lora_on_packed_weights(files: dict[str, Path], unet: Any, tmp_path: Path) -> None:
    lora = lora_file(tmp_path / "lora.safetensors", unet)

    def changed() -> Tensor:
        nothing: Any = None
        model = loading.load_unet(files["Q4_K"])
        with_lora = apply_lora(model, nothing, lora, 0.5, 0.0)[0]
        made: Tensor = with_lora.model.diffusion_model(*INPUTS)[0]
        plain = model.model.diffusion_model
        blocks = {name: one.packed for name, one in plain.named_modules() if hasattr(one, "packed")}
        for name, one in with_lora.model.diffusion_model.named_modules():
            assert getattr(one, "packed", None) is blocks.get(name)  # shared, not copied
        assert not torch.equal(made, plain(*INPUTS)[0])
        return made

    kept = changed()
    with computing.use(Computing()):
        assert torch.equal(kept, changed())


@pytest.mark.usefixtures("short_of_memory")
def test_training_gets_whole_weights(files: dict[str, Path]) -> None:
    model = loading.load_unet(files["Q5_1"])
    base = EmbeddedHost().training_base(model, None, None)
    assert {one.dtype for one in base.unet.parameters()} == {torch.float32}
    assert not any(one.is_meta for one in base.unet.parameters())
    assert torch.equal(base.unet(*INPUTS)[0], model.model.diffusion_model(*INPUTS)[0])
    assert packed_part(model.model.diffusion_model) > 0  # what was given stays


@pytest.mark.parametrize("kind", ["Control-LoRA", "difference"])
def test_nets_on_packed_weights(
    kind: str, files: dict[str, Path], unet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import ControlNetModel

    net = seeded(
        lambda: ControlNetModel(
            block_out_channels=(64, 128),
            down_block_types=("CrossAttnDownBlock2D",) * 2,
            layers_per_block=1,
            cross_attention_dim=64,
        )
    )
    whole = {f"control_model.{n}": v for n, v in unet_names(net.state_dict(), 1).items()}
    made = net_files.control_lora if kind == "Control-LoRA" else net_files.difference
    save_file({n: v.contiguous() for n, v in made(whole).items()}, tmp_path / "net.safetensors")
    hint = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))

    def residuals() -> list[Tensor]:
        model = loading.load_unet(files["Q4_0"])
        if kind == "difference":
            control: Any = loading.load_difference(tmp_path / "net.safetensors", model)
        else:
            control = loading.load_control_net(tmp_path / "net.safetensors")
        control.set_cond_hint(hint, 1.0)
        base = model.model
        control.pre_run(base, base.model_sampling.percent_to_sigma)
        cond = {"c_crossattn": INPUTS[2]}
        found = control.get_control(INPUTS[0], torch.tensor([5.0]), cond, 1)
        control.cleanup()
        return [one for side in found.values() for one in side if one is not None]

    plain = residuals()
    assert plain
    monkeypatch.setattr(computing, "available", lambda: 0)
    with computing.use(chosen("cpu", "auto")):
        kept = residuals()
    assert all(torch.equal(one, other) for one, other in zip(plain, kept, strict=True))


def test_what_a_file_is_is_told_by_its_contents(files: dict[str, Path], tmp_path: Path) -> None:
    assert is_gguf(files["Q8_0"])
    assert not is_pickle(files["Q8_0"])
    # The ninth byte is how many there are, and this one begins a safetensors header.
    many = {f"tensor {i}": torch.zeros(1) for i in range(ord("{"))}
    path = gguf_files.write_unet(tmp_path / "many.gguf", many, "F16")
    assert path.read_bytes()[8:9] == b"{"
    assert len(read_contents(path).shapes) == ord("{")


def said(path: Path, kind: str = "diffusion_models") -> str:
    with pytest.raises(UserError) as caught:
        check(path, kind)
    words = str(caught.value)
    assert "\n" not in words
    assert str(path) in words
    return words


@pytest.mark.parametrize("left", [0.5, 0.01])
def test_a_file_that_is_cut_off_says_both_sizes(
    left: float, files: dict[str, Path], tmp_path: Path
) -> None:
    data = files["Q8_0"].read_bytes()
    (tmp_path / "cut.gguf").write_bytes(data[: int(len(data) * left)])
    words = said(tmp_path / "cut.gguf")
    assert f"has {int(len(data) * left)}; fetch it again" in words


def test_one_byte_less_than_announced_is_cut_off(files: dict[str, Path], tmp_path: Path) -> None:
    reader = gguf.GGUFReader(files["Q4_0"])
    end = max(one.data_offset + one.n_bytes for one in reader.tensors)
    (tmp_path / "cut.gguf").write_bytes(files["Q4_0"].read_bytes()[: end - 1])
    assert f"announces {end} bytes or more and has {end - 1}" in said(tmp_path / "cut.gguf")


def test_an_array_that_never_ends_is_refused_at_once(tmp_path: Path) -> None:
    text = b"a"
    entry = struct.pack("<Q", len(text)) + text + struct.pack("<IIQ", 9, 0, 2**60)
    (tmp_path / "long.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry)
    assert "is cut off" in said(tmp_path / "long.gguf")


def written(path: Path, *tensors: tuple[str, Any, Any], told: Any = None) -> Path:
    """A file of tensors (name, numbers, kind), with `told` as the first one's own shape."""
    writer = gguf.GGUFWriter(path, "sd1")
    if told is not None:
        writer.add_array(f"comfy.gguf.orig_shape.{tensors[0][0]}", told)
    for name, data, kind in tensors:
        writer.add_tensor(name, data, raw_dtype=kind)
    return gguf_files.finished(writer, path)


@pytest.mark.parametrize("told", [[3, 3], [-4, -1], [0], ["4"]])
def test_a_shape_that_does_not_fit_is_damage(tmp_path: Path, told: list[Any]) -> None:
    one = ("input_blocks.0.0.weight", np.zeros((2, 2), np.float32), None)
    path = written(tmp_path / "shape.gguf", one, told=told)
    assert "has 4 numbers and its shape is told as" in said(path)


def test_other_quantisations_are_named(tmp_path: Path, files: dict[str, Path]) -> None:
    kind = gguf.GGMLQuantizationType.I32
    one = ("input_blocks.0.0.weight", np.zeros((2, 2), np.int32), kind)
    assert "is packed as I32, which gguf" in said(written(tmp_path / "ints.gguf", one))
    data = bytearray(files["F16"].read_bytes())
    reader = gguf.GGUFReader(files["F16"])
    name = max(reader.tensors, key=lambda one: one.n_bytes).name.encode()
    place = data.index(struct.pack("<Q", len(name)) + name) + 8 + len(name)
    dimensions = struct.unpack_from("<I", data, place)[0]
    struct.pack_into("<I", data, place + 4 + 8 * dimensions, 999)
    (tmp_path / "unknown.gguf").write_bytes(data)
    assert "packed in a way that gguf" in said(tmp_path / "unknown.gguf")


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("token_embd.weight", "diffusion_models", "a language model or a T5 text encoder"),
        ("token_embd.weight", "text_encoders", "get a CLIP text encoder as .safetensors"),
        ("double_blocks.0.img_attn.qkv.weight", "diffusion_models", "a Flux model"),
        ("input_blocks.0.0.weight", "controlnet", "GGUF file of a diffusion model"),
        ("zero_convs.0.0.weight", "controlnet", "a model that is not known here"),
        ("nothing", "diffusion_models", "nor any other model known here"),
    ],
)
def test_other_models_are_named(tmp_path: Path, name: str, kind: str, words: str) -> None:
    path = written(tmp_path / "other.gguf", (name, np.zeros((2, 2), np.float32), None))
    assert words in said(path, kind)


def test_without_the_library_the_way_to_it_is_said(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match=r'pip install "controlstack\[gguf\]"'):
        check(files["Q8_0"], "diffusion_models")


def test_read_whole_is_float32(files: dict[str, Path]) -> None:
    with computing.use(chosen("cpu", "bf16")):
        found = read_weights(files["Q8_0"], whole=True)
    assert {one.dtype for one in found.values()} == {torch.float32}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=8))
def test_whatever_bytes_are_wrong(changes: list[tuple[int, int]]) -> None:
    data = bytearray(_small())
    assert dict(read_tensors(_FOLDER / "small.gguf"))
    for place, value in changes:
        data[place % len(data)] = value
    path = _FOLDER / "fuzz.gguf"
    path.write_bytes(data)
    assert "\n" not in _refusal(path)


def _refusal(path: Path) -> str:
    try:
        check(path, "diffusion_models")
        dict(read_tensors(path))
    except UserError as error:
        return str(error)
    return ""


_FOLDER = Path()


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    global _FOLDER
    _FOLDER = tmp_path_factory.mktemp("fuzz")


def _small() -> bytes:
    path = _FOLDER / "small.gguf"
    if not path.exists():
        rows = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
        kind = gguf.GGMLQuantizationType.Q8_0
        one = ("input_blocks.0.0.weight", gguf.quants.quantize(rows, kind), kind)
        written(path, one, ("out.2.bias", rows[0], None), told=[16, 16])
    return path.read_bytes()
