"""What a workflow is, told without a run and without models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controlstack.demo.models import BASE
from controlstack.headless import folders, host
from controlstack.headless.graph.model import Graph, Node
from controlstack.headless.graph.registry import default_registry
from controlstack.headless.graph.workflow import parse
from controlstack.headless.overview.family import SD_1, SD_2, SDXL, family_of
from controlstack.headless.overview.files import ModelFile, model_files
from controlstack.headless.overview.overview import Overview, overview_of
from controlstack.headless.overview.reach import line_of, reach_of
from controlstack.headless.planning.files import FLUX
from tests.cli.prompts import WORKFLOWS

REGISTRY = default_registry()


def look(document: Any, models: Path = Path("nowhere")) -> Overview:
    nowhere = Path("nowhere")
    with host.use(folders.Folders((models,), (nowhere,), nowhere, nowhere)):
        return overview_of(parse(document, "wf.json"), REGISTRY)


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def chain(checkpoint: str = "v1-5.ckpt") -> dict[str, Any]:
    """A control at half its range, in API form."""
    prompts = {name: ["4", i] for i, name in enumerate(("positive", "negative"))}
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": node("CLIPTextEncode", clip=["1", 1], text="a house"),
        "3": node("ControlNetLoader", control_net_name="control_v11p_sd15_canny.pth"),
        "4": node(
            "ControlNetApplyAdvanced",
            positive=["2", 0],
            negative=["2", 0],
            control_net=["3", 0],
            image=["5", 0],
            strength=0.8,
            start_percent=0.0,
            end_percent=0.5,
        ),
        "5": node("LoadImage", image="edges.png"),
        "6": node("EmptyLatentImage", width=512, height=768, batch_size=2),
        "7": node(
            "KSampler",
            model=["1", 0],
            **prompts,
            latent_image=["6", 0],
            seed=7,
            steps=10,
            cfg=5.5,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "8": node("VAEDecode", samples=["7", 0], vae=["1", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="x"),
    }


def test_a_chain_of_controls() -> None:
    found = look(chain())
    assert (found.status, found.why) == ("files", ())
    assert found.family.name == SD_1
    assert [(file.kind, file.name, file.here) for file in found.files] == [
        ("checkpoint", "v1-5.ckpt", False),
        ("ControlNet", "control_v11p_sd15_canny.pth", False),
    ]
    assert found.pictures == ("edges.png",)
    assert found.sizes == ("512 x 768, 2 pictures, by node 6 (EmptyLatentImage)",)
    assert found.samplers == {"7": "euler, cfg 5.5, seed 7"}
    assert found.plan is not None
    ((_, timeline),) = found.plan.timelines
    (line,) = timeline.lines
    assert line.settings == ("strength 0.8", "range 0 to 0.5")
    assert line.words.startswith("steps 0 to ")
    assert found.nodes == {
        "comfy-core": dict.fromkeys(sorted({n["class_type"] for n in chain().values()}), 1)
    }
    assert json.loads(json.dumps(found.json()))["plan"]["samplers"][0]["node"] == "7"


def test_what_does_not_run_is_in_the_same_answer() -> None:
    document = chain("flux1-dev.safetensors")
    document["7"]["inputs"]["steps"] = 0
    document["8"] = node("VAEDecodeHDR (rgthree)", samples=["7", 0], lora="a.safetensors")
    found = look(document)
    assert found.status == "nodes"
    assert found.family.name == FLUX
    kinds = sorted(one.kind for one in found.problems)
    assert kinds == ["family", *["file"] * 3, "node_type", "value"]
    assert not any("would run here" in line for line in found.why)
    assert any(f"no {FLUX} models" in line for line in found.why)
    assert any("rgthree-comfy: VAEDecodeHDR (rgthree) (node 8)" in line for line in found.why)
    assert any("input steps is 0" in line for line in found.why)
    # The plan goes on with the default.
    assert found.plan is not None
    assert found.plan.timelines[0][1].schedule.steps == 20
    assert ("LoRA", "a.safetensors") in [(file.kind, file.name) for file in found.files]
    assert line_of(found) == "lacks VAEDecodeHDR (rgthree)"


def test_a_workflow_that_runs(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "anything").symlink_to(BASE)
    document = chain("anything")
    for key in ("3", "4", "5"):
        del document[key]
    document["7"]["inputs"] |= {"positive": ["2", 0], "negative": ["2", 0]}
    found = look(document, tmp_path)
    assert (found.status, found.why, found.problems) == ("runs", (), ())
    assert [file.here for file in found.files] == [True]


def test_nothing_that_can_run() -> None:
    document = json.loads((WORKFLOWS / "pose.json").read_text("utf-8"))
    for one in document["nodes"]:
        one["mode"] = 2
    found = look(document)
    assert found.status == "nothing"
    assert "all 12 nodes are muted" in found.why[0]


def test_what_stands_in_fields_of_unknown_nodes() -> None:
    """Of a canvas they have no names; what is off or muted is no file of the workflow."""
    slots: dict[str, Any] = {"inputs": [], "outputs": [{"name": "MODEL", "type": "MODEL"}]}
    lora = {"on": True, "lora": "b.safetensors", "strength": 1}
    off = {"on": False, "lora": "c.safetensors"}
    power = {"id": 1, "type": "Power Lora Loader (rgthree)", "widgets_values": [{}, lora, off]}
    quiet = {"id": 2, "type": "CR Load LoRA", "mode": 2, "widgets_values": ["On", "d.safetensors"]}
    unet = {"id": 3, "type": "UnetLoaderGGUFMultiGPU", "widgets_values": ["flux1-Q4.gguf", 3]}
    unet["properties"] = {"models": [{"name": "flux1-Q4.gguf", "url": "https://host/flux"}]}
    power["inputs"] = [{"name": "model", "type": "MODEL", "link": 1}]
    nodes = [{**slots, **one} for one in (power, quiet, unet)]
    document = {"nodes": nodes, "links": [[1, 3, 0, 1, 0, "MODEL"]]}
    with folders.use(folders.Folders((), (), Path("o"), Path("t"))):
        found = model_files(parse(document, "wf.json").graph(REGISTRY), REGISTRY)
    assert found == [
        ModelFile(
            "diffusion model",
            "flux1-Q4.gguf",
            "diffusion_models",
            ("3",),
            False,
            "https://host/flux",
        ),
        ModelFile("LoRA", "b.safetensors", "loras", ("1",), False, ""),
    ]


@pytest.mark.parametrize(
    ("kind", "field", "folder"),
    [
        ("CLIPVisionLoader", "clip_name", "clip_vision"),
        ("DepthAnythingPreprocessor", "ckpt_name", ""),
        ("SomeCLIPLoader", "clip_name", "text_encoders"),
        ("SomeCheckpointLoader", "ckpt_name", "checkpoints"),
    ],
)
def test_a_field_of_an_unknown_node_is_read_beside_the_node_s_type(
    kind: str, field: str, folder: str
) -> None:
    node = {"class_type": kind, "inputs": {field: "some.safetensors"}}
    with folders.use(folders.Folders((), (), Path("o"), Path("t"))):
        (found,) = model_files(parse({"1": node}, "wf.json").graph(REGISTRY), REGISTRY)
    assert found.folder == folder


@pytest.mark.parametrize(
    ("folder", "name", "family"),
    [
        ("checkpoints", "v1-5-pruned-emaonly-fp16.safetensors", SD_1),
        ("checkpoints", "dreamshaper_8.safetensors", SD_1),
        ("checkpoints", "DreamShaperXL_Turbo.safetensors", SDXL),
        ("checkpoints", "ponyDiffusionV6XL.safetensors", SDXL),
        ("checkpoints", "v2-1_768-ema-pruned.safetensors", SD_2),
        ("diffusion_models", "flux1-dev.safetensors", "Flux"),
        ("diffusion_models", "wan2.1_t2v_1.3B_fp16.safetensors", "Wan"),
        ("controlnet", "t2iadapter_depth_sd14v1.pth", SD_1),
        ("controlnet", "xinsir/controlnet-union-sdxl-1.0.safetensors", SDXL),
        ("text_encoders", "t5xxl_fp16.safetensors", ""),
        ("vae", "vae-ft-mse-840000-ema-pruned.safetensors", ""),
        ("loras", "swan_dress.safetensors", ""),
    ],
)
def test_a_family_by_a_name(folder: str, name: str, family: str) -> None:
    file = ModelFile(folder, name, folder, ("1",), False, "")
    assert family_of(Graph({}), [file]).name == family


def test_what_tells_a_family_surest_wins() -> None:
    lora = ModelFile("LoRA", "detail_sd15.safetensors", "loras", ("1",), False, "")
    net = ModelFile("ControlNet", "depth_sdxl.safetensors", "controlnet", ("2",), False, "")
    flux = Graph({"3": Node("3", "FluxGuidance", {})})
    assert family_of(Graph({}), [lora]).name == SD_1
    assert family_of(Graph({}), [lora, net]).name == SDXL
    assert family_of(flux, [lora, net]).name == "Flux"
    checkpoint = ModelFile("checkpoint", "sd-v1-4.ckpt", "checkpoints", ("4",), False, "")
    assert family_of(flux, [lora, net, checkpoint]).name == SD_1


def test_reach_over_a_collection() -> None:
    lacking = chain()
    lacking["8"] = node("ImageResize+", samples=["7", 0])
    both = {**lacking, "9": node("Image Save", images=["8", 0])}
    found = [look(one) for one in (chain(), lacking, both, chain("flux1.safetensors"))]
    reach = reach_of(found)
    assert reach.total == 4
    assert reach.statuses == {"files": 1, "family": 1, "nodes": 2}
    assert reach.families == {SD_1: 3, FLUX: 1}
    assert reach.packs["comfyui_essentials"].workflows == 2
    assert reach.packs["comfyui_essentials"].alone == 1
    assert reach.packs["was-node-suite-comfyui"].types == {"Image Save": 1}
    assert json.loads(json.dumps(reach.json()))["packs"]["comfyui_essentials"]["alone"] == 1
