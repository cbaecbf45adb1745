"""Plans of workflows: what would control each sampler, told without a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from controlstack.ground.errors import UserError
from controlstack.headless import folders, host
from controlstack.headless.graph.workflow import read_document, read_workflow
from controlstack.headless.planning.plan import WorkflowPlan, plan_of
from controlstack.headless.planning.walk import planning_registry
from controlstack.headless.sampling.model_sampling import DiscreteSampling
from controlstack.headless.sampling.schedules import schedule
from tests.workflows.names import DEMO, WORKFLOWS
from tests.workflows.test_templates import installed

SAMPLING = DiscreteSampling.from_betas()

Prompt = dict[str, dict[str, Any]]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Folders of models and pictures, with one picture."""
    for name in ("models/checkpoints", "models/controlnet", "input"):
        (tmp_path / name).mkdir(parents=True)
    Image.new("RGB", (30, 20), "red").save(tmp_path / "input" / "hint.png")
    used = folders.Folders((tmp_path / "models",), (tmp_path / "input",), tmp_path, tmp_path)
    with host.use(used):
        yield tmp_path


def planned(prompt: Prompt | Path) -> WorkflowPlan:
    registry = planning_registry()
    if isinstance(prompt, Path):
        return plan_of(read_document(prompt).graph(registry), registry)
    return plan_of(read_workflow(json.loads(json.dumps(prompt)), registry, "test"), registry)


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def controls(plan: WorkflowPlan, sampler: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plan.timelines[sampler][1].json()["controls"]
    return found


def base(**sampler: Any) -> Prompt:
    """A model, two prompts, two nets, two hints, and a KSampler of 10 steps without control."""
    wires = {
        "model": ["1", 0],
        "positive": ["2", 0],
        "negative": ["3", 0],
        "latent_image": ["8", 0],
    }
    settings = {
        "seed": 1,
        "denoise": 1.0,
        "steps": 10,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
    }
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="base.safetensors"),
        "2": node("CLIPTextEncode", text="a", clip=["1", 1]),
        "3": node("CLIPTextEncode", text="b", clip=["1", 1]),
        "4": node("ControlNetLoader", control_net_name="pose.safetensors"),
        "5": node("ControlNetLoader", control_net_name="depth.safetensors"),
        "6": node("LoadImage", image="hint.png"),
        "7": node("LoadImage", image="missing.png"),
        "8": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "9": node("KSampler", **{**wires, **settings, **sampler}),
    }


def apply(positive: Any, negative: Any, net: str, image: str, *values: float) -> dict[str, Any]:
    strength, start, end = values
    return node(
        "ControlNetApplyAdvanced",
        **{"positive": positive, "negative": negative, "control_net": [net, 0]},
        **{"image": [image, 0], "strength": strength, "start_percent": start, "end_percent": end},
    )


def add(net: str, image: str, *values: float, **more: Any) -> dict[str, Any]:
    strength, start, end = values
    return node(
        "ControlStackAdd",
        **{"control_net": [net, 0], "image": [image, 0], "strength": strength},
        **{"start_percent": start, "end_percent": end, **more},
    )


def stacked(**sampler: Any) -> Prompt:
    """Two controls on the MODEL."""
    return {
        **base(**{"model": ["22", 0], **sampler}),
        "20": add("4", "6", 0.8, 0.0, 0.5),
        "21": add("5", "7", 1.2, 0.3, 1.0, stack=["20", 0]),
        "22": node("ControlStackApply", model=["1", 0], stack=["21", 0]),
    }


