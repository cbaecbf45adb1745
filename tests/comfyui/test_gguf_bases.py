"""Base models as GGUF files, loaded by ComfyUI-GGUF: the stack gives what the core's chain gives,
and the embedded host predicts what they do.

`COMFYUI_GGUF_PATH` names the folder of that pack's source; without it these tests are skipped.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from controlstack.headless.models.loading import load_unet
from controlstack.nodes.speed_node import ControlStackSpeed
from controlstack.nodes.stack import ControlStackApply
from tests import gguf_files
from tests.comfyui.conftest import gguf_pack
from tests.comfyui.models import MODELS, Shelf, weights
from tests.comfyui.parity import (
    Case,
    Line,
    Parity,
    call,
    case_of,
    noise,
    ours,
    picture,
    stack,
)
from tests.two_hosts import FAMILIES

NAME = "comfyui_gguf"
ARCHITECTURES = {"sd15": "sd1", "sdxl": "sdxl"}
KINDS = ("BF16", "Q8_0", "Q5_1", "Q4_0", "Q4_K", "Q6_K")


@pytest.fixture(scope="module")
def pack(comfy: ModuleType) -> ModuleType:
    """The pack, imported as ComfyUI imports one."""
    folder = gguf_pack()
    if NAME not in sys.modules:
        spec = spec_from_file_location(
            NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules[NAME] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[NAME])
    return sys.modules[NAME]


def loaded(pack: ModuleType, shelf: Shelf, family: str, kind: str, **advanced: Any) -> Any:
    """A MODEL of that pack's loader: a family's U-Net, quantised as `kind`."""
    path = shelf.folder / f"{family} {kind}.gguf"
    if not path.exists():
        drawn = weights(family, MODELS[family]())
        gguf_files.write_unet(path, drawn, kind, ARCHITECTURES[family])
    return by_loader(pack, path, **advanced)


def by_loader(pack: ModuleType, path: Path, **advanced: Any) -> Any:
    """A MODEL of that pack's loader."""
    import folder_paths

    folder_paths.add_model_folder_path("diffusion_models", str(path.parent))
    node = "UnetLoaderGGUFAdvanced" if advanced else "UnetLoaderGGUF"
    return pack.NODE_CLASS_MAPPINGS[node]().load_unet(path.name, **advanced)[0]


def packed(model: Any) -> dict[str, Any]:
    """The weights that are blocks of bytes."""
    named = model.model.diffusion_model.named_parameters()
    return {name: one for name, one in named if getattr(one, "tensor_type", None) not in (None, 0)}


def case(pack: ModuleType, shelf: Shelf, kind: str = "Q4_0", family: str = "sd15") -> Case:
    return case_of(shelf, family, model=loaded(pack, shelf, family, kind))


def lines(shelf: Shelf) -> list[Line]:
    first, second = shelf.net("sd15 ldm"), shelf.net("sd15 ldm b")
    return [Line(first, picture(0), 0.8), Line(second, picture(1), 0.6, 0.2, 0.7)]


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_core_in_every_kind(
    pack: ModuleType, shelf: Shelf, parity: Parity, kind: str
) -> None:
    one = case(pack, shelf, kind)
    of = {str(getattr(w.tensor_type, "name", w.tensor_type)) for w in packed(one.model).values()}
    assert kind in of
    parity.check(one, lines(shelf))
    exact = case_of(shelf, "sd15")
    assert not torch.equal(one.result, exact.result)  # it is these weights that ran


@pytest.mark.parametrize(
    "advanced",
    [
        {"dequant_dtype": "target", "patch_dtype": "target", "patch_on_device": True},
        {"dequant_dtype": "float32", "patch_dtype": "float32", "patch_on_device": False},
    ],
    ids=["target", "float32"],
)
def test_equals_the_core_on_sdxl(
    pack: ModuleType, shelf: Shelf, parity: Parity, advanced: dict[str, Any]
) -> None:
    model = loaded(pack, shelf, "sdxl", "Q5_1", **advanced)
    one = case_of(shelf, "sdxl", model=model)
    parity.check(one, [Line(shelf.net("sdxl ldm"), picture(0), 0.8)])


