"""The shipped weights: small, ordinary, and in control on scenes the training never saw."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from controlstack.demo import score_host
from controlstack.demo.build_control import KINDS
from controlstack.demo.models import BASE, CONTROL_NETS, WEIGHTS
from controlstack.demo.scenes import HELD_OUT_SEEDS
from controlstack.demo.score import READER, Generate, score, tasks
from controlstack.demo.score_host import HostScorer
from controlstack.evaluation.joint_reader import load_reader, read_joints
from controlstack.evaluation.joints import body_size, pck

SEEDS = HELD_OUT_SEEDS[:3]


def test_all_weights_together_are_small() -> None:
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file()) < 40e6


def test_the_base_is_a_pipeline_in_stable_diffusions_topology() -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(BASE, local_files_only=True)
    skips = sum(len(block.resnets) for block in pipeline.unet.down_blocks) + 1
    skips += sum(len(block.downsamplers or ()) for block in pipeline.unet.down_blocks)
    assert skips == 12
    assert pipeline.vae_scale_factor == 8
    assert pipeline.tokenizer.model_max_length == 77


@pytest.mark.parametrize("kind", KINDS)
def test_each_control_net_has_twelve_residuals_and_learnt_them(kind: str) -> None:
    from diffusers import ControlNetModel

    net = ControlNetModel.from_pretrained(CONTROL_NETS[kind], local_files_only=True)
    assert len(net.controlnet_down_blocks) == 12
    assert all(float(conv.weight.detach().abs().max()) > 0 for conv in net.controlnet_down_blocks)


def test_the_joint_reader_finds_drawn_joints() -> None:
    reader = load_reader(READER)
    found = []
    for task in tasks(person=True, seeds=HELD_OUT_SEEDS[:16]):
        assert task.scene.person is not None
        wanted = np.array(task.scene.person.joints, np.float32)
        found.append(pck(read_joints(reader, task.drawing.rgb), wanted, 0.1 * body_size(wanted)))
    assert np.mean(found) > 0.95


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generate]:
    """Pictures in half of the score's steps, by models that are loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(score_host.SAMPLING, "steps", 10)
        yield HostScorer(tmp_path_factory.mktemp("hints"))


def test_edges_and_silhouettes_follow_their_hints(make: Generate) -> None:
    of = tasks(person=None, seeds=SEEDS)
    free, canny, depth = (score(make, stack, of) for stack in ((), ("canny",), ("depth",)))
    assert min(canny.edge_f1, depth.edge_f1) > 0.75 > 0.3 > free.edge_f1
    assert min(canny.silhouette_iou, depth.silhouette_iou) > 0.85 > 0.4 > free.silhouette_iou


def test_the_stack_beats_each_control_alone(make: Generate) -> None:
    of = tasks(person=True, seeds=SEEDS)
    pose, both = (score(make, stack, of) for stack in (("pose",), ("pose", "depth")))
    assert both.silhouette_iou > pose.silhouette_iou + 0.05
    assert min(pose.joints, both.joints) > 0.8
    assert both.colours > 0.7


def test_without_a_pose_joints_are_elsewhere(make: Generate) -> None:
    assert score(make, (), tasks(person=True, seeds=SEEDS)).joints < 0.4