@pytest.mark.parametrize("pictures", [True, False])
@pytest.mark.parametrize("name", DEMO)
def test_every_shipped_workflow_has_a_plan(place: Path, name: str, pictures: bool) -> None:
    if pictures:
        shutil.copytree(WORKFLOWS / "input", place / "input", dirs_exist_ok=True)
    plan = planned(WORKFLOWS / f"{name}.json")
    nodes = json.loads((WORKFLOWS / f"{name}.json").read_text())["nodes"]
    assert len(plan.timelines) == sum(node["type"] == "KSampler" for node in nodes)
    for _, timeline in plan.timelines:
        assert timeline.lines
        lines = [line for line in timeline.lines if line.active]
        assert len(lines) == len(timeline.lines) or name == "switched_lines"
        # A drawn pose needs no file.
        seen = [line.hint is not None for line in lines]
        assert seen == [pictures or "openpose" in line.name for line in lines]
    assert (plan.notes == ()) == (pictures or name in ("pose", "modes"))


def test_a_hint_whose_size_is_a_latent_s_is_drawn(place: Path) -> None:
    prompt = stacked()
    prompt["30"] = node("ControlStackCanny", image=["6", 0], latent=["8", 0])
    prompt["20"]["inputs"]["image"] = ["30", 0]
    (_, timeline), *_ = planned(prompt).timelines
    assert timeline.lines[0].hint is not None


@pytest.mark.parametrize("name", ["sdxl_union_promax", "flux_union"])
def test_a_union_s_types_have_a_plan_each(place: Path, name: str) -> None:
    shutil.copytree(WORKFLOWS / "input", place / "input", dirs_exist_ok=True)
    ((_, timeline),) = planned(WORKFLOWS / f"{name}.json").timelines
    assert [line.hint is not None for line in timeline.lines] == [True, True]


def test_ranges_of_a_shipped_workflow_in_steps() -> None:
    with folders.use(folders.Folders((), (), Path("none"), Path("none"))):
        plan = planned(WORKFLOWS / "step_ranges.json")
    ranges, all_steps = ([line.words for line in one.lines] for _, one in plan.timelines)
    assert ranges == [
        "steps 0 to 5 of 20 (start 0.000, end 0.200)",
        "steps 0 to 3 of 20 (start 0.000, end 0.100)",
    ]
    assert all(words.startswith("steps 0 to 20 of 20") for words in all_steps)


def test_the_core_s_chain_is_the_same_stack(place: Path) -> None:
    chain = {
        **base(positive=["21", 0], negative=["21", 1]),
        "20": apply(["2", 0], ["3", 0], "4", "6", 0.8, 0.0, 0.5),
        "21": apply(["20", 0], ["20", 1], "5", "7", 1.2, 0.3, 1.0),
    }
    on_prompts = {
        **stacked(positive=["23", 0], negative=["23", 1], model=["1", 0]),
        "23": node(
            "ControlStackApplyConditioning", positive=["2", 0], negative=["3", 0], stack=["21", 0]
        ),
    }
    stack = controls(planned(stacked()))
    assert [one["name"] for one in stack] == [
        "control 1 (pose.safetensors)",
        "control 2 (depth.safetensors)",
    ]
    assert stack[0]["hint"] == {"count": 1, "width": 30, "height": 20}
    assert stack[1]["hint"] is None
    assert controls(planned(chain)) == controls(planned(on_prompts)) == stack
    rows = [
        {"id": 3, "file": "pose.safetensors", "strength": 0.8, "start": 0.0, "end": 0.5},
        {"id": 1, "strength": 1.2, "start": 0.3, "end": 1.0},
    ]
    wires = {"hint_3": ["6", 0], "hint_1": ["7", 0], "control_net_1": ["5", 0]}
    one_node = {
        **base(model=["22", 0]),
        "22": node("ControlStackRows", controls={"rows": rows}, model=["1", 0], **wires),
    }
    assert controls(planned(one_node)) == stack
    prompts = {"positive": ["2", 0], "negative": ["3", 0]}
    one_node |= base(positive=["22", 2], negative=["22", 3])
    one_node["22"] = node("ControlStackRows", controls={"rows": rows}, **prompts, **wires)
    assert controls(planned(one_node)) == stack
    assert (
        planned(stacked())
        .notes[0]
        .startswith("node 7 (LoadImage): there is no input file 'missing.png'")
    )


