"""ComfyUI-GGUF's loaders: menus, whole runs, plans and the demo models in a file's place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from controlstack.demo.models import BASE, aliases
from controlstack.ground.errors import UserError
from controlstack.headless import folders
from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import parse
from controlstack.headless.overview.family import SD_1
from controlstack.headless.overview.overview import overview_of
from controlstack.headless.pack_nodes import PACK_NODES
from controlstack.headless.planning.files import facts_of
from controlstack.headless.planning.values import Model
from tests import cells, gguf_files, two_hosts
from tests.cells import Prompt, node
from tests.headless.models.tiny_files import checkpoint_tensors, sd_clip, sd_unet, sd_vae

pytest.importorskip("gguf")
PLAIN = node("UNETLoader", unet_name="same.safetensors", weight_dtype="default")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with a tiny model in parts: its U-Net packed, and the same numbers unpacked."""
    base = tmp_path_factory.mktemp("base")
    tensors = checkpoint_tensors(sd_unet(), sd_vae(), sd_clip())
    models = base / "models"
    (models / "checkpoints").mkdir(parents=True)
    save_file(tensors, models / "checkpoints" / cells.CHECKPOINT)
    two_hosts.take_apart(models, "sd15")
    unets = models / "diffusion_models"
    packed = gguf_files.write_unet(unets / "packed.gguf", tensors, "Q5_0")
    save_file(gguf_files.read_as_the_library_does(packed), unets / "same.safetensors")
    (base / "input").mkdir()
    return base


@pytest.fixture(autouse=True)
def places(base: Path) -> Iterator[None]:
    found = folders.Folders((base / "models",), (base / "input",), base / "out", base / "temp")
    with folders.use(found):
        yield


def prompt(unet: dict[str, Any], loader: str = "CLIPLoaderGGUF") -> Prompt:
    texts = node(loader, clip_name="clip_l.safetensors", type="stable_diffusion")
    return two_hosts.from_parts(cells.prompt(0), unet, texts)


def test_menus_are_of_files_that_each_loader_takes() -> None:
    def menu(cls: Any, name: str) -> list[str]:
        found: list[str] = cls.INPUT_TYPES()["required"][name][0]
        return found

    assert menu(PACK_NODES["UnetLoaderGGUF"], "unet_name") == ["packed.gguf"]
    assert menu(PACK_NODES["UnetLoaderGGUFAdvanced"], "unet_name") == ["packed.gguf"]
    assert menu(CORE_NODES["UNETLoader"], "unet_name") == ["same.safetensors", "unet.safetensors"]
    with pytest.raises(UserError, match=r"there is packed\.gguf in"):
        PACK_NODES["UnetLoaderGGUF"]().run(unet_name="gone.gguf")


def test_a_picture_is_that_of_the_unpacked_numbers(base: Path) -> None:
    run = two_hosts.embedded(base)
    types = {"dequant_dtype": "target", "patch_dtype": "float16", "patch_on_device": True}
    packed = node("UnetLoaderGGUF", unet_name="packed.gguf")
    advanced = node("UnetLoaderGGUFAdvanced", unet_name="packed.gguf", **types)
    graphs = [prompt(packed), prompt(packed, "CLIPLoader"), prompt(advanced)]
    expected, *pictures = (
        run(two_hosts.graph_of(one)).pictures for one in (prompt(PLAIN, "CLIPLoader"), *graphs)
    )
    assert all(np.array_equal(one, expected) for one in pictures)
    original = node("UNETLoader", unet_name="unet.safetensors", weight_dtype="default")
    assert not np.array_equal(run(two_hosts.graph_of(prompt(original))).pictures, expected)


def test_a_plan_knows_the_file(tmp_path: Path) -> None:
    text = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    unets = tmp_path / "diffusion_models"
    gguf_files.write_unet(unets / "some.gguf", {text: torch.ones(32, 768)}, "Q4_0")
    with folders.use(folders.Folders((tmp_path,), (), tmp_path, tmp_path)):
        facts = facts_of(Model("some.gguf", "diffusion_models"))
    assert (facts.family, facts.weights, facts.notes) == (SD_1, 32 * 768, ())


def test_a_workflow_with_it_runs_and_is_told_so() -> None:
    packed = node("UnetLoaderGGUF", unet_name="packed.gguf")
    found = overview_of(parse(prompt(packed), "wf.json"), default_registry())
    assert (found.status, found.problems) == ("runs", ())
    (file,) = (one for one in found.files if one.name == "packed.gguf")
    assert (file.kind, file.folder, file.here) == ("diffusion model", "diffusion_models", True)


def test_the_demo_model_stands_in_for_it() -> None:
    graph = two_hosts.graph_of(prompt(node("UnetLoaderGGUF", unet_name="packed.gguf")))
    stands = aliases(graph, default_registry())
    assert stands["diffusion_models"] == {"packed.gguf": BASE / "unet"}
    elsewhere = folders.Folders((), (), Path("out"), Path("temp"), stands)
    with folders.use(elsewhere):
        assert folders.names("diffusion_models", {".gguf"}) == ["packed.gguf"]
        (model,) = PACK_NODES["UnetLoaderGGUF"]().run(unet_name="packed.gguf")
    assert model.model.diffusion_model.config.cross_attention_dim
