"""Which demo model stands in for which file, and at which size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from controlstack.demo import models
from controlstack.demo.models import (
    BASE,
    WEIGHTS,
    aliases,
    scale_factor,
    scaled,
)
from controlstack.demo.sheet import make_sheet
from controlstack.ground.errors import UserError
from controlstack.ground.threads import one_thread
from controlstack.headless.graph.model import Graph, Json, Link, Node
from controlstack.headless.graph.registry import default_registry

REGISTRY = default_registry()


def _graph(*nodes: tuple[str, dict[str, Json | Link]]) -> Graph:
    return Graph({str(i): Node(str(i), kind, inputs) for i, (kind, inputs) in enumerate(nodes)})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("control_v11p_sd15_canny_fp16.safetensors", "canny"),
        ("control_v11f1p_sd15_depth_fp16.safetensors", "depth"),
        ("control_v11p_sd15_openpose_fp16.safetensors", "pose"),
        ("My-Pose.safetensors", "pose"),
    ],
)
@pytest.mark.parametrize("loader", ["ControlNetLoader", "ControlStackLoader"])
def test_a_control_net_is_known_by_its_name(loader: str, name: str, kind: str) -> None:
    found = aliases(_graph((loader, {"control_net_name": name})), REGISTRY)
    assert found == {"controlnet": {name: WEIGHTS / f"controlnet-{kind}"}}


def test_every_part_of_a_base_model_is_that_of_the_demo_base() -> None:
    graph = _graph(
        ("CheckpointLoaderSimple", {"ckpt_name": "a"}),
        ("UNETLoader", {"unet_name": "b"}),
        ("CLIPLoader", {"clip_name": "c"}),
        ("VAELoader", {"vae_name": "d"}),
    )
    assert aliases(graph, REGISTRY) == {
        "checkpoints": {"a": BASE},
        "diffusion_models": {"b": BASE / "unet"},
        "text_encoders": {"c": BASE / "text_encoder"},
        "vae": {"d": BASE / "vae"},
    }


def test_an_archive_without_the_weights_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "BASE", tmp_path / "base")
    with pytest.raises(UserError, match="clone the repository"):
        aliases(_graph(), REGISTRY)
    with pytest.raises(UserError, match="clone the repository"):
        make_sheet(tmp_path / "sheet.png")


def test_sizes_shrink_together_and_to_whole_latents() -> None:
    graph = _graph(
        ("EmptyLatentImage", {"width": 768, "height": 512, "batch_size": 2}),
        ("ImageScale", {"width": 700, "height": 512, "image": Link("3", 0)}),
        ("LatentUpscale", {"width": 1536, "height": 0, "samples": Link("0", 0)}),
        ("ControlStackDrawPose", {"width": 768, "height": 512}),
    )
    assert scale_factor(graph) == 0.25
    small = scaled(graph, REGISTRY, 0.25).nodes
    assert small["0"].inputs == {"width": 192, "height": 128, "batch_size": 2}
    assert small["1"].inputs == {"width": 176, "height": 128, "image": Link("3", 0)}
    assert small["2"].inputs["width"] == 384
    assert small["2"].inputs["height"] == 0  # the core's word for "keep the proportions"
    assert small["3"].inputs == {"width": 192, "height": 128}


def test_sizes_of_other_latents_and_places_in_them() -> None:
    graph = _graph(
        ("EmptySD3LatentImage", {"width": 1024, "height": 1024, "batch_size": 1}),
        ("LatentComposite", {"x": 512, "y": 0, "feather": 0}),
    )
    assert scale_factor(graph) == 0.125
    small = scaled(graph, REGISTRY, 0.125).nodes
    assert small["0"].inputs == {"width": 128, "height": 128, "batch_size": 1}
    assert small["1"].inputs == {"x": 64, "y": 0, "feather": 0}


def test_small_workflows_and_those_without_a_size_stay() -> None:
    small = _graph(("EmptyLatentImage", {"width": 96, "height": 96, "batch_size": 1}))
    assert scale_factor(small) == 1.0
    assert scale_factor(_graph(("LoadImage", {"image": "a.png"}))) == 1.0
    assert scale_factor(_graph(("ImageScale", {"width": 256, "height": 512}))) == 0.5


def test_the_canvas_follows_the_sizes() -> None:
    graph = _graph(("EmptyLatentImage", {"width": 512, "height": 512, "batch_size": 1}))
    node: dict[str, Json] = {"id": 0, "type": "EmptyLatentImage", "widgets_values": [512, 512, 1]}
    drawn = replace(graph, workflow={"nodes": [node], "links": [], "version": 0.4})
    workflow = scaled(drawn, REGISTRY, 0.25).workflow
    assert workflow is not None
    assert workflow["nodes"] == [{**node, "widgets_values": [128, 128, 1]}]


def test_one_thread_gives_the_cores_back_also_on_an_error() -> None:
    def stop() -> None:
        with one_thread():
            assert torch.get_num_threads() == 1
            raise KeyboardInterrupt

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            stop()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_loaders_of_other_packs_are_served_too() -> None:
    graph = _graph(
        (
            "Efficient Loader",
            {"ckpt_name": "x", "empty_latent_width": 512, "empty_latent_height": 768},
        ),
        ("ControlNetLoaderAdvanced", {"control_net_name": "a_depth"}),
        ("ACN_ControlNetLoaderAdvanced", {"cnet": "a_pose"}),
        ("ACN_DiffControlNetLoaderAdvanced", {"cnet": "b_pose"}),
        ("DiffControlNetLoaderAdvanced", {"control_net_name": "b_depth"}),
        ("ACN_ControlNet++LoaderSingle", {"name": "c_depth"}),
        ("ACN_ControlNet++LoaderAdvanced", {"name": "c_pose"}),
        ("ControlStackRows", {"controls": {"rows": [{"id": 1, "file": "d_pose"}]}}),
        ("CR Multi-ControlNet Stack", {"controlnet_1": "a_canny", "controlnet_2": "None"}),
    )
    found = aliases(graph, REGISTRY)
    assert found["checkpoints"] == {"x": BASE}
    kinds = {"a_depth": "depth", "a_pose": "pose", "a_canny": "canny", "b_pose": "pose"}
    kinds |= {"b_depth": "depth", "c_depth": "depth", "c_pose": "pose", "d_pose": "pose"}
    assert found["controlnet"] == {name: models.CONTROL_NETS[kind] for name, kind in kinds.items()}
    assert scale_factor(graph) == 0.25
    small = scaled(graph, REGISTRY, 0.25)
    assert small.nodes["0"].inputs["empty_latent_height"] == 192