@pytest.mark.parametrize("steps", [-5, 0, 200_000_000])
def test_steps_through_a_link_are_looked_at(place: Path, steps: int) -> None:
    graph = {**stacked(steps=["23", 0]), "23": node("PrimitiveInt", value=steps)}
    with pytest.raises(UserError, match=f"steps is {steps}; it must be from 1 to 10000"):
        planned(graph)


def test_a_link_from_nowhere_is_said(place: Path) -> None:
    with pytest.raises(UserError, match="its model comes from node 99, which is not in this"):
        planned(stacked(model=["99", 0]))


def test_a_preset_is_put_on(place: Path) -> None:
    preset = '{"controlstack_preset": 1, "controls": [{"strength": 0.25}]}'
    graph = stacked()
    graph["23"] = node("ControlStackPreset", stack=["21", 0], preset=preset)
    graph["22"]["inputs"]["stack"] = ["23", 0]
    assert controls(planned(graph))[0]["strengths"][0] == 0.25
    graph["23"]["inputs"]["preset"] = ["24", 0]
    graph["24"] = node("ControlStackLoadPreset", file="gone.json")
    plan = planned(graph)
    assert controls(plan)[0]["strengths"][0] == 0.8
    assert any("cannot read the preset" in note for note in plan.notes)
    graph["23"]["inputs"]["preset"] = "{"
    with pytest.raises(UserError, match="node 23"):
        planned(graph)


def test_frames_of_a_batch_whose_number_nobody_knows(place: Path) -> None:
    """A node that is not known may have made more of a latent."""
    frames = node("ControlStackFrames", strengths="0:0, 1:1", between="stepped")
    graph = {**stacked(latent_image=["24", 0]), "23": frames}
    graph["24"] = node("RepeatLatentBatch", samples=["8", 0], amount=2)
    graph["21"] = add("5", "6", 1.2, 0.3, 1.0, stack=["20", 0], factor=["23", 0])
    assert controls(planned(graph))[1]["net"]["rows"] == 0.5
    graph["9"]["inputs"]["latent_image"] = ["8", 0]
    assert controls(planned(graph))[1]["net"]["runs"] == 0
    graph["23"] = node("ControlStackFrames", strengths="1", between="stepped")
    graph["8"]["inputs"]["batch_size"] = 2
    with pytest.raises(UserError, match=r"control 2 .*there are 1 strengths for 2 pictures"):
        planned(graph)


def test_controls_on_one_prompt_run_for_it_alone(place: Path) -> None:
    one = node("ControlStackApplyConditioning", positive=["2", 0], stack=["21", 0])
    plan = planned({**stacked(positive=["23", 0], model=["1", 0]), "23": one})
    assert [(line["net"]["sides"], line["net"]["rows"]) for line in controls(plan)] == [
        (["prompt"], 0.5)
    ] * 2
    old = node(
        "ControlNetApply", conditioning=["2", 0], control_net=["4", 0], image=["6", 0], strength=1.0
    )
    lent = planned({**base(positive=["23", 0]), "23": old})
    assert controls(lent)[0]["net"]["sides"] == ["prompt", "negative prompt"]
    apart = {**base(positive=["23", 0], negative=["24", 0]), "23": old}
    apart["24"] = {**old, "inputs": {**old["inputs"], "conditioning": ["3", 0]}}
    sides = [line["net"]["sides"] for line in controls(planned(apart))]
    assert sides == [["prompt"], ["negative prompt"]]


def test_at_cfg_1_one_side_is_sampled(place: Path) -> None:
    first, _ = controls(planned(stacked(cfg=1.0)))
    assert (first["net"]["sides"], first["net"]["rows"]) == (["prompt"], 1.0)


def test_a_combined_prompt_keeps_both_chains(place: Path) -> None:
    prompt = {
        **base(positive=["22", 0]),
        "20": apply(["2", 0], ["3", 0], "4", "6", 0.8, 0.0, 0.5),
        "22": node("ConditioningCombine", conditioning_1=["20", 0], conditioning_2=["2", 0]),
    }
    assert [one["name"] for one in controls(planned(prompt))] == ["control 1 (pose.safetensors)"]


