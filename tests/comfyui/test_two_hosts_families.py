"""As `test_two_hosts`, on SDXL and SD 2.x: one JSON, one file, the same picture in both hosts.

`python -m benchmarks.two_hosts --family sdxl` prints SDXL's whole table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests import cells, cells_beside, net_files, two_hosts
from tests.cells import Prompt, node
from tests.comfyui.conftest import comfyui_path
from tests.comfyui.server import serving
from tests.two_hosts import BAR, Run, embedded, graph_of, latent_difference, psnr

# Where ComfyUI is known to compute otherwise; docs/two-hosts.md says how.
LATENT_BAR, COARSE = 1e-3, {"LoRA": 3e-3}
SHAPES = {
    "sdxl": (
        *("euler normal 0", "dpmpp_2m karras 2", "ddim sgm_uniform 1", "core's apply nodes 2"),
        *("LoRA", "LoRA, U-Net alone", "long prompt", "img2img", "batch of 2"),
        *cells_beside.sdxl(),
    ),
    "sd2": ("euler normal 0", "dpmpp_2m karras 2", "core's apply nodes 2", "clip skip 2", "LoRA"),
}
PROMPTS = {**cells.matrix(), **cells_beside.others(), **cells_beside.sdxl()}
VECTORS = {"clip_l": 768, "clip_g": 1280}


class Hosts:
    """Both hosts on one family's files."""

    def __init__(self, base: Path, comfyui: Run) -> None:
        self.base = base
        self.comfyui = comfyui
        self.ours = embedded(base)

    def same(self, prompt: Prompt, latent_bar: float = LATENT_BAR) -> None:
        """A prompt's picture and latents are."""
        graph = graph_of(prompt)
        theirs, made = self.comfyui(graph), self.ours(graph)
        assert theirs.pictures.shape == made.pictures.shape
        assert psnr(theirs.pictures, made.pictures) > BAR
        assert latent_difference(theirs.latent, made.latent) < latent_bar


@pytest.fixture(scope="module", params=list(SHAPES))
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def hosts(family: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    base = two_hosts.write_files(tmp_path_factory.mktemp(family), family)
    models = base / "models"
    (models / "embeddings").mkdir()
    generator = torch.Generator().manual_seed(9)
    vectors = {n: torch.randn(3, w, generator=generator) * 0.05 for n, w in VECTORS.items()}
    save_file(vectors, models / "embeddings" / "words.safetensors")
    if family == "sdxl":
        two_hosts.take_apart(models, family)
    path = comfyui_path()
    assert path is not None
    with serving(path, base) as server:
        yield Hosts(base, two_hosts.on_comfyui(server))


@pytest.mark.parametrize(
    ("family", "name"),
    [(family, name) for family, names in SHAPES.items() for name in names],
    indirect=["family"],
)
def test_cells(name: str, hosts: Hosts) -> None:
    hosts.same(PROMPTS[name], COARSE.get(name, LATENT_BAR))


def test_a_control_is_seen(hosts: Hosts) -> None:
    right, left = (hosts.ours(graph_of(cells.prompt(count))) for count in (2, 1))
    assert psnr(right.pictures, left.pictures) < BAR


@pytest.mark.parametrize("family", ["sdxl"], indirect=True)
def test_a_control_lora(hosts: Hosts) -> None:
    nets = hosts.base / "models" / "controlnet"
    whole = load_file(nets / cells.NETS[0])
    save_file(net_files.control_lora(whole), nets / "control-lora.safetensors")
    prompt = cells.prompt(1)
    (name,) = [name for name, one in prompt.items() if "control_net_name" in one["inputs"]]
    prompt[name] = node("ControlNetLoader", control_net_name="control-lora.safetensors")
    hosts.same(prompt)
    plain = hosts.ours(graph_of(cells.prompt(0))).pictures
    assert psnr(hosts.ours(graph_of(prompt)).pictures, plain) < BAR


@pytest.mark.parametrize("family", ["sdxl"], indirect=True)
def test_a_textual_inversion_for_both_text_encoders(hosts: Hosts) -> None:
    asked, plain = cells.prompt(0), cells.prompt(0)
    text = "embedding:words, (a red embedding:words, of snow:1.3) and a dog"
    asked["positive"]["inputs"]["text"] = text
    plain["positive"]["inputs"]["text"] = "a red of snow and a dog"
    hosts.same(asked)
    pictures = [hosts.ours(graph_of(one)).pictures for one in (asked, plain)]
    assert psnr(*pictures) < BAR


@pytest.mark.parametrize("family", ["sdxl"], indirect=True)
@pytest.mark.parametrize("names", [("clip_l", "clip_g"), ("clip_g", "clip_l")])
def test_separate_files(hosts: Hosts, names: tuple[str, str]) -> None:
    first, second = (f"{name}.safetensors" for name in names)
    texts = node("DualCLIPLoader", clip_name1=first, clip_name2=second, type="sdxl")
    unet = node("UNETLoader", unet_name="unet.safetensors", weight_dtype="default")
    hosts.same(two_hosts.from_parts(cells.prompt(1), unet, texts))


def test_comfyui_tells_velocities_as_we_do(family: str, hosts: Hosts, comfy: ModuleType) -> None:
    from comfy.model_sampling import V_PREDICTION
    from comfy.sd import load_checkpoint_guess_config

    from controlstack.headless.models.loading import load_unet

    path = hosts.base / "models" / "checkpoints" / cells.CHECKPOINT
    model = load_checkpoint_guess_config(str(path), output_vae=False, output_clip=False)[0]
    theirs = isinstance(model.model.model_sampling, V_PREDICTION)
    ours = load_unet(path).model.model_sampling.prediction_type
    assert (ours == "v_prediction") == theirs == (family == "sd2")
