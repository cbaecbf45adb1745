"""ComfyUI's own ControlNet templates on the embedded host, files and sizes given as a user does.

The package `comfyui-workflow-templates` is part of the dev extra; newer versions of it no longer
hold these templates, and are told apart by that.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from controlstack.cli.app import app
from controlstack.ground.errors import UserError
from controlstack.headless import folders, host
from controlstack.headless.graph.execute import Executor
from controlstack.headless.graph.override import override
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.validate import problems_of, validate
from controlstack.headless.graph.workflow import load_workflow
from tests.workflows.model_folder import write_models

ONE, OTHER = "pruned fp16.safetensors", "full-ema.ckpt"
SMALL = (
    "EmptyLatentImage.width=64",
    "EmptyLatentImage.height=72",
    "KSampler.steps=2",
)
SETTINGS: dict[str, tuple[str, ...]] = {
    "controlnet_example": (
        f"CheckpointLoaderSimple.ckpt_name={ONE}",
        "VAELoader.vae_name=mse-ema.safetensors",
        "ControlNetLoader.control_net_name=1.5/scribble.safetensors",
        "LoadImage.image=hint.png",
    ),
    "depth_controlnet": (
        f"CheckpointLoaderSimple.ckpt_name={OTHER}",
        "ControlNetLoader.control_net_name=depth.safetensors",
        "LoadImage.image=hint.png",
    ),
    "depth_t2i_adapter": (
        f"CheckpointLoaderSimple.ckpt_name={ONE}",
        "ControlNetLoader.control_net_name=t2i_depth.pth",
        "LoadImage.image=hint.png",
    ),
    "2_pass_pose_worship": (
        f"CheckpointLoaderSimple.ckpt_name={ONE}",
        f"53.ckpt_name={OTHER}",
        "VAELoader.vae_name=mse-ema.safetensors",
        "ControlNetLoader.control_net_name=pose.pth",
        "LoadImage.image=hint.png",
        "LatentUpscale.width=96",
        "LatentUpscale.height=104",
    ),
    "mixing_controlnets": (
        f"CheckpointLoaderSimple.ckpt_name={ONE}",
        "VAELoader.vae_name=mse-ema.safetensors",
        "26.control_net_name=1.5/scribble.safetensors",
        "35.control_net_name=pose.pth",
        "LoadImage.image=hint.png",
        "20.image=other.png",
    ),
}
SIZES = dict.fromkeys(SETTINGS, (64, 72)) | {"2_pass_pose_worship": (96, 104)}

Runner = Callable[..., Result]
Again = Callable[..., np.ndarray[Any, np.dtype[np.int_]]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for --models."""
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def run(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """`controlstack run` on these models, with two hint pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input").mkdir()
    for name, seed in (("hint.png", 1), ("other.png", 2)):
        noise = np.random.default_rng(seed).integers(0, 256, (50, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "input" / name)

    def invoke(workflow: Path, *settings: str) -> Result:
        arguments = ["run", str(workflow), "--models", str(models)]
        for setting in settings:
            arguments += ["--set", setting]
        return CliRunner().invoke(app, arguments, catch_exceptions=False)

    return invoke


@pytest.fixture
def again(models: Path, run: Runner, tmp_path: Path) -> Again:
    """What runs in a picture, run again with other values; what stays the same is loaded once."""
    registry = default_registry()
    executor = Executor(registry)
    places = folders.Folders((models,), (tmp_path / "input",), tmp_path / "more", tmp_path / "temp")

    def pixels_with(picture: Path, **values: str) -> np.ndarray[Any, np.dtype[np.int_]]:
        with host.use(places):
            graph = load_workflow(picture, registry)
            for target, value in values.items():
                graph = override(graph, registry, target, value)
            validate(graph, registry)
            (made,) = executor.run(graph).files()
        return pixels(made)

    return pixels_with


def installed() -> Path:
    """The folder of the package's templates; skips where it is not there."""
    found = importlib.util.find_spec("comfyui_workflow_templates")
    folder = Path(found.origin).parent / "templates" if found and found.origin else None
    if folder is None or not (folder / "controlnet_example.json").is_file():
        pytest.skip("no comfyui-workflow-templates with the SD 1.5 templates (it is in .[dev])")
    return folder


def pictures(result: Result) -> list[Path]:
    assert result.exit_code == 0, result.stderr
    return [Path(line) for line in result.stdout.splitlines()]


def pixels(path: Path) -> np.ndarray[Any, np.dtype[np.int_]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_template_runs(run: Runner, again: Again, name: str) -> None:
    workflow = installed() / f"{name}.json"
    (picture,) = pictures(run(workflow, *SETTINGS[name], *SMALL))
    with Image.open(picture) as image:
        assert image.size == SIZES[name]
        assert {"prompt", "workflow"} <= set(image.text)
    assert pixels(picture).std() > 1  # no blank
    # What ran is in the picture, settings included.
    assert np.array_equal(again(picture), pixels(picture))
    without = again(picture, **{"ControlNetApplyAdvanced.strength": "0"})
    assert not np.array_equal(without, pixels(picture))


def test_every_template_ends_with_a_sentence_or_lacks_files_only() -> None:
    registry = default_registry()
    nowhere = Path("nowhere")
    known = 0
    paths = [p for p in installed().glob("*.json") if not p.name.startswith("index")]
    assert len(paths) > 50
    with host.use(folders.Folders((nowhere,), (nowhere,), nowhere, nowhere)):
        for path in paths:
            graph = load_workflow(path, registry)
            lacking = {n.type: n.id for n in graph.nodes.values() if n.type not in registry}
            if lacking:
                with pytest.raises(UserError, match="this host does not have ") as caught:
                    validate(graph, registry)
                for kind, node in lacking.items():
                    assert kind in str(caught.value)
                    assert node in str(caught.value)
                continue
            known += 1
            found = problems_of(graph, registry)
            assert "file" in {one.kind for one in found}
            # A loader whose file nobody chose, as templates leave them; a hint's network.
            assert all(
                one.kind in ("file", "missing") or "; put config.json" in one.words for one in found
            ), path
    assert known >= len(SETTINGS)


def test_all_that_is_wrong_is_one_answer(run: Runner, tmp_path: Path, models: Path) -> None:
    """Types that are not known, a setting that does not fit, a value, a file and a picture."""
    prompt = template_of_our_own()
    prompt["70"] = {"class_type": "FaceDetailer", "inputs": {"image": ["59", 0]}}
    prompt["71"] = {"class_type": "FaceDetailer", "inputs": {"image": ["70", 0]}}
    prompt["72"] = {"class_type": "My Upscaler", "inputs": {"model": ["1", 0]}}
    prompt["60"]["inputs"]["images"] = ["71", 0]
    prompt["73"] = {"class_type": "My View", "inputs": {"images": ["59", 0]}}
    prompt["50"]["inputs"]["cfg"] = -1.0
    prompt["10"]["inputs"]["image"] = "no.png"
    prompt["41"]["inputs"]["control_net_name"] = "no.pth"
    result = run(written(tmp_path, prompt), "KSampler.steps=none")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "Error: the workflow cannot run, 5 things are wrong:",
        "  this host does not have a node type of the workflow:",
        "    comfyui-impact-pack: FaceDetailer (nodes 70, 71)",
        "    it would run in ComfyUI with comfyui-impact-pack",
        "    with nodes 70, 71 bypassed it would run here, with another picture",
        "  node 50 (KSampler): input cfg is -1.0, but has to be from 0.0 to 100.0",
        "  node 50 (KSampler): input steps is 'none', but has to be a whole number",
        "  node 10 (LoadImage): there is no input file 'no.png'",
        "  node 41 (ControlNetLoader): there is no ControlNet 'no.pth'",
        "  in input, " + f"{tmp_path / 'input'} there is hint.png, other.png",
        f"  in {models / 'controlnet'}, {models / 't2i_adapter'} there is "
        "1.5/scribble.safetensors, depth.safetensors, pose.pth, t2i_depth.pth",
        "  put the files there, or name others; they are looked for in input, "
        f"{tmp_path / 'input'}, {models / 'controlnet'}, {models / 't2i_adapter'}",
    ]


def test_a_workflow_of_the_same_shape(run: Runner, again: Again, tmp_path: Path) -> None:
    """The templates' nodes in one graph, where the package is not installed too."""
    result = run(written(tmp_path, template_of_our_own()), *SMALL)
    (picture,) = pictures(result)
    assert "KSampler.steps is set at 2 nodes: 50, 58." in result.stderr
    assert pixels(picture).shape == (104, 96, 3)
    first_pass = list((tmp_path / "output" / "previews").glob("*.png"))
    assert sorted(pixels(path).shape for path in first_pass) == [(50, 60, 3), (72, 64, 3)]
    for node in ("30", "31", "32"):  # every control reaches the picture
        assert not np.array_equal(again(picture, **{f"{node}.strength": "0"}), pixels(picture))


def test_a_checkpoint_without_a_vae(run: Runner, tmp_path: Path, models: Path) -> None:
    """Fine beside a VAELoader; else said before anything is sampled."""
    tensors = load_file(models / "checkpoints" / ONE)
    kept = {k: v for k, v in tensors.items() if not k.startswith("first_stage_model.")}
    save_file(kept, models / "checkpoints" / "no-vae.safetensors")
    workflow = written(tmp_path, template_of_our_own())
    settings = (*SMALL, "CheckpointLoaderSimple.ckpt_name=no-vae.safetensors")
    assert len(pictures(run(workflow, *settings))) == 1
    prompt = template_of_our_own()
    prompt["59"]["inputs"]["vae"] = ["2", 2]
    result = run(written(tmp_path, prompt), *settings)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "Error: node 2 (CheckpointLoaderSimple) has no VAE to give, and node 59 (VAEDecode) needs "
        "one for its input vae: wire a node that loads a VAE"
    )


