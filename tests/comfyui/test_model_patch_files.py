"""Files of model patches through our loader: told by their header, loaded by ComfyUI's own node."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from controlstack.ground.errors import UserError
from controlstack.hosts import host
from controlstack.nodes.stack import ControlStackLoader
from tests.comfyui.models import NETS, weights
from tests.comfyui.shapes import Shapes
from tests.comfyui.test_files import hollow, named

Z_IMAGE = "control_all_x_embedder.2-1.weight"
CONTROLS: dict[str, tuple[tuple[str, ...], str]] = {
    "Z-Image Fun": ((Z_IMAGE, "control_noise_refiner.0.after_proj.weight"), "ZImageFunControlnet"),
    "Qwen-Image DiffSynth": (
        ("controlnet_blocks.0.y_rms.weight", "img_in.weight"),
        "QwenImageDiffsynthControlnet",
    ),
    "Anima ControlNet-LLLite": (
        ("lllite_conditioning1.conv1.weight", "lllite_dit_blocks_0_mlp_layer1.down.weight"),
        "AnimaLLLiteApply",
    ),
    "Wan Uni3C": (
        ("controlnet_patch_embedding.weight", "controlnet_blocks.0.ffn.0.bias"),
        "WanUni3CControlnetApply",
    ),
}
"""By a part of what they are called: some of their names, and the node that takes one."""

OTHERS: dict[str, tuple[str, ...]] = {
    "a SUPIR model, not a ControlNet: the node ModelPatchLoader loads it, from the folder "
    "model_patches, for the node SUPIRApply.": (
        "model.control_model.input_hint_block.0.weight",
        "model.diffusion_model.project_modules.0.zero_conv.weight",
        "model.diffusion_model.input_blocks.0.0.weight",
        "first_stage_model.denoise_encoder.conv_in.weight",
    ),
    "for the node SUPIRApply.": (
        "control_model.input_hint_block.0.weight",
        "project_modules.0.zero_conv.weight",
    ),
    "a USO style projector, not a ControlNet": ("feature_embedder.mid_layer_norm.bias",),
    "for the node USOStyleReference.": ("feature_embedder.mid_layer_norm.bias",),
    "for the node WanInfiniteTalkToVideo.": (
        "audio_proj.proj1.weight",
        "blocks.0.audio_cross_attn.proj.weight",
    ),
    "for the node LTXVDurationPredictor.": ("duration_head.attention_pooler.query_tokens",),
}


@dataclass(frozen=True)
class Folders:
    """The only folders in which this ComfyUI looks for ControlNets and for model patches."""

    nets: Path
    patches: Path


@pytest.fixture
def folders(
    comfy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Folders]:
    import folder_paths

    made = Folders(tmp_path / "controlnet", tmp_path / "model_patches")
    for kind, path in (("controlnet", made.nets), ("model_patches", made.patches)):
        path.mkdir()
        known = folder_paths.folder_names_and_paths[kind]
        monkeypatch.setitem(folder_paths.folder_names_and_paths, kind, ([str(path)], *known[1:]))
        folder_paths.filename_list_cache.pop(kind, None)
    yield made
    for kind in ("controlnet", "model_patches"):
        folder_paths.filename_list_cache.pop(kind, None)


@pytest.fixture(scope="module")
def core(comfy: ModuleType) -> dict[str, Any]:
    """ComfyUI's nodes by their ids, those among them that take a model patch."""
    import comfy_extras

    import nodes

    (folder,) = comfy_extras.__path__
    for file in ("nodes_model_patch", "nodes_wan", "nodes_lt"):
        path = str(Path(folder, f"{file}.py"))
        assert asyncio.run(nodes.load_custom_node(path, module_parent="comfy_extras"))
    found: dict[str, Any] = nodes.NODE_CLASS_MAPPINGS
    return found


@pytest.fixture(autouse=True)
def _nodes(core: dict[str, Any]) -> None:
    """The nodes that a running ComfyUI has."""


