"""Files that core nodes write, beside those that ComfyUI's own write: the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open

from controlstack.headless import folders
from controlstack.headless.core_nodes import CORE_NODES
from tests.comfyui.parity import noise, picture

FRAMES = picture(4, 3, 20, 26)
TOLD = {
    "prompt": {"1": {"class_type": "LoadImage", "inputs": {"image": "ä.png"}}},
    "extra_pnginfo": {"workflow": {"nodes": [], "extra": "é ü"}, "further": [1, 2]},
}
WEBP = [
    {"images": i, "fps": f, "lossless": w, "quality": q, "method": m}
    for i, f, w, q, m in (
        (FRAMES, 6.0, True, 80, "default"),
        (FRAMES, 23.976, False, 55, "slowest"),
        (FRAMES[:1], 1.0, True, 0, "fastest"),
        (torch.cat([FRAMES, FRAMES[..., :1]], dim=-1), 6.0, True, 80, "default"),
    )
]
PNG = [
    {"images": i, "fps": f, "compress_level": c}
    for i, f, c in ((FRAMES, 6.0, 4), (FRAMES, 30.0, 0), (FRAMES[:1] * 1.5 - 0.2, 0.5, 9))
]


@pytest.fixture
def place(comfy: ModuleType, tmp_path: Path) -> Iterator[Path]:
    """A folder with "theirs" and "ours" for what each host writes, and an input folder for both."""
    host = import_module("folder_paths")
    before = host.get_output_directory(), host.get_input_directory()
    for name in ("theirs", "ours", "input"):
        (tmp_path / name).mkdir()
    host.set_output_directory(str(tmp_path / "theirs"))
    host.set_input_directory(str(tmp_path / "input"))
    input_folder, ours = tmp_path / "input", tmp_path / "ours"
    with folders.use(folders.Folders((), (input_folder,), ours, tmp_path / "temp")):
        yield tmp_path
    host.set_output_directory(before[0])
    host.set_input_directory(before[1])


def core_shown(node_id: str, told: Mapping[str, Any], **inputs: Any) -> Any:
    """What ComfyUI's own node shows."""
    node = getattr(import_module("comfy_extras.nodes_images"), node_id)
    if not hasattr(node, "define_schema"):  # before 0.3.50
        return getattr(node(), node.FUNCTION)(**inputs, **told)["ui"]
    hidden = SimpleNamespace(prompt=told.get("prompt"), extra_pnginfo=told.get("extra_pnginfo"))
    ui = type(node_id, (node,), {"hidden": hidden}).execute(**inputs).ui
    return ui.as_dict() if hasattr(ui, "as_dict") else ui


def our_shown(node_id: str, told: Mapping[str, Any], **inputs: Any) -> Any:
    return CORE_NODES[node_id]().run(**inputs, **told)["ui"]


@pytest.mark.parametrize("told", [TOLD, {}], ids=["in a graph", "alone"])
@pytest.mark.parametrize("prefix", ["ComfyUI", "a/b_%width%x%height%_%batch_num%"])
@pytest.mark.parametrize(
    ("node_id", "cases"), [("SaveAnimatedWEBP", WEBP), ("SaveAnimatedPNG", PNG)]
)
def test_moving_pictures(
    node_id: str,
    cases: list[dict[str, Any]],
    prefix: str,
    told: Mapping[str, Any],
    place: Path,
) -> None:
    for inputs in cases:
        given = {**inputs, "filename_prefix": prefix}
        theirs, ours = core_shown(node_id, told, **given), our_shown(node_id, told, **given)
        assert ours["images"] == theirs["images"]
        assert list(ours["animated"]) == list(theirs.get("animated", (False,)))
        (file,) = ours["images"]
        name = Path(file["subfolder"], file["filename"])
        assert (place / "ours" / name).read_bytes() == (place / "theirs" / name).read_bytes()


@pytest.mark.parametrize("told", [TOLD, {}], ids=["in a graph", "alone"])
def test_latents(told: Mapping[str, Any], place: Path) -> None:
    nodes = import_module("nodes")
    samples = {"samples": noise(1, 2, 4, 6, 5), "noise_mask": torch.ones(1, 8, 8)}
    for prefix in ("latents/ComfyUI", "latents/ComfyUI", "%width%_x"):
        given = {"samples": samples, "filename_prefix": prefix}
        theirs = nodes.SaveLatent().save(**given, **told)["ui"]
        assert our_shown("SaveLatent", told, **given) == theirs
        (file,) = theirs["latents"]
        files = [
            safe_open(place / host / file["subfolder"] / file["filename"], framework="pt")
            for host in ("theirs", "ours")
        ]
        assert files[0].metadata() == files[1].metadata()
        assert set(files[0].keys()) == set(files[1].keys())
        for name in files[0].keys():  # noqa: SIM118 - no mapping
            assert torch.equal(files[0].get_tensor(name), files[1].get_tensor(name))
    # Each host reads what the other one wrote, and the first files, which had no version.
    from safetensors.torch import save_file

    save_file({"latent_tensor": noise(2, 1, 4, 5, 5).half()}, place / "input" / "old.latent")
    for host in ("theirs", "ours"):
        written = (place / host / "latents" / "ComfyUI_00002_.latent").read_bytes()
        (place / "input" / f"{host}.latent").write_bytes(written)
    declared = nodes.LoadLatent.INPUT_TYPES()["required"]["latent"]
    assert CORE_NODES["LoadLatent"].INPUT_TYPES()["required"]["latent"][0] == declared[0]
    for name in declared[0]:
        theirs, ours = (
            nodes.LoadLatent().load(name)[0],
            CORE_NODES["LoadLatent"]().run(latent=name)[0],
        )
        assert theirs.keys() == ours.keys()
        assert torch.equal(theirs["samples"], ours["samples"])
        assert ours["samples"].dtype == torch.float32