def test_union_types_masks_modes_and_factors_are_told(place: Path) -> None:
    prompt = base(model=["22", 0])
    prompt |= {
        "10": node("LoadImageMask", image="hint.png", channel="red"),
        "11": node("ControlStackSteps", first=2, last=5),
        "12": node("ControlStackMask", mask=["10", 0], grow=0, feather=0, blocks="all",
                   start_percent=0.0, end_percent=1.0, factor=["11", 0]),
        "20": add("4", "6", 1.0, 0.0, 1.0, factor=["12", 0], mode="cfg_rw"),
        "22": node("ControlStackApply", model=["1", 0], stack=["20", 0]),
    }  # fmt: skip
    (told,) = controls(planned(prompt))
    assert told["settings"] == ["strength 1", "mode cfg_rw", "steps 2 to 5", "mask"]
    assert (told["words"], told["mask"]["width"]) == (
        "steps 2 to 5 of 10 (start 0.167, end 0.500)",
        30,
    )
    union = node("SetUnionControlNetType", control_net=["4", 0], type="depth")
    chain = {
        **base(positive=["20", 0], negative=["20", 1]),
        "19": union,
        "20": apply(["2", 0], ["3", 0], "19", "6", 1.0, 0.0, 1.0),
    }
    assert controls(planned(chain))[0]["settings"] == ["strength 1", "type depth"]


def test_a_line_that_is_off_is_told(place: Path) -> None:
    prompt = stacked()
    prompt["20"]["inputs"]["enabled"] = False
    off, on = controls(planned(prompt))
    assert (off["enabled"], off["silent"]) == (False, "it is switched off")
    assert on["name"] == "control 2 (depth.safetensors)"


def advanced(start: int, end: int, **inputs: Any) -> dict[str, Any]:
    given = {**base()["9"]["inputs"], "noise_seed": 1, "add_noise": "enable", **inputs}
    given |= {"start_at_step": start, "end_at_step": end, "model": ["22", 0]}
    return node("KSamplerAdvanced", **given, return_with_leftover_noise="enable")


def test_the_windows_of_advanced_samplers(place: Path) -> None:
    prompt = stacked(scheduler="karras")
    whole = controls(planned(prompt))
    prompt["9"] = advanced(6, 10000, scheduler="karras", latent_image=["30", 0])
    prompt["30"] = advanced(0, 6, scheduler="karras")
    plan = planned(prompt)
    assert [node.id for node, _ in plan.timelines] == ["30", "9"]
    titles = [timeline.title for _, timeline in plan.timelines]
    assert titles == [
        "node 30 (KSamplerAdvanced): steps 0 to 6 of 10, karras",
        "node 9 (KSamplerAdvanced): steps 6 to 10 of 10, karras",
    ]
    for first, second, both in zip(controls(plan), controls(plan, 1), whole, strict=True):
        assert first["strengths"] + second["strengths"] == both["strengths"]
    assert controls(plan, 1)[1]["words"].startswith("steps 6 to 10 of 10")


def test_denoise_takes_the_end_of_a_longer_schedule(place: Path) -> None:
    plan = planned(stacked(denoise=0.5, scheduler="simple"))
    sigmas = plan.timelines[0][1].schedule.sigmas
    assert sigmas == tuple(schedule("simple", SAMPLING, 10, 0.5).tolist())
    early, late = controls(plan)
    assert early["net"]["runs"] < 2 < late["net"]["runs"]
    nothing = planned(stacked(denoise=0.0))
    assert nothing.timelines == ()
    assert "node 9 (KSampler): it samples no step, so it has no plan" in nothing.notes


def test_dpm_2_leaves_the_last_level_out(place: Path) -> None:
    plan = planned(stacked(sampler_name="dpm_2"))
    expected = schedule("normal", SAMPLING, 10, drop_penultimate=True)
    assert plan.timelines[0][1].schedule.sigmas == tuple(expected.tolist())


