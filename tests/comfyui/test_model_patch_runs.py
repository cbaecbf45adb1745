"""From files to a picture: a Wan model, its VAE and a Uni3C patch, each by ComfyUI's own loader."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from controlstack.nodes.stack import ControlStackAdd, ControlStackApply, ControlStackLoader
from tests.comfyui.models import Shelf
from tests.comfyui.parity import Case, Parity, noise, picture
from tests.comfyui.patch_kinds import wan_files
from tests.comfyui.test_model_patch_files import Folders, _nodes, core, folders

__all__ = ["_nodes", "core", "folders"]  # pytest looks for fixtures by name


@pytest.fixture
def loaded(folders: Folders, core: dict[str, Any]) -> tuple[Any, str]:
    """The MODEL of a file, and the name of the patch's file."""
    import comfy.sd

    if "WanUni3CControlnetApply" not in core:
        pytest.skip("this ComfyUI has no node WanUni3CControlnetApply")
    model, patch = wan_files()
    base = folders.nets.parent / "wan.safetensors"
    save_file(model, base)
    save_file(patch, folders.patches / "uni3c.safetensors")
    return comfy.sd.load_diffusion_model(str(base)), "uni3c.safetensors"


def test_a_film_under_a_patch_of_a_file_is_the_cores(
    loaded: tuple[Any, str], core: dict[str, Any], shelf: Shelf, parity: Parity
) -> None:
    model, name = loaded
    film = picture(3, 9, 50, 70)
    vae = shelf.vae("qwen")  # which is Wan's
    case = Case(
        family="Wan, files",
        model=model,
        positive=[[noise(1, 1, 7, 4096), {}]],
        negative=[[noise(11, 1, 7, 4096), {}]],
        latent={"samples": torch.zeros(1, 16, 3, 6, 8)},
        steps=2,
        cfg=3.0,
    )
    (net,) = ControlStackLoader().load(name)
    prompt = {"1": {"class_type": "ControlStackLoader", "inputs": {"control_net_name": name}}}
    prompt["2"] = {"class_type": "ControlStackAdd", "inputs": {"control_net": ["1", 0]}}
    (stack,) = ControlStackAdd().add(
        net, film, 0.8, 0.0, 0.7, vae=vae, prompt=prompt, unique_id="2"
    )
    assert stack[0].name == f"control 1 ({name})"
    (mine,) = ControlStackApply().apply(model, stack)

    loader, node = core["ModelPatchLoader"], core["WanUni3CControlnetApply"]
    (patch,) = getattr(loader(), loader.FUNCTION)(name)
    inputs = {"render_video": film, "vae": vae, "strength": 0.8}
    (theirs,) = getattr(node(), node.FUNCTION)(
        model=model, model_patch=patch, start_percent=0.0, end_percent=0.7, **inputs
    )
    parity.same(case, replace(case, model=theirs), replace(case, model=mine))
