"""The image nodes: pictures in, tensors, pictures out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from controlstack.ground.errors import UserError
from controlstack.headless import folders
from controlstack.headless.core_nodes import CORE_NODES
from controlstack.headless.core_nodes import image as nodes
from controlstack.headless.file_names import expand
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.registry import Registry
from controlstack.headless.graph.validate import validate
from controlstack.headless.graph.workflow import load_workflow, read_workflow
from controlstack.headless.pictures import check_image
from controlstack.headless.resize import IMAGE_METHODS
from controlstack.preprocessors import picture_files


@pytest.fixture
def place(tmp_path: Path) -> Iterator[folders.Folders]:
    made = folders.Folders((), (tmp_path / "in",), tmp_path / "out", tmp_path / "temp")
    (tmp_path / "in").mkdir()
    with folders.use(made):
        yield made


@pytest.fixture
def registry() -> Registry:
    return Registry(CORE_NODES)


def put(place: folders.Folders, name: str, image: Image.Image, **options: Any) -> str:
    image.save(place.input[0] / name, **options)
    return name


def pixels(*shape: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def load(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    check_image(folders.find_input(name))
    return nodes.load_image(name)


def test_rgb(place: folders.Folders) -> None:
    array = pixels(3, 5, 3)
    image, mask = load(put(place, "a.png", Image.fromarray(array)))
    assert image.shape == (1, 3, 5, 3)
    assert torch.equal(image[0], torch.from_numpy(array.astype(np.float32) / 255.0))
    assert torch.equal(mask, torch.zeros(1, 64, 64))


def test_alpha_becomes_an_inverted_mask(place: folders.Folders) -> None:
    array = pixels(3, 5, 4)
    name = put(place, "a.png", Image.fromarray(array, "RGBA"))
    image, mask = load(name)
    assert torch.equal(image[0], torch.from_numpy(array[..., :3].astype(np.float32) / 255.0))
    expected = 1.0 - torch.from_numpy(array[..., 3].astype(np.float32) / 255.0)
    assert torch.equal(mask[0], expected)
    assert torch.equal(nodes.load_mask(name, "alpha")[0], expected)
    green = torch.from_numpy(array[..., 1].astype(np.float32) / 255.0)
    assert torch.equal(nodes.load_mask(name, "green")[0], green)


def test_a_picture_without_transparency(place: folders.Folders) -> None:
    name = put(place, "a.png", Image.fromarray(pixels(3, 5, 3)))
    deep = put(place, "deep.png", Image.fromarray(np.zeros((3, 5), dtype=np.uint16)))
    for file in (name, deep):
        mask = nodes.load_mask(file, "alpha")
        assert torch.equal(mask, torch.zeros(1, 3, 5))


def test_palette_with_transparency(place: folders.Folders) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    image, mask = load(put(place, "p.png", palette, transparency=1))
    assert torch.equal(mask[0], torch.tensor([[0.0, 1.0]]))
    assert torch.allclose(image[0, 0, 1] * 255, torch.tensor([200.0, 100.0, 50.0]))


def test_grey_in_8_and_16_bits(place: folders.Folders) -> None:
    image, _ = load(put(place, "l.png", Image.fromarray(np.array([[0, 51, 255]], dtype=np.uint8))))
    assert torch.allclose(image[0, 0, :, 0], torch.tensor([0.0, 0.2, 1.0]))
    deep = np.array([[0, 13107, 13108, 65535]], dtype=np.uint16)
    image, _ = load(put(place, "deep.png", Image.fromarray(deep)))
    assert torch.allclose(image[0, 0, :, 2], torch.tensor([0.0, 0.2, 13108 / 65535, 1.0]))
    assert image[0, 0, 1, 0] != image[0, 0, 2, 0]


def test_exif_rotation(place: folders.Folders) -> None:
    picture = Image.fromarray(pixels(4, 6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows become columns
    name = put(place, "turned.png", picture, exif=exif)
    image, _ = load(name)
    assert image.shape == (1, 6, 4, 3)
    expected = np.rot90(np.asarray(picture), k=-1).astype(np.float32) / 255.0
    assert torch.equal(image[0], torch.from_numpy(expected.copy()))


def test_animations_are_batches(place: folders.Folders) -> None:
    frames = [Image.fromarray(pixels(4, 4, 3, seed=seed)) for seed in range(3)]
    name = put(place, "a.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    image, mask = load(name)
    assert image.shape == (3, 4, 4, 3)
    assert mask.shape[0] == 3
    assert torch.equal(image[2], torch.from_numpy(np.asarray(frames[2]).astype(np.float32) / 255.0))
    assert nodes.load_mask(name, "red").shape == (1, 4, 4)


def test_files_that_are_no_picture(place: folders.Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.input[0] / "text.png").write_text("no picture")
    with pytest.raises(UserError, match=r"text\.png cannot be read as a picture"):
        load("text.png")
    (place.input[0] / "empty.png").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be read"):
        load("empty.png")
    for name, options in (("whole.png", {}), ("whole.jpg", {}), ("whole.webp", {})):
        put(place, name, Image.fromarray(pixels(40, 40, 3)), **options)
        data = (place.input[0] / name).read_bytes()
        (place.input[0] / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(UserError, match="cannot be read"):
            load(name)
    put(place, "large.png", Image.new("L", (30, 30)))
    monkeypatch.setattr(picture_files, "MAX_PIXELS", 800)
    with pytest.raises(UserError, match="30 x 30 pixels in 1 frames"):
        load("large.png")


def workflow(prefix: str = "sub/made_%Load.image%") -> dict[str, Any]:
    return {
        "1": {
            "class_type": "LoadImage",
            "inputs": {"image": "a.png"},
            "_meta": {"title": "Load"},
        },
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": prefix}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }


def test_a_saved_picture_holds_its_workflow(place: folders.Folders, registry: Registry) -> None:
    array = pixels(3, 5, 3)
    put(place, "a.png", Image.fromarray(array))
    graph = read_workflow(workflow(), registry, "wf.json")
    validate(graph, registry)
    results = Executor(registry).run(graph)
    assert results.files() == (place.output / "sub" / "made_a.png_00001_.png",)
    assert [path.parent for path in results.files("temp")] == [place.temp]
    assert results.files("temp")[0].name.startswith("ComfyUI_temp_")
    with Image.open(results.files()[0]) as picture:
        # The core cuts to 8 bits and does not round, so one step may be lost.
        assert np.abs(np.asarray(picture).astype(int) - (255 - array.astype(int))).max() <= 1
        assert json.loads(picture.info["prompt"]) == graph.prompt()
        assert "workflow" not in picture.info
    again = load_workflow(results.files()[0], registry)
    assert again.prompt() == graph.prompt()
    assert [path.name for path in (place.output / "sub").iterdir()] == ["made_a.png_00001_.png"]


def test_the_canvas_is_saved_as_workflow(place: folders.Folders, registry: Registry) -> None:
    put(place, "a.png", Image.fromarray(pixels(2, 2, 3)))
    document = {
        "nodes": [
            {
                "id": 1,
                "type": "LoadImage",
                "outputs": [{"type": "IMAGE"}, {"type": "MASK"}],
                "widgets_values": ["a.png", "image"],
            },
            {
                "id": 2,
                "type": "SaveImage",
                "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
                "widgets_values": ["made"],
            },
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
        "extra": {"ds": {"scale": 1}},
    }
    graph = read_workflow(document, registry, "wf.json")
    validate(graph, registry)
    (path,) = Executor(registry).run(graph).files()
    with Image.open(path) as picture:
        assert json.loads(picture.info["workflow"]) == document


def test_a_batch_counts_on(place: folders.Folders) -> None:
    batch = torch.rand(3, 4, 4, 3)
    shown = nodes.save_images(batch, "b")["ui"]["images"]
    assert [item["filename"] for item in shown] == [f"b_0000{n}_.png" for n in (1, 2, 3)]
    assert {item["subfolder"] for item in shown} == {""}
    nodes.save_images(batch[:1], "b")
    assert (place.output / "b_00004_.png").is_file()


def test_what_cannot_be_saved(place: folders.Folders, registry: Registry) -> None:
    with pytest.raises(UserError, match="not numbers"):
        nodes.save_images(torch.full((1, 2, 2, 3), float("nan")), "x")
    put(place, "a.png", Image.fromarray(pixels(2, 2, 3)))
    for prefix in ("../x", "/x"):
        with pytest.raises(UserError, match=r"node 3 \(SaveImage\): .*leaves its folder"):
            validate(read_workflow(workflow(prefix), registry, "wf.json"), registry)
    assert not place.output.exists()


def test_a_missing_picture_is_said_before_anything_runs(
    place: folders.Folders, registry: Registry
) -> None:
    put(place, "b.png", Image.fromarray(pixels(2, 2, 3)))
    with pytest.raises(UserError, match=r"node 1 'Load' \(LoadImage\): .*'a.png': there is b.png"):
        validate(read_workflow(workflow(), registry, "wf.json"), registry)


def test_marks_in_file_names() -> None:
    prompt = {
        "3": {"class_type": "KSampler", "inputs": {"seed": 7}, "_meta": {"title": "One"}},
        "4": {"class_type": "Loader", "inputs": {"name": "a/b"}, "_meta": {"title": "Loader"}},
    }

    def fill(prefix: str) -> str:
        return expand(prefix, width=64, height=32, number=2, prompt=prompt)

    assert fill("plain") == "plain"
    assert fill("%width%x%height%_%batch_num%") == "64x32_2"
    assert fill("%KSampler.seed%_%One.seed%") == "7_7"
    assert fill("%Loader.name%") == "a_b"
    assert fill("%unknown% 100%") == "%unknown% 100%"
    assert fill("%KSampler.steps%") == "%KSampler.steps%"
    assert len(fill("%date:yyyy-MM-dd%/x")) == len("2026-01-31/x")
    assert fill("%date:yyyy%") == fill("%year%")


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"])
def test_scale(method: str) -> None:
    image = torch.rand(2, 8, 12, 3)
    assert nodes.scale(image, method, 6, 10, "disabled").shape == (2, 10, 6, 3)
    assert nodes.scale(image, method, 0, 16, "disabled").shape == (2, 16, 24, 3)
    assert nodes.scale(image, method, 6, 0, "center").shape == (2, 4, 6, 3)
    assert torch.equal(nodes.scale(image, method, 0, 0, "disabled"), image)
    assert nodes.scale_by(image, method, 0.5).shape == (2, 4, 6, 3)
    assert nodes.scale_by(image, method, 0.01).shape == (2, 1, 1, 3)


def test_scale_crops_the_middle() -> None:
    image = torch.zeros(1, 4, 12, 3)
    image[:, :, 4:8] = 1.0
    square = nodes.scale(image, "nearest-exact", 4, 4, "center")
    assert torch.equal(square, torch.ones(1, 4, 4, 3))


def test_canny_draws_white_edges() -> None:
    image = torch.zeros(1, 32, 32, 3)
    image[:, 8:24, 8:24] = 1.0
    edges = nodes.detect_edges(image, 0.1, 0.3)
    assert edges.shape == (1, 32, 32, 3)
    assert set(edges.unique().tolist()) == {0.0, 1.0}
    assert edges[0, 16, :, 0].sum() >= 2
    assert edges[0, 14:18, 14:18].sum() == 0
    with pytest.raises(UserError, match="low_threshold"):
        nodes.detect_edges(image, 0.5, 0.3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 50), (50, 1)])
def test_canny_of_a_tiny_picture_is_a_sentence(height: int, width: int) -> None:
    with pytest.raises(UserError, match=f"3 x 3 pixels or more, .* {width} x {height}"):
        nodes.detect_edges(torch.zeros(1, height, width, 3), 0.4, 0.8)


@pytest.mark.parametrize("method", IMAGE_METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
def test_a_crop_leaves_something_of_any_picture(method: str, shape: tuple[int, int]) -> None:
    picture = torch.rand(1, *shape, 3)
    scaled = nodes.scale(picture, method, 500, 2, "center")
    assert scaled.shape == (1, 2, 500, 3)
    assert bool(scaled.isfinite().all())