def custom(**more: Any) -> Prompt:
    """SamplerCustomAdvanced on the end of a schedule that is split."""
    prompt = stacked()
    del prompt["9"]
    return prompt | {
        "30": node("BasicScheduler", model=["1", 0], scheduler="karras", steps=10, denoise=1.0),
        "31": node("SplitSigmas", sigmas=["30", 0], step=4),
        "32": node("CFGGuider", model=["22", 0], positive=["2", 0], negative=["3", 0], cfg=5.0),
        "33": node("RandomNoise", noise_seed=1),
        "34": node("KSamplerSelect", sampler_name="euler"),
        "35": node(
            "SamplerCustomAdvanced",
            **{"noise": ["33", 0], "guider": ["32", 0], "sampler": ["34", 0]},
            **{"sigmas": ["31", 1], "latent_image": ["8", 0]},
        ),
        **more,
    }


def test_split_sigmas_count_as_the_run_does(place: Path) -> None:
    """From their own first step; from the whole's where Control Steps has it."""
    levels = tuple(schedule("karras", SAMPLING, 10).tolist())
    plan = planned(custom())
    assert plan.timelines[0][1].schedule.sigmas == levels[4:]
    own = custom(**{"40": node("ControlStackSteps", first=1, last=5)})
    own["20"] = add("4", "6", 1.0, 0.0, 1.0, factor=["40", 0])
    assert controls(planned(own))[0]["words"].startswith("steps 1 to 5 of 6")
    own["40"]["inputs"]["sigmas"] = ["30", 0]
    assert controls(planned(own))[0]["words"].startswith("steps 0 to 1 of 6")


def test_a_guider_for_one_prompt(place: Path) -> None:
    prompt = custom(**{"32": node("BasicGuider", model=["22", 0], conditioning=["2", 0])})
    assert controls(planned(prompt))[0]["net"]["sides"] == ["prompt"]


def test_a_line_of_a_model_patch_is_planned_as_any(place: Path) -> None:
    """From our loader, ComfyUI's and another pack's."""
    graph = {
        **stacked(),
        "4": node("ControlStackLoader", control_net_name="patch.safetensors"),
        "5": node("ModelPatchLoader", name="fun.safetensors"),
        "21": add("5", "7", 1.2, 0.3, 1.0, stack=["20", 0]),
    }
    graph["23"] = node("AnyLoader", control_net_name="other.safetensors")
    graph["24"] = add("23", "6", 1.0, 0.0, 1.0, stack=["21", 0])
    graph["22"]["inputs"]["stack"] = ["24", 0]
    shown = controls(planned(graph))
    files = ("patch", "fun", "other")
    assert [one["net"]["runs"] for one in shown] == [5, 7, 10]
    assert [one["name"] for one in shown] == [
        f"control {number} ({file}.safetensors)" for number, file in enumerate(files, 1)
    ]


def test_nodes_that_are_not_known_pass_on_what_they_get(place: Path) -> None:
    prompt = stacked(model=["40", 0], steps=["42", 0])
    prompt |= {
        "40": node("SomePatch", model=["22", 0], amount=3),
        "41": node("AnyConverter", a=["40", 0], positive=["2", 0], negative=["3", 0]),
        "42": node("SomeInt", value=10),
    }
    prompt["9"]["inputs"] |= {"positive": ["41", 0], "negative": ["41", 1]}
    assert controls(planned(prompt)) == controls(planned(stacked()))


