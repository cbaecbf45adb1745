"""The embedded host's nodes of comfyui_controlnet_aux beside that pack's own, in one ComfyUI.

`CONTROLNET_AUX_PATH` names the folder of its source; without it these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from controlstack.headless import folders, host
from controlstack.headless.pack_nodes import PACK_NODES
from controlstack.headless.pack_nodes.aux_fields import PACK
from controlstack.headless.pack_nodes.aux_resize import MODES
from tests.annotator_files import publish, random_state

OURS = {node: cls for node, cls in PACK_NODES.items() if cls.PACK == PACK}

MENUS = {"preprocessor"}
"""Menus in the order in which that pack's files are listed."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the published names, as that pack keeps them."""
    place = tmp_path_factory.mktemp("models") / "controlstack"
    annotators = place / "lllyasviel" / "Annotators"
    for file in ("ControlNetHED.pth", "table5_pidinet.pth", "mlsd_large_512_fp32.pth"):
        publish(annotators, file, random_state(file))
    for file in ("sk_model.pth", "sk_model2.pth", "netG.pth", "scannet.pt"):
        publish(annotators, file, random_state(file))
    for repo, file in (
        ("bdsqlsz/qinglong_controlnet-lllite/Annotators", "7_model.pth"),
        ("TheMistoAI/MistoLine/Anyline", "MTEED.pth"),
    ):
        publish(place / repo, file, random_state(file))
    return place