def lllite(width: int = 16) -> Shapes:
    """The smallest Anima LLLite that ComfyUI's class takes: one block without any extras."""
    half, channels, embedded, inner = 8, 16, 8, 4
    names = {
        "conv1": (half, 3, 4, 4),
        "norm1": (half,),
        "conv2": (half, half, 3, 3),
        "norm2": (half,),
        "conv3": (channels, half, 4, 4),
        "norm3": (channels,),
        "proj": (embedded, channels, 1, 1),
        "out_norm": (embedded,),
    }
    found = {f"lllite_conditioning1.{name}.weight": shape for name, shape in names.items()}
    found |= {f"lllite_conditioning1.{name}.bias": shape[:1] for name, shape in names.items()}
    block = "lllite_dit_blocks_0_self_attn_q_proj"
    linear = {
        "down": (inner, width),
        "mid": (inner, inner + embedded),
        "cond_to_film": (2 * inner, embedded),
        "up": (width, inner),
    }
    found |= {f"{block}.{name}.weight": shape for name, shape in linear.items()}
    found |= {f"{block}.{name}.bias": shape[:1] for name, shape in linear.items()}
    return {**found, f"{block}.depth_embed": (embedded,)}


def uni3c() -> Shapes:
    """A small Uni3C of one layer, by the names of ComfyUI's own class."""
    import comfy.ops
    from comfy.ldm.wan.uni3c import WanUni3CControlnet

    net = WanUni3CControlnet(
        **{"in_channels": 36, "conv_out_dim": 64, "dim": 32, "ffn_dim": 32, "num_layers": 1},
        **{"time_embed_dim": 64, "out_proj_dim": 64, "mid_channels": 16},
        device=torch.device("meta"),
        operations=comfy.ops.manual_cast,
    )
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


def diffsynth() -> Shapes:
    """Qwen-Image's, of one narrow block, with an inpainting mask's four channels."""
    block = "controlnet_blocks.0"
    wide = ("input_proj.weight", "output_proj.weight")
    narrow = ("x_rms.weight", "y_rms.weight", "input_proj.bias", "output_proj.bias")
    found: Shapes = {f"{block}.{name}": (DIFFSYNTH_DIM, DIFFSYNTH_DIM) for name in wide}
    found |= {f"{block}.{name}": (DIFFSYNTH_DIM,) for name in narrow}
    return {**found, "img_in.weight": (DIFFSYNTH_DIM, 68), "img_in.bias": (DIFFSYNTH_DIM,)}


DIFFSYNTH_DIM = 32
SMALL = {
    "Anima": (lllite, "AnimaLLLiteApply"),
    "Wan": (uni3c, "WanUni3CControlnetApply"),
    "Qwen-Image": (diffsynth, "QwenImageDiffsynthControlnet"),
}
"""The sizes of the first two ComfyUI reads from the file, the last one's are `narrowed`."""