def test_nodes_like_the_core_s_are_taken_for_them(place: Path) -> None:
    """Of other packs, in API form, where their fields have names."""
    known = {
        **base(positive=["20", 0], negative=["20", 1]),
        "20": apply(["2", 0], ["3", 0], "4", "6", 0.8, 0.0, 0.5),
    }
    plan = planned(known)
    other = json.loads(json.dumps(known))
    other["20"]["class_type"] = "ACN_AdvancedControlNetApply_v2"
    other["4"]["class_type"] = "ControlNetLoaderAdvanced"
    other["9"]["class_type"] = "KSampler (Efficient)"
    taken = planned(other)
    assert controls(taken) == controls(plan)
    assert taken.notes == (
        "node 20 (ACN_AdvancedControlNetApply_v2) is planned as an Apply ControlNet",
        "node 9 (KSampler (Efficient)) is planned as a KSampler",
    )
    other["20"]["class_type"], other["4"]["class_type"] = "OtherApply", "OtherLoader"
    taken = planned(other)
    assert controls(taken) == controls(plan)
    assert taken.notes[0] == (
        "node 20 (OtherApply) is not known here: it is taken for an Apply ControlNet"
    )


@pytest.mark.parametrize(
    ("loader", "inputs"),
    [
        ("ACN_ControlNetLoaderAdvanced", {"cnet": "a.pth"}),
        ("ACN_DiffControlNetLoaderAdvanced", {"model": ["1", 0], "cnet": "a.pth"}),
        ("DiffControlNetLoaderAdvanced", {"model": ["1", 0], "control_net_name": "a.pth"}),
        ("ACN_ControlNet++LoaderSingle", {"name": "a.pth", "control_type": "none"}),
    ],
)
def test_the_net_of_a_pack_s_loader_has_its_file(
    place: Path, loader: str, inputs: dict[str, Any]
) -> None:
    prompt = {
        **base(positive=["20", 0], negative=["20", 1]),
        "20": apply(["2", 0], ["3", 0], "4", "6", 0.8, 0.0, 0.5),
        "4": node(loader, **inputs),
    }
    plan = planned(prompt)
    assert [one["name"] for one in controls(plan)] == ["control 1 (a.pth)"]
    assert plan.notes == ()


def test_a_pack_s_nodes_that_run_here_are_read_as_they_are(place: Path) -> None:
    """A loader of a whole model, a sampler whose latent is its fourth output, a switch that is off,
    and what no plan shows."""
    prompt = {
        **base(positive=["20", 0], negative=["20", 1]),
        "20": apply(["2", 0], ["3", 0], "4", "6", 0.8, 0.0, 0.5),
        "1": node("Efficient Loader", ckpt_name="sdxl.safetensors", vae_name="Baked VAE"),
        "21": node("CR Apply ControlNet", conditioning=["20", 0], control_net=["4", 0],
                   image=["6", 0], switch="Off", strength=1.0),
        "30": node("CR Multi-ControlNet Stack"),
        "31": node("CR Apply Multi-ControlNet", base_positive=["21", 0], base_negative=["20", 1],
                   switch="On", controlnet_stack=["30", 0]),
    }  # fmt: skip
    prompt["9"]["class_type"] = "KSampler (Efficient)"
    prompt["9"]["inputs"] |= {"positive": ["31", 0], "negative": ["31", 1]}
    second = json.loads(json.dumps(prompt["9"]))
    second["inputs"] |= {"latent_image": ["9", 3], "denoise": 0.5}
    prompt["10"] = second
    plan = planned(prompt)
    assert [timeline.title.partition(":")[0] for _, timeline in plan.timelines] == [
        "node 9 (KSampler (Efficient))", "node 10 (KSampler (Efficient))",
    ]  # fmt: skip
    assert len(controls(plan)) == 1
    assert "'sdxl.safetensors' is not here" in plan.timelines[0][1].notes[0]
    assert (
        "node 31 (CR Apply Multi-ControlNet): what comes by controlnet_stack is not shown in this "
        "plan"
    ) in plan.notes
    assert not any("not known here" in one for one in plan.notes)