@pytest.fixture(scope="module")
def theirs(comfy: ModuleType, weights: Path) -> Mapping[str, Any]:
    """That pack's node classes by id."""
    named = os.environ.get("CONTROLNET_AUX_PATH")
    if not named:
        pytest.skip("set CONTROLNET_AUX_PATH to a comfyui_controlnet_aux")
    path = Path(named).resolve()
    os.environ["AUX_ANNOTATOR_CKPTS_PATH"] = str(weights)
    spec = importlib.util.spec_from_file_location(
        "aux_pack", path / "__init__.py", submodule_search_locations=[str(path)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["aux_pack"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    mapping: Mapping[str, Any] = module.NODE_CLASS_MAPPINGS
    return mapping


@pytest.fixture(autouse=True)
def places(weights: Path, tmp_path: Path) -> Iterator[None]:
    """The embedded host with those weights."""
    with host.use(folders.Folders((weights.parent,), (tmp_path,), tmp_path, tmp_path)):
        yield


@pytest.mark.parametrize("node", OURS)
def test_declared_alike(node: str, theirs: Mapping[str, Any]) -> None:
    """Inputs in the same order, with the same types, limits, defaults and menus."""
    assert fields(OURS[node].INPUT_TYPES()) == fields(theirs[node].INPUT_TYPES())
    kinds = ["COMBO" if isinstance(kind, list) else kind for kind in theirs[node].RETURN_TYPES]
    assert list(OURS[node].RETURN_TYPES) == kinds
    names = getattr(theirs[node], "RETURN_NAMES", None)
    assert getattr(OURS[node], "RETURN_NAMES", None) == names or node.startswith("AnyLine")
    assert theirs[node].CATEGORY == OURS[node].CATEGORY


def fields(declared: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """What is declared of each input: section, name, type or menu, and its options."""
    found = []
    for section in ("required", "optional"):
        for name, info in declared.get(section, {}).items():
            kind = sorted(info[0]) if name in MENUS else info[0]
            found.append((section, name, kind, dict(info[1]) if len(info) > 1 else {}))
    return found


def smooth(seed: int, height: int, width: int, channels: int = 3, count: int = 1) -> Tensor:
    """Pictures of soft blobs and dark strokes, (B, H, W, C) in whole levels."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, height // 24, width // 24, generator=generator)
    made = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1).movedim(1, -1)
    made[:, height // 3 : height // 3 + 3] *= 0.2
    made[:, :, width // 2 : width // 2 + 2] *= 0.1
    return (made * 255).round() / 255


PICTURES = {
    "wide": smooth(1, 200, 300),
    "two tall": smooth(2, 330, 190, count=2),
    "noise": torch.rand(1, 90, 130, 3, generator=torch.Generator().manual_seed(3)),
    "alpha": smooth(4, 128, 160, channels=4),
}
MASK = smooth(5, 60, 90)[..., 0]

CASES: dict[str, list[dict[str, Any]]] = {
    "CannyEdgePreprocessor": [{}, {"low_threshold": 200, "high_threshold": 50}],
    "ScribblePreprocessor": [{}],
    "LineartStandardPreprocessor": [{}, {"guassian_sigma": 2.5, "intensity_threshold": 3}],
    "BinaryPreprocessor": [{}, {"bin_threshold": 0}, {"bin_threshold": 255}],
    "ImageLuminanceDetector": [{}, {"gamma_correction": 0.6}, {"gamma_correction": 1.7}],
    "ImageIntensityDetector": [{}, {"gamma_correction": 0.6}, {"gamma_correction": 1.7}],
    "ShufflePreprocessor": [{"seed": 7}, {"seed": 2**40}],
    "ColorPreprocessor": [{}],
    "AIO_Preprocessor": [{"preprocessor": "CannyEdgePreprocessor"}, {"preprocessor": "none"}],
}
"""Nodes whose hints are the same bits."""


def made(node: Any, **inputs: Any) -> tuple[Any, ...]:
    """All outputs of one call."""
    given = {name: _copy(value) for name, value in inputs.items()}
    result = getattr(node(), node.FUNCTION)(**given)
    return tuple(result["result"] if isinstance(result, dict) else result)


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("node", CASES)
def test_the_same_hint(node: str, picture: str, theirs: Mapping[str, Any]) -> None:
    for given in CASES[node]:
        for resolution in (512, 320, 704):
            inputs = {"image": PICTURES[picture], "resolution": resolution, **given}
            assert torch.equal(made(OURS[node], **inputs)[0], made(theirs[node], **inputs)[0])


@pytest.mark.parametrize("doublings", [1, 2, 3])
def test_the_same_tile(doublings: int, theirs: Mapping[str, Any]) -> None:
    for picture in PICTURES.values():
        inputs = {"image": picture, "pyrUp_iters": doublings, "resolution": 512}
        ours, other = (made(of["TilePreprocessor"], **inputs)[0] for of in (OURS, theirs))
        assert torch.equal(ours, other)


@pytest.mark.parametrize("black", [False, True])
def test_the_same_inpaint_hint(black: bool, theirs: Mapping[str, Any]) -> None:
    inputs = {"image": PICTURES["wide"], "mask": MASK, "black_pixel_for_xinsir_cn": black}
    ours, other = (made(of["InpaintPreprocessor"], **inputs)[0] for of in (OURS, theirs))
    assert torch.equal(ours, other)


def test_xdog_but_for_its_holes(theirs: Mapping[str, Any]) -> None:
    inputs = {"image": PICTURES["wide"], "threshold": 32, "resolution": 512}
    node = "Scribble_XDoG_Preprocessor"
    ours, other = made(OURS[node], **inputs)[0], made(theirs[node], **inputs)[0]
    assert (ours >= other).all()
    assert (ours != other).float().mean() < 0.02


BY_NETWORKS: dict[str, list[dict[str, Any]]] = {
    "HEDPreprocessor": [{"safe": "enable"}, {"safe": "disable"}],
    "FakeScribblePreprocessor": [{"safe": "enable"}, {"safe": "disable"}],
    "PiDiNetPreprocessor": [{"safe": "enable"}, {"safe": "disable"}],
    "Scribble_PiDiNet_Preprocessor": [{"safe": "enable"}, {"safe": "disable"}],
    "LineArtPreprocessor": [{"coarse": "disable"}, {"coarse": "enable"}],
    "TEEDPreprocessor": [{"safe_steps": 2}, {"safe_steps": 0}],
    "AnyLineArtPreprocessor_aux": [{}],
    "M-LSDPreprocessor": [{"score_threshold": 0.1, "dist_threshold": 0.1}],
    "BAE-NormalMapPreprocessor": [{}],
}
"""Nodes with the same network: resizing and rounding in another library."""


@pytest.mark.parametrize("node", BY_NETWORKS)
def test_the_same_network(node: str, theirs: Mapping[str, Any]) -> None:
    for given in BY_NETWORKS[node]:
        inputs = {"image": PICTURES["two tall"], "resolution": 256, **given}
        ours, other = (made(of[node], **inputs)[0] for of in (OURS, theirs))
        assert ours.shape == other.shape
        assert ours.std() > 0
        differing = ((ours - other).abs() > 1.01 / 255).float().mean()
        print(node, given, f"{float((ours - other).abs().max() * 255):.1f} {float(differing):.2g}")
        assert differing < 1e-3


LINES = (F.interpolate((MASK[:, None] > 0.5).float(), (160, 240)) > 0)[0, 0]
EDGES = made(OURS["CannyEdgePreprocessor"], image=PICTURES["wide"])[0]
RESIZED = {
    "lines": EDGES,
    "shapes": LINES.float()[None, :, :, None].repeat(1, 1, 1, 3),
    "flat": (PICTURES["wide"] * 3).round() / 3,
    "picture": PICTURES["two tall"],
}


@pytest.mark.parametrize("hint", RESIZED)
@pytest.mark.parametrize("mode", MODES)
def test_hints_resized_alike(hint: str, mode: str, theirs: Mapping[str, Any]) -> None:
    for width, height in ((512, 512), (96, 200), (1000, 640)):
        inputs = {"image_gen_width": width, "image_gen_height": height, "resize_mode": mode}
        picture = RESIZED[hint]
        ours, other = (
            made(of["HintImageEnchance"], hint_image=picture, **inputs)[0] for of in (OURS, theirs)
        )
        assert torch.equal(ours, other)
        ours, other = (
            made(of["PixelPerfectResolution"], original_image=picture, **inputs)
            for of in (OURS, theirs)
        )
        assert ours == other
