"""As `test_two_hosts`, on base models as GGUF files: ComfyUI with ComfyUI-GGUF (see
`test_gguf_bases`), and the embedded host's own nodes of that pack.

That pack rounds unpacked weights to halves unless it is told not to, so its default is compared
with a wider bar.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests import cells, gguf_files, two_hosts
from tests.cells import Prompt, node
from tests.comfyui.conftest import comfyui_path, gguf_pack
from tests.comfyui.server import serving
from tests.two_hosts import BAR, Run, embedded, graph_of, latent_difference, psnr

LATENT_BAR, HALVES_BAR = 1e-3, 2e-2
KINDS = {"sd15": ("Q8_0", "Q4_0", "Q4_K"), "sdxl": ("Q5_1",)}
CASES = [(family, kind) for family, kinds in KINDS.items() for kind in kinds]


class Hosts:
    """Both hosts on one family's files."""

    def __init__(self, base: Path, family: str, comfyui: Run) -> None:
        self.family = family
        self.comfyui = comfyui
        self.ours = embedded(base)

    def prompt(self, controls: int, kind: str, exact: bool = True) -> Prompt:
        file = f"{kind}.gguf"
        unet = node("UnetLoaderGGUF", unet_name=file)
        if exact:
            types = {"dequant_dtype": "float32", "patch_dtype": "default"}
            unet = node("UnetLoaderGGUFAdvanced", unet_name=file, **types, patch_on_device=False)
        first, second = (f"{name}.safetensors" for name in ("clip_l", "clip_g"))
        texts = node("CLIPLoaderGGUF", clip_name=first, type="stable_diffusion")
        if self.family == "sdxl":
            texts = node("DualCLIPLoader", clip_name1=first, clip_name2=second, type="sdxl")
        return two_hosts.from_parts(cells.prompt(controls), unet, texts)

    def same(self, prompt: Prompt, latent_bar: float) -> None:
        """A prompt's picture and latents are."""
        graph = graph_of(prompt)
        theirs, made = self.comfyui(graph), self.ours(graph)
        assert theirs.pictures.shape == made.pictures.shape
        far = latent_difference(theirs.latent, made.latent)
        print(f"{psnr(theirs.pictures, made.pictures):.1f} dB, latents {far:.1e}")
        assert psnr(theirs.pictures, made.pictures) > BAR
        assert far < latent_bar


@pytest.fixture(scope="module", params=list(KINDS))
def hosts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hosts]:
    pack, family = gguf_pack(), request.param
    base = two_hosts.write_files(tmp_path_factory.mktemp(family), family)
    two_hosts.take_apart(base / "models", family)
    folder = base / "models" / "diffusion_models"
    weights = load_file(folder / "unet.safetensors")
    for kind in KINDS[family]:
        gguf_files.write_unet(folder / f"{kind}.gguf", weights, kind, family.replace("15", "1"))
    path = comfyui_path()
    assert path is not None
    with serving(path, base, further=[pack]) as server:
        yield Hosts(base, family, two_hosts.on_comfyui(server))


@pytest.mark.parametrize(("hosts", "kind"), CASES, indirect=["hosts"])
def test_the_same_picture(hosts: Hosts, kind: str) -> None:
    hosts.same(hosts.prompt(2, kind), LATENT_BAR)


@pytest.mark.parametrize(("hosts", "kind"), CASES, indirect=["hosts"])
def test_nearly_the_same_where_that_pack_rounds(hosts: Hosts, kind: str) -> None:
    hosts.same(hosts.prompt(2, kind, exact=False), HALVES_BAR)


@pytest.mark.parametrize("hosts", ["sd15"], indirect=True)
def test_control_and_quantisation_are_seen(hosts: Hosts) -> None:
    pictures = [
        hosts.ours(graph_of(hosts.prompt(controls, kind))).pictures
        for controls, kind in ((2, "Q4_0"), (1, "Q4_0"), (2, "Q8_0"))
    ]
    assert all(psnr(pictures[0], one) < BAR for one in pictures[1:])