def test_what_cannot_be_read_is_said(place: Path) -> None:
    """Fields without names, as a canvas keeps those of nodes that are not known."""
    bare = {"positive": ["2", 0], "negative": ["3", 0], "control_net": ["4", 0], "image": ["6", 0]}
    prompt = {
        **base(positive=["20", 0], negative=["20", 1]),
        "20": node("OtherApply", **bare),
        "21": node("OtherSampler", model=["1", 0], positive=["20", 0], negative=["20", 1]),
    }
    plan = planned(prompt)
    assert controls(plan)[0]["settings"] == ["strength 1"]
    assert plan.notes == (
        "node 21 (OtherSampler) is not known here; if it samples, it has no plan",
        "node 20 (OtherApply) is not known here: it is taken for an Apply ControlNet; its fields "
        "have no names, so strength and range stand at 1 and 0 to 1",
    )
    guided = planned(custom(**{"32": node("OtherGuider", model=["22", 0])}))
    assert controls(guided) == []
    assert "its guider comes from a node that is not known here" in guided.timelines[0][1].notes[-1]
    with pytest.raises(UserError, match=r"node 31 \(KarrasScheduler\): rho is 0"):
        planned(custom(**{"31": node("KarrasScheduler", steps=5, rho=0.0)}))


def test_levels_from_a_node_that_is_not_known(place: Path) -> None:
    plan = planned(custom(**{"31": node("OwnSigmas", sigmas=["30", 0])}))
    assert plan.timelines == ()
    assert plan.notes[-1] == (
        "node 35 (SamplerCustomAdvanced): its noise levels come from a node or a scheduler that is "
        "not known here, so it has no plan"
    )
    other = custom()
    other["30"]["inputs"]["scheduler"] = "gits"
    assert planned(other).notes[-1] == plan.notes[-1]
    kept = planned(stacked(scheduler="gits"))
    assert kept.timelines[0][1].notes[-1] == (
        "the scheduler 'gits' is not known here: normal stands for it"
    )


def test_long_and_branching_chains_of_unknown_nodes_are_quick(place: Path) -> None:
    prompt = base(model=["x2000", 0])
    prompt["x0"] = node("Unknown", model=["1", 0])
    for i in range(2000):
        prompt[f"x{i + 1}"] = node("Unknown", model=[f"x{i}", 0], other=[f"x{i}", 0])
    assert controls(planned(prompt)) == []


