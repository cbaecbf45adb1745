"""As `test_two_hosts`, with the base model as a GGUF file: ComfyUI with ComfyUI-GGUF (see
`test_gguf_bases`), and the embedded host's own nodes of that pack, from separate files.

That pack unpacks to halves, and the library gguf to float32: latents differ by that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests import cells, gguf_files, two_hosts
from tests.cells import Prompt, node
from tests.comfyui.conftest import comfyui_path, gguf_pack
from tests.comfyui.server import Server, serving
from tests.two_hosts import BAR, embedded, graph_of, latent_difference, psnr

KIND = "Q8_0"
LATENT_BAR = 1e-2


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    gguf_pack()
    base = two_hosts.write_files(tmp_path_factory.mktemp("gguf"))
    two_hosts.take_apart(base / "models", "sd15")
    folder = base / "models" / "diffusion_models"
    gguf_files.write_unet(folder / "packed.gguf", load_file(folder / "unet.safetensors"), KIND)
    return base


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[Server]:
    path = comfyui_path()
    assert path is not None
    with serving(path, base, further=[gguf_pack()]) as server:
        yield server


def prompt(controls: int) -> Prompt:
    unet = node("UnetLoaderGGUF", unet_name="packed.gguf")
    texts = node("CLIPLoaderGGUF", clip_name="clip_l.safetensors", type="stable_diffusion")
    return two_hosts.from_parts(cells.prompt(controls), unet, texts)


def test_one_picture(base: Path, server: Server) -> None:
    graph = graph_of(prompt(2))
    theirs, ours = two_hosts.on_comfyui(server)(graph), embedded(base)(graph)
    assert theirs.pictures.shape == ours.pictures.shape
    far = latent_difference(theirs.latent, ours.latent)
    print(f"{psnr(theirs.pictures, ours.pictures):.1f} dB, latents {far:.1e}")
    assert psnr(theirs.pictures, ours.pictures) > BAR
    assert far < LATENT_BAR
    fewer = embedded(base)(graph_of(prompt(1)))
    assert psnr(ours.pictures, fewer.pictures) < BAR