@pytest.fixture
def _narrowed(core: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """ComfyUI's class of Qwen-Image's net has other defaults; its loader gives it no sizes."""
    module = sys.modules[core["ModelPatchLoader"].__module__]
    small = partial(module.QwenImageBlockWiseControlNet, num_layers=1, dim=DIFFSYNTH_DIM)
    monkeypatch.setattr(module, "QwenImageBlockWiseControlNet", small)


def saved(path: Path, shapes: Shapes) -> dict[str, torch.Tensor]:
    values = weights(path.stem, shapes)
    save_file(values, path)
    return values


def loaded(name: str) -> Any:
    assert ControlStackLoader.VALIDATE_INPUTS(name) is True
    return ControlStackLoader().load(name)[0]


def test_both_folders_are_listed_and_a_name_in_both_once(folders: Folders) -> None:
    for path in (folders.nets / "a.pth", folders.nets / "both.pth", folders.patches / "both.pth"):
        path.touch()
    (folders.patches / "sub").mkdir()
    (folders.patches / "sub" / "z.pth").touch()
    widget = ControlStackLoader.INPUT_TYPES()["required"]["control_net_name"]
    assert widget[0] == ["a.pth", "both.pth", str(Path("sub", "z.pth"))]


def test_a_comfyui_without_such_a_folder_lists_the_other(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths

    (folders.nets / "a.pth").touch()
    monkeypatch.delitem(folder_paths.folder_names_and_paths, "model_patches")
    assert host.control_names() == ["a.pth"]


@pytest.mark.parametrize("place", ["nets", "patches"])
@pytest.mark.parametrize("kind", CONTROLS)
def test_a_control_passes_in_either_folder_where_comfyui_has_its_node(
    folders: Folders, core: dict[str, Any], kind: str, place: str
) -> None:
    names, node = CONTROLS[kind]
    path = getattr(folders, place) / "a.safetensors"
    said = ControlStackLoader.VALIDATE_INPUTS(hollow(path, named(names)))
    if node in core:
        assert said is True
    else:
        article = "an" if kind.startswith("A") else "a"
        assert str(said).startswith(f"{path} is {article} {kind}")
        assert f"too old for: it has no node {node}; update ComfyUI." in str(said)


def test_a_comfyui_without_the_loader_or_the_node_says_to_update(
    folders: Folders, core: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = hollow(folders.patches / "a.safetensors", named(CONTROLS["Qwen-Image DiffSynth"][0]))
    for node in ("QwenImageDiffsynthControlnet", "ModelPatchLoader"):
        monkeypatch.delitem(core, node)
        with pytest.raises(UserError, match=f"it has no node {node}; update ComfyUI"):
            ControlStackLoader().load(name)


@pytest.mark.parametrize("place", ["nets", "patches"])
@pytest.mark.parametrize("words", OTHERS)
def test_a_patch_that_is_no_control_says_which_node_takes_it(
    folders: Folders, words: str, place: str
) -> None:
    path = getattr(folders, place) / "a.safetensors"
    said = ControlStackLoader.VALIDATE_INPUTS(hollow(path, named(OTHERS[words])))
    assert words in str(said)
    assert str(path) in str(said)


def test_the_nodes_that_are_named_take_a_model_patch(core: dict[str, Any]) -> None:
    """Those of them that this ComfyUI has; the newest has all."""
    named_nodes = {node for _, node in CONTROLS.values()}
    named_nodes |= {words.split()[-1].rstrip(".") for words in OTHERS if "for the node" in words}
    for node in named_nodes & core.keys():
        kinds = [
            one[0]
            for section in ("required", "optional")
            for one in core[node].INPUT_TYPES().get(section, {}).values()
        ]
        assert "MODEL_PATCH" in kinds, node
    assert "QwenImageDiffsynthControlnet" in core


@pytest.mark.usefixtures("_narrowed")
@pytest.mark.parametrize("place", ["nets", "patches"])
@pytest.mark.parametrize("family", SMALL)
def test_a_model_patch_is_what_comfyui_s_own_loader_gives(
    folders: Folders, core: dict[str, Any], family: str, place: str
) -> None:
    import folder_paths

    shapes, node = SMALL[family]
    if node not in core:
        pytest.skip(f"this ComfyUI has no {node}")
    folder = getattr(folders, place) / "sub"
    folder.mkdir()
    saved(folder / "a.safetensors", shapes())
    name = str(Path("sub", "a.safetensors"))

    ours = loaded(name)

    saved(folders.patches / "b.safetensors", shapes())
    loader = core["ModelPatchLoader"]
    (theirs,) = getattr(loader(), loader.FUNCTION)("b.safetensors")
    assert type(ours) is type(theirs)
    assert type(ours.model) is type(theirs.model)
    values = weights("a", shapes())
    assert {n: tuple(v.shape) for n, v in ours.model.state_dict().items()} == shapes()
    for key, value in ours.model.state_dict().items():
        assert torch.equal(value, values[key].to(value)), key
    assert folder_paths.get_folder_paths("model_patches") == [str(folders.patches)]
    assert folder_paths.get_filename_list("model_patches") == sorted(
        ["b.safetensors", *([name] if place == "patches" else [])]
    )


def z_image_lite() -> Any:
    import comfy.ops
    from comfy.ldm.lumina.controlnet import ZImage_Control

    return ZImage_Control(
        **{"n_control_layers": 3, "additional_in_dim": 17, "refiner_control": True},
        device=torch.device("meta"),
        operations=comfy.ops.manual_cast,
    )


@pytest.mark.slow
def test_a_z_image_file_of_the_real_size_is_loaded(folders: Folders, core: dict[str, Any]) -> None:
    """ComfyUI makes it in one width; of the three variants the lite one is the smallest."""
    if "ZImageFunControlnet" not in core:
        pytest.skip("this ComfyUI has no ZImageFunControlnet")
    net = z_image_lite()
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    patch = loaded(hollow(folders.nets / "a.safetensors", shapes))
    assert type(patch.model) is type(net)
    assert {n: tuple(v.shape) for n, v in patch.model.state_dict().items()} == shapes


def test_of_one_name_in_both_folders_the_controlnet_s_is_loaded(
    folders: Folders, core: dict[str, Any]
) -> None:
    if "AnimaLLLiteApply" not in core:
        pytest.skip("this ComfyUI has no AnimaLLLiteApply")
    saved(folders.nets / "a.safetensors", lllite(16))
    saved(folders.patches / "a.safetensors", lllite(24))
    assert loaded("a.safetensors").model.model_dim == 16


def test_a_controlnet_among_the_model_patches_is_loaded_as_one(folders: Folders) -> None:
    import comfy.controlnet

    saved(folders.patches / "net.safetensors", NETS["sd15 ldm"]())
    assert isinstance(loaded("net.safetensors"), comfy.controlnet.ControlNet)


def test_what_is_not_known_goes_to_the_loader_of_its_folder(folders: Folders) -> None:
    for path, words in (
        (folders.nets / "a.safetensors", "is no ControlNet that this ComfyUI knows"),
        (folders.patches / "b.safetensors", "cannot be loaded as a model patch, ComfyUI's loader"),
    ):
        name = hollow(path, named(["some_new_control.0.weight"]))
        assert ControlStackLoader.VALIDATE_INPUTS(name) is True
        with pytest.raises(UserError, match=words) as caught:
            ControlStackLoader().load(name)
        assert str(path) in str(caught.value)


def test_what_the_loader_stumbles_over_is_one_sentence_and_leaves_the_folders(
    folders: Folders,
) -> None:
    import folder_paths

    name = hollow(folders.nets / "half.safetensors", named(CONTROLS["Qwen-Image DiffSynth"][0]))
    with pytest.raises(UserError, match="cannot be loaded as a model patch") as caught:
        ControlStackLoader().load(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert folder_paths.get_folder_paths("model_patches") == [str(folders.patches)]


def test_two_threads_that_load_wait_for_each_other(
    folders: Folders, core: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files of one name: each gets its own."""
    import folder_paths

    seen: list[str] = []
    first, go = Event(), Event()

    class Loader:
        FUNCTION = "give"

        def give(self, name: str) -> tuple[str]:
            first.set()
            go.wait(5)
            seen.append(str(folder_paths.get_full_path("model_patches", name)))
            return (seen[-1],)

    monkeypatch.setitem(core, "ModelPatchLoader", Loader)
    names = CONTROLS["Qwen-Image DiffSynth"][0]
    paths = [folders.nets / "one" / "a.safetensors", folders.patches / "two" / "a.safetensors"]
    for path in paths:
        path.parent.mkdir()
        hollow(path, named(names))
    threads = [
        Thread(target=ControlStackLoader().load, args=(str(Path(folder, "a.safetensors")),))
        for folder in ("one", "two")
    ]
    threads[0].start()
    assert first.wait(5)
    threads[1].start()
    threads[1].join(0.2)  # as far as it comes without the other
    go.set()
    for thread in threads:
        thread.join(5)
    assert seen == [str(path) for path in paths]
    assert folder_paths.get_folder_paths("model_patches") == [str(folders.patches)]


def test_running_out_of_memory_is_left_to_comfyui(
    folders: Folders, core: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        FUNCTION = "give"

        def give(self, name: str) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setitem(core, "ModelPatchLoader", Full)
    name = hollow(folders.patches / "a.safetensors", named(CONTROLS["Qwen-Image DiffSynth"][0]))
    with pytest.raises(torch.OutOfMemoryError):
        ControlStackLoader().load(name)