BAD: dict[str, tuple[Callable[[Prompt], Any], str]] = {
    "steps": (
        lambda p: p["9"]["inputs"].update(steps=0),
        "node 9 (KSampler): input steps is 0, but has to be from 1 to 10000",
    ),
    "span outside": (
        lambda p: p["20"]["inputs"].update(factor=["40", 0]),
        "node 9 (KSampler): control 1 (pose.safetensors): the steps 30 to 40 lie outside of the "
        "schedule: it has 10 steps",
    ),
    "span backward": (
        lambda p: p["40"]["inputs"].update(last=3) or p["20"]["inputs"].update(factor=["40", 0]),
        "node 40 (ControlStackSteps): the steps 30 to 3 are no range",
    ),
    "strength": (
        lambda p: p["20"]["inputs"].update(strength=11),
        "node 20 (ControlStackAdd): input strength is 11.0, but has to be from 0.0 to 10.0",
    ),
    "mode": (
        lambda p: p["20"]["inputs"].update(mode="loud"),
        "node 20 (ControlStackAdd): input mode is 'loud', but has to be one of: balanced",
    ),
    "a circle": (
        lambda p: p["20"]["inputs"].update(stack=["21", 0]),
        "the links go in a circle: node 2",
    ),
    "no sampler": (lambda p: p.pop("9"), "no node of this workflow samples"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(place: Path, name: str) -> None:
    prompt = {**stacked(), "40": node("ControlStackSteps", first=30, last=40)}
    change, sentence = BAD[name]
    change(prompt)
    with pytest.raises(UserError) as caught:
        planned(prompt)
    assert caught.value.sentence.startswith(sentence)


def test_files_tell_family_schedule_and_weights(place: Path) -> None:
    unet = {
        "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3),
        "model.diffusion_model.input_blocks.1.1.attn2.to_k.weight": torch.zeros(8, 2048),
        "first_stage_model.decoder.conv_in.weight": torch.zeros(3),
    }
    name = place / "models" / "checkpoints" / "base.safetensors"
    assert controls(planned(stacked()))[0]["net"]["cost"] == 0.35
    assert "is not here" in planned(stacked()).timelines[0][1].notes[0]
    save_file(unet, name)
    plan = planned(stacked())
    assert plan.timelines[0][1].notes == ()
    assert controls(plan)[0]["net"] | {"share": 0} == {
        **{"runs": 5, "sides": ["prompt", "negative prompt"], "rows": 1.0, "share": 0},
        **{"cost": 0.45, "cost_by": "family"},
    }
    net = {"input_hint_block.0.weight": torch.zeros(1667)}
    save_file(net, place / "models" / "controlnet" / "pose.safetensors")
    first = controls(planned(stacked()))[0]["net"]
    assert (first["cost_by"], first["cost"]) == ("weights", 1667 / (8 * 4 * 9 + 8 * 2048))
    before = plan.timelines[0][1].schedule.sigmas
    save_file({**unet, "v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, name)
    assert planned(stacked()).timelines[0][1].schedule.sigmas[0] > 100 * before[0]
    name.write_bytes(b"no model")
    assert str(name) in planned(stacked()).timelines[0][1].notes[0]


def test_flow_models_have_their_own_schedule(place: Path) -> None:
    prompt = stacked(scheduler="simple")
    prompt["1"]["inputs"]["ckpt_name"] = "sd3.5_large.safetensors"
    plan = planned(prompt)
    timeline = plan.timelines[0][1]
    assert "by its name its noise schedule is that of Stable Diffusion 3" in timeline.notes[0]
    # Shift 3: sigma = 3 t / (1 + 2 t).
    shares = [1.0, 0.9, 0.8]
    assert timeline.schedule.sigmas[:3] == pytest.approx([3 * t / (1 + 2 * t) for t in shares])
    # A range to 0.5 of the timesteps ends where t is 0.5.
    assert controls(plan)[0]["net"]["runs"] == 6


def test_no_template_of_comfyui_ends_with_a_trace(place: Path) -> None:
    paths = [p for p in installed().glob("*.json") if not p.name.startswith("index")]
    plans = {path.stem: planned(path) for path in paths}
    (line,) = plans["depth_t2i_adapter"].timelines[0][1].lines
    assert line.name == "control 1 (controlnetT2IAdapter_t2iAdapterDepth.safetensors)"
    assert len(plans["mixing_controlnets"].timelines[0][1].lines) == 2
    assert len(plans["2_pass_pose_worship"].timelines) == 2
    assert plans["sd3.5_large_canny_controlnet_example"].timelines[0][1].lines[0].runs == 32


def test_a_link_of_another_type_brings_nothing(place: Path) -> None:
    """A run refuses such links; the plan goes on without what they bring."""
    prompt = base()
    prompt["add"] = node("ControlStackAdd", control_net=["4", 0], image=["6", 0], strength=0.5)
    prompt["steps"] = node("ControlStackSteps", start_step=["add", 0], end_step=4)
    prompt["sides"] = node("ControlStackSides", cond=1.0, uncond=0.5, factor=["add", 0])
    for factor in ("steps", "sides"):
        prompt["two"] = node(
            "ControlStackAdd", control_net=["4", 0], image=["6", 0], factor=[factor, 0]
        )
        prompt["apply"] = node("ControlStackApply", model=["1", 0], stack=["two", 0])
        prompt["9"]["inputs"]["model"] = ["apply", 0]
        assert len(controls(planned(prompt))) == 1


def test_noise_levels_that_are_not_there_are_not_turned_round(place: Path) -> None:
    prompt = base()
    prompt["flip"] = node("FlipSigmas", sigmas=["1", 0])
    prompt["9"] = node("SamplerCustom", model=["1", 0], sigmas=["flip", 0], latent_image=["8", 0])
    assert any("noise levels" in words for words in planned(prompt).notes)