def test_canvas_habits_do_no_harm(run: Runner, tmp_path: Path) -> None:
    """Notes, groups, a bypassed loader of a LoRA that is not there, a muted second output."""
    document = json.loads((Path(__file__).parent / "canvas_habits.json").read_text())
    (picture,) = pictures(run(written(tmp_path, document), *SMALL))
    assert pixels(picture).shape == (72, 64, 3)


def written(folder: Path, document: object) -> Path:
    path = folder / "workflow.json"
    path.write_text(json.dumps(document))
    return path


def template_of_our_own() -> dict[str, dict[str, Any]]:
    """Two passes on two checkpoints under a T2I adapter and two ControlNets, one of Canny edges."""

    def node(kind: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs}

    def apply(before: str, net: str, image: str) -> dict[str, Any]:
        return node(
            "ControlNetApplyAdvanced",
            positive=[before, 0],
            negative=[before if before != "20" else "21", 0 if before == "20" else 1],
            control_net=[net, 0],
            image=[image, 0],
            strength=1.0,
            start_percent=0.0,
            end_percent=1.0,
        )

    def sampler(
        model: str, positive: list[Any], negative: list[Any], latent: str
    ) -> dict[str, Any]:
        return node(
            "KSampler",
            model=[model, 0],
            positive=positive,
            negative=negative,
            latent_image=[latent, 0],
            seed=8,
            steps=20,
            cfg=6.0,
            sampler_name="dpmpp_2m",
            scheduler="karras",
            denoise=1.0 if latent == "5" else 0.5,
        )

    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=ONE),
        "2": node("CheckpointLoaderSimple", ckpt_name=OTHER),
        "5": node("EmptyLatentImage", width=512, height=512, batch_size=1),
        "13": node("VAELoader", vae_name="mse-ema.safetensors"),
        "10": node("LoadImage", image="hint.png"),
        "11": node("Canny", image=["10", 0], low_threshold=0.1, high_threshold=0.3),
        "12": node("PreviewImage", images=["11", 0]),
        "14": node("CLIPSetLastLayer", clip=["1", 1], stop_at_clip_layer=-2),
        "20": node("CLIPTextEncode", clip=["14", 0], text="a house, (white wall:1.3)"),
        "21": node("CLIPTextEncode", clip=["14", 0], text="(blurry), text, (word:1.2) " * 30),
        "22": node("CLIPTextEncode", clip=["2", 1], text="a house"),
        "40": node("ControlNetLoader", control_net_name="t2i_depth.pth"),
        "41": node("ControlNetLoader", control_net_name="pose.pth"),
        "42": node("ControlNetLoader", control_net_name="1.5/scribble.safetensors"),
        "30": apply("20", "40", "10"),
        "31": apply("30", "41", "10"),
        "32": apply("31", "42", "11"),
        "50": sampler("1", ["32", 0], ["32", 1], "5"),
        "51": node("VAEDecode", samples=["50", 0], vae=["13", 0]),
        "52": node("PreviewImage", images=["51", 0]),
        "53": node(
            "LatentUpscale",
            samples=["50", 0],
            upscale_method="nearest-exact",
            width=96,
            height=104,
            crop="disabled",
        ),
        "58": sampler("2", ["22", 0], ["22", 0], "53"),
        "59": node("VAEDecode", samples=["58", 0], vae=["13", 0]),
        "60": node("SaveImage", images=["59", 0], filename_prefix="ComfyUI"),
    }