def test_a_lora_on_packed_weights(pack: ModuleType, shelf: Shelf, parity: Parity) -> None:
    one = case(pack, shelf, "Q8_0")
    import folder_paths

    folder_paths.add_model_folder_path("loras", str(shelf.folder))
    name = shelf.lora("sd15").name
    changed = call(
        "nodes", "LoraLoaderModelOnly", model=one.model, lora_name=name, strength_model=0.8
    )
    with_lora = replace(one, model=changed)
    result = parity.check(with_lora, lines(shelf))
    assert not torch.equal(result, ours(one, lines(shelf)).result)


def test_the_weights_are_the_same_bytes_after_a_run(pack: ModuleType, shelf: Shelf) -> None:
    one = case(pack, shelf)
    before = {name: torch.Tensor.clone(w.data) for name, w in packed(one.model).items()}
    options = copy.deepcopy(one.model.model_options)
    modules = {name: type(layer) for name, layer in one.model.model.named_modules()}
    forward = one.model.model.diffusion_model.forward
    ours(one, lines(shelf)).again  # noqa: B018 - samples
    assert before
    assert one.model.model_options == options
    assert one.model.model.diffusion_model.forward == forward
    assert {name: type(layer) for name, layer in one.model.model.named_modules()} == modules
    assert not one.model.patches
    for name, weight in packed(one.model).items():
        assert torch.equal(weight.data.as_subclass(torch.Tensor), before[name]), name
        assert not weight.patches


@pytest.mark.parametrize("speed", ["exact", "near exact", "fast"])
def test_control_speed(pack: ModuleType, shelf: Shelf, speed: str) -> None:
    one = replace(case(pack, shelf), steps=12)
    (hurried,) = ControlStackSpeed().hurry(stack(lines(shelf)), speed)
    (model,) = ControlStackApply().apply(one.model, hurried)
    exact = ours(one, lines(shelf)).result
    result = replace(one, model=model).result
    assert result.isfinite().all()
    assert torch.equal(result, exact) == (speed == "exact")


HALF = 2**-11
"""How much a half may be rounded by."""


@pytest.mark.parametrize(
    ("family", "kind"), [("sd15", "Q8_0"), ("sd15", "Q4_K"), ("sdxl", "Q4_0"), ("sdxl", "Q6_K")]
)
def test_the_embedded_host_predicts_the_same(
    pack: ModuleType, tmp_path: Path, family: str, kind: str
) -> None:
    """Within what halves are rounded by: that pack unpacks to halves, its convolutions always. To
    the rounding of sums where the same halves are given to ours, of kinds with one product a number
    (others are rounded in between)."""
    whole = load_file(FAMILIES[family].write_unet(tmp_path / "whole.safetensors"))
    name = f"{tmp_path.name}.gguf"  # the host's folders are searched one after the other
    path = gguf_files.write_unet(tmp_path / name, whole, kind, ARCHITECTURES[family])
    numbers = gguf_files.read_as_the_library_does(path)
    save_file({n: one.half() for n, one in numbers.items()}, tmp_path / "halves.safetensors")
    x, context = noise(1, 1, 4, 8, 8), noise(2, 1, 77, {"sd15": 768, "sdxl": 2048}[family])
    y = noise(3, 1, 2816) if family == "sdxl" else None
    time = torch.tensor([500.0])
    with torch.no_grad():
        theirs = by_loader(pack, path).model.diffusion_model(x, time, context, y=y)
        mine, halves = (
            load_unet(one).model.diffusion_model(x, time, context, class_labels=y)[0]
            for one in (path, tmp_path / "halves.safetensors")
        )
    far, near = (float((one - theirs).abs().max() / theirs.abs().max()) for one in (mine, halves))
    print(f"{family} {kind}: {far:.1e}, halves {near:.1e}")
    assert HALF / 100 < far < 10 * HALF
    assert kind.endswith("_K") or near < 1e-5
